"""The figures of a study's page, drawn from its records: bars, lines over a grid, curves over epochs, confusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.report.figures import BLUE, DOTTED, GREY, GRID, INK, LINES, ORANGE, SHARES, figure_style, new_figure, wrap
from mien.studies.cells import Plan
from mien.studies.definition import FigureConfig
from mien.studies.estimates import at, predictions_of
from mien.studies.results import Row
from mien.studies.standing import done_of

_LABEL = 34  # characters of a line beside an axis
_PANEL = 26  # and above one of four panels


def draw(plan: Plan, rows: Sequence[Row], figure: FigureConfig) -> Figure | None:
    """One figure; None where nothing of it is measured, and of a table (:func:`epochs_of`).

    Raises:
        UsageError: If it asks for a column that no history has.
    """
    if figure.kind == "epochs":
        return None
    shown = _shown(rows, figure)
    with figure_style():
        return FIGURES[figure.kind](plan, shown, figure)


def epochs_of(plan: Plan, rows: Sequence[Row], figure: FigureConfig) -> list[list[str]]:
    """A table of what training wrote epoch by epoch, the mean over seeds, beside what was published; first its header.

    Returns:
        Nothing where no row is trained.

    Raises:
        UsageError: If it asks for a column that no history has.
    """
    columns = [_column(figure), *figure.also]
    found = {row.label: told for row in _shown(rows, figure) if (told := _history(plan, row, columns)) is not None}
    if not found:
        return []
    called = "theirs" if plan.as_published else "theirs (full)"
    sides = {f"{column}, {called}": list(figure.theirs[column]) for column in columns if column in figure.theirs}
    sides |= {f"{column}, {label}": list(told[column]) for label, told in found.items() for column in columns}
    n = max(map(len, sides.values()))
    lines = [[f"{values[i]:.4f}" if i < len(values) else "" for values in sides.values()] for i in range(n)]
    return [["epoch", *sides], *([str(i + 1), *line] for i, line in enumerate(lines))]


def _shown(rows: Sequence[Row], figure: FigureConfig) -> list[Row]:
    return [row for row in rows if not figure.cells or row.name in figure.cells]


def _title(plan: Plan, figure: FigureConfig) -> str:
    return (figure.title or figure.metric) + ("" if plan.as_published else f" ({plan.called})")


def _values(plan: Plan, rows: Sequence[Row], figure: FigureConfig) -> Figure | None:
    """A mark a row with its interval, theirs as further marks; no bars, for the axis does not begin at 0."""
    rows = [row for row in rows if figure.metric in row.values]
    if not rows:
        return None
    labels = [wrap(_called(plan, row), _LABEL) for row in rows]
    lines = max(label.count("\n") + 1 for label in labels)
    drawn = new_figure(7, 0.6 + (0.32 + 0.12 * (lines - 1)) * len(rows), _title(plan, figure))
    axes = drawn.subplots()
    places = np.arange(len(rows))[::-1]
    values = [row.values[figure.metric] for row in rows]
    means = np.array([v.mean.value for v in values])
    spread = np.abs(np.array([[v.mean.value - v.mean.low, v.mean.high - v.mean.value] for v in values]).T)
    axes.errorbar(means, places, xerr=np.nan_to_num(spread), fmt="o", color=BLUE, capsize=3, label="ours")
    axes.set_ylim(-0.6, len(rows) - 0.4)
    theirs = np.array([v.theirs for v in values])
    if not np.isnan(theirs).all():
        label = "published" if plan.as_published else "published, at the full scale"
        axes.plot(theirs, places, "D", color=ORANGE, markersize=5, label=label)
        drawn.legend(loc="outside upper right", ncols=2)
    cut = _cut(axes, means, spread, theirs)
    axes.set_yticks(places, labels)
    axes.grid(axis="x")
    axes.set_xlabel(_title(plan, figure) + ("\nat an arrow an interval goes on" if cut else ""))
    return drawn


def _cut(axes: Axes, means: NDArray[np.float64], spread: NDArray[np.float64], theirs: NDArray[np.float64]) -> bool:
    """Let no interval that is far wider than the others squeeze them: it runs out of the picture, with an arrow."""
    widths, spread = spread.sum(0), np.nan_to_num(spread)
    known = widths[~np.isnan(widths)]
    wide = widths > 6 * np.median(known) if len(known) else np.zeros(len(widths), dtype=np.bool_)
    if not wide.any() or wide.all():
        return False
    ends = np.concatenate([means[~wide] - spread[0, ~wide], means[~wide] + spread[1, ~wide], means, theirs])
    least, most = np.nanmin(ends), np.nanmax(ends)
    more = 0.08 * (most - least)
    axes.set_xlim(least - more, most + more)
    for place in np.flatnonzero(wide):
        y = len(means) - 1 - place
        for edge, out, mark in ((least - more, means[place] - spread[0, place] < least - more, "<"),
                                (most + more, means[place] + spread[1, place] > most + more, ">")):  # fmt: skip
            if out:
                axes.plot([edge], [y], mark, color=BLUE, clip_on=False)
    return True


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
    if max((len(found) for found in series.values()), default=0) < 2:  # points alone are in the other figures
        return None
    places = _places(levels)
    drawn = new_figure(7, 4, _title(plan, figure))
    axes = drawn.subplots()
    groups = list(dict.fromkeys(others for others, _ in series))
    aside = _aside(places, len(series))
    for i, ((others, metric), found) in enumerate(series.items()):
        colour, _, marker = LINES[groups.index(others) % len(LINES)]
        known = [level for level in levels if level in found]
        values = [found[level].values[metric].mean for level in known]
        spread = np.abs(np.array([[v.value - v.low, v.high - v.value] for v in values]).T)
        axes.errorbar(
            [places[level] + aside[i] for level in known],
            [v.value for v in values],
            yerr=np.nan_to_num(spread),
            color=colour,
            marker=marker,
            linestyle="-" if metric == figure.metric else "--",
            capsize=2,
            label=" ".join(filter(None, (others, metric))),
        )
    axes.set_xticks(list(places.values()), levels)
    axes.set(xlabel=axis[0], ylabel=wrap(_title(plan, figure), _LABEL))
    _legend(drawn, axes)
    return drawn


def _legend(drawn: Figure, axes: Axes) -> None:
    """Who is who, below the axes, where no line runs."""
    handles, labels = axes.get_legend_handles_labels()
    across = 2 if max(map(len, labels)) > _LABEL else 3
    drawn.set_figheight(drawn.get_figheight() + 0.2 * -(-len(labels) // across))
    drawn.legend(handles, labels, loc="outside lower center", ncols=across, fontsize=8)


def _aside(places: Mapping[str, float], n: int) -> NDArray[np.float64]:
    """How far each of n lines stands aside, so that their intervals do not lie on each other."""
    at = sorted(places.values())
    step = float(min(np.diff(at), default=1.0))
    half = step * min(0.05, 0.4 / n) * (n - 1) / 2
    return np.linspace(-half, half, n, dtype=np.float64)


def _places(levels: Sequence[str]) -> dict[str, float]:
    """Where levels stand on an axis: numbers as far apart as they are, words side by side."""
    try:
        numbers = [float(level) for level in levels]
    except ValueError:
        numbers = list(range(len(levels)))
    steps = np.abs(np.diff(sorted(numbers)))
    if len(steps) and steps.max() > 10 * steps.min():  # on which some would lie on each other
        numbers = list(range(len(levels)))
    return dict(zip(levels, numbers, strict=True))


def _curves(plan: Plan, rows: Sequence[Row], figure: FigureConfig) -> Figure | None:
    """A column of the history over the epochs, the mean over seeds; further ones dotted.

    A line a row; of more rows than lines can be told apart each has a panel of its own, with the others in grey.
    """
    column = _column(figure)
    columns = [column, *figure.also]
    found = {_called(plan, row): told for row in rows if (told := _history(plan, row, columns)) is not None}
    if not found:
        return None
    name = wrap(_title(plan, figure) + (", mean over seeds" if any(row.seeds > 1 for row in rows) else ""), _LABEL)
    # Where further columns are dotted no row is.
    lines = [each for each in LINES if not (figure.also and each[1] == DOTTED)]
    if len(found) <= len(lines):
        drawn = new_figure(7, 4, _title(plan, figure))
        axes = drawn.subplots()
        for (label, history), (colour, style, _) in zip(found.items(), lines, strict=False):
            _draw_lines(axes, history, columns, colour, style, label)
        axes.set(xlabel="epoch", ylabel=name)
        _legend(drawn, axes)
        return drawn
    across = 4
    down = -(-len(found) // across)
    drawn = new_figure(9, 0.6 + 1.8 * down, _title(plan, figure))
    panels = drawn.subplots(down, across, sharex=True, sharey=True).ravel()
    for axes, (label, history) in zip(panels, found.items(), strict=False):
        for other in found.values():
            axes.plot(other.index + 1, other[column], color=GRID, linewidth=0.8)
        _draw_lines(axes, history, columns, BLUE, "-", label)
        axes.set_title(wrap(label, _PANEL), fontsize=8)
    for axes in panels[len(found) :]:
        axes.set_visible(False)
    for place, axes in enumerate(panels[: len(found)]):  # what stands below a panel may be nothing
        axes.tick_params(labelbottom=place + across >= len(found))
    drawn.supxlabel("epoch", fontsize=9)
    drawn.supylabel(name, fontsize=9)
    return drawn


def _column(figure: FigureConfig) -> str:
    """The column of the history that a figure of epochs is of; a metric of judged faces, the default too, is none."""
    return figure.metric if figure.metric.startswith(("val_", "train_")) else "val_accuracy"


def _called(plan: Plan, row: Row) -> str:
    """A row's label; with the name of the grid's axis where there is but one, for ``0`` says nothing."""
    axis = list(plan.study.grid)
    alone = len(axis) == 1 and plan.study.levels(row.name) and not row.folds
    return f"{axis[0]} = {row.label}" if alone else row.label


def _draw_lines(axes: Axes, history: pd.DataFrame, columns: Sequence[str], colour: str, style: Any, label: str) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.plot(history.index + 1, history[columns[0]], color=colour, linestyle=style, label=label)
    for also in columns[1:]:
        axes.plot(history.index + 1, history[also], color=colour, linestyle=":", linewidth=1)


def _history(plan: Plan, row: Row, columns: Sequence[str]) -> pd.DataFrame | None:
    """Mean over the seeds that are done, epoch by epoch; None where none is.

    Raises:
        UsageError: If the history has no such column.
    """
    parts = [cell.run.history for cell in done_of(plan.of(row.name))]
    if not parts:
        return None
    if missing := [c for c in columns if any(c not in part for part in parts)]:
        expected = f"one of {', '.join(map(str, parts[0]))}"
        raise UsageError(f"{plan.study.name}: figures", f"no column {missing[0]!r} in {row.name}", expected)
    return pd.concat(parts).groupby("epoch")[list(columns)].mean()


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


#: Kind of a figure -> what draws it.
FIGURES: Mapping[str, Callable[[Plan, Sequence[Row], FigureConfig], Figure | None]] = {
    "values": _values,
    "lines": _lines,
    "curves": _curves,
    "confusion": _confusion,
}
