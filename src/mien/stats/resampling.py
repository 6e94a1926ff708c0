"""Intervals by bootstrap over faces: every measure is a function of sums over independent units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from mien.records import Estimate
from mien.stats.intervals import undefined, wilson
from mien.stats.settings import Settings

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Statistic = Callable[[Array], Array]
NAN = float("nan")
FEW_UNITS = 20
_UNDEFINED_SHARE = 0.05
_CHUNK = 4_000_000  # numbers of units drawn at once
_SAME = 1e-12
_OFTEN = 4  # units alike from which on numbers of units are drawn, not units


def distinct_units(rows: Array, cluster: Ints | None) -> tuple[Array, Ints]:
    """Sum the rows of each independent unit, and count the units that are alike.

    Returns:
        ``(S, D)`` distinct sums, in an order that depends on their content alone, and ``(S,)`` units with each.
    """
    if not len(rows):
        return rows, np.zeros(0, dtype=np.int64)
    if cluster is not None:
        order = np.lexsort((*rows.T, cluster))
        starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
        rows = np.add.reduceat(rows[order], starts, axis=0)
    size = np.abs(rows).max(0)
    keys = np.round(rows / np.where(size > 0, size, 1.0), 9)  # sums of other numbers may differ in their last bits only
    order = np.lexsort(keys.T[::-1])
    ordered = np.nan_to_num(keys[order], nan=2.0)
    first = np.flatnonzero(np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(1)]))
    return rows[order[first]], np.diff(first, append=len(rows)).astype(np.int64)


def unit_weights(n_units: int, n_boot: int, rng: np.random.Generator) -> Array:
    """``(n_boot, n_units)`` how often each unit is drawn when as many as there are are drawn with replacement."""
    drawn = rng.integers(0, n_units, (n_boot, n_units)) + n_units * np.arange(n_boot)[:, None]
    return np.bincount(drawn.ravel(), minlength=n_boot * n_units).reshape(n_boot, n_units).astype(np.float64)


def bootstrap_estimates(
    rows: Array,
    cluster: Ints | None,
    statistic: Statistic,
    settings: Settings,
    purpose: str,
    notes: Sequence[str] | str = "undefined",
    shares: bool | Sequence[bool] = False,
) -> list[Estimate]:
    """Estimates of functions of sums, with bias-corrected and accelerated intervals.

    Efron (1987), Better bootstrap confidence intervals, equation 2.3, with the acceleration of his
    equation 6.6 from the jackknife. Whole units are drawn.

    Args:
        rows: ``(n, D)`` what each face adds to the sums.
        cluster: ``(n,)`` codes of independent units, or None.
        statistic: ``(b, D)`` sums -> ``(b, E)`` values, NaN where undefined; it must not change when
            all sums are multiplied by one number.
        settings: Level, replicates, seed.
        purpose: Names the random stream.
        notes: Why a value may be undefined, for all E or for each.
        shares: Whether the values are shares, for all E or for each: where all units are alike, at 0
            or 1, the interval is Wilson's.

    Returns:
        E estimates.
    """
    n, (units, alike) = len(rows), distinct_units(rows, cluster)
    total, n_units = alike.astype(np.float64) @ units, int(alike.sum())
    value = statistic(total[None])[0]
    why = [notes] * len(value) if isinstance(notes, str) else list(notes)
    share = [shares] * len(value) if isinstance(shares, bool) else list(shares)
    if n_units < 2:
        return [_lone(v, n, n_units, w, settings) for v, w in zip(value, why, strict=True)]
    rng, drawn = settings.stream(purpose), []
    size = max(1, _CHUNK // len(units))
    for start in range(0, settings.n_boot, size):
        b = min(size, settings.n_boot - start)
        few = len(units) < n_units / _OFTEN
        weights = rng.multinomial(n_units, alike / n_units, size=b) if few else _repeated(alike, b, rng)
        drawn.append(statistic(weights.astype(np.float64) @ units))
    replicates = np.concatenate(drawn)
    left_out = statistic(total - units)
    return [
        _interval(v, replicates[:, e], (left_out[:, e], alike), n, w, settings, share[e])
        for e, (v, w) in enumerate(zip(value, why, strict=True))
    ]


def _repeated(alike: Ints, n_boot: int, rng: np.random.Generator) -> Array:
    """The same draws one by one, which is faster where hardly any two units are alike."""
    start = np.cumsum(alike) - alike
    return np.add.reduceat(unit_weights(int(alike.sum()), n_boot, rng), start, axis=1)


def mean_estimates(
    values: Array,
    cluster: Ints | None,
    settings: Settings,
    purpose: str,
    note: str = "no faces",
    shares: bool | Sequence[bool] = False,
) -> list[Estimate]:
    """Means of ``(n, E)`` values over faces; see :func:`bootstrap_estimates`."""
    rows = np.concatenate([values, np.ones((len(values), 1))], axis=1)
    return bootstrap_estimates(rows, cluster, _means, settings, purpose, note, shares)


def remarked(estimate: Estimate, n: int, what: str) -> Estimate:
    """The estimate, with a note where few faces speak for it: the interval of a rare class is then too narrow."""
    if n >= FEW_UNITS or math.isnan(estimate.value):
        return estimate
    return replace(estimate, note="; ".join(filter(None, [f"only {n} {what}", estimate.note])))


def _means(sums: Array) -> Array:
    return ratio(sums[:, :-1], sums[:, -1:])


def ratio(top: Array, bottom: Array) -> Array:
    """``top / bottom``, NaN where ``bottom`` is not above 0."""
    shape = np.broadcast_shapes(top.shape, bottom.shape)
    return np.asarray(np.divide(top, bottom, out=np.full(shape, NAN), where=np.broadcast_to(bottom > 1e-12, shape)))


def _lone(value: float, n: int, units: int, note: str, settings: Settings) -> Estimate:
    if math.isnan(value):
        return undefined(n, units, note, settings.level)
    return Estimate(float(value), level=settings.level, n=n, clusters=units, note="one unit only: no interval")


def _interval(
    value: float, replicates: Array, jackknife: tuple[Array, Ints], n: int, why: str, settings: Settings, share: bool
) -> Estimate:
    units = int(jackknife[1].sum())
    if math.isnan(value):
        return undefined(n, units, why, settings.level)
    value = float(value)
    note = f"only {units} independent faces: the interval is rough" if units < FEW_UNITS else ""
    defined = replicates[~np.isnan(replicates)]
    lost = 1 - len(defined) / len(replicates)
    if lost > _UNDEFINED_SHARE:
        note = "; ".join(filter(None, [note, f"{lost:.0%} of the bootstrap replicates are undefined"]))
    if not len(defined) or np.ptp(defined) < _SAME:
        if share and min(abs(value), abs(1 - value)) < _SAME:
            low, high = wilson(value * units, units, settings.level)
            return Estimate(
                value, low, high, level=settings.level, method="wilson", n=n, clusters=units, seed=None, note=note
            )
        reason = "all faces are alike" if len(defined) > 1 else "too few replicates"
        alike = "; ".join(filter(None, [note, f"{reason}: no interval"]))
        return Estimate(value, level=settings.level, n=n, clusters=units, note=alike)
    low, high = np.quantile(defined, bca_levels(value, defined, *jackknife, settings.level))
    return Estimate(
        value,
        float(low),
        float(high),
        level=settings.level,
        method="bootstrap bca",
        n=n,
        clusters=units,
        seed=settings.seed,
        note=note,
    )


def bca_levels(value: float, replicates: Array, left_out: Array, alike: Ints, level: float) -> tuple[float, float]:
    """Which quantiles of the replicates are the ends of the interval.

    Args:
        value: The estimate.
        replicates: ``(b,)`` its bootstrap replicates, all defined.
        left_out: ``(S,)`` the estimate without one of the units; NaN ones take no part.
        alike: ``(S,)`` units that each stands for.
        level: Coverage aimed at.
    """
    below = (replicates < value - _SAME).mean() + 0.5 * (np.abs(replicates - value) <= _SAME).mean()
    bias = float(ndtri(np.clip(below, 1 / (2 * len(replicates)), 1 - 1 / (2 * len(replicates)))))
    known = ~np.isnan(left_out)
    weight, influence = alike[known], left_out[known]
    influence = (weight @ influence) / max(int(weight.sum()), 1) - influence
    spread = float(weight @ influence**2) ** 1.5
    acceleration = float(weight @ influence**3) / (6 * spread) if spread > 0 else 0.0
    ends = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        z = bias + NormalDist().inv_cdf(tail)
        ends.append(float(ndtr(bias + z / max(1 - acceleration * z, 0.1))))
    return ends[0], ends[1]
