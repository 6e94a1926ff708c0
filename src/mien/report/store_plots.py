"""Plots of what a corpus is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mien.composition import FEWER, MORE, Association, Cell
from mien.records import Estimate
from mien.report.dot_plot import dot, dot_limits, dot_rows, ends, legend_mark, spoken
from mien.report.figures import BLUE, EMPTY_CELL, GREEN, GREY, INK, MUTED, ink_on, new_figure, shorten, styled
from mien.report.run_plots import class_axis

MAX_SEGMENTS = 10  # groups in a stacked bar
MAX_CELL_ROWS = 40
# Fixed in both schemes: numbers stand on them.
_NAMED = ("#0a6aa6", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8a929b", "#7a5195", "#bfc5cc")
_ORDERED = LinearSegmentedColormap.from_list("ordered", ["#f3d9a0", "#e58a5c", "#b8467a", "#6a2c86", "#26185c"])
_DEPARTURE = LinearSegmentedColormap.from_list("departure", ["#0a5c94", "#8ebcdc", "#f4f5f6", "#f3b27f", "#c85200"])
_HATCH = "#aeb6bf"
_LABELLED = 0.07  # share of a bar from which its number fits


@dataclass(frozen=True)
class Series:
    """One mark in every row of a dot plot.

    Attributes:
        name: What it is.
        values: Row -> estimate.
        colour: Of its marks.
        marker: Shape of its marks.
    """

    name: str
    values: Mapping[str, Estimate]
    colour: str = BLUE
    marker: str = "o"


@dataclass(frozen=True)
class Bar:
    """One stacked bar.

    Attributes:
        name: What it is of.
        n: Its faces.
        shares: Group -> share.
    """

    name: str
    n: int
    shares: Mapping[str, float]


@styled
def share_plot(groups: Mapping[str, int], series: Sequence[Series], label: str) -> Figure:
    """The share of each group with its interval; a dashed line where all would be equally large.

    Args:
        groups: Group -> faces.
        series: What to draw; more than one stand below each other in a row.
        label: Title of the text alternative.
    """
    words = "; ".join(f"{s.name}: {', '.join(f'{g} {spoken(e)}' for g, e in s.values.items())}" for s in series)
    several = len(series) > 1
    height = (0.36 if not several else 0.2 + 0.2 * len(series)) * len(groups) + (1.15 if several else 0.75)
    figure = new_figure(4.1, height, f"{label}. {words}")
    ax = figure.subplots()
    step = 0.26 if several else 0.0
    for s, one in enumerate(series):
        for y, group in enumerate(groups):
            if group in one.values:
                at = y + step * (s - (len(series) - 1) / 2)
                dot(ax, at, one.values[group], one.colour, one.marker)
    ax.axvline(1 / len(groups), color=INK, linewidth=1, linestyle="--", zorder=1.5)
    dot_limits(ax, [v for one in series for v in ends(list(one.values.values()))] + [1 / len(groups)], zero=True)
    dot_rows(ax, [f"{shorten(g)} ({n:,})" for g, n in groups.items()])
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(lambda v, _: f"{100 * v:g}%")
    if several:
        marks = [legend_mark(s.name, s.colour, s.marker) for s in series]
        figure.legend(handles=marks, loc="outside upper left", ncols=1)
    return figure


@styled
def stacked_plot(bars: Sequence[Bar | None], groups: Sequence[str], label: str) -> Figure:
    """Bars that show how each whole is shared out among the groups.

    Args:
        bars: From the top; None leaves a gap.
        groups: At most :data:`MAX_SEGMENTS`, in order.
        label: Title of the text alternative.
    """
    shown = [b for b in bars if b]
    words = "; ".join(f"{b.name}: {', '.join(f'{g} {b.shares[g]:.1%}' for g in groups)}" for b in shown if b.n)
    figure = new_figure(4.9, 0.62 + 0.33 * len(bars) + 0.24 * _legend_rows(groups), f"{label}. {words}")
    ax = figure.subplots()
    colours = group_colours(groups)
    for y, bar in enumerate(bars):
        if bar:
            _bar(ax, y, bar, groups, colours)
    ax.set_yticks([y for y, b in enumerate(bars) if b], [f"{shorten(b.name, 18)} ({b.n:,})" for b in shown], color=INK)
    ax.set_ylim(len(bars) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, 0))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    columns = _legend_columns(groups)
    # A legend is filled column by column; groups are read row by row.
    order = [i for c in range(columns) for i in range(c, len(groups), columns)]
    figure.legend(
        [Rectangle((0, 0), 1, 1, color=colours[i]) for i in order],
        [shorten(groups[i], 20) for i in order],
        loc="outside upper left",
        ncols=columns,
        handlelength=1,
        columnspacing=1.1,
        fontsize=9.5,
    )
    return figure


def _bar(ax: Axes, y: int, bar: Bar, groups: Sequence[str], colours: Sequence[str]) -> None:
    if not bar.n:
        ax.text(0.01, y, "no faces", va="center", color=MUTED, fontsize=9)
        return
    start = 0.0
    for group, colour in zip(groups, colours, strict=True):
        share = bar.shares[group]
        ax.barh(y, share, left=start, height=0.74, color=colour, linewidth=0)
        if share >= _LABELLED:
            ink = ink_on(colour)
            ax.text(start + share / 2, y, f"{100 * share:.0f}", ha="center", va="center", fontsize=8.5, color=ink)
        start += share


def group_colours(groups: Sequence[str]) -> list[str]:
    """A colour for each group: a scale where their names begin with numbers, else colours that keep apart."""
    if len(groups) > 2 and sum(g[:1].isdigit() for g in groups) > len(groups) / 2:
        return [to_hex(_ORDERED(x)) for x in np.linspace(0, 1, len(groups))]
    return [_NAMED[i % len(_NAMED)] for i in range(len(groups))]


def _legend_columns(groups: Sequence[str]) -> int:
    longest = max(len(shorten(g, 20)) for g in groups)
    return int(np.clip(46 // (longest + 5), 1, len(groups)))


def _legend_rows(groups: Sequence[str]) -> int:
    return -(-len(groups) // _legend_columns(groups))


@styled
def cell_map(found: Association, groups: Sequence[str], classes: Sequence[str], min_n: int, label: str) -> Figure:
    """Faces of each class in each group; cells shown to depart from independence have Ducher's Z and its colour.

    Cells with fewer than ``min_n`` independent faces are hatched.

    Args:
        found: The association, with cells.
        groups: The groups to draw, in order.
        classes: The K classes.
        min_n: Independent faces below which a cell is thin.
        label: Title of the text alternative.
    """
    by_name = {(c.group, c.class_name): c for c in found.cells}
    shown = [c for c in found.cells if c.verdict in (MORE, FEWER) and c.group in groups]
    words = ", ".join(f"{c.class_name} of {c.group} {c.n:,} faces, Z {c.z.value:+.2f}" for c in shown)
    text = f"{label}: faces of each class in each group. Shown to depart from independence: {words or 'none'}"
    figure = new_figure(1.9 + max(3.3, 0.66 * len(classes)), 1.25 + 0.44 * len(groups), text)
    ax = figure.subplots()
    for i, group in enumerate(groups):
        for j, name in enumerate(classes):
            _draw_cell(ax, i, j, by_name[group, name], min_n)
    ax.set_xlim(0, len(classes))
    ax.set_ylim(len(groups), 0)
    class_axis(ax, classes)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    totals = {g: sum(by_name[g, c].n for c in classes) for g in groups}
    ax.set_yticks(np.arange(len(groups)) + 0.5, [f"{shorten(g)} ({totals[g]:,})" for g in groups])
    return figure


def _draw_cell(ax: Axes, i: int, j: int, cell: Cell, min_n: int) -> None:
    found = cell.verdict in (MORE, FEWER)
    colour = to_hex(_DEPARTURE((cell.z.value + 1) / 2)) if found else EMPTY_CELL
    ink = ink_on(colour)
    ax.add_patch(Rectangle((j, i), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.4))
    if cell.n_clusters < min_n:
        ax.add_patch(Rectangle((j, i), 1, 1, facecolor="none", edgecolor=_HATCH, linewidth=0, hatch="////"))
    ax.text(j + 0.5, i + (0.36 if found else 0.5), f"{cell.n:,}", ha="center", va="center", fontsize=9.5, color=ink)
    if found:
        ax.text(j + 0.5, i + 0.74, f"Z {cell.z.value:+.2f}", ha="center", va="center", fontsize=7.5, color=ink)


@styled
def histogram(
    edges: Sequence[float], counts: Sequence[int], axis: str, label: str, marks: Sequence[float] = ()
) -> Figure:
    """Faces in bins.

    Args:
        edges: B + 1 edges.
        counts: B counts.
        axis: Title of the axis.
        label: Title of the text alternative.
        marks: Where to draw dashed lines.
    """
    words = ", ".join(f"{a:g} to {b:g}: {n:,}" for a, b, n in zip(edges, edges[1:], counts, strict=False) if n)
    figure = new_figure(4.1, 2.5, f"{label}. Faces with a value from {words}")
    ax = figure.subplots()
    ax.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=GREEN, edgecolor="white", linewidth=0.6)
    for mark in marks:
        ax.axvline(mark, color=GREY, linewidth=1, linestyle="--")
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xlabel(axis)
    ax.set_ylabel("faces")
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.yaxis.set_major_formatter(lambda v, _: f"{v:,.0f}")
    ax.grid(axis="y")
    return figure
