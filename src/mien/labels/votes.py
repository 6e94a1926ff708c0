"""Schemes for any vocabulary: the commonest vote, or the shares of all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.labels import SCHEMES
from mien.labels.scheme import FER2013_CLASSES, NOT_EXPRESSIONS, LabelScheme, Rule
from mien.spellings import canonical


def majority_rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
    """The class with most votes; a tie has no label."""
    top = votes == votes.max()
    if votes.sum() == 0:
        return "no votes"
    if top.sum() > 1:
        return "tied votes"
    return np.asarray(top, dtype=np.float64)


def distribution_rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
    """Votes divided by their sum."""
    if votes.sum() == 0:
        return "no votes"
    return np.asarray(votes / votes.sum())


def _scheme(name: str, vocabulary: Sequence[str], rule: Rule) -> LabelScheme:
    """Of the vocabulary's own classes, without ``unknown`` and ``nf``."""
    classes = tuple(c for c in vocabulary if canonical(c) not in NOT_EXPRESSIONS)
    return LabelScheme(name, classes, classes, rule)


@SCHEMES.register("majority")
def majority(vocabulary: Sequence[str]) -> LabelScheme:
    """The class with most votes; a tie has no label."""
    return _scheme("majority", vocabulary, majority_rule)


@SCHEMES.register("distribution")
def distribution(vocabulary: Sequence[str]) -> LabelScheme:
    """The shares of the votes."""
    return _scheme("distribution", vocabulary, distribution_rule)


@SCHEMES.register("fer2013")
def fer2013(vocabulary: Sequence[str]) -> LabelScheme:
    """FER2013's seven classes in its own order; one label a face."""
    return LabelScheme("fer2013", FER2013_CLASSES, FER2013_CLASSES, majority_rule)
