"""Was the model wrong, or was the face ambiguous."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from mien.audit.disagreement import AGREEMENT, DisagreementGroup, DisagreementResult
from mien.records import Estimate
from mien.report import audit_question_plots as plots
from mien.report.blocks import (
    Cell,
    Drawing,
    Row,
    Section,
    Table,
    answer,
    cell,
    folded_table,
    table,
)
from mien.report.figures import MAX_LINES, inline
from mien.report.words import listed

_TITLES = ("the gap", "goes with annotators' disagreement", "remains where they agree alike")


def disagreement_section(result: DisagreementResult, anchor: str) -> Section:
    """Was the model wrong, or was the face ambiguous."""
    present = [g for g in result.groups if g.n]
    return answer(
        "Was the model wrong, or was the face ambiguous?",
        anchor,
        result.sentences,
        _figures(result, present, anchor) if present else (),
        _tables(result) if present else (),
        [*_left_out_votes(result), *result.notes],
    )


def _left_out_votes(result: DisagreementResult) -> list[str]:
    parts = [(result.n_without, "no votes"), (result.n_single, "one vote only")]
    counted = [f"{n:,} with {what}" for n, what in parts if n]
    return [f"Left out here, of the faces of known group: {listed(counted)}."] if counted else []


def _figures(result: DisagreementResult, present: Sequence[DisagreementGroup], anchor: str) -> list[Drawing]:
    bars = list(present)
    if len(present) > MAX_LINES:
        bars = sorted(sorted(present, key=lambda g: -g.n)[: plots.MAX_BARS], key=lambda g: (g.too_few, g.right.value))
    caption = (
        "Right: predicted as annotated. Ambiguous: as something else that some annotators chose too. Wrong: as "
        "something that hardly any annotator chose."
    )
    if any(not math.isnan(g.ceiling.value) for g in present):
        caption += " The triangle is where one annotator stands, judged by the others."
    hidden = [g.name for g in present if g not in bars]
    caption += f" Not drawn, with fewest faces: {listed(hidden)}." if hidden else ""
    caption += " Groups stand by how often the model is right." if len(present) > MAX_LINES else ""
    figures = [Drawing(inline(plots.mistakes_plot(bars), f"{anchor}-mistakes"), caption)]
    chosen = _extreme([g for g in present if not g.too_few])
    if chosen and len(result.bins) > 1:
        names = [g.name for g in chosen]
        caption = "How often the model is right, from faces that annotators disagree on to faces that they agree on."
        caption += _not_drawn(present, names)
        figures.append(Drawing(inline(plots.agreement_plot(result.bins, names), f"{anchor}-agreement"), caption))
    # A gap that is not clearly away from 0 is not worth splitting: the finding does not either.
    if result.gap is not None and AGREEMENT in result.gap.parts and result.gap.compared.low > 0:
        caption = (
            f"The accuracy gap between {result.gap.best} and {result.gap.worst}, split in two. Lines are intervals: "
            "where one reaches the upright line at 0, the part may be nothing. Left of it, a part hides some of the "
            "gap."
        )
        svg = inline(plots.split_plot(result.gap, AGREEMENT, _TITLES), f"{anchor}-split")
        figures.append(Drawing(svg, caption))
    return figures


def _extreme(groups: Sequence[DisagreementGroup]) -> list[DisagreementGroup]:
    """All groups, or the three that are right least often and the three that are most often."""
    if len(groups) <= MAX_LINES:
        return list(groups)
    ranked = sorted(groups, key=lambda g: g.right.value)
    half = MAX_LINES // 2
    return [*ranked[:half], *ranked[-half:]]


def _not_drawn(groups: Sequence[DisagreementGroup], drawn: Sequence[str]) -> str:
    few = [g.name for g in groups if g.too_few]
    others = [g.name for g in groups if not g.too_few and g.name not in drawn]
    text = f" Drawn are the three groups with the lowest and the three with the highest accuracy, not {listed(others)}."
    return (text if others else "") + (f" Too few faces to draw: {listed(few)}." if few else "")


def _tables(result: DisagreementResult) -> list[Table]:
    header = [
        "Group",
        "Faces",
        "Agreement of annotators",
        "Right",
        "Ambiguous",
        "Wrong",
        "One annotator",
        "Model less annotator",
    ]
    rows: list[Row] = [
        [
            g.name,
            Cell(f"{g.n:,}", note="too few: in no gap" if g.too_few and g.n else ""),
            *(cell(e) for e in (g.agreement, g.right, g.ambiguous, g.wrong)),
            cell(g.ceiling, note=False),
            cell(g.above_ceiling, "+.3f", note=False),
        ]
        for g in result.groups
    ]
    caption = f"Right, ambiguous and wrong predictions by {result.label}, shares of the group's faces"
    tables = [table(caption, header, rows)]
    if len(result.bins) > 1:
        header = ["Group", *(_bin_words(b.low, b.high) for b in result.bins)]
        rows = [[g.name, *(_counted(b.accuracy[g.name]) for b in result.bins)] for g in result.groups if g.n]
        caption = "Accuracy by the share of annotators who agree on the face"
        tables.append(folded_table(caption, header, rows))
    return tables


def _bin_words(low: float, high: float) -> str:
    return f"up to {high:.0%}" if low <= 0 else f"above {low:.0%} to {high:.0%}"


def _counted(estimate: Estimate) -> Cell:
    """A value with the faces behind it."""
    return replace(cell(estimate), note=f"n {estimate.n:,}")
