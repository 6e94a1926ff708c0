"""Plots of confidence by group: reliability as small multiples, and errors against what is answered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mien.audit import wilson
from mien.audit.calibration import AbstentionPoint, GroupCalibration, ReliabilityBin
from mien.report.figures import BLUE, GREY, LINES, MUTED, new_figure, shorten, styled, wrap

LEAST = 10  # faces behind a bin or a point


@styled
def group_reliability(groups: Sequence[GroupCalibration], remarks: Mapping[str, str], level: float = 0.95) -> Figure:
    """How often each group's answers are right at each confidence, a small plot a group.

    Bins with fewer than :data:`LEAST` faces are left out.

    Args:
        groups: The groups, at least one.
        remarks: Group -> what to write under its name.
        level: Coverage of the bins' Wilson intervals; faces taken as independent.
    """
    columns = min(2, len(groups))
    rows = -(-len(groups) // columns)
    figure = new_figure(4.1, 0.7 + 1.95 * rows, _reliability_words(groups))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, group in zip(panels, groups, strict=False):
        _reliability_panel(ax, [b for b in group.bins if b.n >= LEAST], level)
        ax.set_title(shorten(group.group, 18), fontsize=10, pad=17)
        ax.text(0, 1.03, remarks.get(group.group, ""), transform=ax.transAxes, fontsize=9, color=MUTED)
    for ax in panels[len(groups) :]:
        ax.set_visible(False)
    panels[0].set(xlim=(0, 1), ylim=(-0.02, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    for axis in (panels[0].xaxis, panels[0].yaxis):
        axis.set_major_formatter(PercentFormatter(1, 0))
    figure.supxlabel("confidence of the model", fontsize=10)
    figure.supylabel("share right", fontsize=10)
    return figure


def _reliability_panel(ax: Axes, bins: Sequence[ReliabilityBin], level: float) -> None:
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2)
    ax.grid()
    if not bins:
        ax.text(0.5, 0.5, "too few faces", ha="center", color=MUTED, fontsize=9)
        return
    x, y = [b.confidence for b in bins], np.array([b.accuracy for b in bins])
    ends = np.array([wilson(b.accuracy * b.n, b.n, level) for b in bins]).T
    ax.errorbar(x, y, yerr=np.abs(ends - y), fmt="o-", color=BLUE, markersize=4, linewidth=1.3, elinewidth=1)


def _reliability_words(groups: Sequence[GroupCalibration]) -> str:
    def of(group: GroupCalibration) -> str:
        points = [f"confidence {b.confidence:.2f} right {b.accuracy:.2f}" for b in group.bins if b.n >= LEAST]
        return f"{group.group}: {', '.join(points) or 'too few faces'}"

    return f"Share of right answers at each confidence, by group. {'. '.join(map(of, groups))}"


@styled
def abstention_plot(groups: Sequence[GroupCalibration]) -> Figure:
    """Share of wrong answers against the share of a group's faces that is answered, a line a group.

    All groups share the thresholds; the large mark is where the model answers the 80 % of all faces
    that it is surest of.

    Args:
        groups: At most :data:`MAX_LINES` groups.
    """
    figure = new_figure(4.1, 3.1 + 0.24 * -(-len(groups) // 2), _abstention_words(groups))
    ax = figure.subplots()
    for (colour, dash, marker), group in zip(LINES, groups, strict=False):
        drawn = _points(group)
        x, y = [p.coverage for p in drawn], [p.risk for p in drawn]
        look: dict[str, Any] = {"color": colour, "linestyle": dash, "marker": marker, "linewidth": 1.6}
        ax.plot(x, y, markersize=4, label=shorten(group.group, 22), **look)
        usual = [p for p in drawn if p.answered == 0.8]
        ax.plot([p.coverage for p in usual], [p.risk for p in usual], marker, color=colour, markersize=9)
    ax.set(xlim=(0, 1.02), xlabel="share of the group's faces answered", ylabel=wrap("share of answers wrong", 40))
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))  # no tick at half a percent
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, 0))
    ax.grid()
    figure.legend(loc="outside lower left", ncols=2, fontsize=9.5, handlelength=3)
    return figure


def _points(group: GroupCalibration) -> list[AbstentionPoint]:
    return [p for p in group.abstention if p.n >= LEAST and not math.isnan(p.risk)]


def _abstention_words(groups: Sequence[GroupCalibration]) -> str:
    def of(group: GroupCalibration) -> str:
        points = [f"{p.coverage:.0%} answered {p.risk:.0%} wrong" for p in _points(group)]
        return f"{group.group}: {', '.join(points) or 'too few faces'}"

    return f"Wrong answers where the model may abstain, by group. {'. '.join(map(of, groups))}"
