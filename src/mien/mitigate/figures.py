"""Pictures of a study of mitigations: accuracy of all against the worst group, and methods against kinds of bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from mien.mitigate.definition import BASELINE, ROWS, MitigationConfig, in_words
from mien.mitigate.measures import ACCURACY, WORST, Comparison
from mien.mitigate.run import Found
from mien.mitigate.verdicts import Judgement, Reduction
from mien.report.figures import BLUE, CELL_INK, GREEN, GREY, INK, ORANGE, PURPLE, SKY, figure_style, new_figure

_COLOURS = {"helped": GREEN, "no change that can be told": GREY, "levelled down": PURPLE, "hurt": ORANGE,
            "cannot be judged": SKY}  # fmt: skip
_FELL = LinearSegmentedColormap.from_list("fell", ["#1a6ba8", "#b9d6ea", "#fffffe", "#f3c6a5", "#d55e00"])


def draw_trade(found: Found, comparison: Comparison, judged: Mapping[str, Judgement]) -> Figure:
    """Accuracy of all faces to the right, the worst group upwards; a mark a method, and a dot for each of its seeds.

    Marks are numbered, for names would lie over each other: what a number is stands beside, in the verdict's colour.
    """
    n = len(comparison.methods)
    with figure_style():
        drawn = new_figure(
            9.5, max(5.2, 0.17 * n + 0.6), "accuracy of all faces against the worst group's, methods and their seeds"
        )
        axes = drawn.subplots()
        base, marks = comparison.methods[BASELINE], list[tuple[float, float]]()
        axes.axvline(base.overall[ACCURACY].value.value, color=BLUE, linewidth=0.8, linestyle=":")
        axes.axhline(base.overall[WORST].value.value, color=BLUE, linewidth=0.8, linestyle=":")
        order = [*(name for name in comparison.methods if name != BASELINE), BASELINE]  # on top of all others
        for i, name in enumerate(order, 1):
            x, y = comparison.methods[name].overall[ACCURACY], comparison.methods[name].overall[WORST]
            colour = BLUE if name in ROWS else _COLOURS[judged[name].verdict]
            axes.plot(x.seeds, y.seeds, ".", color=colour, alpha=0.3, markersize=4)
            axes.plot(x.value.value, y.value.value, "D" if name == BASELINE else "o", color=colour, markersize=7,
                      markeredgecolor="white", markeredgewidth=0.5)  # fmt: skip
            marks.append((x.value.value, y.value.value))
            seen = ", as perceived" if name in comparison.as_perceived else ""
            text = found.config.label(name) if name == BASELINE else f"{i}  {found.config.label(name)}{seen}"
            ink = INK if colour == GREY else colour
            axes.annotate(text, (1, 1), xytext=(10, -6 - 11.5 * (i - 1)), xycoords="axes fraction", color=ink,
                          textcoords="offset points", fontsize=8, va="top", annotation_clip=False)  # fmt: skip
        for verdict, colour in _COLOURS.items():
            if any(told.verdict == verdict for told in judged.values()):
                axes.plot([], [], "o", color=colour, label=verdict)
        axes.plot([], [], "D", color=BLUE, label="baseline")
        axes.plot([], [], ".", color=GREY, alpha=0.5, label="a seed")
        hidden = _near(axes, marks)
        axes.set(xlabel="accuracy of all faces", ylabel=f"{found.config.metric.replace('_', ' ')} of the worst group")
        axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4)
        _number(drawn, axes, marks[:-1])
        if hidden:
            text = f"Seeds outside of the picture, for they learnt little: {hidden}."
            axes.annotate(text, (0, 0), xytext=(0, -34), xycoords="axes fraction", textcoords="offset points",
                          fontsize=7.5, color=INK, va="top", annotation_clip=False)  # fmt: skip
        return drawn


def _near(axes: Axes, marks: Sequence[tuple[float, float]]) -> int:
    """Show the methods, and no seed that learnt nothing and would squeeze them; returns how many are outside."""
    seeds = np.concatenate([np.column_stack(line.get_data()) for line in axes.lines if line.get_marker() == "."])
    low, high = np.min(marks, 0), np.max(marks, 0)
    room = 0.35 * (high - low)
    shown = seeds[((seeds >= low - room) & (seeds <= high + room)).all(1)]
    low, high = np.min([low, *shown], 0), np.max([high, *shown], 0)
    edge = np.maximum(0.04 * (high - low), 1e-3)
    axes.set(xlim=(low[0] - edge[0], high[0] + edge[0]), ylim=(low[1] - edge[1], high[1] + edge[1]))
    return len(seeds) - len(shown)


def _number(drawn: Figure, axes: Axes, marks: Sequence[tuple[float, float]]) -> None:
    """Write each mark's number beside it, at the nearest place that is free, with a line where that is not near."""
    drawn.canvas.draw()  # the layout is known from here on
    points = 72 / drawn.dpi
    at = [tuple(value * points for value in axes.transData.transform(place)) for place in marks]
    taken, box = [(x, y) for x, y in at], axes.get_window_extent()
    left, right, lower, upper = (end * points for end in (box.x0 + 12, box.x1 - 12, box.y0 + 8, box.y1 - 4))
    places = [
        (r * np.cos(turn), r * np.sin(turn))
        for r in (9, 15, 22, 30, 40, 52, 66, 82)
        for turn in np.arange(0.6, 6.8, 0.5)
    ]
    for i, (place, (x, y)) in enumerate(zip(marks, at, strict=True), 1):
        free = (
            (dx, dy)
            for dx, dy in places
            if left < x + dx < right
            and lower < y + dy < upper
            and all(abs(x + dx - a) > 9 or abs(y + dy - b) > 8 for a, b in taken)
        )
        dx, dy = next(free, places[-1])
        taken.append((x + dx, y + dy))
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkB": 0} if np.hypot(dx, dy) > 12 else None
        axes.annotate(str(i), place, xytext=(dx, dy), textcoords="offset points", fontsize=7.5, color=INK, ha="center",
                      va="center", arrowprops=line)  # fmt: skip


def draw_matrix(
    config: MitigationConfig,
    names: Sequence[str],
    settings: Sequence[str],
    told: Mapping[tuple[str, str], tuple[Reduction | None, Judgement]],
) -> Figure:
    """Methods against settings: the change of the disparity in per cent, in bold where it is clear of 0."""
    with figure_style():
        drawn = new_figure(
            3.2 + 1.5 * len(settings), 1.2 + 0.32 * len(names), "change of the disparity, methods by bias"
        )
        axes = drawn.subplots()
        shares = np.full((len(names), len(settings)), np.nan)
        for (name, setting), (fell, _) in told.items():
            if fell is not None and fell.some:
                shares[names.index(name), settings.index(setting)] = 100 * (fell.left - 1)
        axes.imshow(np.clip(shares, -100, 100), cmap=_FELL, vmin=-100, vmax=100, aspect="auto")
        for (name, setting), (fell, _) in told.items():
            if fell is None:
                continue
            clear = fell.change.high < 0 or fell.change.low > 0
            claimed = setting in config.methods[name].claims
            axes.text(
                settings.index(setting), names.index(name),
                f"{fell.told.removesuffix(' %')}{' *' if claimed else ''}",
                ha="center", va="center", fontsize=8, color=CELL_INK, fontweight="bold" if clear else "normal",
            )  # fmt: skip
        axes.set_xticks(range(len(settings)), [in_words(s) for s in settings])
        axes.set_yticks(range(len(names)), [config.label(name) for name in names])
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        said = "change of the disparity, per cent of the baseline's; bold: clear of 0; *: claimed"
        axes.set_xlabel(fill(said, max(24, 14 * len(settings))))
        return drawn
