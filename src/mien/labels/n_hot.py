"""N-hot labels (Duan 2022): how many expressions of a face are learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mien.labels import SCHEMES
from mien.labels.classes import Classes, Joined, expressions_of, in_classes
from mien.labels.cleaning import Clean
from mien.labels.scheme import LabelScheme, Rule


def n_hot_rule(n: int) -> Rule:
    """Keep the ``n`` largest entries, of as large ones those that drew the first places."""

    def rule(votes: NDArray[np.float64], place: NDArray[np.int64]) -> NDArray[np.float64] | str:
        if votes.sum() == 0:
            return "no votes"
        kept = np.zeros_like(votes)
        first = np.lexsort((place, -votes))[:n]
        kept[first] = votes[first]
        return np.asarray(kept / kept.sum())

    return rule


@SCHEMES.register("n_hot")
def n_hot(
    vocabulary: Sequence[str],
    *,
    n: Annotated[int, Field(ge=1, le=100)] = 3,
    clean: Clean = "sum",
    classes: Classes = None,
    map: Joined = "labels",
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0,
) -> LabelScheme:
    """The shares of the N largest expressions, the others set to zero.

    Duan 2022 ("FER without one-hot labels"): unknown and not-a-face are taken out, and with X expressions
    above zero, of which N are kept, ``p_k = v_k / sum of the N largest v``; all stay where X <= N. Ties at
    the cut are drawn once a face and a seed, never anew in an epoch: that would be a drawn label
    (``labels.draw``). With N = 1 the label is one of the tied modes; whether an answer is any of them is
    told by the metric ``tie_accuracy``. Copies of a picture, byte for byte, draw alike.

    Args:
        vocabulary: The words of the votes.
        n: Most expressions of a face, N.
        clean: Which faces to leave out for votes for unknown and not-a-face; see ``majority``. The source's
            figure shows ``sum`` (35,393 of FERPlus's faces), its caption says ``either`` (35,402).
        classes: Some of the classes, or several as one; see ``majority``.
        map: Whether labels or votes are joined; see ``majority``.
        seed: Seed of the draw. Labels that are learnt take the run's where it is absent, labels that judge
            take 0: seeds of one experiment are then judged by the same labels.
    """

    def make(words: tuple[str, ...]) -> LabelScheme:
        return LabelScheme("n_hot", words, words, n_hot_rule(n), clean=clean, seed=seed)

    return in_classes(make, expressions_of(vocabulary), classes, map)
