"""Accuracy where annotators disagree: a face may have more than one right answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.metrics.catalogue import METRICS

Array = NDArray[np.float64]


def tied_modes(votes: Array) -> NDArray[np.bool_]:
    """Which classes have the most votes.

    Args:
        votes: ``(n, K)`` counts, or a distribution (values within 1e-6 of the largest are tied).

    Returns:
        ``(n, K)`` bool; all False for a row without votes.
    """
    top = votes.max(1, keepdims=True)
    return np.asarray((votes >= top - 1e-6) & (top > 0))


def n_tied(targets: Array, votes: Array | None = None) -> int:
    """Number of faces on which two or more classes share the most votes.

    Args:
        targets: ``(n, K)`` annotated distribution, read where there are no votes.
        votes: ``(n, K)`` counts, if any.
    """
    return int((tied_modes(targets if votes is None else votes).sum(1) > 1).sum())


def tie_hits(predicted: NDArray[np.int64], targets: Array, votes: Array | None = None) -> Array:
    """1 where the predicted class is one of the tied modes, 0 where not, NaN without votes: ``(n,)``.

    Args:
        predicted: ``(n,)`` predicted classes.
        targets: ``(n, K)`` annotated distribution, read where there are no votes.
        votes: ``(n, K)`` counts, if any.
    """
    modes = tied_modes(targets if votes is None else votes)
    hit = np.take_along_axis(modes, predicted[:, None], axis=1)[:, 0]
    return np.where(modes.any(1), hit, np.nan)


@METRICS.register("tie_accuracy")
def tie_accuracy(predicted: NDArray[np.int64], targets: Array, votes: Array | None = None) -> float:
    """Share of faces whose predicted class is any of those with the most votes.

    Args:
        predicted: ``(n,)`` predicted classes.
        targets: ``(n, K)`` annotated distribution, read where there are no votes.
        votes: ``(n, K)`` counts, if any: normalised targets may hide a tie in their rounding.

    Returns:
        In [0, 1]; the denominator is the rows with votes; NaN without any.
    """
    hits = tie_hits(predicted, targets, votes)
    counted = hits[~np.isnan(hits)]
    return float(counted.mean()) if len(counted) else float("nan")
