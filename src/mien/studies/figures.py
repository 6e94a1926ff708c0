"""The figures of a study's page, drawn from its records: bars, lines over a grid, curves over epochs, confusion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mien.errors import UsageError
from mien.report.figures import BLUE, GREY, INK, LINES, ORANGE, SHARES, figure_style, new_figure, wrap
from mien.studies.cells import Plan, done_of
from mien.studies.definition import FigureConfig
from mien.studies.results import Row, at, predictions_of

_LABEL = 34  # characters of a line beside an axis


def draw(plan: Plan, rows: Sequence[Row], figure: FigureConfig) -> Figure | None:
    """One figure; None where nothing of it is measured.

    Raises:
        UsageError: If it asks for a column that no history has.
    """
    shown = [row for row in rows if not figure.cells or row.name in figure.cells]
    kinds = {"values": _values, "lines": _lines, "curves": _curves, "confusion": _confusion}
    with figure_style():
        return kinds[figure.kind](plan, shown, figure)


def _title(plan: Plan, figure: FigureConfig) -> str:
    return (figure.title or figure.metric) + ("" if plan.as_published else f" ({plan.called})")


def _values(plan: Plan, rows: Sequence[Row], figure: FigureConfig) -> Figure | None:
    """A mark a row with its interval, theirs as further marks; no bars, for the axis does not begin at 0."""
    rows = [row for row in rows if figure.metric in row.values]
    if not rows:
        return None
    drawn = new_figure(7, 0.6 + 0.32 * len(rows), _title(plan, figure))
    axes = drawn.subplots()
    places = np.arange(len(rows))[::-1]
    values = [row.values[figure.metric] for row in rows]
    means = np.array([v.mean.value for v in values])
    spread = np.abs(np.array([[v.mean.value - v.mean.low, v.mean.high - v.mean.value] for v in values]).T)
    axes.errorbar(means, places, xerr=np.nan_to_num(spread), fmt="o", color=BLUE, capsize=3, label="ours")
    theirs = np.array([v.theirs for v in values])
    if not np.isnan(theirs).all():
        label = "published" if plan.as_published else "published, at the full scale"
        axes.plot(theirs, places, "D", color=ORANGE, markersize=5, label=label)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    axes.set_yticks(places, [row.label for row in rows])
    axes.grid(axis="x")
    axes.set_xlabel(_title(plan, figure))
    return drawn


def _lines(plan: Plan, rows: Sequence[Row], figure: FigureConfig) -> Figure | None:
    """The last axis of the grid to the right, a line for each level of the others; further metrics dashed."""
    axis = list(plan.study.grid)[-1:]
    rows = [row for row in rows if plan.study.levels(row.name) and row.values]
    if not rows or not axis:
        return None
    levels = list(plan.study.grid[axis[0]])
    series: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        told = plan.study.levels(row.name)
        others = " ".join(level for name, level in told.items() if name != axis[0])
        for metric in (figure.metric, *figure.also):
            if metric in row.values:
                series.setdefault((others, metric), {})[told[axis[0]]] = row
    drawn = new_figure(7, 4, _title(plan, figure))
    axes = drawn.subplots()
    groups = list(dict.fromkeys(others for others, _ in series))
    for (others, metric), found in series.items():
        colour, _, marker = LINES[groups.index(others) % len(LINES)]
        known = [level for level in levels if level in found]
        values = [found[level].values[metric].mean for level in known]
        spread = np.abs(np.array([[v.value - v.low, v.high - v.value] for v in values]).T)
        axes.errorbar(
            [levels.index(level) for level in known],
            [v.value for v in values],
            yerr=np.nan_to_num(spread),
            color=colour,
            marker=marker,
            linestyle="-" if metric == figure.metric else "--",
            capsize=2,
            label=" ".join(filter(None, (others, metric))),
        )
    axes.set_xticks(range(len(levels)), levels)
    axes.set(xlabel=axis[0], ylabel=wrap(_title(plan, figure), _LABEL))
    axes.legend()
    return drawn


def _curves(plan: Plan, rows: Sequence[Row], figure: FigureConfig) -> Figure | None:
    """A column of the history over the epochs, a line a row; the training's beside, dotted, where there is one."""
    column = figure.metric if figure.metric.startswith(("val_", "train_")) else "val_accuracy"
    drawn = new_figure(7, 4, _title(plan, figure))
    axes = drawn.subplots()
    several = False
    for i, row in enumerate(rows):
        for cell in done_of(plan.of(row.name))[:1]:  # the first seed: a line each would be a thicket
            history = cell.run.history
            if missing := [c for c in (column, *figure.also) if c not in history]:
                raise UsageError(
                    f"figure {figure.title or 'curves'}",
                    f"no column {missing[0]!r}",
                    f"one of {', '.join(map(str, history))}",
                )
            colour = LINES[i % len(LINES)][0]
            axes.plot(history["epoch"] + 1, history[column], color=colour, label=row.label)
            for also in figure.also:
                axes.plot(history["epoch"] + 1, history[also], color=colour, linestyle=":", linewidth=1)
            several = True
    axes.set(xlabel="epoch", ylabel=wrap(_title(plan, figure), _LABEL))
    axes.legend(fontsize=8)
    return drawn if several else None


def _confusion(plan: Plan, rows: Sequence[Row], figure: FigureConfig) -> Figure | None:
    """Annotated classes to the left, predicted ones below: shares of the annotated, over all seeds."""
    found = []
    for row in rows:
        cells = done_of(plan.of(row.name))
        if cells:
            runs = [predictions_of(cell, at(plan, figure.metric)) for cell in cells]
            found.append((row.label, runs[0].classes, sum(run.confusion() for run in runs)))
    if not found:
        return None
    drawn = new_figure(3.6 * len(found) + 0.6, 3.8, _title(plan, figure))
    for axes, (label, classes, counts) in zip(np.atleast_1d(drawn.subplots(1, len(found))), found, strict=True):
        shares = counts / np.maximum(np.asarray(counts).sum(1, keepdims=True), 1)
        axes.imshow(shares, cmap=SHARES, vmin=0, vmax=1)
        for (i, j), share in np.ndenumerate(shares):
            axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=7,
                      color="white" if share > 0.6 else GREY if share < 0.005 else INK)  # fmt: skip
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(classes)), classes, fontsize=8)
        axes.set(title=label, xlabel="predicted (%)")
    return drawn
