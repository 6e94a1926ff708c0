"""The numbers that gates ask for, looked up in an audit: with intervals, who is behind them and who was left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from mien.audit.gate.language import OVERALL, Query
from mien.audit.results import AttributeResult, Audit, GapResult, GroupResult
from mien.audit.vocabulary import LOWER_IS_BETTER, NOT_TESTABLE, TOO_FEW, metric_title
from mien.errors import UsageError
from mien.metrics import METRICS
from mien.records import Estimate
from mien.registry import nearest
from mien.stats.limits import at_level
from mien.stats.multiplicity import bonferroni_level
from mien.wording import UNDEFINED, has_interval, number, plural

CLASS_METRICS = ("recall", "precision", "f1", "selection_rate")


@dataclass(frozen=True)
class Found:
    """A number, its interval, who is behind it and who was left out."""

    value: float
    low: float = math.nan
    high: float = math.nan
    who: str = ""
    left_out: str = ""
    whole: bool = False

    def show(self, digits: int = 3) -> str:
        """The number with its interval, for a reason."""
        text = number(self.value, f".{0 if self.whole else digits}f", UNDEFINED)
        return f"{text} [{number(self.low)}, {number(self.high)}]" if has_interval(self) else text

    @property
    def aside(self) -> str:
        """What stands behind it in brackets."""
        return "; ".join(filter(None, [self.who, self.left_out and f"left out: {self.left_out}"]))


def look_up(audit: Audit, query: Query) -> Found:
    """The number that a query asks for.

    Raises:
        UsageError: If it names a metric, class, attribute or group that the audit lacks.
    """
    if query.function == OVERALL:
        return _overall(audit, query)
    if query.function == "n" and not query.by:
        return Found(audit.n, whole=True)
    attribute = _attribute(audit, query.by)
    if query.function == "n":
        return Found(_group(attribute, query.group).n if query.group else attribute.n, whole=True)
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


def _overall(audit: Audit, query: Query) -> Found:
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


def _extreme(audit: Audit, attribute: AttributeResult, groups: Sequence[GroupResult], query: Query) -> Found:
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
        return Found(math.nan, who="fewer than two groups have enough faces", left_out=left_out)
    return _pick(cells, query, attribute.name, left_out)


def _pick(cells: Sequence[tuple[str, str, Estimate]], query: Query, attribute: str, left_out: str) -> Found:
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
        return Found(math.nan, who=why or "nothing has enough faces", left_out=left)
    lower = query.metric in LOWER_IS_BETTER or METRICS.lower_is_better(query.metric)
    largest = lower != (query.function == "best")
    group, class_name, e = (max if largest else min)(usable, key=lambda cell: cell[2].value)
    what = metric_title(query.metric, class_name)
    who = ", ".join(filter(None, [what, f"{attribute} = {group}" if group else "", _count(e.n, "face")]))
    low, high = _picked_interval([cell[2] for cell in usable], largest)
    return Found(e.value, low, high, who, left)


def _picked_interval(cells: Sequence[Estimate], largest: bool) -> tuple[float, float]:
    """The interval of the largest or smallest of several true values, from intervals that hold all at once."""
    level = cells[0].level
    each = [at_level(e, bonferroni_level(level, len(cells))) for e in cells]
    pick = max if largest else min
    low, high = ([x for x in ends if not math.isnan(x)] for ends in ([e.low for e in each], [e.high for e in each]))
    # An end that one cell lacks is still known from the others on one side only.
    whole = len(low) == len(cells)
    return (
        pick(low) if whole or (largest and low) else math.nan,
        pick(high) if whole or (not largest and high) else math.nan,
    )


def _gap(audit: Audit, attribute: AttributeResult, query: Query) -> Found:
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
        return Found(math.nan, who=why, left_out=left)
    number, gap = (max if query.function == "gap" else min)(usable, key=lambda pair: pair[0])
    sides = f"{attribute.name} = {gap.worst} against {gap.best}, {_count(gap.value.n or attribute.n, 'face')}"
    # The largest of several classes' gaps is picked too.
    low, high = _picked_interval([g.value for _, g in usable], largest=query.function == "gap")
    if query.function == "p":
        low, high = gap.value.low, gap.value.high
    found = Found(gap.value.value, low, high, f"{gap.title}, {sides}", left)
    return Found(number, who=f"{gap.title} {found.show()}, {sides}", left_out=left) if query.function == "p" else found


def _usable(estimate: Estimate) -> bool:
    return not math.isnan(estimate.value) and not _too_few(estimate)


def _too_few(estimate: Estimate) -> bool:
    return TOO_FEW in estimate.note.split("; ")


def _count(n: int, noun: str) -> str:
    """As :func:`mien.wording.plural`, without a comma in the number: scripts read these reasons."""
    return plural(n, noun).replace(",", "")
