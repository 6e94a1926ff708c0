"""FER+'s three treatments of ten votes (Barsoum et al. 2016, the processing of the authors' released code)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.labels import SCHEMES
from mien.labels.classes import Classes, Joined, in_classes
from mien.labels.scheme import FERPLUS_CLASSES, NOT_EXPRESSIONS, LabelScheme, Rule
from mien.labels.votes import multi_target_rule


def _finish(kept: NDArray[np.float64], n: int) -> NDArray[np.float64] | str:
    """Drop rows whose top entry is unknown or not-a-face, cut both columns, renormalise."""
    if kept.argmax() >= n:
        return "unknown or not a face"
    return np.asarray(kept[:n] / kept[:n].sum())


def ferplus_majority_rule(n: int) -> Rule:
    """Single votes are outliers; the largest remaining entry counts if it holds over half the votes.

    Args:
        n: Number of expressions; unknown and not-a-face follow them.
    """

    def rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
        votes = np.where(votes <= 1, 0.0, votes)
        if votes.max() <= 0.5 * votes.sum():
            return "no majority"
        kept = np.zeros_like(votes)
        kept[votes.argmax()] = votes.max()
        return _finish(kept, n)

    return rule


def ferplus_distribution_rule(n: int) -> Rule:
    """Take entries from the largest down, ties together, until 75 % of the votes or three labels.

    Reaching unknown or not-a-face stops: it is kept out unless it came first. Rows with half the
    votes or fewer, or with more than three labels, are dropped. The mode that FER+ calls
    ``probability`` and ``crossentropy``.

    Args:
        n: Number of expressions; unknown and not-a-face follow them.
    """

    def rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
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
                if i >= n:
                    valid = False
                    if kept.sum() > top:
                        kept[i] = 0.0
                        n_labels -= 1
                    break
        if kept.sum() <= 0.5 * total or n_labels > 3:
            return "too little agreement"
        return _finish(kept, n)

    return rule


def _scheme(name: str, rule: Callable[[int], Rule], classes: Classes, map: Joined) -> LabelScheme:
    def make(words: tuple[str, ...]) -> LabelScheme:
        return LabelScheme(name, words, (*words, *NOT_EXPRESSIONS), rule(len(words)))

    # FER+'s words, whatever the votes call them: a vocabulary that lacks one is refused when it is read.
    return in_classes(make, FERPLUS_CLASSES, classes, map)


@SCHEMES.register("ferplus_majority")
def ferplus_majority(vocabulary: Sequence[str], *, classes: Classes = None, map: Joined = "labels") -> LabelScheme:
    """One label where one expression holds over half the votes, single votes left out.

    Args:
        vocabulary: The words of the votes.
        classes: Some of the classes, or several as one; see ``majority``.
        map: Whether labels or votes are joined; see ``majority``.
    """
    return _scheme("ferplus_majority", ferplus_majority_rule, classes, map)


@SCHEMES.register("ferplus_distribution")
def ferplus_distribution(vocabulary: Sequence[str], *, classes: Classes = None, map: Joined = "labels") -> LabelScheme:
    """The shares of the largest entries, up to three; what FER+ calls probability and crossentropy.

    Args:
        vocabulary: The words of the votes.
        classes: Some of the classes, or several as one; see ``majority``.
        map: Whether labels or votes are joined; see ``majority``.
    """
    return _scheme("ferplus_distribution", ferplus_distribution_rule, classes, map)


@SCHEMES.register("ferplus_multi_target")
def ferplus_multi_target(vocabulary: Sequence[str], *, classes: Classes = None, map: Joined = "labels") -> LabelScheme:
    """The shares of all entries with 30 % of the votes or more, single votes left out.

    Args:
        vocabulary: The words of the votes.
        classes: Some of the classes, or several as one; see ``majority``.
        map: Whether labels or votes are joined; see ``majority``.
    """
    return _scheme("ferplus_multi_target", lambda n: multi_target_rule(n, 0.3, 1), classes, map)
