"""Plots of annotators' agreement: how many votes are enough, how one annotator votes, who stands out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mien.agreement import AnnotatorCheck, DawidSkene, OutlierResult, VoteSufficiency
from mien.errors import UsageError
from mien.records import Estimate
from mien.registry import nearest
from mien.report.dot_plot import WIDTH, dot, dot_limits, dot_rows, ends, legend_mark, spoken
from mien.report.figures import BLUE, GREEN, GREY, INK, ORANGE, SHARES, ink_on, new_figure, shorten, styled
from mien.report.run_plots import class_axis, heat_map

MAX_ANNOTATORS = 40
_LEAST_FACES = 0.5  # expected faces of a class, below which a row of a confusion matrix is the prior's


@styled
def sufficiency_plot(result: VoteSufficiency) -> Figure:
    """How well t votes a face agree with all of them, with others, and with the next; and how far apart they are.

    Args:
        result: What :func:`mien.agreement.vote_sufficiency` gives.
    """
    figure = new_figure(9.8, 4.7, _sufficiency_words(result))
    left, right = figure.subplots(1, 2)
    others = f"{result.r} other vote{'s' if result.r > 1 else ''}"
    for field, colour, dash, marker, name in (
        ("agreement_all", ORANGE, "--", "s", f"all {result.m} votes, these among them"),
        ("agreement_others", BLUE, "-", "o", others),
        ("agreement_next", GREEN, "-.", "^", "one more vote"),
    ):
        _curve(left, result, field, colour, dash, marker, name)
    for field, colour, dash, marker, name in (
        ("kl_all", GREY, ":", "D", f"from all {result.m} votes, KL in nats"),
        ("distance_all", ORANGE, "--", "s", f"from all {result.m} votes, total variation"),
        ("distance_others", BLUE, "-", "o", f"from {others}, total variation"),
    ):
        _curve(right, result, field, colour, dash, marker, name)
    left.set_title("Top class of the votes, compared with")
    left.set_ylabel("chance to agree")
    left.set_ylim(top=1.02)
    left.yaxis.set_major_formatter(PercentFormatter(1, 0))
    right.set_title("Distance of their distribution")
    right.set_ylim(bottom=0)
    for ax in (left, right):
        ax.set_xlabel("votes a face")
        ax.set_xlim(0.5, result.m + 0.5)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12, steps=[1, 2, 5, 10]))
        ax.grid()
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.14))
    return figure


def _curve(ax: Axes, result: VoteSufficiency, field: str, colour: str, dash: str, marker: str, name: str) -> None:
    points = [(p.t, getattr(p, field)) for p in result.points]
    known = [(t, e) for t, e in points if not math.isnan(e.value)]
    at, values = [t for t, _ in known], [e.value for _, e in known]
    look: dict[str, Any] = {"color": colour, "linestyle": dash, "marker": marker, "markersize": 4.5, "linewidth": 1.7}
    ax.plot(at, values, label=name, **look)
    low, high = ([v if (v := getattr(e, end)) == v else e.value for _, e in known] for end in ("low", "high"))
    ax.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)


def _sufficiency_words(result: VoteSufficiency) -> str:
    def row(p: Any) -> str:
        parts = (("all", p.agreement_all), (f"{result.r} others", p.agreement_others), ("one more", p.agreement_next))
        return f"{p.t}: " + ", ".join(f"{name} {e.value:.2f}" for name, e in parts if not math.isnan(e.value))

    rows = "; ".join(map(row, result.points))
    return f"Chance that the top class of so many votes agrees with other votes, over {result.n:,} faces. {rows}"


@styled
def annotator_confusion_plot(model: DawidSkene, name: str) -> Figure:
    """How one annotator votes on faces of each class, as a heat map.

    Args:
        model: What :func:`mien.agreement.dawid_skene` gives.
        name: The annotator.

    Raises:
        UsageError: If there is no such annotator.
    """
    found = next((a for a in model.annotators if a.name == name), None)
    if found is None:
        raise UsageError("annotator", f"unknown {name!r}", "", nearest(name, [a.name for a in model.annotators]))
    shares = np.array(found.confusion)
    faces = np.array([found.faces[c] for c in model.classes])
    shares[faces < _LEAST_FACES] = np.nan
    own = ", ".join(f"{c} {spoken(found.recall[c], '.2f')}" for c in model.classes)
    k = len(model.classes)
    label = f"How {name} votes: of the faces of each class (rows), the share given each vote. Right: {own}"
    figure = new_figure(1.9 + max(3.4, 0.52 * k), 1.3 + max(2.9, 0.46 * k), label)
    ax = figure.subplots()
    heat_map(ax, shares)
    for i, j in np.ndindex(k, k):
        if shares[i, j] == shares[i, j] and (i == j or shares[i, j] >= 0.005):
            at: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9.5 if k < 12 else 7}
            ax.text(j + 0.5, i + 0.5, f"{shares[i, j]:.0%}", color=ink_on(SHARES(float(shares[i, j]))), **at)
    class_axis(ax, model.classes)
    ax.set_yticks(
        np.arange(k) + 0.5, [f"{shorten(c, 16)} ({n:,.0f})" for c, n in zip(model.classes, faces, strict=True)]
    )
    ax.set_title(f"Votes of {shorten(name, 30)}")
    ax.set_xlabel("vote")
    ax.set_ylabel("class by the model (expected faces)")
    return figure


@styled
def outlier_plot(result: OutlierResult) -> Figure:
    """Each annotator beside the others on the same faces; outliers stand out.

    The :data:`MAX_ANNOTATORS` who agree least are shown, outliers before all others.

    Args:
        result: What :func:`mien.agreement.find_outliers` gives.
    """
    order = sorted(
        result.annotators, key=lambda a: (not a.flags, a.too_few, np.nan_to_num(a.difference.value, nan=9.0))
    )
    shown = order[:MAX_ANNOTATORS]
    panels = [p for p in _PANELS if any(getattr(a, p[1]).value == getattr(a, p[1]).value for a in shown)]
    panels = panels or [_PANELS[0]]
    figure = new_figure(1.2 + 0.75 * WIDTH * len(panels), 1.5 + 0.3 * len(shown), _outlier_words(result, shown))
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    names = [f"{shorten(a.name, 20)} ({a.n_shared}{'' if a.p else ', too few'})" for a in shown]
    for ax, (flag, field, title) in zip(axes, panels, strict=True):
        edge = {"difference": -result.margin, "unknown_difference": result.margin, "pace": result.pace}[field]
        _panel(ax, shown, flag, [getattr(a, field) for a in shown], edge)
        dot_rows(ax, names, [_untested(a, flag) for a in shown])
        ax.set_xlabel(title)
    edge_mark = Line2D([], [], color=ORANGE, linewidth=1.2, linestyle=":", label="flagged only beyond")
    marks = [legend_mark("outlier", ORANGE, "D"), legend_mark("others (shared faces)", BLUE), edge_mark]
    if any(_untested(a, flag) for a in shown for flag, _, _ in panels):
        marks.insert(2, legend_mark("too few to test", GREY, filled=False))
    figure.legend(handles=marks, loc="outside upper left", ncols=4)
    return figure


_PANELS = (
    ("agreement", "difference", "agreement, beside the others'"),
    ("unknown", "unknown_difference", "share of unknown, beside the others'"),
    ("speed", "pace", "seconds, over the others'"),
)


def _untested(a: AnnotatorCheck, comparison: str) -> bool:
    """Whether an annotator has too few faces for this comparison."""
    return comparison not in a.p


def _panel(ax: Axes, shown: Sequence[AnnotatorCheck], flag: str, estimates: Sequence[Estimate], edge: float) -> None:
    same = 1.0 if flag == "speed" else 0.0
    ax.axvline(same, color=INK, linewidth=1)
    ax.axvline(edge, color=ORANGE, linewidth=1.2, linestyle=":")
    for y, (a, e) in enumerate(zip(shown, estimates, strict=True)):
        if flag in a.flags:
            dot(ax, y, e, ORANGE, "D")
        else:
            untested = _untested(a, flag)
            dot(ax, y, e, GREY if untested else BLUE, "o", not untested)
    dot_limits(ax, [*ends(estimates), edge, same])


def _outlier_words(result: OutlierResult, shown: Sequence[AnnotatorCheck]) -> str:
    flagged = ", ".join(f"{a.name} ({' and '.join(a.flags)})" for a in result.flagged) or "none"
    rows = "; ".join(f"{a.name} {spoken(a.difference)}" for a in shown)
    more = len(result.annotators) - len(shown)
    cut = f"; {more} more not shown" if more else ""
    return f"Outlying annotators: {flagged}. Agreement beside the others' on the same faces: {rows}{cut}"
