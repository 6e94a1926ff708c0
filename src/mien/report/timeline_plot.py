"""Perceived expressions over the time of a film."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from mien.predict.rows import FaceRow
from mien.report.figures import BLUE, GREEN, GREY, MUTED, ORANGE, PURPLE, SKY, new_figure, styled

#: One colour a class, in their order: Okabe and Ito's, and those of the page.
COLOURS = (GREY, "#e69f00", SKY, BLUE, ORANGE, GREEN, PURPLE, "#a08a00")
_MOST = 6  # tracks that are drawn, those seen longest
_GAP_S, _GAP_LOOKS = 1.0, 1.5  # a line is broken where more seconds, and more than so many looks, lie between


def _gap(rows: Iterable[FaceRow]) -> float:
    """Seconds from which a line is broken: a film that is looked at every two seconds has lines too."""
    times = np.unique([row.time_s for row in rows if row.time_s is not None])
    return max(_GAP_S, _GAP_LOOKS * float(np.median(np.diff(times)))) if len(times) > 1 else _GAP_S


def _alone(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """``(n,)`` values between two gaps, of which no line would show anything."""
    known = np.pad(~np.isnan(values), 1)
    return np.asarray(known[1:-1] & ~known[:-2] & ~known[2:])


@styled
def timeline(rows: Iterable[FaceRow], classes: Sequence[str], title: str) -> Figure:
    """A panel a face: its smoothed probabilities over time, with a gap where it was not seen or abstained from.

    Args:
        rows: With ``time_s``, ``track`` and ``smoothed``.
        classes: Of the model.
        title: What the film is called.
    """
    of, rows = defaultdict(list), list(rows)
    gap = _gap(rows)
    for row in rows:
        if row.track is not None:
            of[row.track].append(row)
    shown = sorted(sorted(of, key=lambda track: -len(of[track]))[:_MOST])
    label = f"Perceived expressions over time in {title}: {len(of)} tracks of faces"
    figure = new_figure(9, 1.1 + 1.9 * max(1, len(shown)), label)
    if not shown:
        figure.text(0.5, 0.5, "no face was found", ha="center", color=MUTED)
        return figure
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, track in zip(panels, shown, strict=True):
        seen = of[track]
        times = np.array([row.time_s for row in seen], dtype=np.float64)
        breaks = np.flatnonzero(np.diff(times) > gap) + 1
        for k, name in enumerate(classes):
            values = np.array([np.nan if row.abstained else row.smoothed.get(name, np.nan) for row in seen])
            axes.plot(
                np.insert(times, breaks, np.nan),
                np.insert(values, breaks, np.nan),
                color=COLOURS[k % len(COLOURS)],
                linestyle="-" if k < len(COLOURS) else "--",
                linewidth=1.6,
                label=name,
            )
            alone = _alone(np.insert(values, breaks, np.nan))
            axes.plot(np.insert(times, breaks, np.nan)[alone], np.insert(values, breaks, np.nan)[alone], ".",
                      color=COLOURS[k % len(COLOURS)], markersize=4)  # fmt: skip
        abstained = sum(row.abstained for row in seen)
        tops = Counter(row.top for row in seen if not row.abstained).most_common(1)
        words = f", mostly {tops[0][0]}" if tops else ""
        axes.set_title(f"Face {track}: {len(seen)} frames{words}" + (f", {abstained} abstained" if abstained else ""))
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(axis="y")
    panels[-1].set_xlabel("seconds")
    panels[0].legend(loc="lower left", bbox_to_anchor=(0, 1.15), ncols=len(classes), columnspacing=1, handlelength=1.2)
    return figure
