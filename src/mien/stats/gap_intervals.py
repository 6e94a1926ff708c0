"""Intervals for gaps and ratios of groups: simultaneous over all pairs, each side by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.records import Estimate
from mien.stats.limits import Limits, share_limits

Array = NDArray[np.float64]
NAN = float("nan")
_MANY_GROUPS, _FEW_REPLICATES = 60, 400
_LEAST_CORRELATION = 0.05  # less is noise, and changes no width by more than a fortieth


@dataclass(frozen=True)
class _Pairs:
    """All pairs of groups that can be compared, one component after another.

    Attributes:
        component: ``(P,)``.
        first: ``(P,)`` groups.
        second: ``(P,)`` groups.
        difference: ``(P,)`` first minus second.
        spread: ``(P,)`` their bootstrapped standard errors.
        critical: What the largest of their studentised departures stays below in a share ``level`` of replicates.
    """

    component: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    difference: Array
    spread: Array
    critical: float


def gap_interval(
    values: Array,
    replicates: Array,
    level: float = 0.95,
    limits: Limits | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    crossed: bool = False,
) -> tuple[float, float]:
    """An interval for a largest-minus-smallest gap that holds near zero too.

    Percentiles of bootstrapped gaps are biased upwards (each replicate picks its own extremes) and
    may even miss the observed gap. Here the differences of all pairs of groups get simultaneous
    intervals, with the critical value c the quantile of the largest |d*_ij - d_ij| / s_ij over the
    bootstrap (as Tukey and Kramer's, with the bootstrap in place of the normal). If all hold, the
    largest true difference lies between the largest lower and the largest upper end. Without any
    disparity the coverage is the level; with one it is more, the more groups there are.

    The ends of a pair come from the groups' own limits at c, each side by itself (the method of
    variance estimates recovery, Zou and Donner 2008): with d = v_i - v_j,

        d - sqrt((v_i - l_i)^2 + (u_j - v_j)^2 - 2 r (v_i - l_i)(u_j - v_j)) and the like above,

    where r is the correlation of the two groups' values; it is 0 unless units have faces in both. A
    symmetric standard error would let a group with 40 of 40 faces right reach down by half of what it may,
    and put the end of the interval above 0 in one of seven samples without any gap.

    Args:
        values: ``(G,)`` observed values, or ``(C, G)`` where the gap is the largest over C components
            (classes); NaN ones take no part.
        replicates: ``(b, G)`` or ``(b, C, G)`` bootstrap replicates; NaN ones take no part.
        level: Coverage aimed at.
        limits: The values' limits at a critical value, in the shape of ``values``; by default the value
            give or take the critical value times the bootstrap's standard error.
        bounds: Smallest and largest possible gap.
        crossed: Whether units have faces in several groups, whose values then vary together.

    Returns:
        ``(low, high)``; NaN where no pair has two defined replicates.
    """
    values, replicates = np.atleast_2d(values), replicates.reshape(len(replicates), -1, values.shape[-1])
    if values.shape[1] > _MANY_GROUPS:
        replicates = replicates[:_FEW_REPLICATES]  # the pairs grow with the square of the groups
    pairs = _compared(values, replicates, level)
    if pairs is None:
        return NAN, NAN
    below, above = _sides(pairs, values, replicates, limits, crossed)
    up, down = pairs.difference, -pairs.difference  # each pair is looked at from both ends
    low = float(np.maximum(up - below, down - above).max())
    high = float(np.maximum(up + above, down + below).max())
    return max(low, bounds[0]), min(high, bounds[1])


def _compared(values: Array, replicates: Array, level: float) -> _Pairs | None:
    largest = np.zeros(len(replicates))
    found: list[tuple[NDArray[np.int64], ...]] = []
    differences, spreads = [], []
    for c in range(len(values)):
        for i in range(values.shape[1] - 1):
            centre = values[c, i] - values[c, i + 1 :]
            use = np.flatnonzero(~np.isnan(centre))
            departure = replicates[:, c, i, None] - replicates[:, c, i + 1 + use] - centre[use]
            defined = ~np.isnan(departure)
            n = defined.sum(0)
            use, departure, defined = use[n > 1], departure[:, n > 1], defined[:, n > 1]
            if not len(use):
                continue
            departure = np.where(defined, departure, 0.0)
            spread = np.sqrt(np.einsum("ij,ij->j", departure, departure) / n[n > 1])
            # Where no replicate differs there is nothing to be studentised: the limits alone speak.
            ratio = np.abs(departure) / np.where(spread > 0, spread, np.inf)
            largest = np.maximum(largest, ratio.max(1))
            found.append((np.full(len(use), c), np.full(len(use), i), i + 1 + use))
            differences.append(centre[use])
            spreads.append(spread)
    if not found:
        return None
    component, first, second = (np.concatenate(part).astype(np.int64) for part in zip(*found, strict=True))
    # Several intervals at once are never narrower than one alone.
    critical = max(float(np.quantile(largest, level)), NormalDist().inv_cdf(0.5 + level / 2))
    return _Pairs(component, first, second, np.concatenate(differences), np.concatenate(spreads), critical)


def _sides(
    pairs: _Pairs, values: Array, replicates: Array, limits: Limits | None, crossed: bool
) -> tuple[Array, Array]:
    """How far each pair's difference may lie below and above: ``(P,)`` each."""
    if limits is None:
        return pairs.critical * pairs.spread, pairs.critical * pairs.spread
    low, high = (np.reshape(x, values.shape) for x in limits(pairs.critical))
    down, up = np.nan_to_num(values - low), np.nan_to_num(high - values)
    i, j = (pairs.component, pairs.first), (pairs.component, pairs.second)
    r = _correlations(pairs, replicates) if crossed else np.zeros(len(pairs.first))

    def joined(a: Array, b: Array) -> Array:
        return np.sqrt(np.maximum(a**2 + b**2 - 2 * r * a * b, 0.0))

    return joined(down[i], up[j]), joined(up[i], down[j])


def _correlations(pairs: _Pairs, replicates: Array) -> Array:
    """``(P,)`` correlation over the bootstrap of each pair's values, one component at a time."""
    out = np.zeros(len(pairs.first))
    least = max(_LEAST_CORRELATION, 2 / np.sqrt(len(replicates)))
    for c in np.unique(pairs.component):
        values = replicates[:, c]
        defined = ~np.isnan(values)
        n = np.maximum(defined.sum(0), 1)
        centred = np.where(defined, np.where(defined, values, 0.0) - np.where(defined, values, 0.0).sum(0) / n, 0.0)
        norm = np.sqrt((centred**2).sum(0))
        scaled = centred / np.where(norm > 0, norm, 1.0)
        together = scaled.T @ scaled
        own = pairs.component == c
        out[own] = together[pairs.first[own], pairs.second[own]]
    return np.where(np.abs(out) < least, 0.0, np.clip(out, -0.99, 0.99))


def ratio_interval(
    values: Array,
    replicates: Array,
    trials: Array | None,
    level: float = 0.95,
    limits: Limits | None = None,
    *,
    units: Array | None = None,
    crossed: bool = False,
) -> tuple[float, float]:
    """An interval for a smallest-over-largest ratio: :func:`gap_interval` of the logarithms.

    Args:
        values: ``(C, G)`` observed values of 0 or more; NaN ones take no part.
        replicates: ``(b, C, G)`` bootstrap replicates.
        trials: ``(C, G)`` trials behind each share: no success counts as half a one, for the interval only, so
            that a rate of 0 has a logarithm; None for values far from 0. Half a success and half a failure for
            all would take 9 of 10 for 0.86, and find a gap to 0.99 in four of ten samples without one.
        level: Coverage aimed at.
        limits: The values' limits at a critical value; by default those of the shares where there are
            ``trials``, else the bootstrap's.
        units: ``(C, G)`` independent units behind the shares' trials; None where each face is one.
        crossed: Whether units have faces in several groups.

    Returns:
        ``(low, high)`` within 0 and 1; NaN where undefined.
    """

    def smooth(rates: Array) -> Array:
        return rates if trials is None else np.maximum(rates, 0.5 / np.maximum(trials, 0.5))

    centre, drawn = smooth(values), smooth(replicates)
    if limits is None and trials is not None:
        limits = share_limits(values, trials, units)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs, drawn_logs = np.log(centre), np.log(drawn)
    logs, drawn_logs = (np.where(np.isfinite(x), x, np.nan) for x in (logs, drawn_logs))
    on_logs = None if limits is None else _log_limits(limits, centre)
    low, high = gap_interval(logs, drawn_logs, level, on_logs, (0.0, np.inf), crossed)
    return float(np.exp(-high)), float(np.exp(-low))


def _log_limits(limits: Limits, centre: Array) -> Limits:
    """Limits of the logarithms; a lower limit of 0 has none, and reaches as far as the upper one."""

    def logs(z: float) -> tuple[Array, Array]:
        low, high = (np.reshape(x, centre.shape) for x in limits(z))
        with np.errstate(divide="ignore", invalid="ignore"):
            top = np.log(np.maximum(high, centre))
            mirrored = 2 * np.log(centre) - top
            return np.where(low > 0, np.log(np.minimum(low, centre)), mirrored), top

    return logs


def separate_gap(low: ArrayLike, high: ArrayLike, bound: float = 1.0) -> tuple[float, float]:
    """The gap that intervals of the groups leave open, when they hold all at once.

    For measures whose noise does not cancel in a difference, such as the calibration error: it lies above the
    truth by more the fewer faces a group has. Wider than :func:`gap_interval`, and valid whatever the bias.

    Args:
        low: ``(G,)`` lower ends; NaN ones take no part.
        high: ``(G,)`` upper ends.
        bound: Largest possible gap.

    Returns:
        ``(low, high)``; NaN with fewer than two groups.

    >>> separate_gap([0.0, 0.2], [0.1, 0.3])
    (0.1, 0.3)
    """
    bottom, top = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    known = ~np.isnan(bottom) & ~np.isnan(top)
    if known.sum() < 2:
        return NAN, NAN
    bottom, top = bottom[known], top[known]
    apart = bottom[:, None] - top[None]
    reach = top[:, None] - bottom[None]
    np.fill_diagonal(apart, -math.inf)
    np.fill_diagonal(reach, -math.inf)
    return max(float(apart.max()), 0.0), min(max(float(reach.max()), 0.0), bound)


def implied_errors(estimates: Sequence[Estimate]) -> Array:
    """Standard errors that estimates' own intervals imply, 0 where there is none: ``(G,)``."""
    z = [NormalDist().inv_cdf(0.5 + e.level / 2) for e in estimates]
    errors = [(e.high - e.low) / (2 * q) for e, q in zip(estimates, z, strict=True)]
    return np.asarray(np.nan_to_num(np.array(errors)), dtype=np.float64)
