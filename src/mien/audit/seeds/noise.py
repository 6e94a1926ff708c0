"""One model trained with several seeds: which part of a gap is the procedure's, and which the seeds'.

A run's value for a group has three sources of noise: which faces were sampled (the same for all
runs), the seed, and single faces that flip between runs. With k runs the second and third shrink as
1/k, the first does not. What the procedure does is the mean over all seeds and all faces; its gap
is judged against both kinds of noise, with few seeds paid for by Student's t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.special import stdtrit

from mien.audit.attributes import Attribute
from mien.audit.gaps import HEADLINE_METRICS
from mien.audit.seeds.results import (
    CANNOT_TELL,
    SeedGap,
    SeedValue,
)
from mien.audit.vocabulary import TOO_FEW
from mien.metrics import per_class_recall
from mien.records import Estimate
from mien.stats.cells import Ints, Rows
from mien.stats.intervals import permutation_p, undefined, wilson
from mien.stats.settings import Settings

Array = NDArray[np.float64]
_STEP = 0.01  # faces; the metrics are smooth in the counts


@dataclass(frozen=True)
class Spread:
    """A metric of G groups in k runs, and where its noise comes from.

    Attributes:
        values: ``(k, G)``; NaN where undefined.
        sampling: ``(G, G)`` covariance that the sample of faces gives the means over all seeds.
        flips: ``(G,)`` variance that single faces flipping between runs give one run.
    """

    values: Array
    sampling: Array
    flips: Array

    def part(self, groups: Sequence[int]) -> Spread:
        """Some of the groups."""
        index = np.asarray(groups, dtype=np.int64)
        return Spread(self.values[:, index], self.sampling[np.ix_(index, index)], self.flips[index])

    def run_variance(self) -> Array:
        """``(G,)`` variance of a run about the mean over seeds; never less than flips alone explain."""
        return np.asarray(np.maximum(self.values.var(0, ddof=1), self.flips))


def spreads_of(rows: Sequence[Rows], less: Sequence[Rows] | None = None) -> dict[tuple[str, int], Spread]:
    """Every headline metric, and the recall of every class, as :class:`Spread`.

    The variance over faces is the infinitesimal jackknife's (Efron 1982), the limit of a bootstrap
    over units: a metric's derivative in each cell of the counts is the influence of the faces there,
    summed within units. The influence of a face on the mean over runs, and how it varies between
    runs, part the noise that all runs share from that of flips.

    Args:
        rows: One for each run, the same faces in the same order.
        less: Runs of another model on these faces, as many: then the spreads are of the differences, run by run.

    Returns:
        (metric, class) -> spread; the class is 0 except for ``recall``.
    """
    first = rows[0]
    g, k = first.n_groups, first.n_classes
    unit = np.arange(len(first), dtype=np.int64) if first.cluster is None else first.cluster
    joint, code = np.unique(unit * g + first.group, return_inverse=True)
    owner, code = joint % g, code.reshape(-1)
    units = np.bincount(owner, minlength=g).astype(np.int64)
    spans = len(np.unique(joint // g)) < len(joint)
    keys = [(m, 0) for m in HEADLINE_METRICS] + [("recall", c) for c in range(k)]
    found = _influences(rows, keys, code, len(joint))
    others = None if less is None else _influences(less, keys, code, len(joint))
    out = {}
    for key in keys:
        values, influence = found[key]
        if others is not None:
            values, influence = values - others[key][0], influence - others[key][1]
        out[key] = _spread(values, influence, owner, units, joint // g if spans else None)
    return out


def _influences(
    rows: Sequence[Rows], keys: Sequence[tuple[str, int]], code: Ints, n: int
) -> dict[tuple[str, int], tuple[Array, Array]]:
    """Of each metric: ``(runs, G)`` values, and ``(runs, n)`` influences of the faces of each unit in a group."""
    derivatives = [_derivatives(r.tables().astype(np.float64)) for r in rows]
    out = {}
    for key in keys:
        influence = [
            np.bincount(code, weights=slope[key][r.group, r.pairs], minlength=n)
            for r, (_, slope) in zip(rows, derivatives, strict=True)
        ]
        out[key] = np.stack([value[key] for value, _ in derivatives]), np.stack(influence).astype(np.float64)
    return out


def _derivatives(tables: Array) -> tuple[dict[tuple[str, int], Array], dict[tuple[str, int], Array]]:
    """Values ``(G,)`` of each metric, and their derivatives ``(G, K * K)`` in each cell of the counts."""
    g, k = tables.shape[:2]
    bump = _STEP * np.eye(k * k).reshape(k * k, k, k)
    both = tables[:, None, None] + np.stack([bump, -bump])[None]
    values, slopes = {}, {}
    for name, metric in HEADLINE_METRICS.items():
        up_down = metric(both)
        values[name, 0] = np.asarray(metric(tables))
        slopes[name, 0] = (up_down[:, 0] - up_down[:, 1]) / (2 * _STEP)
    recall, up_down = per_class_recall(tables), per_class_recall(both)
    for c in range(k):
        values["recall", c] = recall[:, c]
        slopes["recall", c] = np.nan_to_num((up_down[:, 0, :, c] - up_down[:, 1, :, c]) / (2 * _STEP))
    return values, slopes


def _spread(values: Array, influence: Array, owner: Ints, units: Ints, unit: Ints | None) -> Spread:
    """Part the noise; ``unit`` is given where units have faces in several groups."""
    k, g = values.shape
    mean = influence.mean(0)
    more = units / np.maximum(units - 1, 1)
    flips = np.bincount(owner, weights=((influence - mean) ** 2).sum(0), minlength=g) * more / (k - 1)
    own = np.bincount(owner, weights=mean**2, minlength=g) * more
    shared = np.maximum(own - flips / k, 0.0)
    sampling = np.diag(shared)
    if unit is not None:
        matrix = coo_matrix((mean, (np.unique(unit, return_inverse=True)[1].reshape(-1), owner))).tocsr()
        scale = np.sqrt(np.divide(shared, own, out=np.zeros(g), where=own > 0) * more)
        together = np.zeros((g, g))
        found = (matrix.T @ matrix).toarray()
        together[: len(found), : len(found)] = found
        sampling = together * np.outer(scale, scale)
    # Where every run is at 0 or 1, no face shows any variation.
    edge = ((values == 0).all(0) | (values == 1).all(0)) & (units > 0)
    for i in np.flatnonzero(edge):
        low, high = wilson(values[0, i] * units[i], float(units[i]))
        sampling[i, i] = max(sampling[i, i], ((high - low) / (2 * NormalDist().inv_cdf(0.975))) ** 2)
    return Spread(values, sampling, flips)


def interval_over_seeds(value: float, sampling: float, runs: float, k: int, level: float) -> tuple[float, float]:
    """An interval for a mean over k runs: normal for the faces and Student's for the seeds, added as squares.

    Chosen over Satterthwaite's degrees of freedom, which cover 86 % with two runs whose spread is
    small by chance; this covers 94 % to 100 % with 2 to 10 runs.

    Args:
        value: The mean.
        sampling: Its variance from the faces, taken as known.
        runs: The variance of one run, from k - 1 degrees of freedom.
        k: Runs.
        level: Coverage aimed at.
    """
    faces = NormalDist().inv_cdf(0.5 + level / 2) ** 2 * sampling
    seeds = float(stdtrit(k - 1, 0.5 + level / 2)) ** 2 * runs / k
    half = float(np.sqrt(faces + seeds))
    return value - half, value + half


def over_seeds(values: Array, level: float, n: int, within: tuple[float, float] = (-np.inf, np.inf)) -> Estimate:
    """The mean over seeds with an interval for all faces and all seeds.

    Args:
        values: ``(S, 1 + B)``: each seed's value on the faces as they are, then on replicates of them.
        level: Coverage.
        n: Faces behind it.
        within: Where no value can lie outside, so that no interval does.
    """
    seeds = values[:, 0]
    if np.isnan(seeds).any():
        return Estimate(float("nan"), level=level, n=n, note="undefined")
    replicates = values[:, 1:].mean(0)
    replicates = replicates[~np.isnan(replicates)]
    mean, sampling = float(seeds.mean()), float(replicates.var(ddof=1)) if len(replicates) > 1 else float("nan")
    if len(seeds) < 2 or np.isnan(sampling):
        return Estimate(mean, level=level, n=n, note="one seed")
    low, high = interval_over_seeds(mean, sampling, float(seeds.var(ddof=1)), len(seeds), level)
    low, high = max(low, within[0]), min(high, within[1])
    return Estimate(mean, low, high, level=level, method="bootstrap over units and student over seeds", n=n)


def seed_value(spread: Spread, g: int, n: int, units: int, note: str, settings: Settings) -> SeedValue:
    """One number of group ``g`` over the runs."""
    values, nan = spread.values[:, g], float("nan")
    if not n or np.isnan(values).any():
        return SeedValue(undefined(n, units, note or "undefined", settings.level), values.tolist(), nan, nan, nan)
    sampling, runs, flips = float(spread.sampling[g, g]), float(spread.run_variance()[g]), float(spread.flips[g])
    low, high = interval_over_seeds(float(values.mean()), sampling, runs, len(values), settings.level)
    mean = Estimate(
        float(values.mean()),
        max(low, 0.0),
        min(high, 1.0),
        level=settings.level,
        method="student over seeds and faces",
        n=n,
        clusters=units,
        seed=None,
        note=note,
    )
    return SeedValue(
        mean, values.tolist(), float(np.sqrt(sampling)), float(np.sqrt(runs)), float(np.sqrt(max(runs - flips, 0.0)))
    )


def spread_of_scores(scores: Array, cluster: Ints | None) -> Spread:
    """Of a metric that is the mean of one score a face, or of the difference of two such: one group of all faces.

    Args:
        scores: ``(k, n)`` score of each face in each run.
        cluster: ``(n,)`` independent units; None where every face is one.
    """
    k, n = scores.shape
    unit = np.arange(n) if cluster is None else np.unique(cluster, return_inverse=True)[1].reshape(-1)
    units = int(unit.max()) + 1
    means = scores.mean(1)
    influence = np.stack([np.bincount(unit, weights=scores[i] - means[i], minlength=units) / n for i in range(k)])
    owner = np.zeros(units, dtype=np.int64)
    return _spread(means[:, None], influence, owner, np.array([units], dtype=np.int64), None)


def estimate_of(
    spread: Spread, n: int, units: int, settings: Settings, how: str = "", within: tuple[float, float] | None = None
) -> Estimate:
    """The mean over seeds of one group, with an interval for all seeds and all faces.

    Args:
        spread: Of one group.
        n: Faces.
        units: Independent ones.
        settings: Coverage.
        how: What the method's name adds.
        within: What the value cannot leave.
    """
    values = spread.values[:, 0]
    sampling, runs = float(spread.sampling[0, 0]), float(spread.run_variance()[0])
    low, high = interval_over_seeds(float(values.mean()), sampling, runs, len(values), settings.level)
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    method = ", ".join(filter(None, ("student over seeds and faces", how)))
    return Estimate(float(values.mean()), low, high, level=settings.level, method=method, n=n, clusters=units)


@dataclass(frozen=True, kw_only=True)
class GapNoise:
    """What equal groups would show, and the interval of the gap of means.

    Attributes:
        low: Lower end of the interval.
        high: Upper end.
        p: See :class:`SeedGap`, as the rest.
        expected: As above.
        seed_gap: As above.
        seed_gap_high: As above.
        runs: ``(G,)`` variance of one run about the mean over seeds, what all groups share left out.
    """

    low: float
    high: float
    p: float
    expected: float
    seed_gap: float
    seed_gap_high: float
    runs: Array


def gap_noise(spread: Spread, level: float, n_boot: int, rng: np.random.Generator) -> GapNoise:
    """The interval of the gap between mean values, and its p-value.

    Noise of the means is drawn many times: normal for the faces, and for the seeds normal over the
    root of a chi-square, as for Student's t. What a seed does to all groups alike leaves the gap as
    it is and is taken out first. A few runs tell little of one group's variance between seeds, so each
    group gets the larger of its own and the one pooled over groups (beyond the flips, which the
    faces tell), with half of the pooled degrees of freedom, and at least k - 1. The interval is from
    simultaneous intervals of all pairs, like an audit's.

    Chosen by simulation for k = 2, 3, 5 and 10 runs, 2 to 14 groups, even and uneven, with seed noise
    equal, growing in small groups or moving half of the groups against the other half: coverage 92 %
    to 100 % where 95 % is aimed at, and false alarms of 0 % to 8 % at 5 %
    (``benchmarks/compare.py``). Resampling runs and faces falls to 8 % with up to 32 % false alarms,
    the faces alone to 3 % with up to 96 %. Student's t with each group's own k - 1 degrees of
    freedom holds too, but with 3 runs it finds a gap of 0.05 among 7 groups of 1,000 in 9 % of cases,
    where this finds it in about 40 %.

    Args:
        spread: The groups that take part, two or more.
        level: Coverage aimed at.
        n_boot: Draws.
        rng: Source of randomness.
    """
    k, g = spread.values.shape
    mean = spread.values.mean(0)
    residual = spread.values - mean
    residual = residual - residual.mean(1, keepdims=True)
    own = (residual**2).sum(0) / (k - 1) * g / (g - 1)
    pooled = max(float((own - spread.flips).mean()), 0.0) + spread.flips
    runs = np.maximum(own, pooled)
    freedom = max(k - 1.0, (k - 1) * (g - 1) / 2)
    faces = rng.standard_normal((n_boot, g)) @ _root(spread.sampling)
    seeds = rng.standard_normal((n_boot, g)) * np.sqrt(runs / k)
    student = faces + seeds / np.sqrt(rng.chisquare(freedom, n_boot) / freedom)[:, None]
    low, high = _all_pairs(mean, student, spread.sampling, runs / k, level)
    alone = np.ptp(seeds, axis=1) * np.sqrt(k)
    return GapNoise(
        low=low,
        high=high,
        p=permutation_p(float(np.ptp(mean)), np.ptp(student, axis=1)),
        expected=float(np.ptp(faces + seeds, axis=1).mean()),
        seed_gap=float(alone.mean()),
        seed_gap_high=float(np.quantile(alone, 0.95)),
        runs=runs,
    )


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)


def _all_pairs(mean: Array, noise: Array, sampling: Array, seeds: Array, level: float) -> tuple[float, float]:
    """Simultaneous intervals of all pairs, whose largest ends bound the largest difference."""
    variance = np.diag(sampling) + seeds
    largest, distances, spreads = np.zeros(len(noise)), [], []
    for i in range(len(mean) - 1):
        spread = np.sqrt(np.maximum(variance[i] + variance[i + 1 :] - 2 * sampling[i, i + 1 :], 1e-24))
        largest = np.maximum(largest, (np.abs(noise[:, i : i + 1] - noise[:, i + 1 :]) / spread).max(1))
        distances.append(np.abs(mean[i] - mean[i + 1 :]))
        spreads.append(spread)
    reach = max(float(np.quantile(largest, level)), NormalDist().inv_cdf(0.5 + level / 2)) * np.concatenate(spreads)
    distance = np.concatenate(distances)
    return max(float((distance - reach).max()), 0.0), min(float((distance + reach).max()), 1.0)


def _run_gap(spread: Spread, level: float, n_boot: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """The mean of the runs' gaps, with Student's interval over seeds and faces."""
    gaps = np.ptp(spread.values, axis=1)
    faces = rng.standard_normal((n_boot, spread.values.shape[1])) @ _root(spread.sampling)
    drawn = np.mean([np.ptp(run + faces, axis=1) for run in spread.values], axis=0)
    low, high = interval_over_seeds(float(gaps.mean()), float(drawn.var()), float(gaps.var(ddof=1)), len(gaps), level)
    return float(gaps.mean()), max(low, 0.0), min(high, 1.0)


def seed_gap_of(
    metric: str,
    class_name: str,
    spread: Spread,
    part: list[int],
    behind: tuple[int, int],
    who: Attribute,
    settings: Settings,
) -> SeedGap:
    """The gap of one metric over the groups ``part``, not yet judged; ``behind`` are its faces and units."""
    (n, units), names, stream = behind, who.groups, f"{who.name} {metric} {class_name}"
    k, nan = len(spread.values), float("nan")
    if len(part) < 2:
        nothing = undefined(n, units, "fewer than two groups with enough faces", settings.level)
        return SeedGap(
            metric=metric,
            class_name=class_name,
            value=nothing,
            run_gap=nothing,
            gaps=[],
            worst="",
            best="",
            worst_by_run=[],
            same_worst=False,
            expected=nan,
            seed_gap=nan,
            seed_gap_high=nan,
            p=nan,
            p_adjusted=nan,
            seeds_needed=0,
            n_groups=len(part),
            verdict=TOO_FEW,
        )
    own = spread.part(part)
    noise = gap_noise(own, settings.level, settings.n_boot, settings.stream(stream, "seeds"))
    run_gap = _run_gap(own, settings.level, settings.n_boot, settings.stream(stream, "seeds, one run"))
    mean = own.values.mean(0)
    worst, best = int(mean.argmin()), int(mean.argmax())
    last = [names[part[i]] for i in own.values.argmin(1)]
    faces = own.sampling[worst, worst] + own.sampling[best, best] - 2 * own.sampling[worst, best]
    needed = float(noise.runs[worst] + noise.runs[best]) / float(faces) if faces > 0 else 0.0
    return SeedGap(
        metric=metric,
        class_name=class_name,
        value=Estimate(
            float(np.ptp(mean)),
            noise.low,
            noise.high,
            level=settings.level,
            method="simultaneous, seeds and faces",
            n=n,
            clusters=units,
            seed=settings.seed,
        ),
        run_gap=Estimate(
            *run_gap,
            level=settings.level,
            method="student over seeds and faces",
            n=n,
            clusters=units,
            seed=settings.seed,
        ),
        gaps=np.ptp(own.values, axis=1).tolist(),
        worst=names[part[worst]],
        best=names[part[best]],
        worst_by_run=last,
        same_worst=len(set(last)) == 1,
        expected=noise.expected,
        seed_gap=noise.seed_gap,
        seed_gap_high=noise.seed_gap_high,
        p=noise.p,
        p_adjusted=nan,
        seeds_needed=max(2, int(np.ceil(min(needed, 1e6)))) if faces > 0 else 0,
        n_groups=len(part),
        verdict=CANNOT_TELL.format(k),
    )
