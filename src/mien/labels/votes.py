"""Schemes for any vocabulary: the commonest vote, the shares of all, or of the largest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mien.labels import SCHEMES
from mien.labels.classes import Classes, Joined, chosen, expressions_of, in_classes
from mien.labels.cleaning import Clean
from mien.labels.scheme import FER2013_CLASSES, NOT_EXPRESSIONS, LabelScheme, Rule


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


def multi_target_rule(n_classes: int, share: float, outliers: int) -> Rule:
    """Entries with a share of the votes, of which the first ``n_classes`` are classes."""

    def rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
        votes = np.where(votes <= outliers, 0.0, votes)
        total = votes.sum()
        kept = np.where(votes >= share * total, votes, 0.0)
        if kept.sum() <= 0.5 * total:
            return "too little agreement"
        if kept.argmax() >= n_classes:
            return "unknown or not a face"
        return np.asarray(kept[:n_classes] / kept[:n_classes].sum())

    return rule


@SCHEMES.register("majority")
def majority(
    vocabulary: Sequence[str], *, clean: Clean = "none", classes: Classes = None, map: Joined = "labels"
) -> LabelScheme:
    """The class with most votes; a tie has no label.

    Args:
        vocabulary: The words of the votes.
        clean: Which faces to leave out for votes for unknown and not-a-face: ``education`` any for
            not-a-face or five for unknown, ``sum`` more than three of both, ``either`` more than three of one.
        classes: Some of the classes, or several as one: ``{positive: [happy], negative: [sad, anger]}``.
        map: Whether ``labels`` are joined to these classes, or the ``votes`` before they are counted.
    """

    def make(words: tuple[str, ...]) -> LabelScheme:
        return LabelScheme("majority", words, words, majority_rule, clean=clean)

    return in_classes(make, expressions_of(vocabulary), classes, map)


@SCHEMES.register("distribution")
def distribution(
    vocabulary: Sequence[str], *, clean: Clean = "none", classes: Classes = None, map: Joined = "labels"
) -> LabelScheme:
    """The shares of the votes.

    Args:
        vocabulary: The words of the votes.
        clean: Which faces to leave out for votes for unknown and not-a-face; see ``majority``.
        classes: Some of the classes, or several as one; see ``majority``.
        map: Whether labels or votes are joined; see ``majority``. Only which faces are left out differs.
    """

    def make(words: tuple[str, ...]) -> LabelScheme:
        return LabelScheme("distribution", words, words, distribution_rule, clean=clean)

    return in_classes(make, expressions_of(vocabulary), classes, map)


@SCHEMES.register("multi_target")
def multi_target(
    vocabulary: Sequence[str],
    *,
    share: Annotated[float, Field(gt=0, le=1)] = 0.3,
    outliers: Annotated[int, Field(ge=0, le=100)] = 0,
    clean: Clean = "none",
    classes: Classes = None,
    map: Joined = "labels",
) -> LabelScheme:
    """The shares of all entries that have enough of the votes.

    FER+'s multi-target mode (Barsoum et al. 2016) for any vocabulary: on FER+'s own, with
    ``outliers: 1``, it is ``ferplus_multi_target``. Votes for unknown and not-a-face count towards the
    whole; a face has no label where one of them leads, or where the entries kept hold half of it or less.

    Args:
        vocabulary: The words of the votes.
        share: Least share of the votes of an entry that is kept.
        outliers: Entries of so many votes or fewer are struck out first.
        clean: Which faces to leave out for votes for unknown and not-a-face; see ``majority``.
        classes: Some of the classes, or several as one; see ``majority``.
        map: Whether labels or votes are joined; see ``majority``.
    """

    def make(words: tuple[str, ...]) -> LabelScheme:
        rule = multi_target_rule(len(words), share, outliers)
        return LabelScheme("multi_target", words, (*words, *NOT_EXPRESSIONS), rule, clean=clean)

    return in_classes(make, expressions_of(vocabulary), classes, map)


@SCHEMES.register("fer2013")
def fer2013(vocabulary: Sequence[str], *, classes: Classes = None) -> LabelScheme:
    """FER2013's seven classes in its own order; one label a face.

    Args:
        vocabulary: The words of the votes.
        classes: Some of the classes, or several as one; see ``majority``.
    """
    return chosen(LabelScheme("fer2013", FER2013_CLASSES, FER2013_CLASSES, majority_rule), classes)


@SCHEMES.register("binary_happy_sad")
def binary_happy_sad(vocabulary: Sequence[str], *, clean: Clean = "none") -> LabelScheme:
    """Happy or sad, faces of any other label left out.

    The binary task of Angioni and Cani (0 happy, 1 sad), on FER2013's own labels; on votes the majority counts.

    Args:
        vocabulary: The words of the votes.
        clean: Which faces to leave out for votes for unknown and not-a-face; see ``majority``.
    """
    return majority(vocabulary, clean=clean, classes=("happy", "sad"))


@SCHEMES.register("four_class")
def four_class(vocabulary: Sequence[str], *, clean: Clean = "none") -> LabelScheme:
    """Angry, fear, happy, sad, faces of any other label left out.

    The four classes of Angioni and Cani (0 to 3 in this order), on FER2013's own labels; on votes the
    majority counts.

    Args:
        vocabulary: The words of the votes.
        clean: Which faces to leave out for votes for unknown and not-a-face; see ``majority``.
    """
    return majority(vocabulary, clean=clean, classes=("angry", "fear", "happy", "sad"))
