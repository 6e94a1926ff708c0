"""Is it the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mien.audit.confounders import Confounder, ConfounderResult
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
from mien.report.dot_plot import spoken
from mien.report.figures import inline
from mien.report.words import listed
from mien.stats.strata import AdjustedGap

MAX_PANELS = 6


def confounders_section(result: ConfounderResult, anchor: str) -> Section:
    """Is it the pictures."""
    missing = [f"{c.title} ({c.n_missing:,})" for c in result.confounders if c.n_missing]
    few = f"Too few faces to take part: {listed(result.too_few)}." if result.too_few else ""
    left = f"Faces without a value, left out where it is held common: {listed(missing)}." if missing else ""
    steps = _steps(result)
    return answer(
        title="Is it the pictures?",
        anchor=anchor,
        sentences=[result.sentence],
        figures=_figures(result, steps, anchor),
        tables=[_means_table(result), *([_adjusted_table(steps)] if steps else [])],
        notes=[n for n in (few, left, *result.notes) if n],
    )


def _steps(result: ConfounderResult) -> list[tuple[str, AdjustedGap]]:
    """What was held common, in words, and the gap with it."""
    steps = [("expressions", result.by_class)]
    steps += [(f"expressions and {c.title}", c.gap) for c in result.confounders]
    if result.joint is not None:
        steps.append(("expressions and all of these", result.joint.gap))
    return [(title, gap) for title, gap in steps if gap is not None]


def _figures(result: ConfounderResult, steps: Sequence[tuple[str, AdjustedGap]], anchor: str) -> list[Drawing]:
    figures = []
    if steps:
        caption = (
            "The gap between the groups with the lowest and the highest accuracy, before and after the groups' faces "
            "are re-weighted to one common mix. If the pictures made the gap, it falls towards 0."
        )
        if any(0.01 <= gap.left_out < 1 for _, gap in steps):
            caption += " Both marks are of the faces that can be compared: the table has their shares."
        svg = inline(plots.held_common_plot(steps[0][1].raw, steps), f"{anchor}-gaps")
        figures.append(Drawing(svg, caption))
    drawn = _strongest([c for c in result.confounders if c.bins])
    if drawn:
        caption = (
            "Accuracy from the lowest to the highest values, in parts of about equally many faces, all groups together."
        )
        hidden = [c.title for c in result.confounders if c.bins and c not in drawn]
        caption += f" Not drawn, as accuracy changes least along them: {listed(hidden)}." if hidden else ""
        figures.append(Drawing(inline(plots.along_plot(drawn), f"{anchor}-along"), caption))
    return figures


def _strongest(confounders: Sequence[Confounder]) -> list[Confounder]:
    """At most :data:`MAX_PANELS`, those along which accuracy changes most, in their own order."""
    ranked = sorted(confounders, key=lambda c: -np.nan_to_num(c.strength.value))[:MAX_PANELS]
    return [c for c in confounders if c in ranked]


def _means_table(result: ConfounderResult) -> Table:
    adjusted = [c for c in (result.joint, *result.confounders) if c is not None and c.gap is not None]
    after = {g.name: g for c in adjusted[:1] if c.gap for g in c.gap.groups}
    names = list(dict.fromkeys(name for c in result.confounders for name in c.means))
    header = ["Group", *(f"Mean {c.title}" for c in result.confounders), "Accuracy", "Accuracy among pictures alike"]
    rows: list[Row] = []
    for name in names:
        means = [cell(c.means[name], ".3g") if name in c.means else Cell("") for c in result.confounders]
        own = after.get(name)
        values = [Cell("", note="too few faces")] * 2 if own is None else [cell(own.raw), cell(own.adjusted)]
        rows.append([name, *means, *values])
    caption = f"How the pictures differ by {result.label}"
    if adjusted:
        caption += f". Alike: the same expression and about the same {adjusted[0].title}"
    return table(caption, header, rows)


def _adjusted_table(steps: Sequence[tuple[str, AdjustedGap]]) -> Table:
    rows: list[Row] = []
    for title, gap in steps:
        parts = ", ".join(f"{what} {spoken(e)}" for what, e in gap.parts.items()) or "undefined"
        between = f"{gap.worst} below {gap.best}" if gap.worst else ""
        compared = Cell(f"{1 - gap.left_out:.0%}", note=gap.note)
        rows.append(
            [title, compared, replace(cell(gap.compared), note=between), parts, cell(gap.remaining), cell(gap.adjusted)]
        )
    header = ["Held common", "Faces compared", "Gap before", "Goes with", "Remains", "Largest gap after"]
    caption = "The accuracy gap split, for each thing held common between the groups"
    return folded_table(caption, header, rows)
