"""Whether answers tell anything of the labels: what a training that failed gives is no finding."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Cohen's kappa below which a network has learnt next to nothing: its answers agree with the labels hardly more than
#: the same answers would in any other order. One answer for all faces has 0.
HARDLY = 0.1


def beyond_chance(hits: ArrayLike, annotated: ArrayLike, predicted: ArrayLike) -> float:
    """Cohen's kappa of answers and labels (Cohen 1960): 0 is what chance gives, 1 agreement on every face.

    Accuracy would not do: of classes of unequal sizes one answer for all faces is often right, and a network that is
    told to find the rare ones is less so.

    Args:
        hits: ``(K,)`` faces of each class that are predicted as such.
        annotated: ``(K,)`` faces that are annotated so.
        predicted: ``(K,)`` faces that are predicted so.

    Returns:
        At most 1; NaN without a face, or where labels and answers are all of one class.

    >>> beyond_chance([90, 0], [90, 10], [100, 0])
    0.0
    >>> round(beyond_chance([60, 8], [90, 10], [62, 38]), 3)
    0.181
    """
    right, of, said = (np.asarray(each, dtype=np.float64) for each in (hits, annotated, predicted))
    n = of.sum()
    chance = float((of * said).sum() / n**2) if n else 1.0
    return float("nan") if chance == 1 else float((right.sum() / n - chance) / (1 - chance))


def learnt_nothing(hits: ArrayLike, annotated: ArrayLike, predicted: ArrayLike) -> bool:
    """Whether answers agree with labels no more than :data:`HARDLY` beyond chance; as :func:`beyond_chance`.

    False where fewer than two classes are annotated: what was learnt cannot be seen there.
    """
    if np.count_nonzero(np.asarray(annotated)) < 2:
        return False
    return beyond_chance(hits, annotated, predicted) < HARDLY


def nothing_of(confusion: NDArray[np.integer] | NDArray[np.float64]) -> bool:
    """As :func:`learnt_nothing`, of ``(K, K)`` counts: rows annotated, columns predicted."""
    return learnt_nothing(np.diagonal(confusion), confusion.sum(1), confusion.sum(0))


def nothing_learnt_by(n: int, seeds: str) -> str:
    """``2 of 3 seeds learnt next to nothing (Cohen's kappa below 0.1)``."""
    return f"{n} of {seeds} learnt next to nothing (Cohen's kappa below {HARDLY:g})"
