"""Intervals of what is largest or smallest over groups: gaps, worst groups, ratios.

The gap of noisy values is larger than the true one on average, the worst of them lower, and an interval about either
does not hold: six equal groups of 60 to 900 faces have a gap that such an interval of 95 % puts above 0 every second
time. What holds is a band about all values at once: where every rate lies within its own, the extreme lies between
what the ends of the band leave at least and at most.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Array = NDArray[np.float64]
Extreme = Literal["gap", "worst", "ratio"]


def extreme_bounds(low: ArrayLike, high: ArrayLike, kind: Extreme) -> tuple[float, float]:
    """What an extreme is at least and at most, where every rate lies in its part of a band.

    Args:
        low: ``(C, G)`` lower ends, of C rates of G groups; NaN takes no part.
        high: ``(C, G)`` upper ends.
        kind: ``gap``, the largest over the rates of the largest less the smallest group; ``ratio``, the smallest over
            the rates of the smallest over the largest group; ``worst``, the smallest rate of all.

    Returns:
        Both ends; NaN where no rate has two groups (``worst``: one).

    >>> extreme_bounds([[0.7, 0.3]], [[0.9, 0.6]], "gap")
    (0.1, 0.6)
    """
    a, b = np.atleast_2d(np.asarray(low, dtype=np.float64)), np.atleast_2d(np.asarray(high, dtype=np.float64))
    known = ~(np.isnan(a) | np.isnan(b))
    a, b = (side[known.sum(1) >= (1 if kind == "worst" else 2)] for side in (a, b))
    if not a.size:
        return float("nan"), float("nan")
    lowest, highest = np.nanmin(a, 1), np.nanmax(b, 1)
    if kind == "worst":
        return float(lowest.min()), float(np.nanmin(b))
    # The largest group is at least the largest lower end, the smallest at most the smallest upper one.
    top, bottom = np.nanmax(a, 1), np.nanmin(b, 1)
    if kind == "gap":
        return float(np.maximum(top - bottom, 0).max().round(12)), float((highest - lowest).max().round(12))
    least = np.divide(lowest, highest, out=np.zeros(len(a)), where=highest > 0)
    most = np.divide(bottom, top, out=np.ones(len(a)), where=top > 0)
    return float(least.min()), float(np.minimum(most, 1).min())


def band(rates: Array, least: Array, level: float) -> tuple[Array, Array]:
    """A band that holds all rates at once: each one's standard error times what the largest error of all needs.

    Args:
        rates: ``(1 + B, C, G)``: as observed, then bootstrap replicates; NaN where undefined.
        least: ``(C, G)`` variance that a rate has at least: replicates of a few faces, all of them right, have none.
        level: Coverage of the whole band.

    Returns:
        Lower and upper ends within 0 and 1, ``(C, G)``; NaN where the rate is undefined.
    """
    found = rates[0]
    half = _half_widths(rates, least, level)
    return np.clip(found - half, 0, 1), np.clip(found + half, 0, 1)


def gap_bounds(rates: Array, least: Array, level: float) -> tuple[float, float]:
    """Between what the largest gap of a rate lies, from a band about the differences of all pairs of groups.

    Narrower than :func:`extreme_bounds` of a band about the rates, for the error of a difference is less than the sum
    of both.

    Args:
        rates: ``(1 + B, C, G)``, as for :func:`band`.
        least: ``(C, G)``.
        level: Coverage.

    Returns:
        Both ends; NaN where no rate has two groups.
    """
    one, two = np.triu_indices(rates.shape[-1], 1)
    if not len(one):
        return float("nan"), float("nan")
    pairs = rates[..., one] - rates[..., two]  # (1 + B, C, pairs)
    half = _half_widths(pairs, least[..., one] + least[..., two], level)
    size = np.abs(pairs[0])
    if np.isnan(size).all():
        return float("nan"), float("nan")
    return max(float(np.nanmax(size - half)), 0.0), min(float(np.nanmax(size + half)), 1.0)


def _half_widths(values: Array, least: Array, level: float) -> Array:
    """``(...)`` of a band about ``(1 + B, ...)`` values; NaN where the value is undefined."""
    found, drawn = values[0], values[1:]
    known = ~np.isnan(drawn)
    error = np.where(known, drawn - found, 0.0)
    variance = (error**2).sum(0) / np.maximum(known.sum(0), 1)
    spread = np.sqrt(np.maximum(variance, least))
    part = ~np.isnan(found)
    if not part.any():
        return np.full_like(found, np.nan)
    size = np.divide(np.abs(error), spread, out=np.zeros_like(error), where=spread > 0)[:, part].max(1)
    reach = max(float(np.quantile(size, level)) if len(size) else 0.0, float(ndtri(0.5 + level / 2)))
    return np.where(part, reach * spread, np.nan)


def share_variance(share: Array, n: ArrayLike) -> Array:
    """The variance that shares of groups have at least: each one's own, and what it were if all groups were alike.

    Its own is from one success and one failure more, so that no group has nothing; and a small group that happens to
    be near 0 or 1 would seem surer than it is, if what the others show of the share did not count.

    Args:
        share: ``(..., G)``; NaN where undefined.
        n: Faces, of a shape that fits.
    """
    faces = np.maximum(np.broadcast_to(np.asarray(n, dtype=np.float64), share.shape), 1.0)
    known = ~np.isnan(share)
    hits = np.where(known, share, 0.0) * faces
    everybody = (hits.sum(-1) + 1) / (np.where(known, faces, 0.0).sum(-1) + 2)
    own = (hits + 1) / (faces + 2)
    alike = (everybody * (1 - everybody))[..., None]
    return np.asarray(np.where(known, np.maximum(own * (1 - own), alike) / faces, np.nan))
