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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mien.audit.gate.language import Arithmetic, Comparison, Condition, End, Number, Query, Value, parse_condition
from mien.audit.gate.numbers import Found, look_up
from mien.audit.results import Audit
from mien.errors import UsageError
from mien.metrics import METRICS

PASSED, FAILED, UNDECIDED = "passed", "failed", "undecided"
_UNBOUNDED = frozenset({"kl", "nll", "brier", "overconfidence"})
_ROUNDING = 1e-12  # equal numbers may differ in their last bits
_RELATIONS: dict[str, tuple[str, str, Callable[[float, float], bool]]] = {
    "<": ("below", "not below", lambda a, b: a < b - _ROUNDING),
    "<=": ("at most", "above", lambda a, b: a <= b + _ROUNDING),
    ">": ("above", "not above", lambda a, b: a > b + _ROUNDING),
    ">=": ("at least", "below", lambda a, b: a >= b - _ROUNDING),
    "==": ("equal to", "not equal to", lambda a, b: abs(a - b) <= _ROUNDING),
    "!=": ("not equal to", "equal to", lambda a, b: abs(a - b) > _ROUNDING),
}
_ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


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


def _evaluate(gate: Gate, node: Value, audit: Audit) -> Found:
    if isinstance(node, Number):
        return Found(node.value)
    if isinstance(node, Query):
        return look_up(audit, node)
    if isinstance(node, End):
        of = look_up(audit, node.of)
        value, inner = of.high if node.which == "upper" else of.low, gate.text[node.of.start : node.of.end]
        state = f"is {of.show()}" if math.isnan(of.value) or not math.isnan(value) else "has no interval"
        return Found(value, who="; ".join(filter(None, [f"{inner} {state}", of.who])), left_out=of.left_out)
    return _calculate(gate, node, audit)


def _calculate(gate: Gate, node: Arithmetic, audit: Audit) -> Found:
    parts = [_evaluate(gate, side, audit) for side in (node.left, node.right)]
    who = "; ".join(p.aside for p in parts if p.aside)
    if node.op == "/" and parts[1].value == 0:
        return Found(math.nan, who="; ".join(filter(None, ["division by zero", who])))
    return Found(float(_ARITHMETIC[node.op](parts[0].value, parts[1].value)), who=who)
