"""Plots of a model's training and results: plain functions that return a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from mien.audit import wilson
from mien.records import Estimate
from mien.report.figures import (
    BLUE,
    EMPTY_CELL,
    GREEN,
    GREY,
    INK,
    MUTED,
    ORANGE,
    SHARES,
    ink_on,
    new_figure,
    shorten,
    styled,
    wrap,
)

_ONE_NUMBER_CELLS = 12  # from here on a heat map's cells hold one number at most
_NO_TEXT_CELLS = 26


@styled
def learning_curves(
    history: pd.DataFrame, best: int | None = None, panels: Sequence[str] = ("loss", "accuracy")
) -> Figure:
    """Loss and accuracy of training and validation over the epochs.

    Args:
        history: One row an epoch: ``epoch`` (from 0) and ``train_<panel>``, ``val_<panel>``.
        best: The epoch (from 0) whose weights were kept; by default that of the highest validation
            accuracy.
        panels: Which quantities to draw, beside each other.
    """
    if best is None and "val_accuracy" in history and history["val_accuracy"].notna().any():
        best = int(history["epoch"].iloc[int(history["val_accuracy"].argmax())])
    label = f"Training and validation {' and '.join(panels)} over {len(history)} epochs"
    label += "" if best is None else f"; weights kept from epoch {best + 1}"
    figure = new_figure(4.9 * len(panels), 3.3, label)
    for ax, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        _curves(ax, history, panel, best)
    return figure


def _curves(ax: Axes, history: pd.DataFrame, panel: str, best: int | None) -> None:
    epochs = history["epoch"].to_numpy() + 1
    marker = "o" if len(history) < 3 else ""
    for part, name, colour, line in (("train", "training", ORANGE, "--"), ("val", "validation", BLUE, "-")):
        if f"{part}_{panel}" in history:
            values = history[f"{part}_{panel}"]
            ax.plot(epochs, values, color=colour, linestyle=line, marker=marker, linewidth=1.8, label=name)
    if best is not None:
        ax.axvline(best + 1, color=MUTED, linewidth=1, linestyle=":")
        kept = history[history["epoch"] == best]
        if f"val_{panel}" in kept and len(kept):
            value = float(kept[f"val_{panel}"].iloc[0])
            ax.plot([best + 1], [value], "o", color=BLUE, markersize=6, label=f"kept (epoch {best + 1})")
    ax.set_title(f"{panel.capitalize()} by epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1, steps=[1, 2, 5, 10]))
    margin = 1.0 if len(history) == 1 else 0.02 * len(history)
    ax.set_xlim(float(epochs[0]) - margin, float(epochs[-1]) + margin)
    ax.set_xlabel("epoch")
    ax.grid(axis="y")
    ax.legend(loc="best")


@styled
def confusion_plot(confusion: NDArray[Any], classes: Sequence[str]) -> Figure:
    """Row-normalised heat map of a confusion matrix, with shares and counts in its cells.

    Args:
        confusion: ``(K, K)`` counts, rows annotated, columns predicted.
        classes: The K classes.
    """
    confusion = np.asarray(confusion, dtype=np.float64)
    totals = confusion.sum(1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.full(confusion.shape, np.nan), where=totals > 0)
    k = len(classes)
    right = zip(classes, shares.diagonal(), strict=True)
    label = (
        "Confusion matrix: of the faces annotated with each class (rows), the share predicted as each class. Right: "
    )
    label += ", ".join(f"{c} {s:.0%}" if not math.isnan(s) else f"{c} no faces" for c, s in right)
    figure = new_figure(1.5 + max(3.4, 0.52 * k), 1.2 + max(2.9, 0.46 * k), label)
    ax = figure.subplots()
    heat_map(ax, shares)
    for i in range(k):
        for j in range(k):
            _confusion_cell(ax, i, j, shares[i, j], int(confusion[i, j]), k)
    class_axis(ax, classes)
    rows = [f"{shorten(c, 16)} ({int(n):,})" for c, n in zip(classes, totals[:, 0], strict=True)]
    ax.set_yticks(np.arange(k) + 0.5, rows)
    ax.set_xlabel("predicted")
    ax.set_ylabel("annotated (faces)")
    return figure


def _confusion_cell(ax: Axes, i: int, j: int, share: float, count: int, k: int) -> None:
    if math.isnan(share) or (count == 0 and i != j) or k > _NO_TEXT_CELLS:
        return
    colour = ink_on(SHARES(share))
    if k > _ONE_NUMBER_CELLS:
        ax.text(j + 0.5, i + 0.5, f"{100 * share:.0f}", ha="center", va="center", fontsize=7.5, color=colour)
        return
    ax.text(j + 0.5, i + 0.36, f"{share:.0%}", ha="center", va="center", fontsize=10, color=colour)
    ax.text(j + 0.5, i + 0.74, f"{count:,}", ha="center", va="center", fontsize=7.5, color=colour)


def heat_map(ax: Axes, shares: NDArray[np.float64]) -> None:
    """Cells coloured by a share in [0, 1], first row on top; undefined ones are grey."""
    ax.set_facecolor(EMPTY_CELL)
    ax.pcolormesh(np.ma.masked_invalid(shares), cmap=SHARES, vmin=0, vmax=1, edgecolors="white", linewidth=1.2)
    ax.invert_yaxis()
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def class_axis(ax: Axes, classes: Sequence[str]) -> None:
    """Names of the classes under the columns of a heat map, slanted where they would touch."""
    ticks = np.arange(len(classes)) + 0.5
    crowded = len(classes) > 4 or max(map(len, classes)) > 9
    ax.set_xticks(
        ticks,
        [shorten(c, 18) for c in classes],
        rotation=35 if crowded else 0,
        ha="right" if crowded else "center",
        rotation_mode="anchor" if crowded else "default",
    )


@styled
def class_bars(classes: Sequence[str], recall: Sequence[Estimate], precision: Sequence[Estimate]) -> Figure:
    """Recall and precision of each class with their intervals.

    Args:
        classes: The K classes.
        recall: K estimates.
        precision: K estimates.
    """
    k = len(classes)
    words = ", ".join(f"{c} {_words(r)} and {_words(p)}" for c, r, p in zip(classes, recall, precision, strict=True))
    figure = new_figure(4.9, 1.3 + 0.42 * k, f"Recall and precision of each class: {words}")
    ax = figure.subplots()
    for offset, estimates, colour, name in ((-0.19, recall, BLUE, "recall"), (0.19, precision, ORANGE, "precision")):
        y = np.arange(k) + offset
        values = np.array([e.value for e in estimates])
        ax.barh(y, np.nan_to_num(values), height=0.34, color=colour, alpha=0.85, label=name)
        errors = _error_lengths(estimates)
        known = ~np.isnan(values)
        ax.errorbar(values[known], y[known], xerr=errors[:, known], fmt="none", ecolor=INK, elinewidth=1.1, capsize=2)
        for i in np.flatnonzero(~known):
            ax.text(0.01, y[i], "undefined", va="center", fontsize=8, color=MUTED)
    ax.set_yticks(range(k), [shorten(c, 18) for c in classes])
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, 0))
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def _error_lengths(estimates: Sequence[Estimate]) -> NDArray[np.float64]:
    """``(2, n)`` distances from value to the interval's ends; 0 where there is no interval."""
    ends = np.array([(e.value - e.low, e.high - e.value) for e in estimates]).reshape(-1, 2).T
    return np.asarray(np.maximum(np.nan_to_num(ends), 0.0))


def _words(estimate: Estimate) -> str:
    return "undefined" if math.isnan(estimate.value) else f"{estimate.value:.0%}"


@styled
def reliability_plot(table: Mapping[str, NDArray[np.float64]], level: float = 0.95) -> Figure:
    """Accuracy against confidence in bins, with Wilson intervals, over the share of faces in each bin.

    Args:
        table: What :func:`mien.metrics.calibration_table` gives.
        level: Coverage of the intervals.
    """
    filled = table["n"] > 0
    n, confidence, accuracy = (table[c][filled] for c in ("n", "confidence", "accuracy"))
    label = "Reliability: in bins of the model's confidence, the share of faces that it gets right: " + ", ".join(
        f"confidence {c:.2f} right {a:.2f}" for c, a in zip(confidence, accuracy, strict=True)
    )
    figure = new_figure(4.9, 4.5, label)
    every = max(table["n"].sum(), 1)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    top.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, label="confidence = accuracy")
    ends = np.array([wilson(a * m, m, level) for a, m in zip(accuracy, n, strict=True)]).reshape(-1, 2)
    errors = np.abs(ends.T - accuracy)
    look = {"color": BLUE, "markersize": 5, "linewidth": 1.4, "capsize": 2}
    top.errorbar(confidence, accuracy, yerr=errors, fmt="o-", label="model", **look)  # type: ignore[arg-type]
    top.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="share right")
    top.grid()
    top.legend(loc="upper left")
    bottom.bar(table["low"], table["n"] / every, width=table["high"] - table["low"], align="edge", color=GREEN)
    bottom.set(xlabel="confidence (probability of the predicted class)", ylabel=wrap("share of faces", 8))
    bottom.yaxis.set_major_locator(MaxNLocator(2))
    for ax in (top, bottom):
        ax.yaxis.set_major_formatter(PercentFormatter(1, 0))
    bottom.xaxis.set_major_formatter(PercentFormatter(1, 0))
    return figure
