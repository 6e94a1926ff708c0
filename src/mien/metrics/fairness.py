"""Metrics of a whole set of groups: gaps, and the equal-odds ratio of the FER literature."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.metrics.confusion import per_class_recall

Array = NDArray[np.float64]


def max_min_gap(values: ArrayLike, eligible: ArrayLike | None = None, axis: int = -1) -> Array:
    """Largest minus smallest value over the groups.

    It is 0 or more by construction, so it is positive on average even where no disparity exists:
    read it beside its expectation under no disparity.

    Args:
        values: ``(..., G)`` with groups on ``axis``; NaN takes no part.
        eligible: Bool that broadcasts to ``values``; False takes no part.
        axis: The axis of the groups.

    Returns:
        ``(...)``; NaN where fewer than two groups take part.
    """
    array = np.asarray(values, dtype=np.float64)
    use = ~np.isnan(array)
    if eligible is not None:
        use &= np.asarray(eligible, dtype=bool)
    high = np.where(use, array, -np.inf).max(axis)
    low = np.where(use, array, np.inf).min(axis)
    enough = use.sum(axis) >= 2
    return np.asarray(np.subtract(high, low, out=np.full(high.shape, np.nan), where=enough))


def equal_odds_fairness(confusion: ArrayLike, min_support: int = 1) -> float:
    """Smallest over largest sum of class recalls among the groups: 1 is equal, 0 the worst.

    F = min_g S_g / max_g S_g with S_g = sum_c recall(g, c), as in Xu et al. (2020) and the works
    after it. A class that some group lacks is dropped from all groups: otherwise a group would be
    marked down for a class that nobody in it was annotated with.

    Args:
        confusion: ``(G, K, K)`` counts.
        min_support: Faces of a class that each group needs for the class to count.

    Returns:
        In [0, 1]; 1 for a single group; NaN where no class is common to all groups or every recall
        is 0.
    """
    counts = np.asarray(confusion)
    common = (counts.sum(-1) >= max(min_support, 1)).all(0)
    sums = per_class_recall(counts)[:, common].sum(1)
    if not common.any() or not len(sums) or sums.max() == 0:
        return float("nan")
    return float(sums.min() / sums.max())
