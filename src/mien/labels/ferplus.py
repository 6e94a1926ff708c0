"""FER+'s three treatments of ten votes (Barsoum et al. 2016, the processing of the authors' released code)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.labels import SCHEMES
from mien.labels.scheme import FERPLUS_CLASSES, FERPLUS_VOCABULARY, LabelScheme, Rule


def _ferplus_finish(kept: NDArray[np.float64]) -> NDArray[np.float64] | str:
    """Drop rows whose top entry is unknown or not-a-face, cut both columns, renormalise."""
    if kept.argmax() >= len(FERPLUS_CLASSES):
        return "unknown or not a face"
    expressions = kept[: len(FERPLUS_CLASSES)]
    return np.asarray(expressions / expressions.sum())


def ferplus_majority_rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
    """Single votes are outliers; the largest remaining entry counts if it holds over half the votes."""
    votes = np.where(votes <= 1, 0.0, votes)
    if votes.max() <= 0.5 * votes.sum():
        return "no majority"
    kept = np.zeros_like(votes)
    kept[votes.argmax()] = votes.max()
    return _ferplus_finish(kept)


def ferplus_distribution_rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
    """Take entries from the largest down, ties together, until 75 % of the votes or three labels.

    Reaching unknown or not-a-face stops: it is kept out unless it came first. Rows with half the
    votes or fewer, or with more than three labels, are dropped. The mode that FER+ calls
    ``probability`` and ``crossentropy``.
    """
    votes = np.where(votes <= 1, 0.0, votes)
    total = votes.sum()
    kept = np.zeros_like(votes)
    remaining, seen, n_labels, valid = votes.copy(), 0.0, 0, True
    while seen < 0.75 * total and n_labels < 3 and valid:
        top = remaining.max()
        for i in np.flatnonzero(remaining == top):
            kept[i] = top
            remaining[i] = 0.0
            seen += top
            n_labels += 1
            if i >= len(FERPLUS_CLASSES):
                valid = False
                if kept.sum() > top:
                    kept[i] = 0.0
                    n_labels -= 1
                break
    if kept.sum() <= 0.5 * total or n_labels > 3:
        return "too little agreement"
    return _ferplus_finish(kept)


def ferplus_multi_target_rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
    """Keep entries with at least 30 % of the votes; drop rows where they hold half or less together."""
    votes = np.where(votes <= 1, 0.0, votes)
    total = votes.sum()
    kept = np.where(votes >= 0.3 * total, votes, 0.0)
    if kept.sum() <= 0.5 * total:
        return "too little agreement"
    return _ferplus_finish(kept)


def _scheme(name: str, rule: Rule) -> LabelScheme:
    return LabelScheme(name, FERPLUS_CLASSES, FERPLUS_VOCABULARY, rule)


@SCHEMES.register("ferplus_majority")
def ferplus_majority(vocabulary: Sequence[str]) -> LabelScheme:
    """One label where one expression holds over half the votes, single votes left out."""
    return _scheme("ferplus_majority", ferplus_majority_rule)


@SCHEMES.register("ferplus_distribution")
def ferplus_distribution(vocabulary: Sequence[str]) -> LabelScheme:
    """The shares of the largest entries, up to three; what FER+ calls probability and crossentropy."""
    return _scheme("ferplus_distribution", ferplus_distribution_rule)


@SCHEMES.register("ferplus_multi_target")
def ferplus_multi_target(vocabulary: Sequence[str]) -> LabelScheme:
    """The shares of all entries with 30 % of the votes or more."""
    return _scheme("ferplus_multi_target", ferplus_multi_target_rule)
