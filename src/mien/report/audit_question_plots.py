"""Plots of what an audit asks beyond the gaps: ambiguous faces, pictures, perceived groups, leakage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mien.audit.confounders import Confounder
from mien.audit.disagreement import AgreementBin, DisagreementGroup
from mien.audit.inferred import ErasureCurve, EvenErrorCurve, SensitivityPoint
from mien.audit.inferred.sensitivity import percent
from mien.audit.leakage import LeakageResult
from mien.audit.leakage.results import EXPRESSION, FEATURES, FREQUENCIES, LINEAR, MLP, PROBABILITIES, ProbeResult
from mien.records import Estimate
from mien.report.dot_plot import WIDTH, dot, dot_limits, dot_rows, ends, legend_mark, remark, spoken
from mien.report.figures import (
    BLUE,
    CELL_INK,
    GREEN,
    GREY,
    INK,
    LINES,
    MAX_LINES,
    ORANGE,
    PAPER,
    PURPLE,
    new_figure,
    shorten,
    styled,
    wrap,
)
from mien.stats.strata import AdjustedGap

MAX_BARS = 20
LEAST = 10  # faces behind a point of a line
# Fillings, the same in both schemes: the numbers on them are.
_RIGHT, _AMBIGUOUS = "#1a6ba8", "#b9d6ea"
_BAND = 0.3  # opacity of what chance alone shows
_INPUTS = {FEATURES: "the model's features", PROBABILITIES: "its probabilities", EXPRESSION: "expression alone"}
_PROBES = {LINEAR: "linear probe", MLP: "MLP probe", FREQUENCIES: "class frequencies"}


# Disagreement


@styled
def agreement_plot(bins: Sequence[AgreementBin], groups: Sequence[str]) -> Figure:
    """Accuracy where annotators agree little and where they agree much, a line a group.

    Points of fewer than :data:`LEAST` faces are left out.

    Args:
        bins: Two or more.
        groups: At most :data:`MAX_LINES` names.
    """
    few = len(groups) < 4
    figure = new_figure(WIDTH, (3.0 if few else 3.5) + 0.24 * -(-len(groups) // 2), _agreement_words(bins, groups))
    ax = figure.subplots()
    shifts = np.linspace(-0.2, 0.2, len(groups)) if len(groups) > 1 else [0.0]
    for (colour, dash, marker), shift, name in zip(LINES, shifts, groups, strict=False):
        shown = [b.accuracy[name] for b in bins]
        known = np.array([e.n >= LEAST and not math.isnan(e.value) for e in shown])
        at = np.arange(len(bins)) + shift
        ax.vlines(at[known], *_known_ends(shown, known), color=colour, linewidth=1.4 if few else 0.9)
        values = np.where(known, [e.value for e in shown], np.nan)
        look: dict[str, Any] = {"color": colour, "linestyle": dash, "marker": marker, "markersize": 5}
        ax.plot(at, values, linewidth=1.6, label=shorten(name, 20), **look)
    ax.set_xticks(range(len(bins)), [_bin_title(b) for b in bins])
    ax.set(xlabel="annotators who agree on the face", ylabel="accuracy", xlim=(-0.5, len(bins) - 0.5))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.grid(axis="y")
    figure.legend(loc="outside lower left", ncols=2, fontsize=9.5, handlelength=3)
    return figure


def _known_ends(estimates: Sequence[Estimate], known: Any) -> tuple[Any, Any]:
    return np.array([e.low for e in estimates])[known], np.array([e.high for e in estimates])[known]


def _bin_title(b: AgreementBin) -> str:
    high = f"{100 * b.high:.0f}\u00a0%"
    return f"up to\n{high}" if b.low <= 0 else high if b.low >= b.high else f"{100 * b.low:.0f} to\n{high}"


def _agreement_words(bins: Sequence[AgreementBin], groups: Sequence[str]) -> str:
    def line(name: str) -> str:
        shown = [(b, b.accuracy[name]) for b in bins if b.accuracy[name].n >= LEAST]
        return f"{name}: " + (", ".join(f"up to {b.high:.0%} {spoken(e, '.2f')}" for b, e in shown) or "too few faces")

    return f"Accuracy by the share of annotators who agree. {'; '.join(map(line, groups))}"


@styled
def mistakes_plot(groups: Sequence[DisagreementGroup]) -> Figure:
    """Each group's faces: right, ambiguous and wrong, with the mark that one annotator reaches.

    Args:
        groups: With faces.
    """
    parts = (("right", _RIGHT, "white"), ("ambiguous", _AMBIGUOUS, CELL_INK), ("wrong", ORANGE, CELL_INK))
    row = 0.4 if len(groups) <= MAX_LINES else 0.3
    figure = new_figure(WIDTH, 1.35 + row * len(groups), _mistakes_words(groups))
    ax = figure.subplots()
    left = np.zeros(len(groups))
    for name, colour, ink in parts:
        shares = np.array([getattr(g, name).value for g in groups])
        bars = ax.barh(range(len(groups)), shares, 0.62, left, color=colour, edgecolor=PAPER, linewidth=1)
        for y, (share, group, bar) in enumerate(zip(shares, groups, bars, strict=True)):
            if group.too_few:
                bar.set_alpha(0.4)
            elif share >= 0.09:
                middle = left[y] + share / 2
                ax.text(middle, y, f"{100 * share:.0f}", ha="center", va="center", color=ink, fontsize=9)
        left += shares
    for y, group in enumerate(groups):
        if not math.isnan(group.ceiling.value):
            ax.plot([group.ceiling.value], [y - 0.42], "v", color=INK, markersize=6.5, markeredgewidth=0, zorder=3)
    dot_rows(ax, [_bar_title(g) for g in groups], [g.too_few for g in groups])
    ax.set(xlim=(0, 1), xlabel="share of the group's faces")
    ax.xaxis.set_major_formatter(PercentFormatter(1, 0))
    keys: list[Any] = [Patch(color=colour, label=name) for name, colour, _ in parts]
    if any(not math.isnan(g.ceiling.value) for g in groups):
        keys.append(Line2D([], [], color=INK, marker="v", markeredgewidth=0, linestyle="none", label="one annotator"))
    figure.legend(handles=keys, loc="outside lower left", ncols=4, fontsize=9.5, handlelength=1, columnspacing=1.1)
    return figure


def _bar_title(group: DisagreementGroup) -> str:
    return f"{shorten(group.name, 18)} ({group.n:,}{', too few' if group.too_few else ''})"


def _mistakes_words(groups: Sequence[DisagreementGroup]) -> str:
    def row(g: DisagreementGroup) -> str:
        shares = ", ".join(f"{name} {getattr(g, name).value:.0%}" for name in ("right", "ambiguous", "wrong"))
        one = f", one annotator {g.ceiling.value:.0%}" if not math.isnan(g.ceiling.value) else ""
        return f"{g.name}: {shares}{one}"

    return f"Predictions by group. {'; '.join(map(row, groups))}"


@styled
def split_plot(gap: AdjustedGap, part: str, titles: tuple[str, str, str]) -> Figure:
    """A gap, the part of it that goes with something, and what remains, each with its interval.

    Args:
        gap: With parts.
        part: Which of them.
        titles: Of the three rows.
    """
    rows = [gap.compared, gap.parts[part], gap.remaining]
    words = "; ".join(f"{t}: {spoken(e)}" for t, e in zip(titles, rows, strict=True))
    figure = new_figure(WIDTH, 2.15, f"The accuracy gap between {gap.best} and {gap.worst}, split. {words}")
    ax = figure.subplots()
    ax.axvline(0, color=INK, linewidth=1)
    for y, (estimate, look) in enumerate(zip(rows, ((INK, "o"), (PURPLE, "D"), (ORANGE, "s")), strict=True)):
        dot(ax, y, estimate, *look)
    dot_rows(ax, [wrap(t, 22) for t in titles])
    dot_limits(ax, ends(rows), zero=True)
    ax.set_xlabel("difference in accuracy")
    return figure


# Confounders


@styled
def held_common_plot(raw: Estimate, steps: Sequence[tuple[str, AdjustedGap]]) -> Figure:
    """The accuracy gap as it is, and before and after something is held common between the groups.

    Args:
        raw: The gap over all faces.
        steps: What is held common, and the gap on the faces that can then be compared.
    """
    shown = [(title, e) for title, gap in steps for e in (gap.compared, gap.adjusted)]
    words = "; ".join(f"{t}: from {spoken(g.compared)} to {spoken(g.adjusted)}" for t, g in steps)
    label = f"The accuracy gap is {spoken(raw)}. With something held common between the groups: {words}"
    figure = new_figure(WIDTH, 1.45 + 0.46 * (1 + len(steps)), label)
    ax = figure.subplots()
    ax.axvline(0, color=INK, linewidth=1)
    dot(ax, 0, raw, INK)
    for y, (_, gap) in enumerate(steps, 1):
        if math.isnan(gap.adjusted.value):
            remark(ax, y, "too few pictures alike")
            continue
        dot(ax, y - 0.15, gap.compared, GREY, "o", False)
        dot(ax, y + 0.15, gap.adjusted, BLUE, "D")
    dot_rows(ax, ["all faces, as they are", *(wrap(title, 24) for title, _ in steps)])
    dot_limits(ax, ends([raw, *(e for _, e in shown)]), zero=True)
    ax.set_xlabel("accuracy gap")
    keys = [legend_mark("before", GREY, "o", False), legend_mark("after it is held common", BLUE, "D")]
    figure.legend(handles=keys, loc="outside lower left", ncols=2, fontsize=9.5)
    return figure


@styled
def along_plot(confounders: Sequence[Confounder]) -> Figure:
    """Accuracy along each confounder, in parts of about equally many faces; a small plot each.

    Args:
        confounders: With bins, one or more.
    """
    columns = min(2, len(confounders))
    rows = -(-len(confounders) // columns)
    figure = new_figure(WIDTH, 0.45 + 1.75 * rows, _along_words(confounders))
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for ax, confounder in zip(panels, confounders, strict=False):
        bins = confounder.bins
        at = np.arange(len(bins)) + 0.5
        ax.vlines(at, [b.accuracy.low for b in bins], [b.accuracy.high for b in bins], color=BLUE, linewidth=1.6)
        ax.plot(at, [b.accuracy.value for b in bins], "o-", color=BLUE, markersize=5, linewidth=1.2)
        ax.set_xticks([0, len(bins)], [f"{bins[0].low:.2g}", f"{bins[-1].high:.2g}"], fontsize=8.5)
        ax.set_xlim(0, len(bins))
        for tick, side in zip(ax.get_xticklabels(), ("left", "right"), strict=True):
            tick.set_horizontalalignment(side)
        ax.set_title(shorten(confounder.title, 20), fontsize=10)
        ax.yaxis.set_major_locator(MaxNLocator(4))
        ax.grid(axis="y")
    for ax in panels[len(confounders) :]:
        ax.set_visible(False)
    figure.supylabel("accuracy", fontsize=10)
    return figure


def _along_words(confounders: Sequence[Confounder]) -> str:
    def row(c: Confounder) -> str:
        return f"{c.title}: " + ", ".join(f"{b.low:.2g} to {b.high:.2g} {b.accuracy.value:.2f}" for b in c.bins)

    return f"Accuracy along each confounder. {'; '.join(map(row, confounders))}"


# Perceived groups


@styled
def methods_plot(gaps: Mapping[str, Estimate], missing: Mapping[str, str]) -> Figure:
    """One gap by several methods.

    Args:
        gaps: Method in words -> its estimate, in order.
        missing: Methods that were not possible, and why, in a few words.
    """
    words = "; ".join([*(f"{name}: {spoken(e)}" for name, e in gaps.items()), *map(": ".join, missing.items())])
    figure = new_figure(WIDTH, 0.85 + 0.42 * (len(gaps) + len(missing)), f"The accuracy gap by method. {words}")
    ax = figure.subplots()
    ax.axvline(0, color=INK, linewidth=1)
    looks = ((GREY, "o", False), (PURPLE, "s", True), (BLUE, "D", True))
    for y, (estimate, look) in enumerate(zip(gaps.values(), looks, strict=False)):
        dot(ax, y, estimate, *look)
    for y, why in enumerate(missing.values(), len(gaps)):
        remark(ax, y, why)
    names = [wrap(name, 22) for name in (*gaps, *missing)]
    dot_rows(ax, names, [*[False] * len(gaps), *[True] * len(missing)])
    dot_limits(ax, ends(list(gaps.values())), zero=True)
    ax.set_xlabel("accuracy gap")
    return figure


@styled
def even_error_plot(curve: EvenErrorCurve, known: float = float("nan")) -> Figure:
    """What a gap would be if so large a share of every group were taken for another.

    Args:
        curve: Of accuracy, with two points or more.
        known: The annotator's mean error by its confusion matrix; NaN if not known.
    """
    last = curve.points[-1]
    words = f"from {spoken(curve.points[0].gap)} with no error to {spoken(last.gap)} with {percent(last.error)}"
    figure = new_figure(WIDTH, 2.6, f"The accuracy gap if the annotator's errors fell evenly: {words}")
    ax = figure.subplots()
    _curve(ax, curve.points)
    if 0 < known <= last.error:
        ax.axvline(known, color=ORANGE, linewidth=1.4, linestyle=":")
        look: dict[str, Any] = {"color": ORANGE, "fontsize": 9, "transform": ax.get_xaxis_transform()}
        right = known > 0.6 * last.error
        ax.text(known, 1.02, "this annotator on average", ha="right" if right else "left", **look)
    ax.set(xlabel="share of each group taken for another", ylabel="accuracy gap")
    ax.set_ylim(bottom=min(0.0, *(p.gap.low for p in curve.points if not math.isnan(p.gap.low)), 0.0))
    _share_axis(ax, last.error)
    return figure


@styled
def erasure_plot(curve: ErasureCurve) -> Figure:
    """How the difference would fall if mistaken faces of the worst group were in truth the best group's."""
    erased = curve.erased_at
    found = "never" if math.isnan(erased.value) else f"at {percent(erased.value)}"
    label = f"Accuracy of {curve.best} minus that of {curve.worst}, if a share of the mistaken faces of {curve.worst} "
    label += f"were in truth {curve.best}: {spoken(curve.points[0].gap)} with none of them; it vanishes {found}"
    figure = new_figure(WIDTH, 2.6, label)
    ax = figure.subplots()
    last = (
        1.0
        if math.isnan(erased.value)
        else min(1.0, max(2.5 * erased.value, float(np.nan_to_num(erased.high)) * 1.15, 0.05))
    )
    shown = [p for p in curve.points if p.error <= last + 0.05] if last < 1 else curve.points
    _curve(ax, shown)
    ax.axhline(0, color=INK, linewidth=1)
    if not math.isnan(erased.value):
        dot(ax, 0, erased, ORANGE, "D")
        look: dict[str, Any] = {"xytext": (6, 8), "textcoords": "offset points", "color": ORANGE, "fontsize": 9.5}
        ax.annotate(f"no gap at {percent(erased.value)}", (erased.value, 0), weight="bold", **look)
    title = f"mistaken faces perceived as {shorten(curve.worst, 18)}\nthat are in truth {shorten(curve.best, 24)}"
    ax.set(xlabel=title, ylabel="difference in accuracy")
    _share_axis(ax, last)
    return figure


def _share_axis(ax: Axes, last: float) -> None:
    """A horizontal axis of shares from 0 to ``last``, with whole per cent where five of them fit."""
    ax.set_xlim(0, last)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ticks = ax.get_xticks()
    whole = np.allclose(100 * ticks, np.round(100 * ticks), atol=1e-6)
    ax.xaxis.set_major_formatter(PercentFormatter(1, 0 if whole else 1 if last > 0.005 else 2))


def _curve(ax: Axes, points: Sequence[SensitivityPoint]) -> None:
    at = [p.error for p in points]
    low, high = ([getattr(p.gap, end) for p in points] for end in ("low", "high"))
    ax.fill_between(at, low, high, color=BLUE, alpha=0.16, linewidth=0)
    ax.plot(at, [p.gap.value for p in points], color=BLUE, linewidth=1.8)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.grid()


# Leakage


@styled
def leakage_plot(result: LeakageResult) -> Figure:
    """How well each probe reads the groups, beside chance and what permuted groups would give.

    Args:
        result: With one probe or more.
    """
    probes = result.probes
    figure = new_figure(WIDTH, 1.75 + 0.48 * len(probes), _leakage_words(result))
    ax = figure.subplots()
    ax.axvline(result.chance, color=INK, linewidth=1.2, linestyle="--")
    keys: list[Any] = [Line2D([], [], color=INK, linewidth=1.2, linestyle="--", label="guessing")]
    for y, probe in enumerate(probes):
        if not math.isnan(probe.expected):
            width = probe.expected_high - probe.expected
            band = Rectangle((probe.expected, y - 0.4), width, 0.8, color=GREY, alpha=_BAND, linewidth=0)
            ax.add_patch(band)
            ax.plot([probe.expected] * 2, [y - 0.4, y + 0.4], color=GREY, linewidth=1.6, zorder=1.5)
        alone = probe.input == EXPRESSION
        dot(ax, y, probe.balanced_accuracy, GREEN if alone else BLUE, "D" if alone else "o")
        if alone and not math.isnan(probe.balanced_accuracy.value):
            ax.axvline(probe.balanced_accuracy.value, color=GREEN, linewidth=1.4, linestyle=":")
            keys.append(legend_mark("expression alone", GREEN, "D", line=":"))
    keys.append(Patch(color=GREY, alpha=_BAND, label="without leakage"))
    values = [v for p in probes for v in (*ends([p.balanced_accuracy]), p.expected, p.expected_high)]
    dot_rows(ax, [probe_title(p).replace(", ", "\n", 1) for p in probes])
    dot_limits(ax, [*values, result.chance])
    ax.set_xlabel("balanced accuracy")
    figure.legend(handles=keys, loc="outside lower left", ncols=2, fontsize=9.5)
    return figure


def probe_title(probe: ProbeResult) -> str:
    """``the model's features, linear probe``."""
    return f"{shorten(_INPUTS.get(probe.input, probe.input), 24)}, {_PROBES.get(probe.probe, probe.probe)}"


def _leakage_words(result: LeakageResult) -> str:
    def row(p: ProbeResult) -> str:
        band = f", without leakage {p.expected:.2f} to {p.expected_high:.2f}" if not math.isnan(p.expected) else ""
        return f"{probe_title(p)}: {spoken(p.balanced_accuracy, '.2f')}{band}"

    rows = "; ".join(map(row, result.probes))
    return f"How well {result.label} can be read; guessing gives {result.chance:.2f}. {rows}"
