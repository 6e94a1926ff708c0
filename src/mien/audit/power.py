"""Power: the smallest gap that a sample could have shown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
POWER = 0.8
SIGNIFICANCE = 0.05


def detectable_gaps(null_values: Array, lower_is_worse: bool = True) -> Array:
    """How much worse each group would have to be served for the test to see it four times in five.

    A group that is served worse by d moves by d in each permutation of the null distribution; the
    gap of that permutation then reaches the critical value (its 95th percentile under no disparity)
    as soon as d is large enough. The 80th percentile of these d is the group's detectable gap. The
    change that d makes to the group's own variance is left out, and so is the adjustment for
    several gaps: with it, gaps must be somewhat larger.

    Args:
        null_values: ``(b, G)`` group values under no disparity; NaN where a group takes no part.
        lower_is_worse: Whether a smaller value is worse.

    Returns:
        ``(G,)``; NaN for groups that take no part, and all NaN with fewer than two groups.
    """
    out = np.full(null_values.shape[1], np.nan)
    part = np.flatnonzero(~np.isnan(null_values).any(0))
    if len(part) < 2 or not len(null_values):
        return out
    values = null_values[:, part] if lower_is_worse else -null_values[:, part]
    gaps = values.max(1) - values.min(1)
    critical = float(np.quantile(gaps, 1 - SIGNIFICANCE))
    top, second = np.sort(values, 1)[:, -1], np.sort(values, 1)[:, -2]
    leader = values.argmax(1)
    for i, g in enumerate(part):
        best_other = np.where(leader == i, second, top)
        needed = critical - (best_other - values[:, i])
        needed = np.where(_gap_without(values, i) >= critical, 0.0, np.maximum(needed, 0.0))
        out[g] = float(np.quantile(needed, POWER))
    return out


def _gap_without(values: Array, i: int) -> Array:
    others = np.delete(values, i, axis=1)
    return np.asarray(others.max(1) - others.min(1))
