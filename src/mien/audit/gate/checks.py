"""Gates: conditions on an audit that stop a build, such as ``worst(recall, by=gender) < 0.70``.

A gate *fails* where its condition is true, *passes* where it is false, and is *undecided* where a
number that it needs is undefined (no group has enough faces), or where the table's classes do not fit
together, so that no number of it means a thing: that is never a pass.

Grammar::

    gate       := condition
    condition  := condition "or" condition | condition "and" condition
                | "not" condition | "(" condition ")" | comparison
    comparison := value ("<" | "<=" | ">" | ">=" | "==" | "!=") value
    value      := number | query | "upper(" query ")" | "lower(" query ")"
                | value ("+" | "-" | "*" | "/") value | "-" value | "(" value ")"
    query      := metric                                  over all faces: accuracy, macro_f1, recall[fear]
                | "worst(" metric ", by=" attribute ")"   the worst group
                | "best(" metric ", by=" attribute ")"    the best group
                | "group(" metric ", by=" attribute ", is=" group ")"
                | "gap(" metric ", by=" attribute ")"     largest minus smallest, or a distance
                | "ratio(" metric ", by=" attribute ")"   smallest over largest
                | "p(" metric ", by=" attribute ")"       adjusted p-value of that gap or ratio
                | "n(" ["by=" attribute [", is=" group]] ")"   faces
    metric     := name ["[" class "]"]
    attribute  := name ["*" name ...]                     gender*age, brightness:3

Names with spaces or signs stand in quotes: ``is='10-19'``, ``recall['not sure']``. ``not`` binds
tighter than ``and``, and ``and`` tighter than ``or``.

* A metric that each class has (recall, precision, f1), without a class in brackets, means the worst
  one over the classes: ``worst(recall, by=gender)`` is the smallest recall of any class in any group,
  ``gap(recall, by=gender)`` the largest gap, ``p(recall, by=gender)`` the smallest p. ``best`` means
  the best one.
* Of kl, nll, ece and the like the worst value is the largest.
* Groups and classes of a group with too few faces, and undefined values, take no part; the reason counts
  them.
* ``upper`` and ``lower`` are ends of the interval. ``upper(worst(recall, by=gender)) < 0.70`` fails only
  if even the upper end is below 0.70. The worst of many is picked by chance too: of fourteen recalls
  that are all 0.72 one is soon seen at 0.60. So the interval of a worst or best value is wider than its
  group's own. It comes from the intervals of all that it was picked from, each at a level (Bonferroni)
  at which they hold all at once: a sound model fails in at most one case in twenty.
  The same holds for the gap of a metric that each class has, where the class is not named.
* ``worst`` and ``best`` by an attribute compare groups: with fewer than two groups that have enough faces
  they are undefined, whatever the one group shows.

Examples::

    worst(recall, by=gender) < 0.70
    upper(worst(accuracy, by=gender*age)) < 0.6 or gap(accuracy, by=age) > 0.1 and p(accuracy, by=age) < 0.01
    ratio(equal_odds_fairness, by=gender) < 0.8
    n(by=age, is='10-19') < 100
"""

from __future__ import annotations

import math
import operator
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from mien.audit.gate.language import (
    OVERALL,
    Arithmetic,
    Comparison,
    Condition,
    End,
    Number,
    Query,
    Value,
    parse_condition,
)
from mien.audit.results import AttributeResult, Audit, GapResult, GroupResult
from mien.audit.vocabulary import LOWER_IS_BETTER, NOT_TESTABLE, TOO_FEW, metric_title
from mien.errors import UsageError
from mien.metrics import METRICS
from mien.records import Estimate
from mien.registry import nearest
from mien.shown import visible
from mien.stats.limits import at_level
from mien.stats.multiplicity import bonferroni_level
from mien.wording import UNDEFINED, has_interval, number, plural

PASSED, FAILED, UNDECIDED = "passed", "failed", "undecided"
CLASS_METRICS = ("recall", "precision", "f1", "selection_rate")
_UNBOUNDED = frozenset({"kl", "nll", "brier", "overconfidence"})
_ROUNDING = 1e-12  # equal numbers may differ in their last bits
_NAN = float("nan")
_RELATIONS: dict[str, tuple[str, str, Callable[[float, float], bool]]] = {
    "<": ("below", "not below", lambda a, b: a < b - _ROUNDING),
    "<=": ("at most", "above", lambda a, b: a <= b + _ROUNDING),
    ">": ("above", "not above", lambda a, b: a > b + _ROUNDING),
    ">=": ("at least", "below", lambda a, b: a >= b - _ROUNDING),
    "==": ("equal to", "not equal to", lambda a, b: abs(a - b) <= _ROUNDING),
    "!=": ("not equal to", "equal to", lambda a, b: abs(a - b) > _ROUNDING),
}
_ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class GateResult:
    """What became of one gate.

    Attributes:
        expression: The gate as written.
        status: ``passed``, ``failed`` or ``undecided``.
        reason: Each comparison in words, with its numbers, their intervals and who is behind them.
    """

    expression: str
    status: str
    reason: str


@dataclass(frozen=True)
class Gate:
    """A gate that has been read; its names are looked up when it is checked.

    Attributes:
        text: As written, on one line.
        condition: The tree.
    """

    text: str
    condition: Condition

    def check(self, audit: Audit) -> GateResult:
        """Check an audit.

        Raises:
            UsageError: If the gate names a metric, class, attribute or group that the audit lacks.
        """
        try:
            truth, reasons = _judge(self, self.condition, audit)
        except UsageError as error:
            raise UsageError(f"gate {self.text!r}", error.found, error.expected, error.fix) from None
        status = UNDECIDED if truth is None else FAILED if truth else PASSED
        if status == PASSED and audit.classes_in_doubt:
            status = UNDECIDED
            reasons = [*reasons, "undecided all the same, for annotated and predicted classes do not fit together"]
        return GateResult(self.text, status, "; ".join(reasons) + ".")


def parse_gate(text: str) -> Gate:
    """Read a gate.

    Raises:
        UsageError: With the place, if it is not of the language.
    """
    line = re.sub(r"\s", " ", text).strip()
    gate = Gate(line, parse_condition(line))
    _check_limits(gate, gate.condition)
    return gate


def _unbounded(metric: str) -> bool:
    """Whether a metric may lie outside 0 to 1; of one that somebody registered nobody knows that it may not."""
    own = metric in METRICS and not METRICS.get(metric).__module__.startswith("mien.")
    return own or metric in _UNBOUNDED


def _check_limits(gate: Gate, node: Condition) -> None:
    """Refuse a share compared with what no share can be: a gap of five points is 0.05, and never above 5."""
    if not isinstance(node, Comparison):
        for part in node.parts:
            _check_limits(gate, part)
        return
    for value, limit in ((node.left, node.right), (node.right, node.left)):
        query = value.of if isinstance(value, End) else value
        if not isinstance(query, Query) or not isinstance(limit, Number):
            continue
        if query.function == "n" or _unbounded(query.metric) or 0 <= limit.value <= 1:
            continue
        raise UsageError(
            f"gate {gate.text!r}",
            f"{gate.text[query.start : query.end]} is a share and is compared with {limit.value:g}",
            "a number from 0 to 1",
            f"Write {limit.value / 100:g} for {limit.value:g} per cent or points." if 1 < limit.value <= 100 else "",
        )


def check_gate(audit: Audit, text: str) -> GateResult:
    """Check one gate.

    Raises:
        UsageError: If it cannot be read, or names what the audit lacks.
    """
    return parse_gate(text).check(audit)


def check_gates(audit: Audit, texts: Sequence[str]) -> list[GateResult]:
    """Check gates; all are read before the first is checked.

    Raises:
        UsageError: If one cannot be read, or names what the audit lacks.
    """
    return [gate.check(audit) for gate in [parse_gate(text) for text in texts]]


def junit_xml(results: Sequence[GateResult], name: str, seconds: float = 0.0, *, allow_undecided: bool = False) -> str:
    """The results as JUnit XML, which build servers show.

    Args:
        results: One test case each.
        name: Name of the test suite.
        seconds: Time the audit took.
        allow_undecided: Whether an undecided gate counts as skipped and not as an error.
    """
    outcomes = {FAILED: "failure", UNDECIDED: "skipped" if allow_undecided else "error", PASSED: ""}
    found = [outcomes[r.status] for r in results]
    attributes = {"tests": str(len(results)), "time": f"{seconds:.3f}"}
    attributes |= {f"{k}s": str(found.count(k)) for k in ("failure", "error")} | {
        "skipped": str(found.count("skipped"))
    }
    title = _printable(name)
    root = ElementTree.Element("testsuites", {"name": title, **attributes})
    suite = ElementTree.SubElement(root, "testsuite", {"name": title, **attributes})
    for result, outcome in zip(results, found, strict=True):
        case = {"classname": title, "name": _printable(result.expression), "time": f"{seconds / len(results):.3f}"}
        element, reason = ElementTree.SubElement(suite, "testcase", case), _printable(result.reason)
        told = {"message": reason, "type": result.status} if outcome else {}
        ElementTree.SubElement(element, outcome or "system-out", told).text = reason
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _printable(text: str) -> str:
    """Without the control characters that XML may not even hold escaped; those that it may are shown as text."""
    return visible(_NOT_XML.sub("\ufffd", text), lines=True)


def _judge(gate: Gate, node: Condition, audit: Audit) -> tuple[bool | None, list[str]]:
    """Whether a condition is true, None where undecided, and its comparisons in words."""
    if isinstance(node, Comparison):
        return _compare(gate, node, audit)
    found = [_judge(gate, part, audit) for part in node.parts]
    truths, reasons = [truth for truth, _ in found], [reason for _, told in found for reason in told]
    if node.op == "not":
        return (None if truths[0] is None else not truths[0]), reasons
    # One true part decides an "or" and one false part an "and", whatever is undecided beside it.
    decisive = node.op == "or"
    if decisive in truths:
        return decisive, reasons
    return (None if None in truths else not decisive), reasons


@dataclass(frozen=True)
class _Found:
    """A number, its interval, who is behind it and who was left out."""

    value: float
    low: float = _NAN
    high: float = _NAN
    who: str = ""
    left_out: str = ""
    whole: bool = False

    def show(self, digits: int = 3) -> str:
        text = number(self.value, f".{0 if self.whole else digits}f", UNDEFINED)
        return f"{text} [{number(self.low)}, {number(self.high)}]" if has_interval(self) else text

    @property
    def aside(self) -> str:
        return "; ".join(filter(None, [self.who, self.left_out and f"left out: {self.left_out}"]))


def _compare(gate: Gate, node: Comparison, audit: Audit) -> tuple[bool | None, list[str]]:
    left, right = _evaluate(gate, node.left, audit), _evaluate(gate, node.right, audit)
    asides = [found.aside for found in (left, right) if found.aside]
    told = f" ({'; '.join(asides)})" if asides else ""
    for side, found in ((node.left, left), (node.right, right)):
        if math.isnan(found.value):
            return None, [f"{gate.text[side.start : side.end]} is undefined{told}"]
    holds, fails, test = _RELATIONS[node.op]
    truth = test(left.value, right.value)
    # 0.6996 is below 0.7 and must not read as 0.700.
    digits = 3 if abs(left.value - right.value) > 0.001 or abs(left.value - right.value) <= _ROUNDING else 6
    limit = gate.text[node.right.start : node.right.end]
    limit += f", {right.show(digits)}" if right.aside or right.whole else ""
    value = f"{gate.text[node.left.start : node.left.end]} is {left.show(digits)}"
    return truth, [f"{value}, {holds if truth else fails} {limit}{told}"]


def _evaluate(gate: Gate, node: Value, audit: Audit) -> _Found:
    if isinstance(node, Number):
        return _Found(node.value)
    if isinstance(node, Query):
        return _look_up(audit, node)
    if isinstance(node, End):
        of = _look_up(audit, node.of)
        value, inner = of.high if node.which == "upper" else of.low, gate.text[node.of.start : node.of.end]
        state = f"is {of.show()}" if math.isnan(of.value) or not math.isnan(value) else "has no interval"
        return _Found(value, who="; ".join(filter(None, [f"{inner} {state}", of.who])), left_out=of.left_out)
    return _calculate(gate, node, audit)


def _calculate(gate: Gate, node: Arithmetic, audit: Audit) -> _Found:
    parts = [_evaluate(gate, side, audit) for side in (node.left, node.right)]
    who = "; ".join(p.aside for p in parts if p.aside)
    if node.op == "/" and parts[1].value == 0:
        return _Found(_NAN, who="; ".join(filter(None, ["division by zero", who])))
    return _Found(float(_ARITHMETIC[node.op](parts[0].value, parts[1].value)), who=who)


def _look_up(audit: Audit, query: Query) -> _Found:
    if query.function == OVERALL:
        return _overall(audit, query)
    if query.function == "n" and not query.by:
        return _Found(audit.n, whole=True)
    attribute = _attribute(audit, query.by)
    if query.function == "n":
        return _Found(_group(attribute, query.group).n if query.group else attribute.n, whole=True)
    if query.function in ("gap", "ratio", "p"):
        return _gap(audit, attribute, query)
    groups = [_group(attribute, query.group)] if query.group else attribute.groups
    return _extreme(audit, attribute, groups, query)


def _unknown(kind: str, name: str, known: Iterable[str]) -> NoReturn:
    names = list(dict.fromkeys(known))
    fix = nearest(name, names) if names else ""
    if names and not fix.startswith("Known"):
        fix += f" Known: {', '.join(names)}."
    raise UsageError("gate", f"the audit has no {kind} {name!r}", "", fix)


def _attribute(audit: Audit, name: str) -> AttributeResult:
    """The attribute; the order of an intersection's parts does not matter."""
    for attribute in audit.attributes:
        if sorted(attribute.name.split("*")) == sorted(name.split("*")):
            return attribute
    _unknown("attribute", name, [a.name for a in audit.attributes])


def _group(attribute: AttributeResult, name: str) -> GroupResult:
    for group in attribute.groups:
        if group.name == name:
            return group
    _unknown(f"group of {attribute.name}", name, [g.name for g in attribute.groups])


def _check_class(audit: Audit, query: Query, classes: Iterable[str]) -> None:
    if query.class_name and query.class_name not in audit.classes:
        _unknown("class", query.class_name, audit.classes)
    if query.class_name and query.class_name not in classes:
        raise UsageError("gate", f"{query.metric} is not known for each class", f"{query.metric} without brackets")


def _overall(audit: Audit, query: Query) -> _Found:
    if query.metric in ("recall", "precision", "f1"):
        by_class: dict[str, Estimate] = {c.name: getattr(c, query.metric) for c in audit.per_class}
        _check_class(audit, query, by_class)
        cells = [("", c, e) for c, e in by_class.items() if query.class_name in ("", c)]
        return _pick(cells, query, "", "")
    if query.metric not in audit.overall:
        if query.metric in CLASS_METRICS:
            found, expected = f"{query.metric} of a class is known by groups only", f"worst({query.metric}, by=...)"
            raise UsageError("gate", found, expected)
        _unknown("metric", query.metric, audit.overall)
    _check_class(audit, query, ())
    return _pick([("", "", audit.overall[query.metric])], query, "", "")


def _extreme(audit: Audit, attribute: AttributeResult, groups: Sequence[GroupResult], query: Query) -> _Found:
    """``worst``, ``best`` and ``group``."""
    by_class = query.metric in CLASS_METRICS and any(hasattr(g, query.metric) for g in attribute.groups)
    known = [*dict.fromkeys(m for g in attribute.groups for m in g.metrics)]
    if not by_class and query.metric not in known:
        has = [m for m in CLASS_METRICS if any(hasattr(g, m) for g in attribute.groups)]
        _unknown("metric", query.metric, [*known, *has])
    _check_class(audit, query, audit.classes if by_class else ())
    few, cells = [], []
    for group in groups:
        if group.verdict == TOO_FEW:
            few.append(group.name)
        elif by_class:
            found: dict[str, Estimate] = getattr(group, query.metric)
            cells += [(group.name, c, e) for c, e in found.items() if query.class_name in ("", c)]
        elif query.metric in group.metrics:
            cells.append((group.name, "", group.metrics[query.metric]))
    named = f" ({', '.join(few)})" if len(few) <= 5 else ""
    left_out = f"{_count(len(few), 'group')} with too few faces{named}" if few else ""
    if not query.group and len({group for group, _, e in cells if _usable(e)}) < 2:
        return _Found(_NAN, who="fewer than two groups have enough faces", left_out=left_out)
    return _pick(cells, query, attribute.name, left_out)


def _pick(cells: Sequence[tuple[str, str, Estimate]], query: Query, attribute: str, left_out: str) -> _Found:
    """The worst or best of (group, class, estimate) cells, and who was left out."""
    usable = [cell for cell in cells if _usable(cell[2])]
    few = sum(_too_few(e) for _, _, e in cells)
    undefined = len(cells) - len(usable) - few
    parts = [left_out]
    if len(cells) > 1:
        parts += [f"{_count(few, 'class')} of a group with too few faces" if few else ""]
        parts += [_count(undefined, "undefined value") if undefined else ""]
    left = ", ".join(filter(None, parts))
    if not usable:
        why = cells[0][2].note if len(cells) == 1 else ""
        return _Found(_NAN, who=why or "nothing has enough faces", left_out=left)
    lower = query.metric in LOWER_IS_BETTER or METRICS.lower_is_better(query.metric)
    largest = lower != (query.function == "best")
    group, class_name, e = (max if largest else min)(usable, key=lambda cell: cell[2].value)
    what = metric_title(query.metric, class_name)
    who = ", ".join(filter(None, [what, f"{attribute} = {group}" if group else "", _count(e.n, "face")]))
    low, high = _picked_interval([cell[2] for cell in usable], largest)
    return _Found(e.value, low, high, who, left)


def _picked_interval(cells: Sequence[Estimate], largest: bool) -> tuple[float, float]:
    """The interval of the largest or smallest of several true values, from intervals that hold all at once."""
    level = cells[0].level
    each = [at_level(e, bonferroni_level(level, len(cells))) for e in cells]
    pick = max if largest else min
    low, high = ([x for x in ends if not math.isnan(x)] for ends in ([e.low for e in each], [e.high for e in each]))
    # An end that one cell lacks is still known from the others on one side only.
    whole = len(low) == len(cells)
    return (
        pick(low) if whole or (largest and low) else _NAN,
        pick(high) if whole or (not largest and high) else _NAN,
    )


def _gap(audit: Audit, attribute: AttributeResult, query: Query) -> _Found:
    """``gap``, ``ratio`` and ``p``."""
    pools: dict[str, list[GapResult]] = {"gap": [], "ratio": [], "p": attribute.gaps}
    for g in attribute.gaps:
        pools["ratio" if g.kind == "ratio" else "gap"].append(g)
    gaps = [g for g in pools[query.function] if g.metric == query.metric]
    if not gaps:
        other = "ratio" if query.function == "gap" else "gap"
        if any(g.metric == query.metric for g in pools[other]):
            raise UsageError(
                "gate", f"{query.metric} has no {query.function}", f"{other}({query.metric}, by={query.by})"
            )
        _unknown(f"{query.function} of", query.metric, [g.metric for g in pools[query.function]])
    _check_class(audit, query, [g.class_name for g in gaps])
    whole = [g for g in gaps if not g.class_name]
    gaps = [g for g in gaps if g.class_name == query.class_name] if query.class_name else whole or gaps
    numbers = [g.p_adjusted if query.function == "p" else g.value.value for g in gaps]
    usable = [(x, g) for x, g in zip(numbers, gaps, strict=True) if not math.isnan(x)]
    missing = len(gaps) - len(usable)
    left = _count(missing, "undefined value") if missing and len(gaps) > 1 else ""
    if not usable:
        untestable = query.function == "p" and any(g.verdict == NOT_TESTABLE for g in gaps)
        why = "the groups share no annotated class" if untestable else gaps[0].value.note or "too few faces"
        return _Found(_NAN, who=why, left_out=left)
    number, gap = (max if query.function == "gap" else min)(usable, key=lambda pair: pair[0])
    sides = f"{attribute.name} = {gap.worst} against {gap.best}, {_count(gap.value.n or attribute.n, 'face')}"
    # The largest of several classes' gaps is picked too.
    low, high = _picked_interval([g.value for _, g in usable], largest=query.function == "gap")
    if query.function == "p":
        low, high = gap.value.low, gap.value.high
    found = _Found(gap.value.value, low, high, f"{gap.title}, {sides}", left)
    return _Found(number, who=f"{gap.title} {found.show()}, {sides}", left_out=left) if query.function == "p" else found


def _usable(estimate: Estimate) -> bool:
    return not math.isnan(estimate.value) and not _too_few(estimate)


def _too_few(estimate: Estimate) -> bool:
    return TOO_FEW in estimate.note.split("; ")


def _count(n: int, noun: str) -> str:
    """As :func:`mien.wording.plural`, without a comma in the number: scripts read these reasons."""
    return plural(n, noun).replace(",", "")
