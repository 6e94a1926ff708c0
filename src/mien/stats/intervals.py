"""Intervals: Wilson for shares, percentiles of a bootstrap, and permutation p-values."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from mien.records import Estimate

Array = NDArray[np.float64]
_UNDEFINED_SHARE = 0.05
NAN = float("nan")


def wilson_bounds(share: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
    """Wilson's score interval for shares, element by element.

    Wilson (1927). It stays inside [0, 1] and has a width even at shares of 0 and 1.

    Args:
        share: Observed shares.
        n: Trials, not necessarily whole; broadcasts with ``share``.
        level: Coverage aimed at.

    Returns:
        ``(low, high)``; NaN where ``n`` is 0 or the share is NaN.
    """
    p, trials = np.broadcast_arrays(np.asarray(share, np.float64), np.asarray(n, np.float64))
    z2 = NormalDist().inv_cdf(0.5 + level / 2) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
        spread = np.maximum(p * (1 - p), 0) / trials + z2 / (4 * trials * trials)
        half = np.sqrt(z2 * spread) / (1 + z2 / trials)
    known = (trials > 0) & ~np.isnan(p)
    # At shares of 0 and 1 the bound is exact; rounding must not leave the point outside.
    low = np.where(known, np.minimum(np.maximum(centre - half, 0.0), p), np.nan)
    return low, np.where(known, np.maximum(np.minimum(centre + half, 1.0), p), np.nan)


def wilson(k: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for ``k`` successes (not necessarily whole) of ``n`` trials: see :func:`wilson_bounds`."""
    if n <= 0:
        return NAN, NAN
    low, high = wilson_bounds(k / n, n, level)
    return float(low), float(high)


def wilson_estimate(k: float, n: int, level: float = 0.95, note: str = "") -> Estimate:
    """A share of ``n`` independent faces with Wilson's interval."""
    if n <= 0:
        return undefined(0, 0, note or "no faces", level)
    return Estimate(k / n, *wilson(k, n, level), level=level, method="wilson", n=n, clusters=n, note=note)


def undefined(n: int, clusters: int, note: str, level: float = 0.95) -> Estimate:
    """An estimate that says why it has no value."""
    return Estimate(NAN, NAN, NAN, level=level, method="none", n=n, clusters=clusters, seed=None, note=note)


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
    return Estimate(
        value,
        float(low),
        float(high),
        level=level,
        method="bootstrap percentile",
        n=n,
        clusters=clusters,
        seed=seed,
        note=note,
    )


def share_estimate(
    k: float, n: int, clusters: int, replicates: Array, *, level: float = 0.95, seed: int | None = None, note: str = ""
) -> Estimate:
    """A share with Wilson's interval; dependent faces count for fewer.

    With several faces a unit, the trials are those of :func:`effective_trials`, with the bootstrap's
    variance.

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
    defined = replicates[~np.isnan(replicates)]
    trials = float(effective_trials(k / n, n, clusters, float(defined.var()) if len(defined) > 1 else 0.0, level))
    low, high = wilson(k / n * trials, trials, level)
    return Estimate(
        k / n, low, high, level=level, method="wilson, effective trials", n=n, clusters=clusters, seed=seed, note=note
    )


def clustered_share(hits: NDArray[np.bool_], cluster: NDArray[Any] | None, level: float = 0.95) -> Estimate:
    """A share with Wilson's interval, from the faces themselves; dependent faces count for fewer.

    Args:
        hits: ``(n,)``.
        cluster: ``(n,)`` independent units; None where each face is its own.
        level: Coverage aimed at.
    """
    n = len(hits)
    if n == 0:
        return undefined(0, 0, "no faces", level)
    units = np.arange(n) if cluster is None else np.unique(cluster, return_inverse=True)[1].reshape(-1)
    m, share = int(units.max()) + 1, float(hits.mean())
    if m == n:
        return wilson_estimate(float(hits.sum()), n, level)
    departure = np.bincount(units, weights=hits - share)
    variance = m / max(m - 1, 1) * float((departure**2).sum()) / n**2
    trials = float(effective_trials(share, n, m, variance, level))
    low, high = wilson(share * trials, trials, level)
    return Estimate(share, low, high, level=level, method="wilson, effective trials", n=n, clusters=m)


def effective_trials(
    share: ArrayLike, n: ArrayLike, clusters: ArrayLike, variance: ArrayLike, level: float = 0.95
) -> Array:
    """Independent faces that shares of ``n`` dependent ones are worth, element by element.

    Their binomial variance over their real one, between 1 and ``n``; the number of units where no
    variation is seen, as at 0 of n. Fewer still with few units, whose variance is itself uncertain:
    by the squared ratio of the normal quantile to Student's (Korn and Graubard 1998).

    Args:
        share: The shares.
        n: Faces.
        clusters: Independent units.
        variance: The shares' variance, robust to dependence within units.
        level: Coverage aimed at.
    """
    p, faces, units, seen = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (share, n, clusters, variance)))
    binomial = p * (1 - p)
    usable = (seen > 1e-12 * np.maximum(binomial, 1e-12)) & (units > 1)  # less is rounding
    worth = np.divide(binomial, seen, out=np.ones(p.shape), where=usable)
    trials = np.where(usable, np.clip(worth, 1.0, np.maximum(faces, 1.0)), units)
    trials = trials * student_share(units, NormalDist().inv_cdf(0.5 + level / 2))
    return np.asarray(np.maximum(trials, 1.0))


def student_share(units: ArrayLike, z: float) -> Array:
    """How much a trial is worth if its variance is estimated from ``units``: (z / t)^2 (Korn and Graubard 1998)."""
    t = stdtrit(np.maximum(np.asarray(units, np.float64) - 1, 1), NormalDist().cdf(z))
    return np.asarray((z / t) ** 2)


def macro_estimate(
    value: float,
    replicates: Array,
    sides: tuple[float, float],
    *,
    level: float = 0.95,
    n: int = 0,
    clusters: int = 0,
    seed: int | None = None,
    note: str = "",
) -> Estimate:
    """A mean over classes (balanced accuracy, macro and weighted F1): the wider of two intervals at each end.

    One is normal on the logit scale with the bootstrap's standard deviation, the other goes as far
    as Wilson's intervals of the classes imply (:func:`macro_sides`). A bootstrap alone sees no
    variation in a class with few faces that are all right or all wrong, which small groups always
    have: percentiles then hold the truth too seldom (``benchmarks/intervals.py``).

    Args:
        value: The point estimate, in [0, 1].
        replicates: ``(b,)`` bootstrap replicates.
        sides: How far below and above the value the classes' own intervals reach.
        level: Coverage aimed at.
        n: Faces.
        clusters: Independent units.
        seed: Seed of the replicates.
        note: Anything to say about the value.
    """
    if np.isnan(value):
        return undefined(n, clusters, note or "undefined", level)
    low, high = value - sides[0], value + sides[1]
    defined = replicates[~np.isnan(replicates)]
    if len(defined) > 1 and 0 < value < 1:
        centre = np.log(value / (1 - value))
        # With few units a bootstrap's deviation is too small, and so is a normal quantile.
        few = float(stdtrit(max(clusters - 1, 1), 0.5 + level / 2)) * np.sqrt(clusters / max(clusters - 1, 1))
        reach = few * float(defined.std()) / (value * (1 - value))
        low = min(low, float(1 / (1 + np.exp(reach - centre))))
        high = max(high, float(1 / (1 + np.exp(-reach - centre))))
    method = "logit bootstrap, at least wilson by class"
    return Estimate(
        value, max(low, 0.0), min(high, 1.0), level=level, method=method, n=n, clusters=clusters, seed=seed, note=note
    )


def macro_sides(values: Array, low: Array, high: Array, weights: Array, replicates: Array) -> tuple[float, float]:
    """How far a weighted mean of class values may lie below and above, given each class's own interval.

    The method of variance estimates recovery (Zou and Donner 2008): each side is the root of
    ``d' R d``, with d the weighted distances of the values to their limits and R the correlation
    of the class values over the bootstrap.

    Args:
        values: ``(K,)`` class values; NaN ones take no part.
        low: ``(K,)`` their lower limits.
        high: ``(K,)`` their upper limits.
        weights: ``(K,)`` weights, which sum to 1 over the classes that take part.
        replicates: ``(b, K)`` bootstrap replicates of the class values.

    Returns:
        ``(below, above)``.
    """
    part = np.flatnonzero(~np.isnan(values) & ~np.isnan(low))
    departure = replicates[:, part]
    departure = np.nan_to_num(departure - np.nan_to_num(_column_means(departure)))
    spread = np.sqrt((departure**2).sum(0))
    scaled = departure / np.where(spread > 0, spread, 1.0)
    correlation = scaled.T @ scaled
    np.fill_diagonal(correlation, 1.0)
    below, above = (weights[part] * d[part] for d in (values - low, high - values))
    squares = [float(d @ correlation @ d) for d in (below, above)]
    return float(np.sqrt(max(squares[0], 0.0))), float(np.sqrt(max(squares[1], 0.0)))


def _column_means(values: Array) -> Array:
    """Means over the first axis without NaN; NaN where all are."""
    n = (~np.isnan(values)).sum(0)
    return np.asarray(np.divide(np.nansum(values, 0), n, out=np.full(n.shape, np.nan), where=n > 0))


def mean_estimate(values: Array, cluster: NDArray[Any] | None, level: float = 0.95, note: str = "") -> Estimate:
    """A mean with Student's interval whose standard error is robust to dependence within units.

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
    variance = m / (m - 1) * float((departure**2).sum()) / n**2 if m > 1 else NAN
    return mean_interval(mean, variance, n, m, level, note)


def mean_interval(
    mean: float, variance: float, n: int, units: int, level: float = 0.95, note: str = "", skewness: float = 0.0
) -> Estimate:
    """A mean with Student's interval, corrected for skewness.

    Hall (1992), On the removal of skewness by transformation, equation 2.4: losses of single faces are
    skewed, and with 30 of them Student's interval misses to one side.

    Args:
        mean: The mean.
        variance: Its variance (the squared standard error), robust to dependence within units.
        n: Faces.
        units: Independent units.
        level: Coverage aimed at.
        note: Anything to say about the value.
        skewness: Of what the units contribute, third moment over the cubed deviation.
    """
    if units < 2 or not variance >= 0:
        return Estimate(mean, level=level, n=n, clusters=units, note=note or "one unit only: no interval")
    q, error = float(stdtrit(units - 1, 0.5 + level / 2)), float(np.sqrt(variance))
    low, high = mean - error * _hall(q, skewness, units), mean - error * _hall(-q, skewness, units)
    return Estimate(
        mean, low, high, level=level, method="student, robust to clusters", n=n, clusters=units, seed=None, note=note
    )


def _hall(t: float, skewness: float, units: int) -> float:
    """Hall's transformation of a quantile, inverted."""
    if abs(skewness) < 1e-6:
        return t
    root = np.sqrt(units)
    return float(3 * root / skewness * (np.cbrt(1 + skewness * (t / root - skewness / (6 * units))) - 1))


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
