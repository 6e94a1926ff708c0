"""Intervals: Wilson for shares, percentiles of a bootstrap, and p-values that survive many looks."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.records import Estimate

Array = NDArray[np.float64]
_UNDEFINED_SHARE = 0.05
NAN = float("nan")


def wilson(k: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a share.

    Wilson (1927). It stays inside [0, 1] and has a width even at 0 of n and n of n.

    Args:
        k: Successes (not necessarily whole).
        n: Trials.
        level: Coverage aimed at.

    Returns:
        ``(low, high)``; NaN for ``n = 0``.
    """
    if n <= 0:
        return NAN, NAN
    z = NormalDist().inv_cdf(0.5 + level / 2)
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(max(p * (1 - p), 0) / n + z * z / (4 * n * n)))
    # At 0 of n and n of n the bound is 0 or 1 exactly; rounding must not leave the point outside.
    return min(max(centre - half, 0.0), p), max(min(centre + half, 1.0), p)


def wilson_estimate(k: float, n: int, level: float = 0.95, note: str = "") -> Estimate:
    """A share of ``n`` independent faces with Wilson's interval."""
    if n <= 0:
        return undefined(0, 0, note or "no faces", level)
    return Estimate(k / n, *wilson(k, n, level), level, "wilson", n, n, None, note)


def undefined(n: int, clusters: int, note: str, level: float = 0.95) -> Estimate:
    """An estimate that says why it has no value."""
    return Estimate(NAN, NAN, NAN, level, "none", n, clusters, None, note)


def percentile(
    value: float,
    replicates: Array,
    *,
    level: float = 0.95,
    n: int = 0,
    clusters: int = 0,
    seed: int | None = None,
    note: str = "",
) -> Estimate:
    """An estimate with the percentile interval of its bootstrap replicates.

    Args:
        value: The point estimate.
        replicates: ``(b,)``; undefined (NaN) ones take no part, and more than 5 % are noted.
        level: Coverage aimed at.
        n: Faces.
        clusters: Independent units.
        seed: Seed of the replicates.
        note: Anything to say about the value.
    """
    if np.isnan(value):
        return undefined(n, clusters, note or "undefined", level)
    defined = replicates[~np.isnan(replicates)]
    share = 1 - len(defined) / max(len(replicates), 1)
    if len(defined) < 2:
        return Estimate(value, level=level, n=n, clusters=clusters, seed=seed, note=note or "no interval")
    if share > _UNDEFINED_SHARE:
        note = "; ".join(filter(None, [note, f"{share:.0%} of the bootstrap replicates are undefined"]))
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), level, "bootstrap percentile", n, clusters, seed, note)


def share_estimate(
    k: float, n: int, clusters: int, replicates: Array, *, level: float = 0.95, seed: int | None = None, note: str = ""
) -> Estimate:
    """A share: Wilson where faces are independent, else the bootstrap over units.

    A bootstrap cannot see beyond 0 of n or n of n; there, with dependent faces, the interval is
    Wilson's with the units as trials.

    Args:
        k: Successes.
        n: Faces.
        clusters: Independent units; fewer than ``n`` where some units have several faces.
        replicates: ``(b,)`` bootstrap replicates of the share.
        level: Coverage aimed at.
        seed: Seed of the replicates.
        note: Anything to say about the value.
    """
    if n == 0 or clusters >= n:
        return wilson_estimate(k, n, level, note)
    if k in (0, n):
        low, high = wilson(k / n * clusters, clusters, level)
        return Estimate(k / n, low, high, level, "wilson over units", n, clusters, None, note)
    return percentile(k / n, replicates, level=level, n=n, clusters=clusters, seed=seed, note=note)


def mean_estimate(values: Array, cluster: NDArray[Any] | None, level: float = 0.95, note: str = "") -> Estimate:
    """A mean with a normal interval whose standard error is robust to dependence within units.

    The error sums what each unit's rows depart from the mean (Liang and Zeger 1986); with every row
    its own unit it is the usual one.

    Args:
        values: ``(n,)``.
        cluster: ``(n,)`` codes of units, from 0; None where each row is its own.
        level: Coverage aimed at.
        note: Anything to say about the value.
    """
    n = len(values)
    if n == 0:
        return undefined(0, 0, note or "no faces", level)
    mean = float(values.mean())
    departure = np.asarray(values - mean, dtype=np.float64)
    if cluster is not None:
        departure = np.bincount(cluster, weights=departure)[np.bincount(cluster) > 0].astype(np.float64)
    m = len(departure)
    if m < 2:
        return Estimate(mean, level=level, n=n, clusters=m, note=note or "one unit only: no interval")
    half = NormalDist().inv_cdf(0.5 + level / 2) * float(np.sqrt(m / (m - 1) * (departure**2).sum())) / n
    return Estimate(mean, mean - half, mean + half, level, "normal, robust to clusters", n, m, None, note)


def gap_interval(
    values: Array, replicates: Array, level: float = 0.95, floor: Array | None = None
) -> tuple[float, float]:
    """An interval for a largest-minus-smallest gap that holds near zero too.

    Percentiles of bootstrapped gaps are biased upwards (each replicate picks its own extremes) and
    may even miss the observed gap. Here the differences of all pairs of groups get simultaneous
    intervals d_ij +- c s_ij, with c the quantile of the largest |d*_ij - d_ij| / s_ij over the
    bootstrap (as Tukey and Kramer's, with the bootstrap in place of the normal). If all hold, the
    largest true difference lies between max(d_ij - c s_ij) and max(d_ij + c s_ij): coverage is at
    least the level, more with many groups.

    Args:
        values: ``(G,)`` observed values of the groups that take part.
        replicates: ``(b, G)`` bootstrap replicates; NaN ones take no part.
        level: Coverage aimed at.
        floor: ``(G,)`` least standard errors, for groups at 0 % or 100 % where a bootstrap sees none.

    Returns:
        ``(low, high)`` within 0 and 1 (the values are shares); NaN where a pair has fewer than two defined replicates.
    """
    least = np.zeros(len(values)) if floor is None else floor**2
    largest = np.zeros(len(replicates))
    centres, spreads = [], []
    for i in range(len(values) - 1):
        centre = values[i] - values[i + 1 :]
        departure = replicates[:, i : i + 1] - replicates[:, i + 1 :] - centre
        defined = ~np.isnan(departure)
        n = defined.sum(0)
        if (n < 2).any():
            return NAN, NAN
        departure = np.where(defined, departure, 0.0)
        spread = np.sqrt(np.maximum((departure**2).sum(0) / n, least[i] + least[i + 1 :]))
        ratio = np.divide(np.abs(departure), spread, out=np.zeros(departure.shape), where=spread > 0)
        largest = np.maximum(largest, ratio.max(1))
        centres.append(np.abs(centre))
        spreads.append(spread)
    # Several intervals at once are never narrower than one alone.
    c = max(float(np.quantile(largest, level)), NormalDist().inv_cdf(0.5 + level / 2))
    distance = c * np.concatenate(spreads)
    difference = np.concatenate(centres)
    low, high = float((difference - distance).max()), float((difference + distance).max())
    return max(low, 0.0), min(high, 1.0)


def edge_errors(estimates: Sequence[Estimate]) -> Array:
    """Standard errors that Wilson's intervals imply for shares of exactly 0 or 1; 0 elsewhere: ``(G,)``."""
    z = [NormalDist().inv_cdf(0.5 + e.level / 2) for e in estimates]
    errors = [(e.high - e.low) / (2 * q) if e.value in (0.0, 1.0) else 0.0 for e, q in zip(estimates, z, strict=True)]
    return np.nan_to_num(np.array(errors, dtype=np.float64))


def permutation_p(observed: float, null: Array) -> float:
    """Share of permutations, the observed arrangement among them, with at least the observed gap.

    (1 + #{null >= observed}) / (1 + n), Phipson and Smyth (2010): never 0. Undefined permutations
    count as at least as large.

    Args:
        observed: The observed statistic.
        null: ``(n,)`` its permutation replicates.

    Returns:
        In (0, 1]; NaN if ``observed`` is NaN or there are no replicates.
    """
    if np.isnan(observed) or not len(null):
        return NAN
    # Equal gaps may differ in their last bits.
    return float((1 + (~(null < observed - 1e-12)).sum()) / (1 + len(null)))


def adjust_bh(p_values: ArrayLike) -> Array:
    """Benjamini and Hochberg (1995): p-values adjusted so that p < q keeps the false discovery rate below q.

    Args:
        p_values: ``(m,)``; NaN entries take no part and stay NaN.

    Returns:
        ``(m,)``.
    """
    p = np.asarray(p_values, dtype=np.float64)
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    m = len(order)
    scaled = p[order] * m / np.arange(1, m + 1)
    out[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0) if m else scaled
    return out
