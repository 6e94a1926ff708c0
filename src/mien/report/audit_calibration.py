"""Calibration by group: is the model as sure as it is right, and whom does it answer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mien.audit import AttributeResult, Audit, GapResult, GroupResult
from mien.records import Estimate
from mien.report import words
from mien.report.audit_calibration_plots import abstention_plot, group_reliability
from mien.report.blocks import SMALL, Drawing, Figures, Section, Text
from mien.report.figures import MAX_LINES, inline
from mien.wording import ends

_NEAR = 0.01  # confidence and accuracy this close are called alike


def calibration_section(audit: Audit, result: AttributeResult, anchor: str) -> list[Section]:
    """Confidence by group, in words and drawn; nothing without probabilities."""
    title, anchor = "Is the model as sure as it is right?", f"{anchor}-confidence"
    if not result.calibration:
        return []
    known = [g for g in result.groups if not g.verdict and "overconfidence" in g.metrics]
    if not known:
        return [Section(title, anchor, [Text("Too few faces in every group to say.")])]
    drawn = extreme_groups(known)
    curves = {c.group: c for c in result.calibration}
    chosen = [curves[g.name] for g in drawn if g.name in curves]
    sentences = [_confidence_sentence(known), _difference(result, "overconfidence"), *_abstention_sentences(result)]
    figures = [
        Drawing(
            inline(group_reliability(chosen, {g.name: _short(g) for g in drawn}, audit.level), f"{anchor}-reliability"),
            "How often each group’s answers are right at each confidence. On the dashed line, confidence can be taken "
            "at its word; below it, the model is too sure. Lines: intervals, faces taken as independent.",
        ),
        Drawing(
            inline(abstention_plot(chosen), f"{anchor}-abstention"),
            "If the model may abstain where it is unsure: the fewer faces of a group it answers (leftwards), the fewer "
            "of these answers should be wrong. All groups have the same thresholds; the large marks are where it "
            "answers 80 % of all faces.",
        ),
    ]
    left = len(known) - len(drawn)
    note = (
        f"The plots show the three groups with the smallest calibration error and the three with the largest, {left} "
        "more stand in the table of all metrics above."
    )
    said = Text(" ".join(filter(None, sentences)))
    return [Section(title, anchor, [said, Figures(figures), *([Text(note, SMALL)] if left else [])])]


def extreme_groups(groups: Sequence[GroupResult]) -> list[GroupResult]:
    """At most six groups: the three worst and the three best by calibration error, in that order."""
    if len(groups) <= MAX_LINES:
        return list(groups)
    ranked = sorted(groups, key=lambda g: -g.metrics["ece"].value)
    return [*ranked[: MAX_LINES // 2], *ranked[-(MAX_LINES // 2) :]]


def _about(estimate: Estimate) -> str:
    """``too sure by 6.1 percentage points``."""
    if abs(estimate.value) < _NEAR:
        return "about as sure as it is right"
    return f"{'too sure' if estimate.value > 0 else 'not sure enough'} by {words.points(estimate.value)}"


def _short(group: GroupResult) -> str:
    value = group.metrics["overconfidence"].value
    if abs(value) < _NEAR:
        return "as sure as right"
    return f"{'too sure' if value > 0 else 'too unsure'}: {abs(100 * value):.0f} points"


def _confidence_sentence(groups: Sequence[GroupResult]) -> str:
    by_size = sorted(groups, key=lambda g: -abs(g.metrics["overconfidence"].value))
    worst, best = by_size[0], by_size[-1]
    e = worst.metrics["overconfidence"]
    low, high = (e.low, e.high) if e.value >= 0 else (-e.high, -e.low)
    interval = f" ({100 * e.level:g}\u00a0% interval {100 * low:.1f} to {100 * high:.1f})"
    text = f"For {worst.name} the model is {_about(e)}{interval if ends(e) else ''}"
    if best is worst:
        return f"{text}."
    return f"{text}; for {best.name}, where it comes closest, it is {_about(best.metrics['overconfidence'])}."


def _difference(result: AttributeResult, metric: str) -> str:
    gap = next((g for g in result.gaps if g.metric == metric and not g.class_name), None)
    if gap is None or math.isnan(gap.p_adjusted):
        return ""
    said = words.verdict_words(gap.verdict)
    return f"This difference between the groups {'is ' if said.startswith('more') else ''}{said}."


def _abstention_sentences(result: AttributeResult) -> list[str]:
    """What abstaining on a fifth of all faces would do to the groups."""
    starts = {
        "coverage": "If the model answered only the 80\u00a0% of all faces that it is surest of, it would answer",
        "risk": "Of these answers would be wrong",
    }
    gaps = {g.metric: g for g in result.gaps if g.worst_value and g.best_value}
    return [f"{start} {_ends(gaps[metric])}." for metric, start in starts.items() if metric in gaps]


def _ends(gap: GapResult) -> str:
    """``71 % for female and 85 % for male: more than chance``."""
    low, high = (words.percent(e.value, 0) for e in (gap.worst_value, gap.best_value) if e)
    return f"{low} for {gap.worst} and {high} for {gap.best}: {words.verdict_words(gap.verdict)}"
