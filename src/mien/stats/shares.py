"""Shares of faces that may depend on each other, with Wilson's interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.records import Estimate
from mien.stats.cells import Ints
from mien.stats.intervals import effective_trials, undefined, wilson
from mien.stats.stratify import codes_without_holes

Bools = NDArray[np.bool_]


def share_of_rows(hits: Bools, cluster: Ints | None, level: float = 0.95, note: str = "") -> Estimate:
    """A share of faces with Wilson's interval; dependent faces count for fewer: :func:`wilson_from_variance`.

    Args:
        hits: ``(n,)``.
        cluster: ``(n,)`` codes of independent units; None where each face is its own.
        level: Coverage aimed at.
        note: Anything to say about the value.
    """
    n, k = len(hits), int(hits.sum())
    if n == 0:
        return undefined(0, 0, note or "no faces", level)
    share = k / n
    sums = np.bincount(np.arange(n) if cluster is None else codes_without_holes(cluster), weights=hits - share)
    units = len(sums)
    variance = share * (1 - share) / n if units == n else (sums**2).sum() / n**2 * units / max(units - 1, 1)
    return wilson_from_variance(share, float(variance), n, units, level, note)


def wilson_from_variance(
    share: float, variance: float, n: int, units: int, level: float = 0.95, note: str = ""
) -> Estimate:
    """A share with Wilson's interval for as many independent faces as would vary as much.

    Korn and Graubard (1998). Where no variation is seen, as at 0 of n, the units are the trials. With few units, whose
    variance is itself unsure, it is fewer still: see :func:`mien.stats.intervals.effective_trials`.

    Args:
        share: In [0, 1].
        variance: Its squared standard error.
        n: Faces.
        units: Independent units.
        level: Coverage aimed at.
        note: Anything to say about the value.
    """
    share = min(max(share, 0.0), 1.0)
    trials = float(units)
    if units < n:
        trials = float(effective_trials(share, n, units, variance, level))
    elif variance > 0 and 0 < share < 1:
        trials = min(max(share * (1 - share) / variance, 1.0), float(n))
    low, high = wilson(share * trials, trials, level)
    method = "wilson" if trials == n else "wilson, effective trials"
    return Estimate(share, low, high, level=level, method=method, n=n, clusters=units, seed=None, note=note)
