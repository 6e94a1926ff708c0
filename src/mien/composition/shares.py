"""How faces fall into groups: shares with intervals that know of copies, and how even they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chndtrinc

from mien.metrics.association import effective_number, entropy, evenness, imbalance_ratio
from mien.records import Estimate
from mien.stats.cells import Ints, bootstrap_counts
from mien.stats.gap_intervals import ratio_interval
from mien.stats.intervals import effective_trials, undefined, wilson
from mien.stats.settings import Settings

Array = NDArray[np.float64]
_TINY = 1e-9


@dataclass(frozen=True)
class Distribution:
    """Faces by group.

    Attributes:
        n: Faces of known group.
        n_clusters: Independent units among them.
        counts: Group -> faces.
        shares: Group -> share of the n faces.
    """

    n: int
    n_clusters: int
    counts: dict[str, int]
    shares: dict[str, Estimate]


@dataclass(frozen=True)
class Representation:
    """Representational bias: how evenly the groups are represented.

    Attributes:
        n_groups: Groups, those without faces among them.
        effective: Effective number of groups: as many equally large ones would be as diverse.
        evenness: Entropy of the mix over that of equal shares: 1 is even.
        imbalance: Faces of the largest over those of the smallest group.
        largest: The largest group.
        smallest: The smallest.
    """

    n_groups: int
    effective: Estimate
    evenness: Estimate
    imbalance: Estimate
    largest: str
    smallest: str


@dataclass(frozen=True)
class Counted:
    """Faces by base (a group, a split, everybody) and category, and how sure each share of a base is.

    Attributes:
        counts: ``(B, C)`` faces.
        units: ``(B, C)`` independent units with such a face.
        totals: ``(B,)`` faces of each base.
        total_units: ``(B,)`` units of each base.
        trials: ``(B, C)`` independent faces that each share of a base is worth; NaN without faces.
    """

    counts: Ints
    units: Ints
    totals: Ints
    total_units: Ints
    trials: Array


def count_shares(base: Ints, n_base: int, category: Ints, n_category: int, unit: Ints | None, level: float) -> Counted:
    """Count faces by base and category.

    The variance of a share sums over units what their faces depart from it (Liang and Zeger 1986),
    as in :func:`mien.stats.intervals.mean_estimate`.

    Args:
        base: ``(n,)`` codes below B.
        n_base: B.
        category: ``(n,)`` codes below C.
        n_category: C.
        unit: ``(n,)`` codes of independent units; None where each face is its own.
        level: Coverage that intervals will aim at.
    """
    cell = base * n_category + category
    counts = np.bincount(cell, minlength=n_base * n_category).reshape(n_base, n_category)
    totals = counts.sum(1)
    share = np.divide(counts, totals[:, None], out=np.full(counts.shape, np.nan), where=totals[:, None] > 0)
    if unit is None:
        trials = np.where(np.isnan(share), np.nan, totals[:, None].astype(np.float64))
        return Counted(counts, counts, totals, totals, trials)
    in_base, faces_in_base = np.unique(unit * n_base + base, return_counts=True)
    in_cell, faces_in_cell = np.unique(unit * (n_base * n_category) + cell, return_counts=True)
    of_base, of_cell = in_base % n_base, in_cell % (n_base * n_category)
    beside = faces_in_base[np.searchsorted(in_base, in_cell // n_category)]

    def per_cell(values: Ints) -> Array:
        summed = np.bincount(of_cell, values, minlength=counts.size)
        return np.asarray(summed, dtype=np.float64).reshape(counts.shape)

    units = np.bincount(of_base, minlength=n_base)
    squares = np.bincount(of_base, faces_in_base**2, minlength=n_base)[:, None]
    departures = per_cell(faces_in_cell**2) - 2 * share * per_cell(faces_in_cell * beside) + share**2 * squares
    few = np.where(units > 1, units / np.maximum(units - 1, 1), np.nan)[:, None]
    variance = few * np.maximum(departures, 0) / np.maximum(totals[:, None], 1) ** 2.0
    trials = np.full(counts.shape, np.nan)
    for b, c in np.argwhere(totals[:, None] > np.zeros(n_category)):
        n, m = int(totals[b]), int(units[b])
        single = m >= n
        trials[b, c] = n if single else float(effective_trials(float(share[b, c]), n, m, float(variance[b, c]), level))
    return Counted(counts, per_cell(np.ones_like(in_cell)).astype(np.int64), totals, units, trials)


def share_of(counted: Counted, base: int, category: int, level: float, note: str = "") -> Estimate:
    """The share of a category among the faces of a base, with Wilson's interval for its effective trials."""
    n, units = int(counted.totals[base]), int(counted.total_units[base])
    if n == 0:
        return undefined(0, 0, note or "no faces", level)
    share, trials = float(counted.counts[base, category]) / n, float(counted.trials[base, category])
    low, high = wilson(share * trials, trials, level)
    method = "wilson" if units >= n else "wilson, effective trials"
    return Estimate(share, low, high, level=level, method=method, n=n, clusters=units, seed=None, note=note)


def distributions(
    base: Ints, bases: Sequence[str], category: Ints, groups: Sequence[str], unit: Ints | None, level: float
) -> dict[str, Distribution]:
    """The distribution over groups within each base; bases without faces stand there too.

    Args:
        base: ``(n,)`` codes of the bases.
        bases: Their names.
        category: ``(n,)`` codes of the groups.
        groups: Their names.
        unit: ``(n,)`` codes of independent units, or None.
        level: Coverage of the intervals.
    """
    counted = count_shares(base, len(bases), category, len(groups), unit, level)
    return {
        name: Distribution(
            int(counted.totals[b]),
            int(counted.total_units[b]),
            {g: int(counted.counts[b, i]) for i, g in enumerate(groups)},
            {g: share_of(counted, b, i, level) for i, g in enumerate(groups)},
        )
        for b, name in enumerate(bases)
    }


def representation(
    category: Ints, groups: Sequence[str], unit: Ints | None, *, settings: Settings, rng: np.random.Generator
) -> Representation:
    """How evenly the groups are represented, with intervals.

    ln G minus the entropy is the divergence from equal shares; its interval is that of
    :func:`divergence_interval`. The imbalance ratio's is simultaneous over all pairs of groups, since
    the largest and the smallest are picked by their sizes.

    Args:
        category: ``(n,)`` codes of groups.
        groups: The G names.
        unit: ``(n,)`` codes of independent units, or None.
        settings: Coverage, replicates.
        rng: Source of randomness.
    """
    level, n_boot = settings.level, settings.n_boot
    counts = np.bincount(category, minlength=len(groups))
    n, n_units = len(category), len(category) if unit is None else int(unit.max()) + 1
    g = len(groups)
    if n == 0 or g < 2:
        none = undefined(n, n_units, "no faces" if n == 0 else "one group only", level)
        return Representation(g, none, none, none, "", "")
    low, high = _divergence_ends(category, counts, unit, level)
    top = np.log(g)
    method = "noncentral chi-squared"

    def estimate(value: float, ends: tuple[float, float]) -> Estimate:
        return Estimate(value, min(*ends, value), max(*ends, value), level=level, method=method, n=n, clusters=n_units)

    return Representation(
        g,
        estimate(float(effective_number(counts)), (float(np.exp(top - high)), float(np.exp(top - low)))),
        estimate(float(evenness(counts)), (float(1 - high / top), float(1 - low / top))),
        _imbalance(counts, groups, category, unit, level, n_boot, rng),
        groups[int(counts.argmax())],
        groups[int(counts.argmin())],
    )


def _divergence_ends(category: Ints, counts: Ints, unit: Ints | None, level: float) -> tuple[float, float]:
    """The interval of ln G - entropy, at most ln G."""
    n, g = int(counts.sum()), len(counts)
    share = counts / n
    influence = np.log(share[category]) - (share[counts > 0] * np.log(share[counts > 0])).sum()
    variance = influence_variance(influence, unit)
    # The mean of the generalised design effects (Rao and Scott 1981): how much copies inflate the statistic.
    spread = [influence_variance((category == i) - share[i], unit) / share[i] for i in np.flatnonzero(counts)]
    inflation = max(n * sum(spread) / max((counts > 0).sum() - 1, 1), 1.0) if unit is not None else 1.0
    divergence = float(np.log(g) - entropy(counts))
    low, high = divergence_interval(divergence, (g - 1) * inflation / (2 * n), g - 1, variance, level)
    return low, min(high, float(np.log(g)))


def influence_variance(influence: Array, unit: Ints | None) -> float:
    """The variance of a mean of influences, robust to dependence within units.

    Args:
        influence: ``(n,)`` what each face adds to the statistic, times n; means 0.
        unit: ``(n,)`` codes of independent units, or None.
    """
    summed = influence if unit is None else np.bincount(unit, weights=influence)
    m = len(summed)
    return m / max(m - 1, 1) * float((summed**2).sum()) / len(influence) ** 2


def divergence_interval(
    value: float, expected: float, freedom: float, variance: float, level: float
) -> tuple[float, float]:
    """An interval for a divergence: entropy missing to equal shares, mutual information, phi squared.

    Such a statistic is never negative, and above 0 on average where the truth is 0. Without its bias
    and times a constant c it follows a noncentral chi-squared law (less its degrees of freedom)
    whose noncentrality is c times the truth; the interval holds the truths under which the observed
    value is in neither tail. Where the truth is 0, c is ``freedom / expected``; far from 0 the law's
    variance, 4 times the value over c, has to be the statistic's own. The smaller c is taken, so the wider law.

    Args:
        value: The plain statistic.
        expected: Its mean where the truth is 0: its bias.
        freedom: Degrees of freedom of that law.
        variance: Its variance at the truth, from influences.
        level: Coverage aimed at.

    Returns:
        ``(low, high)``, 0 or more.
    """
    scale = freedom / expected
    if variance > 0 and value > 0:  # of a statistic of exactly 0, a variance is what rounding left
        scale = min(scale, 4 * value / variance)
    at = scale * (value - expected) + freedom
    if at <= 0:
        return 0.0, 0.0
    tail = (1 - level) / 2
    # Where no noncentrality makes so small a value likely to be exceeded, scipy says NaN or next to 0.
    low, high = (float(np.nan_to_num(chndtrinc(at, freedom, p))) for p in (1 - tail, tail))
    return _not_tiny(low) / scale, _not_tiny(high) / scale


def _not_tiny(noncentrality: float) -> float:
    return noncentrality if noncentrality > _TINY else 0.0


def _imbalance(
    counts: Ints,
    groups: Sequence[str],
    category: Ints,
    unit: Ints | None,
    level: float,
    n_boot: int,
    rng: np.random.Generator,
) -> Estimate:
    n, n_units = int(counts.sum()), int(counts.sum()) if unit is None else int(unit.max()) + 1
    empty = [g for g, count in zip(groups, counts, strict=True) if count == 0]
    if empty:
        more = "" if len(empty) == 1 else f" and {len(empty) - 1} more"
        return undefined(n, n_units, f"no face of {empty[0]}{more}", level)
    drawn = np.concatenate(list(bootstrap_counts(category, unit, len(groups), n_boot, rng)))
    totals = np.maximum(drawn.sum(1, keepdims=True), 1)
    shares = (counts / n)[None]
    trials = np.full((1, len(groups)), float(n))
    if n_units < n:
        trials = effective_trials(shares, n, n_units, (drawn / totals).var(0), level)
    # Shares of one corpus move against each other: where one group has more faces, another has fewer.
    low, high = ratio_interval(shares, (drawn / totals)[:, None], trials, level, crossed=True)
    value = float(imbalance_ratio(counts))
    ends = (1 / high, 1 / low if low > 0 else float("inf"))
    return Estimate(
        value,
        min(ends[0], value),
        max(ends[1], value),
        level=level,
        method="simultaneous bootstrap",
        n=n,
        clusters=n_units,
    )
