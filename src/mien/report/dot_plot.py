"""Dot plots: values with their intervals, one a row; and numbers for text alternatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mien.records import Estimate
from mien.report.figures import BLUE, INK, MUTED, PAPER

WIDTH = 4.1  # inches: two beside each other on a wide page, nearly full size on a phone


def spoken(estimate: Estimate, form: str = ".3f") -> str:
    """``0.058 (0.033 to 0.090)`` for text alternatives; ``undefined`` where it is."""
    if math.isnan(estimate.value):
        return "undefined"
    text = format(estimate.value, form)
    ends = f" ({format(estimate.low, form)} to {format(estimate.high, form)})"
    return text if math.isnan(estimate.low) else text + ends


def dot(ax: Axes, y: float, estimate: Estimate, colour: str = BLUE, marker: str = "o", filled: bool = True) -> None:
    """A value with its interval at a height of a dot plot; a muted word where it is undefined."""
    if math.isnan(estimate.value):
        remark(ax, y, "undefined")
        return
    if not math.isnan(estimate.low) and not math.isnan(estimate.high):
        ax.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=2, solid_capstyle="round", zorder=2)
    face = colour if filled else PAPER
    look: dict[str, Any] = {"color": colour, "markerfacecolor": face, "markersize": 7, "markeredgewidth": 1.6}
    ax.plot([estimate.value], [y], marker, zorder=3, **look)


def remark(ax: Axes, y: float, text: str) -> None:
    """Muted words in place of a value."""
    ax.text(0.08, y, text, va="center", color=MUTED, fontsize=9, transform=ax.get_yaxis_transform())


def dot_rows(ax: Axes, labels: Sequence[str], muted: Sequence[bool] = ()) -> None:
    """Names of the rows of a dot plot, the first on top."""
    ax.set_yticks(range(len(labels)), list(labels))
    for tick, faint in zip(ax.get_yticklabels(), [*muted, *[False] * len(labels)], strict=False):
        tick.set_color(MUTED if faint else INK)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.grid(axis="x")


def dot_limits(ax: Axes, values: Sequence[float], zero: bool = False) -> None:
    """Ends of the axis of a dot plot: a little beyond the values that are known, and beyond 0 if asked for."""
    known = [v for v in values if not math.isnan(v)] + ([0.0] if zero else [])
    if not known:
        ax.set_xlim(0, 1)
        return
    pad = max(0.05 * (max(known) - min(known)), 0.005)
    ax.set_xlim(min(known) - pad, max(known) + pad)


def ends(estimates: Sequence[Estimate]) -> list[float]:
    """Values and ends of intervals."""
    return [v for e in estimates for v in (e.value, e.low, e.high)]


def legend_mark(label: str, colour: str, marker: str = "o", filled: bool = True, line: Any = "-") -> Line2D:
    """A line of a legend: a mark on its interval."""
    face = colour if filled else PAPER
    return Line2D([], [], color=colour, marker=marker, markerfacecolor=face, linestyle=line, linewidth=2, label=label)
