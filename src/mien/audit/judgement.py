"""From group values, replicates and null to a gap with its interval, expectation, p-value and power."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.audit.gaps import FALSE_POSITIVES, Contrast
from mien.audit.results import GapResult
from mien.audit.vocabulary import DISPARITY, LOWER_IS_BETTER, NOT_SHOWN, NOT_TESTABLE, TOO_FEW
from mien.metrics import min_max_ratio, reduce_components
from mien.metrics.fairness import DISTANCE, RATIO
from mien.records import Estimate
from mien.stats.gap_intervals import gap_interval, ratio_interval
from mien.stats.intervals import percentile, permutation_p, share_estimate, undefined
from mien.stats.limits import estimate_limits, share_limits
from mien.stats.multiplicity import SIGNIFICANT

Array = NDArray[np.float64]
_NO_GROUPS = "fewer than two groups with enough faces"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that one gap is judged by.

    Attributes:
        values: ``(C, G)`` observed values, NaN where a group takes no part.
        replicates: ``(b, C, G)`` bootstrap replicates.
        null: ``(b,)`` the statistic under no disparity.
        estimates: The groups' own estimates where there is one component, or None.
        sizes: ``(G,)`` faces of the groups.
        units: ``(G,)`` independent units of the groups.
        tested: ``(G,)`` groups with a face annotated as a face of another group is; None for all.
        crossed: Whether units have faces in several groups.
        interval: The gap's interval where the measure brings one of its own.
    """

    values: Array
    replicates: Array
    null: Array
    estimates: Sequence[Estimate] | None = None
    sizes: NDArray[np.int64] | None = None
    units: NDArray[np.int64] | None = None
    tested: NDArray[np.bool_] | None = None
    crossed: bool = False
    interval: tuple[float, float] | None = None


def judge(measure: Contrast, groups: Sequence[str], evidence: Evidence, level: float, seed: int) -> GapResult:
    """The gap of one measure; its p-value is adjusted later, over all gaps of the audit."""
    n_groups = int((~np.isnan(evidence.values)).any(0).sum())
    observed = float(reduce_components(evidence.values[None], measure.kind)[0])
    n, units = _behind(evidence, measure)
    nan = float("nan")
    if np.isnan(observed):
        return GapResult(
            metric=measure.name,
            class_name=measure.class_name,
            value=undefined(n, units, measure.note or _NO_GROUPS, level),
            worst="",
            best="",
            worst_value=None,
            best_value=None,
            expected=nan,
            expected_high=nan,
            p=nan,
            p_adjusted=nan,
            n_groups=n_groups,
            verdict=TOO_FEW,
            kind=measure.kind,
            family=measure.family,
        )
    component, worst, best = _extremes(measure, evidence.values)
    low, high = _interval(measure, evidence, level)
    inside = (min(low, observed), max(high, observed)) if not math.isnan(low) else (low, high)
    method = "simultaneous, sides of each group" if measure.kind != DISTANCE else "bootstrap, triangle inequality"
    if evidence.interval is not None:
        method = "intervals of all groups at once"
    value = Estimate(observed, *inside, level=level, method=method, n=n, clusters=units, seed=seed)
    sign = -1.0 if measure.kind == RATIO else 1.0
    testable = _testable(evidence)
    null = evidence.null if testable else evidence.null[:0]
    defined = null[~np.isnan(null)]
    tail = 0.05 if measure.kind == RATIO else 0.95
    expected, limit = (float(defined.mean()), float(np.quantile(defined, tail))) if len(defined) else (nan, nan)
    return GapResult(
        metric=measure.name,
        class_name=measure.class_name,
        value=value,
        worst=groups[worst],
        best=groups[best],
        worst_value=_end(measure, evidence, component, worst, level),
        best_value=_end(measure, evidence, component, best, level),
        expected=expected,
        expected_high=limit,
        p=permutation_p(sign * observed, sign * null),
        p_adjusted=nan,
        n_groups=n_groups,
        verdict=NOT_SHOWN if testable else NOT_TESTABLE,
        note="; ".join(filter(None, [measure.components[component] if measure.kind != DISTANCE else "", measure.note])),
        kind=measure.kind,
        family=measure.family,
    )


def _testable(evidence: Evidence) -> bool:
    """Whether chance could have dealt the faces otherwise: two groups that take part share an annotated class."""
    part = (~np.isnan(evidence.values)).any(0)
    return evidence.tested is None or int((part & evidence.tested).sum()) >= 2


def _behind(evidence: Evidence, measure: Contrast) -> tuple[int, int]:
    """Faces and units behind a gap."""
    if evidence.estimates is not None:
        part = [e for e, v in zip(evidence.estimates, evidence.values[0], strict=True) if not math.isnan(v)]
        return sum(e.n for e in part), sum(e.clusters for e in part)
    if evidence.sizes is None or evidence.units is None:
        return 0, 0
    there = np.flatnonzero((~np.isnan(evidence.values)).any(0))
    return int(evidence.sizes[there].sum()), int(evidence.units[there].sum())


def _extremes(measure: Contrast, values: Array) -> tuple[int, int, int]:
    """The component that decides, and its worst and best group."""
    gaps = np.nan_to_num(np.nanmax(_filled(values, -np.inf), 1) - np.nanmin(_filled(values, np.inf), 1), neginf=-1.0)
    if measure.kind == RATIO:
        gaps = -np.where(np.isnan(ratios := min_max_ratio(values)), np.inf, ratios)
    component = int(gaps.argmax())
    smallest = int(_filled(values, np.inf)[component].argmin())
    largest = int(_filled(values, -np.inf)[component].argmax())
    if measure.kind == DISTANCE:
        component, smallest, largest = 0, *_furthest(values)
    worse_is_more = measure.lower or measure.name in LOWER_IS_BETTER
    worse_is_more = worse_is_more or measure.components[component].startswith(FALSE_POSITIVES)
    return (component, largest, smallest) if worse_is_more else (component, smallest, largest)


def _furthest(values: Array) -> tuple[int, int]:
    part = np.flatnonzero(~np.isnan(values).any(0))
    apart = np.abs(values[:, part, None] - values[:, None, part]).sum(0)
    i, j = np.unravel_index(int(apart.argmax()), apart.shape)
    return int(part[i]), int(part[j])


def _filled(values: Array, fill: float) -> Array:
    return np.where(np.isnan(values), fill, values)


def _interval(measure: Contrast, evidence: Evidence, level: float) -> tuple[float, float]:
    values, drawn = evidence.values, evidence.replicates
    if evidence.interval is not None:
        return evidence.interval
    if measure.kind == DISTANCE:
        return _distance_interval(values, drawn, level)
    trials = _independent_trials(measure, evidence)
    units = _dependent_units(measure)
    limits = None if evidence.estimates is None else estimate_limits(evidence.estimates)
    if measure.kind == RATIO:
        of_shares = limits if trials is None else None
        return ratio_interval(values, drawn, trials, level, of_shares, units=units, crossed=evidence.crossed)
    if limits is None and trials is not None:
        limits = share_limits(values, trials, units)
    shares = measure.trials is not None or (measure.bounded and measure.name not in LOWER_IS_BETTER)
    bounds = (0.0, 1.0) if shares else (0.0, np.inf)
    return gap_interval(values, drawn, level, limits, bounds, evidence.crossed)


def _dependent_units(measure: Contrast) -> Array | None:
    """``(1, G)`` units of equal size that tell how dependent a group's faces are; None where each face is a unit."""
    if measure.trials is None or measure.units is None or not (measure.units < measure.trials).any():
        return None
    behind = measure.units if measure.worth is None else measure.worth
    dependent = measure.units < measure.trials
    most = np.where(dependent, behind, 0.0).max(0, keepdims=True)
    return np.asarray(np.where(dependent.any(0, keepdims=True), most, np.inf))


def _independent_trials(measure: Contrast, evidence: Evidence) -> Array | None:
    """``(C, G)`` independent faces that each share is worth; None where the measure is not of shares.

    How alike the faces of a unit are (their intraclass correlation) is taken from all components of a group
    together, as what their variances exceed the binomial ones by: of a class with three bursts of five, the
    own variance is the smaller the more extreme the share is, and fourteen rates at once find that.
    """
    if measure.trials is None:
        return None
    trials = np.broadcast_to(np.asarray(measure.trials, np.float64), evidence.values.shape)
    if measure.units is None or not (measure.units < measure.trials).any():
        return np.array(trials)
    units = np.broadcast_to(np.asarray(measure.units, np.float64), trials.shape)
    worth = units if measure.worth is None else np.broadcast_to(measure.worth, trials.shape)
    defined = ~np.isnan(evidence.replicates)
    departure = np.where(defined, evidence.replicates - evidence.values, 0.0)
    variance = (departure**2).sum(0) / np.maximum(defined.sum(0), 1)
    variance = variance * units / np.maximum(units - 1, 1)  # a bootstrap of few units sees too little
    binomial = evidence.values * (1 - evidence.values) / np.maximum(trials, 1)
    usable = (binomial > 0) & (units < trials) & (units > 1)
    inflation = np.divide(variance, binomial, out=np.ones(trials.shape), where=usable)
    excess = np.divide(trials, worth, out=np.ones(trials.shape), where=worth > 0) - 1
    seen, possible = (np.where(usable, trials * x, 0.0).sum(0) for x in (inflation - 1, excess))
    alike = np.clip(np.divide(seen, possible, out=np.ones(len(seen)), where=possible > 0), 0.0, 1.0)
    return np.asarray(np.maximum(trials / (1 + excess * alike), 0.5))


def _distance_interval(values: Array, drawn: Array, level: float) -> tuple[float, float]:
    """The distance give or take what distances between departures of the bootstrap reach: the triangle inequality."""
    departure = np.where(np.isnan(values), np.nan, drawn - values)
    reach = float(np.nanquantile(reduce_components(departure, DISTANCE), level))
    observed = float(reduce_components(values[None], DISTANCE)[0])
    return max(observed - reach, 0.0), min(observed + reach, 1.0)


def _end(measure: Contrast, evidence: Evidence, component: int, group: int, level: float) -> Estimate | None:
    """The estimate of the worst or best group; of a distance it is no single number."""
    if measure.kind == DISTANCE:
        return None
    if evidence.estimates is not None:
        return evidence.estimates[group]
    value = float(evidence.values[component, group])
    if measure.trials is None:
        return percentile(value, evidence.replicates[:, component, group], level=level)
    n = int(measure.trials[component, group])
    clusters = n if measure.units is None else int(measure.units[component, group])
    return share_estimate(value * n, n, clusters, evidence.replicates[:, component, group], level=level)


def verdict_of(gap: GapResult, p_adjusted: float) -> str:
    """What follows from an adjusted p-value."""
    if gap.verdict in (TOO_FEW, NOT_TESTABLE):
        return gap.verdict
    return DISPARITY if p_adjusted < SIGNIFICANT else NOT_SHOWN
