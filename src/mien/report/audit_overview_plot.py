"""All attributes at a glance: how large each gap is, and what chance alone would show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from mien.audit import DISPARITY, TOO_FEW, AttributeResult, Audit, GapResult
from mien.audit.gaps import HEADLINE
from mien.report.figures import BLUE, GREY, INK, MUTED, ORANGE, PAPER, new_figure, shorten, styled
from mien.report.words import metric_words, number, verdict_words

METRICS = ("accuracy", "macro_f1")
DARK_BAND, LIGHT_BAND = 0.5, 0.22  # opacity of the band that chance alone explains
_COLOURS = {DISPARITY: ORANGE, TOO_FEW: MUTED}
_MOST_OTHERS = 2
_HEADER, _SPACE = 0.85, 0.45  # heights of an attribute's name and of the space after it, in rows


@dataclass(frozen=True)
class _Row:
    """A gap at its height in the plot."""

    y: float
    gap: GapResult


@styled
def overview_plot(audit: Audit, metrics: Sequence[str] = METRICS, narrow: bool = False) -> Figure:
    """The gaps of every attribute, each on the band that chance alone would show.

    A marker tells by colour and shape whether the gap is more than chance; its line is the gap's
    interval. The band reaches from 0 to the mean (dark) and to the 95th percentile (light) of the
    gap under no disparity, and a tick stands at the smallest gap that the sample would have shown
    four times in five, whichever group were the one served worse.

    Args:
        audit: The audit.
        metrics: Whose gaps to draw, whatever their verdict; of each attribute's others, the two clearest
            that are more than chance.
        narrow: Draw for a column of 360 pixels.
    """
    headers, rows, height = _layout(audit, metrics)
    width, row_height, margin = (3.75, 0.42, 1.9) if narrow else (9.4, 0.34, 1.25)
    figure = new_figure(width, margin + row_height * height, _words(headers, rows))
    ax = figure.subplots()
    right = _scale(rows)
    for row in rows:
        _draw(ax, row)
        if not narrow:
            _verdict_text(ax, row)
    for y, label in headers:
        text = shorten(label, 27 if narrow else 80)
        ax.text(0, y, text, weight="bold", va="center", transform=ax.get_yaxis_transform())
    _row_labels(ax, rows, narrow)
    ax.set(ylim=(height, 0), xlim=(-0.012 * right, right), xlabel="gap between worst and best group")
    ax.tick_params(axis="y", length=0)
    ax.xaxis.label.set_horizontalalignment("right" if narrow else "center")
    ax.xaxis.label.set_x(1.0 if narrow else 0.5)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    figure.legend(handles=_legend(), loc="outside lower left", ncols=1 if narrow else 3, fontsize=9.5)
    return figure


def _layout(audit: Audit, metrics: Sequence[str]) -> tuple[list[tuple[float, str]], list[_Row], float]:
    """Where the attributes' names and their gaps stand, and how high the plot is, in rows."""
    headers, rows, y = [], [], 0.0
    for attribute in audit.attributes:
        found = _shown(attribute, metrics)
        headers.append((y + _HEADER / 2, attribute.label))
        rows += [_Row(y + _HEADER + i + 0.5, gap) for i, gap in enumerate(found)]
        y += _HEADER + len(found) + _SPACE
    return headers, rows, max(y - _SPACE / 2, 1.0)


def _shown(attribute: AttributeResult, metrics: Sequence[str]) -> list[GapResult]:
    """The gaps of the metrics, and the clearest other headline gaps that are more than chance."""
    headline = [g for g in attribute.gaps if g.family == HEADLINE]
    always = [g for g in headline if g.metric in metrics and not g.class_name]
    others = [g for g in headline if g.verdict == DISPARITY and g not in always]
    return [*always, *sorted(others, key=lambda g: g.expected - g.value.value)[:_MOST_OTHERS]]


def _scale(rows: Sequence[_Row]) -> float:
    """The right end of the axis."""
    gaps = [r.gap for r in rows]
    ends = [
        v for g in gaps for v in (g.value.value, g.value.high, g.expected_high, g.detectable_high) if not math.isnan(v)
    ]
    return 1.04 * max([*ends, 0.05])


def _draw(ax: Axes, row: _Row) -> None:
    gap, y = row.gap, row.y
    if not math.isnan(gap.expected):
        for end, opacity in ((gap.expected_high, LIGHT_BAND), (gap.expected, DARK_BAND)):
            ax.add_patch(Rectangle((0, y - 0.42), end, 0.84, facecolor=GREY, alpha=opacity, linewidth=0))
    if math.isnan(gap.value.value):
        ax.plot([0], [y], **_marker(gap.verdict))
        return
    if not math.isnan(gap.detectable_high):
        ax.plot([gap.detectable_high] * 2, [y - 0.3, y + 0.3], color=INK, linewidth=1.6, zorder=2)
    if not math.isnan(gap.value.low):
        ends = [gap.value.low, gap.value.high]
        ax.plot(ends, [y, y], color=_COLOURS.get(gap.verdict, BLUE), linewidth=2, solid_capstyle="round", zorder=2.5)
    ax.plot([gap.value.value], [y], zorder=3, **_marker(gap.verdict))


def _marker(verdict: str) -> dict[str, Any]:
    """Shape and colour of a verdict."""
    colour = _COLOURS.get(verdict, BLUE)
    shape, size = {DISPARITY: ("D", 8), TOO_FEW: ("x", 7)}.get(verdict, ("o", 7.5))
    face = colour if verdict == DISPARITY else PAPER
    look: dict[str, Any] = {
        "color": colour,
        "marker": shape,
        "markersize": size,
        "markerfacecolor": face,
        "markeredgewidth": 1.8,
    }
    return look | {"linestyle": "none", "clip_on": False}


def _verdict_text(ax: Axes, row: _Row) -> None:
    """The verdict in words, right of the row."""
    verdict = row.gap.verdict
    text = f"{number(row.gap.value.value)}  {verdict_words(verdict)}" if verdict != TOO_FEW else verdict_words(verdict)
    weight = "bold" if verdict == DISPARITY else "normal"
    look: dict[str, Any] = {"va": "center", "color": INK if verdict != TOO_FEW else MUTED, "weight": weight}
    ax.text(1.015, row.y, text, transform=ax.get_yaxis_transform(), **look)


def _row_labels(ax: Axes, rows: Sequence[_Row], narrow: bool) -> None:
    labels = [_title(r.gap) for r in rows]
    if narrow:
        labels = [f"{label}\n{verdict_words(r.gap.verdict)}" for label, r in zip(labels, rows, strict=True)]
    ax.set_yticks([r.y for r in rows], labels)
    for tick, row in zip(ax.get_yticklabels(), rows, strict=True):
        tick.set_color(MUTED if row.gap.verdict == TOO_FEW else INK)
        if row.gap.verdict == DISPARITY:
            tick.set_fontweight("bold")


def _title(gap: GapResult) -> str:
    title = f"{metric_words(gap.metric)[0]} of {gap.class_name}" if gap.class_name else metric_words(gap.metric)[0]
    return shorten(title, 24)


def _legend() -> list[Line2D | Rectangle]:
    def marker(verdict: str, text: str) -> Line2D:
        return Line2D([], [], label=text, **_marker(verdict))

    def band(opacity: float, text: str) -> Rectangle:
        return Rectangle((0, 0), 1, 1, facecolor=GREY, alpha=opacity, label=text)

    tick = Line2D([], [], color=INK, linestyle="none", marker="|", markersize=12, markeredgewidth=1.6)
    tick.set_label("smallest gap that would show")
    return [
        marker(DISPARITY, "more than chance"),
        marker("", "could be chance"),
        marker(TOO_FEW, "too few faces"),
        band(DARK_BAND + 0.1, "chance alone, on average"),
        band(LIGHT_BAND, "chance alone, 95 % of the time"),
        tick,
    ]


def _words(headers: Sequence[tuple[float, str]], rows: Sequence[_Row]) -> str:
    """The figure's text alternative."""
    parts = []
    for y, label in headers:
        own = [r.gap for r in rows if r.y > y and not any(y < other < r.y for other, _ in headers)]
        parts += [f"{label}, {_title(g)[:1].lower()}{_title(g)[1:]}: {_gap_words(g)}" for g in own]
    return "Gaps between the groups of each attribute. " + ". ".join(parts)


def _gap_words(gap: GapResult) -> str:
    if math.isnan(gap.value.value):
        return verdict_words(gap.verdict)
    chance = f", chance alone shows up to {number(gap.expected_high)}" if not math.isnan(gap.expected_high) else ""
    return f"{number(gap.value.value)}, {verdict_words(gap.verdict)}{chance}"
