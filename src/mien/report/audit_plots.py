"""Plots of an audit: how the groups of an attribute compare, beside what chance alone would show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mien.audit import TOO_FEW, AttributeResult, GapResult, GroupResult
from mien.records import Estimate
from mien.report.audit_overview_plot import DARK_BAND, LIGHT_BAND
from mien.report.figures import (
    BLUE,
    CELL_INK,
    EMPTY_CELL,
    GREY,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    SHARES,
    ink_on,
    new_figure,
    shorten,
    styled,
)
from mien.report.run_plots import class_axis, heat_map
from mien.report.words import metric_words

MAX_GROUPS = 40
RANKED_ABOVE = 6  # groups; intersections with more are drawn worst first, and pooled values beside raw ones


def plotted_groups(attribute: AttributeResult) -> list[GroupResult]:
    """The groups that fit a plot: all, or the largest :data:`MAX_GROUPS`.

    They stand in their own order, intersections of more than :data:`RANKED_ABOVE` groups worst first.
    """
    if "*" in attribute.name and len(attribute.groups) > RANKED_ABOVE:
        groups = ranked_groups(attribute)
    else:
        groups = attribute.groups
    if len(groups) <= MAX_GROUPS:
        return groups
    kept = sorted(range(len(groups)), key=lambda i: -groups[i].n)[:MAX_GROUPS]
    return [groups[i] for i in sorted(kept)]


def shows_pooled(attribute: AttributeResult) -> bool:
    """Whether partially pooled accuracies stand beside the raw ones."""
    many = "*" in attribute.name or len(attribute.groups) > RANKED_ABOVE
    return many and any(g.pooled for g in attribute.groups)


def ranked_groups(attribute: AttributeResult) -> list[GroupResult]:
    """All groups, worst accuracy first (partially pooled where that is shown); those with too few faces last."""
    pooled = shows_pooled(attribute)

    def key(group: GroupResult) -> tuple[bool, float]:
        value = group.pooled.value if pooled and group.pooled else group.metrics["accuracy"].value
        return (bool(group.verdict), value if not math.isnan(value) else 2.0)

    return sorted(attribute.groups, key=key)


@styled
def group_plot(
    attribute: AttributeResult,
    overall: Mapping[str, Estimate],
    metrics: Sequence[str] = ("accuracy", "macro_f1"),
) -> Figure:
    """Each group's value with its interval, the overall value, and the gap to expect under no disparity.

    The band lies around the middle between the lowest and the highest group that take part. Its
    dark part is as wide as the mean gap under no disparity, its light part as wide as that gap's
    95th percentile: where the extreme groups lie outside, their gap is larger than 95 % of the
    gaps that chance alone would show. Accuracies of many groups have a second mark, the partially
    pooled value.

    Args:
        attribute: The audited attribute.
        overall: Metric -> Estimate over all faces.
        metrics: Which metrics to draw, beside each other.
    """
    groups = plotted_groups(attribute)
    # A page column holds both widths; long names leave too little for the plot in the narrower one.
    width = 4.1 if max((len(g.name) for g in groups), default=0) < 16 else 4.5
    figure = new_figure(width * len(metrics), 1.15 + 0.36 * len(groups), _group_words(attribute, groups, metrics))
    for ax, metric in zip(np.atleast_1d(figure.subplots(1, len(metrics))), metrics, strict=True):
        gap = next((g for g in attribute.gaps if g.metric == metric and not g.class_name), None)
        _group_panel(ax, groups, metric, overall.get(metric), gap)
        if metric == "accuracy" and shows_pooled(attribute):
            _pooled_marks(ax, groups)
    return figure


def _group_words(attribute: AttributeResult, groups: Sequence[GroupResult], metrics: Sequence[str]) -> str:
    parts = []
    for metric in metrics:
        values = ", ".join(f"{g.name} {_value(g, metric)}{' (too few)' if g.verdict else ''}" for g in groups)
        parts.append(f"{metric_words(metric)[0]} by {attribute.label}: {values}")
    return ". ".join(parts)


def _value(group: GroupResult, metric: str) -> str:
    value = group.metrics[metric].value
    return "undefined" if math.isnan(value) else f"{value:.3f}"


def _group_panel(
    ax: Axes, groups: Sequence[GroupResult], metric: str, overall: Estimate | None, gap: GapResult | None
) -> None:
    if gap is not None:
        _band(ax, gap)
    if overall is not None and not math.isnan(overall.value):
        ax.axvline(overall.value, color=INK, linewidth=1.1, linestyle="--", zorder=1.5)
    for y, group in enumerate(groups):
        _group_dot(ax, y, group, group.metrics[metric])
    labels = [f"{shorten(g.name)} ({g.n:,}{', too few' if g.verdict == TOO_FEW and g.n else ''})" for g in groups]
    ax.set_yticks(range(len(groups)), labels)
    for tick, group in zip(ax.get_yticklabels(), groups, strict=True):
        tick.set_color(MUTED if group.verdict else INK)
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.set_xlim(*_limits(groups, metric, overall, gap))
    ax.set_title(metric_words(metric)[0])
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)


def _group_dot(ax: Axes, y: int, group: GroupResult, estimate: Estimate) -> None:
    """A group's value and interval; hollow grey where it has too few faces."""
    if math.isnan(estimate.value):
        words = "undefined" if group.n else "no faces"
        ax.text(0.01, y, words, va="center", color=MUTED, fontsize=8.5, transform=ax.get_yaxis_transform())
        return
    colour, face = (GREY, PAPER) if group.verdict else (BLUE, BLUE)
    if not math.isnan(estimate.low):
        ax.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=2, solid_capstyle="round", zorder=2)
    look = {"color": colour, "markerfacecolor": face, "markersize": 7, "markeredgewidth": 1.5, "clip_on": False}
    ax.plot([estimate.value], [y], "o", zorder=3, **look)  # type: ignore[arg-type]


def _pooled_marks(ax: Axes, groups: Sequence[GroupResult]) -> None:
    """Partially pooled accuracies with their intervals, a little below the raw ones."""
    for y, group in enumerate(groups):
        if group.pooled is None or not group.n:
            continue
        ends = [group.pooled.low, group.pooled.high]
        ax.plot(ends, [y + 0.27] * 2, color=ORANGE, linewidth=1.3, solid_capstyle="round", zorder=2)
        ax.plot([group.pooled.value], [y + 0.27], "D", color=ORANGE, markersize=4.5, zorder=3)


def _band(ax: Axes, gap: GapResult) -> None:
    ends = _band_ends(gap)
    if ends is None:
        return
    middle, mean, high = ends
    for width, opacity in ((high, LIGHT_BAND), (mean, DARK_BAND - LIGHT_BAND)):
        ax.axvspan(middle - width / 2, middle + width / 2, color=GREY, alpha=opacity, linewidth=0, zorder=0.5)


def _band_ends(gap: GapResult) -> tuple[float, float, float] | None:
    """Middle, mean width and 95th-percentile width of the band; None where there is none."""
    if gap.worst_value is None or gap.best_value is None or math.isnan(gap.expected):
        return None
    return (gap.worst_value.value + gap.best_value.value) / 2, gap.expected, gap.expected_high


def _limits(
    groups: Sequence[GroupResult], metric: str, overall: Estimate | None, gap: GapResult | None
) -> tuple[float, float]:
    values = [v for g in groups for v in (g.metrics[metric].value, g.metrics[metric].low, g.metrics[metric].high)]
    if overall is not None:
        values.append(overall.value)
    if gap is not None and (ends := _band_ends(gap)):
        values += [ends[0] - ends[2] / 2, ends[0] + ends[2] / 2]
    known = [v for v in values if not math.isnan(v)]
    if not known:
        return 0.0, 1.0
    pad = max(0.06 * (max(known) - min(known)), 0.01)
    return max(min(known) - pad, -0.01), min(max(known) + pad, 1.01)


@styled
def group_class_heatmap(attribute: AttributeResult, classes: Sequence[str]) -> Figure:
    """Recall of each class in each group; cells with too few faces are grey, hatched and say how many.

    Args:
        attribute: The audited attribute.
        classes: The K classes.
    """
    groups = plotted_groups(attribute)
    recall = np.array([[_recall(g, c) for c in classes] for g in groups])
    height = 1.35 + max(0.36 * len(groups), 0.8)
    label = f"Recall by {attribute.label} and class; all values stand in the table below"
    figure = new_figure(1.7 + max(3.3, 0.54 * len(classes)), height, label)
    ax = figure.subplots()
    heat_map(ax, recall)
    for i, group in enumerate(groups):
        for j, name in enumerate(classes):
            _recall_cell(ax, i, j, recall[i, j], group.n_per_class[name])
    class_axis(ax, classes)
    ax.set_yticks(np.arange(len(groups)) + 0.5, [f"{shorten(g.name)} ({g.n:,})" for g in groups])
    return figure


def _recall(group: GroupResult, name: str) -> float:
    estimate = group.recall[name]
    return float("nan") if group.verdict or estimate.note == TOO_FEW else estimate.value


def _recall_cell(ax: Axes, i: int, j: int, recall: float, n: int) -> None:
    if not math.isnan(recall):
        ax.text(j + 0.5, i + 0.5, f"{recall:.2f}", ha="center", va="center", fontsize=9.5, color=ink_on(SHARES(recall)))
        return
    ax.add_patch(Rectangle((j, i), 1, 1, facecolor=EMPTY_CELL, edgecolor="white", hatch="////", linewidth=1.2))
    ax.text(j + 0.5, i + 0.5, f"n={n}", ha="center", va="center", fontsize=8, color=CELL_INK)
