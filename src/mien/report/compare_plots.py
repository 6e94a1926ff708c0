"""Plots of two models on the same faces, and of one model over several seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from mien.audit.compare import Change
from mien.audit.seeds import SeedGap, SeedGroup
from mien.report.dot_plot import WIDTH, dot, dot_limits, dot_rows, ends, remark, spoken
from mien.report.figures import BLUE, CELL_INK, GREY, INK, ORANGE, PAPER, new_figure, shorten, styled

MAX_ROWS = 20
BETTER, WORSE = "better", "worse"
_LOOKS = {BETTER: (BLUE, "D", True), WORSE: (ORANGE, "s", True)}
_SEEDS_PART, _FACES_PART = "#e69f00", "#1a6ba8"  # fillings, the same in both schemes: the numbers on them are


@dataclass(frozen=True)
class ChangeRow:
    """A row of a comparison's plots.

    Attributes:
        label: Its name.
        change: Both values and their difference.
        verdict: ``better`` or ``worse`` where the change is more than chance; empty otherwise.
        few: Whether it has too few faces to be judged.
    """

    label: str
    change: Change
    verdict: str = ""
    few: bool = False


@styled
def both_plot(rows: Sequence[ChangeRow], names: Sequence[str], what: str) -> Figure:
    """The values of both models, the first one hollow, the second one filled, a line between them.

    Args:
        rows: One or more.
        names: Of the two models.
        what: What the values are.
    """
    words = "; ".join(f"{r.label}: {_value(r.change.a.value)} and {_value(r.change.b.value)}" for r in rows)
    figure = _figure(rows, f"{what} of {names[0]} and of {names[1]}. {words}")
    ax = figure.subplots()
    for y, row in enumerate(rows):
        a, b = row.change.a.value, row.change.b.value
        if math.isnan(a) or math.isnan(b):
            remark(ax, y, "undefined")
            continue
        colour = GREY if row.few else BLUE
        ax.plot([a, b], [y, y], color=colour, linewidth=1.6, zorder=2)
        # Of two equal values, the filled mark stands inside the hollow one.
        for value, face, size in ((a, PAPER, 9), (b, colour, 5.5)):
            look = {"color": colour, "markerfacecolor": face, "markersize": size, "markeredgewidth": 1.6}
            ax.plot([value], [y], "o", zorder=3, **look)  # type: ignore[arg-type]
    _axes(ax, rows, [v for r in rows for v in (r.change.a.value, r.change.b.value)], what)
    return figure


@styled
def difference_plot(rows: Sequence[ChangeRow], what: str) -> Figure:
    """The change from the first model to the second one, with its interval.

    Args:
        rows: As those of :func:`both_plot`.
        what: What changes.
    """
    words = "; ".join(f"{r.label}: {spoken(r.change.difference, '+.3f')}{_said(r)}" for r in rows)
    figure = _figure(rows, f"{what}. {words}")
    ax = figure.subplots()
    ax.axvline(0, color=INK, linewidth=1)
    for y, row in enumerate(rows):
        dot(ax, y, row.change.difference, *_LOOKS.get(row.verdict, (GREY, "o", False)))
    _axes(ax, rows, [*ends([r.change.difference for r in rows]), 0.0], what)
    return figure


def _figure(rows: Sequence[object], label: str) -> Figure:
    return new_figure(WIDTH, 0.8 + 0.32 * max(len(rows), 2), label)


def _axes(ax: Axes, rows: Sequence[ChangeRow], values: Sequence[float], what: str) -> None:
    dot_rows(ax, [shorten(r.label) for r in rows], [r.few for r in rows])
    dot_limits(ax, values)
    ax.set_xlabel(what)


def _value(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"


def _said(row: ChangeRow) -> str:
    return f", {row.verdict}" if row.verdict else ", too few faces" if row.few else ""


# Seeds


@styled
def seed_values_plot(groups: Sequence[SeedGroup]) -> Figure:
    """Each group's accuracy: a small dot a run, and the mean with its interval.

    Args:
        groups: With faces.
    """
    values = [g.metrics["accuracy"] for g in groups]
    words = "; ".join(
        f"{g.name or 'all faces'}: mean {spoken(v.mean)}, runs {', '.join(map(_value, v.runs))}"
        for g, v in zip(groups, values, strict=True)
    )
    figure = new_figure(WIDTH, 0.8 + 0.4 * max(len(groups), 2), f"Accuracy of every run by group. {words}")
    ax = figure.subplots()
    for y, (group, value) in enumerate(zip(groups, values, strict=True)):
        colour = GREY if group.verdict else BLUE
        dot(ax, y, value.mean, colour, "D", not group.verdict)
        _runs(ax, y, value.runs)
    dot_rows(ax, [_counted(g) for g in groups], [bool(g.verdict) for g in groups])
    dot_limits(ax, [*ends([v.mean for v in values]), *(r for v in values for r in v.runs)])
    ax.set_xlabel("accuracy")
    return figure


def _runs(ax: Axes, y: float, runs: Sequence[float]) -> None:
    look = {"color": INK, "markersize": 4, "alpha": 0.55, "linestyle": "none", "markeredgewidth": 0}
    ax.plot(runs, [y + 0.27] * len(runs), "o", zorder=3, **look)  # type: ignore[arg-type]


def _counted(group: SeedGroup) -> str:
    return f"{shorten(group.name or 'all faces', 18)} ({group.n:,}{', too few' if group.verdict else ''})"


@styled
def seed_gaps_plot(gaps: Sequence[SeedGap], real: Sequence[bool]) -> Figure:
    """Each gap between mean values, beside every run's own gap and what equal groups would show.

    The band reaches to the gap that equal groups would show on average; the tick stands at what the seed
    alone gives them in one run, 95 % of the time at most.

    Args:
        gaps: One or more.
        real: Which of them are real beyond seed noise.
    """
    words = "; ".join(
        f"{g.title}: {spoken(g.value)}, runs {', '.join(map(_value, g.gaps))}, equal groups {_value(g.expected)}"
        for g in gaps
    )
    figure = new_figure(WIDTH, 0.8 + 0.4 * max(len(gaps), 2), f"Gaps between means over the seeds. {words}")
    ax = figure.subplots()
    for y, (gap, beyond) in enumerate(zip(gaps, real, strict=True)):
        if not math.isnan(gap.expected):
            ax.add_patch(Rectangle((0, y - 0.42), gap.expected, 0.84, facecolor=GREY, alpha=0.35, linewidth=0))
            ax.plot([gap.seed_gap_high] * 2, [y - 0.3, y + 0.3], color=INK, linewidth=1.6, zorder=2)
        dot(ax, y, gap.value, *((ORANGE, "D", True) if beyond else (BLUE, "o", False)))
        _runs(ax, y, gap.gaps)
    dot_rows(ax, [shorten(g.title) for g in gaps], [math.isnan(g.value.value) for g in gaps])
    known = [v for g in gaps for v in (*ends([g.value]), *g.gaps, g.expected, g.seed_gap_high)]
    dot_limits(ax, known, zero=True)
    ax.set_xlabel("gap between the groups' means")
    return figure


@styled
def noise_plot(groups: Sequence[SeedGroup], n_runs: int) -> Figure:
    """How much of the doubt about each group's mean accuracy comes from the faces, and how much from the seeds.

    Args:
        groups: With a known mean.
        n_runs: Runs.
    """
    shares = [seed_share(g, n_runs) for g in groups]
    words = "; ".join(f"{g.name or 'all faces'}: {s:.0%} seeds" for g, s in zip(groups, shares, strict=True))
    label = f"Share of the variance of each group's mean accuracy that comes from the seeds. {words}"
    figure = new_figure(WIDTH, 0.8 + 0.32 * max(len(groups), 2), label)
    ax = figure.subplots()
    for y, share in enumerate(shares):
        for left, width, colour, ink in (
            (0.0, 1 - share, _FACES_PART, "white"),
            (1 - share, share, _SEEDS_PART, CELL_INK),
        ):
            ax.barh(y, width, 0.66, left, color=colour, edgecolor=PAPER, linewidth=1)
            if width >= 0.12:
                look = {"ha": "center", "va": "center", "color": ink, "fontsize": 9}
                ax.text(left + width / 2, y, f"{100 * width:.0f}", **look)  # type: ignore[arg-type]
    dot_rows(ax, [_counted(g) for g in groups])
    ax.set(xlim=(0, 1), xlabel="share of the variance: faces, then seeds")
    ax.xaxis.set_major_formatter(PercentFormatter(1, 0))
    return figure


def seed_share(group: SeedGroup, n_runs: int) -> float:
    """Share of the variance of a group's mean accuracy that comes from the seeds; NaN where undefined."""
    value = group.metrics["accuracy"]
    seeds, faces = value.run_spread**2 / n_runs, value.sampling_error**2
    return float(seeds / (seeds + faces)) if np.isfinite(seeds + faces) and seeds + faces > 0 else float("nan")
