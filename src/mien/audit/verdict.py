"""The verdict of an audit: the finding in two or three sentences for people who read no tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mien.audit.gaps import FURTHER, HEADLINE
from mien.audit.inferred.quotes import MANY_UNKNOWN
from mien.audit.results import AttributeResult, GapResult, GroupResult
from mien.audit.scores import SHARES
from mien.audit.vocabulary import BELOW, DISPARITY, NOT_SHOWN, NOT_TESTABLE
from mien.records import Estimate
from mien.wording import capital, listed, number, p_words, percent, percent_interval, plural, points

_LEAD_ORDER = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "recall")


_MOST_NAMED = 4
_ANY_SIZE = 0.5
_LEAST_SAID = 5  # faces of a group too small to be judged that is spoken of
_IN_PER_CENT = (*SHARES, "precision", "f1", "selection_rate")


def verdict_sentences(results: Sequence[AttributeResult], min_n: int, power: bool = True) -> str:
    """The finding in two or three sentences; and which attributes many faces took no part in.

    Args:
        results: The audited attributes.
        min_n: Least faces of a group to be judged.
        power: Whether it was worked out how large a gap the verdict would have named.
    """
    further = (_further_sentence, _untestable_sentence, _small_sentence, _absent_sentence)
    return " ".join(filter(None, [_finding(results, min_n, power), *(sentence(results) for sentence in further)]))


def _further_sentence(results: Sequence[AttributeResult]) -> str:
    """Further measures that differ by more than chance: faces not found always, others where nothing else does."""
    found = [(r, g) for r in results for g in r.gaps if g.family == FURTHER and g.verdict == DISPARITY]
    missed = [(r, g) for r, g in found if g.metric == "detection_failure"]
    headline = any(g.verdict == DISPARITY for r in results for g in r.gaps if g.family == HEADLINE)
    placed = any(g.standing for r in results for g in r.groups)
    if not found or (not missed and (headline or placed)):
        return ""
    result, gap = missed[0] if missed else min(found, key=lambda rg: rg[1].p_adjusted)
    text = (
        f"{capital(gap.title)} differ by more than chance alone would show: "
        if gap.metric == "detection_failure"
        else f"Of the further measures, {gap.title} differs by more than chance alone would show: "
    )
    ends = [f"{_measured(gap, value)} for {group}" for value, group in _ends_of(gap)]
    text += f"{result.label}, {' against '.join(ends)} (adjusted {p_words(gap.p_adjusted)})."
    others = [g.title for _, g in found if g is not gap]
    if others and not headline:
        text += f" So do {len(others)} more: {', '.join(dict.fromkeys(others[:_MOST_NAMED]))}" + (
            ", and others." if len(others) > _MOST_NAMED else "."
        )
    return text


def _ends_of(gap: GapResult) -> list[tuple[Estimate, str]]:
    if gap.worst_value is None or gap.best_value is None:
        return [(gap.value, f"{gap.worst} against {gap.best}")]
    return [(gap.worst_value, gap.worst), (gap.best_value, gap.best)]


def _measured(gap: GapResult, value: Estimate) -> str:
    """A share in per cent, any other number as it is."""
    return percent_interval(value) if gap.metric in _IN_PER_CENT else number(value.value)


def _small_sentence(results: Sequence[AttributeResult]) -> str:
    """Groups too small to be judged that are served worse than every group that was."""
    said = []
    for result in results:
        judged = [g.metrics["accuracy"].value for g in result.groups if not g.verdict]
        small = [g for g in result.groups if g.verdict and g.n >= _LEAST_SAID]
        below = [g for g in small if judged and g.metrics["accuracy"].high < min(judged)]
        said += [
            f"{result.label} = {g.name} ({g.n} faces, right for {percent_interval(g.metrics['accuracy'])})"
            for g in sorted(below, key=lambda g: g.metrics["accuracy"].value)
        ]
    if not said:
        return ""
    more = f" and {len(said) - _MOST_NAMED} more" if len(said) > _MOST_NAMED else ""
    return (
        f"Too few faces to be judged, and seen served worse than all that were: {'; '.join(said[:_MOST_NAMED])}{more}."
    )


def _untestable_sentence(results: Sequence[AttributeResult]) -> str:
    """Attributes that could not be tested, where others could."""
    state = {r.label: {g.verdict for g in r.gaps if g.family == HEADLINE} for r in results}
    blind = [label for label, seen in state.items() if NOT_TESTABLE in seen and not seen & {DISPARITY, NOT_SHOWN}]
    if not blind or len(blind) == len(state):
        return ""
    return f"{', '.join(blind)} could not be tested: its groups share no annotated class."


def _absent_sentence(results: Sequence[AttributeResult]) -> str:
    """How many faces have no known group, where that is more than a twentieth of them."""
    absent = {r.label: (r.n_unknown, r.n + r.n_unknown) for r in results}
    absent = {k: (n, of) for k, (n, of) in absent.items() if n > MANY_UNKNOWN * of}
    if not absent:
        return ""
    ranked = sorted(absent.items(), key=lambda item: -item[1][0])[:_MOST_NAMED]
    said = [f"{n:,} no {label}" for label, (n, _) in ranked[1:]]
    label, (n, of) = ranked[0]
    said.insert(0, f"{n:,} of {of:,} faces have no {label}")
    more = len(absent) - len(ranked)
    if more:
        said.append(f"{plural(more, 'more attribute')} lack some")
    if len(said) == 1:
        return f"{said[0]} and took no part."
    return f"{listed(said)}: they took no part there."


def _finding(results: Sequence[AttributeResult], min_n: int, power: bool) -> str:
    gaps = [(result, gap) for result in results for gap in result.gaps if gap.family == HEADLINE]
    judged = [(r, g) for r, g in gaps if g.verdict in (DISPARITY, NOT_SHOWN)]
    if not judged and any(g.verdict == NOT_TESTABLE for _, g in gaps):
        return (
            "Nothing can be said: no face of one group is annotated as a face of another group is, so that no test of "
            "a disparity is possible. The gaps that are shown may come from the annotation alone."
        )
    if not judged:
        few = "" if not _enough_faces(results, min_n) else " that come from enough different pictures or persons"
        return f"Nothing can be said: no attribute has two groups of {min_n} faces or more{few}."
    found = [(r, g) for r, g in judged if g.verdict == DISPARITY]
    if not found and (worst := _worst_placed(results)):
        return _placed_sentence(*worst)
    if not found:
        return _nothing_found(judged, power)
    result, lead = min(found, key=lambda rg: (_LEAD_ORDER.index(rg[1].metric), -_excess(rg[1])))
    text = _lead_sentence(result, lead)
    if len(found) > 1:
        text += f" In all, {len(found)} of the {len(judged)} headline gaps are more than chance alone would show."
    return text


def _enough_faces(results: Sequence[AttributeResult], min_n: int) -> bool:
    """Whether it is the units that are too few, and not the faces."""
    return any(sum(g.n >= min_n for g in r.groups) >= 2 for r in results)


def _nothing_found(judged: Sequence[tuple[AttributeResult, GapResult]], power: bool) -> str:
    labels = ", ".join(dict.fromkeys(r.label for r, _ in judged))
    p = min(g.p_adjusted for _, g in judged)
    text = (
        f"No gap in accuracy, F1 or recall larger than chance alone would show was found for {labels} (smallest "
        f"adjusted {p_words(p)})."
    )
    accuracy = [g for _, g in judged if g.metric == "accuracy"]
    hidden = [g.detectable_high for g in accuracy]
    if not power:
        return f"{text} This is not proof of equality."
    if any(math.isnan(h) for h in hidden):
        # Nothing would have been named, or nothing varies: the interval still says how far a gap may reach.
        reach = max((g.value.high for g in accuracy if not math.isnan(g.value.high)), default=math.nan)
        size = "of any size" if math.isnan(reach) or reach > _ANY_SIZE else f"of up to {points(reach)}"
        text += f" This is not proof of equality: with so few faces, a gap {size} could have stayed hidden."
    elif hidden:
        text += (
            " This is not proof of equality: with so few faces, an accuracy gap below "
            f"{points(max(hidden))} could have stayed hidden."
        )
    return text


def _worst_placed(results: Sequence[AttributeResult]) -> tuple[AttributeResult, GroupResult] | None:
    """The group furthest below what is expected of it, among those shown to be."""
    below = [(r, g) for r in results for g in r.groups if g.standing == BELOW]
    return min(below, key=lambda rg: rg[1].metrics["accuracy"].value - rg[1].expected, default=None)


def _placed_sentence(result: AttributeResult, group: GroupResult) -> str:
    return (
        f"Worst served: {result.label} = {group.name}. The model is right for "
        f"{percent_interval(group.metrics['accuracy'])} of these faces; {percent(group.expected)} would be expected if "
        f"they were served as all faces annotated alike (adjusted {p_words(group.p_adjusted)}). No gap between the "
        "best and the worst group is more than chance alone would show, for small groups make large gaps by chance."
    )


def _excess(gap: GapResult) -> float:
    return gap.value.value - gap.expected


def _lead_sentence(result: AttributeResult, gap: GapResult) -> str:
    worst, best = (_share(e) for e in (gap.worst_value, gap.best_value))
    if gap.metric == "accuracy":
        claim = f"The model is right for {worst} of these faces, and for {best} of {gap.best}."
    elif gap.metric == "recall":
        claim = f"Of faces annotated {gap.class_name}, the model recognises {worst} here, and {best} for {gap.best}."
    else:
        claim = f"The {gap.title} is {worst} here, and {best} for {gap.best}."
    return (
        f"Worst served: {result.label} = {gap.worst}. {claim} That gap of {points(gap.value.value)} is more than "
        f"chance alone would show ({100 * gap.expected:.1f} on average, rarely above {100 * gap.expected_high:.1f}; "
        f"adjusted {p_words(gap.p_adjusted)})."
    )


def _share(estimate: Estimate | None) -> str:
    return "an unknown share" if estimate is None or math.isnan(estimate.value) else percent_interval(estimate)
