"""Gaps held against strata: how much goes with what the groups' faces are like, how much remains among faces alike.

Every face lies in a stratum (a bin of annotators' agreement, or an annotated class and a bin of
brightness). With p_gs the share of hits of group g in stratum s, and w_s the share of stratum s
among the faces of all groups together, the adjusted value of group g is

    sum_s w_s p_gs                                                  (direct standardisation),

its value if its faces lay in the strata as everybody's do. A raw difference between two groups is
then the sum of what their mixes of strata do to it and of the adjusted difference, which remains
among faces alike: the two components of Kitagawa (1955), with the pooled mix as the standard (with
two groups of equal size it is the mean of both mixes, as his is). Several layers of strata, each
finer than the one before, split the first part further.

Only strata where every group has faces can be compared (the common support). The others are left
out for all groups, and the share of faces that this takes out is stated.

Intervals need no replicates of the counts: each value is a smooth function of cell counts, so its
error is the sum over independent units of what each adds to the value (its influence; the
infinitesimal jackknife). With several faces a unit this is robust to their dependence. The bins
themselves are taken as given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mien.records import Estimate
from mien.stats.cells import Ints
from mien.stats.gap_intervals import gap_interval
from mien.stats.intervals import undefined
from mien.stats.limits import estimate_limits
from mien.stats.settings import Settings
from mien.stats.shares import share_of_rows, wilson_from_variance
from mien.stats.stratify import codes_without_holes, common_support

_NORMAL = "normal, robust to clusters"
Array = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class AdjustedGroup:
    """One group of an adjusted gap.

    Attributes:
        name: The group.
        n: Its faces.
        n_compared: Those in strata where every group has faces.
        raw: Share of hits over all its faces.
        adjusted: The same if its faces lay in the strata as the faces of all groups do.
    """

    name: str
    n: int
    n_compared: int
    raw: Estimate
    adjusted: Estimate


@dataclass(frozen=True, kw_only=True)
class AdjustedGap:
    """A gap as it is, and with the mix of strata held common.

    Attributes:
        strata: What was held common, in words: ``annotated class x 5 bins of brightness``.
        n: Faces of the groups that take part.
        n_strata: Strata compared.
        left_out: Share of the faces that lie in strata where some group has too few to compare.
        groups: The groups that take part.
        raw: Largest minus smallest share of hits over all faces.
        compared: The same over the faces in compared strata.
        worst: The group with the smallest share over compared faces; empty if undefined.
        best: The group with the largest.
        parts: What -> how much of the difference between these two groups goes with their mix of it;
            with ``remaining`` they sum to ``compared``. Negative where the mix hides part of a gap.
        remaining: Difference between the same two groups among faces alike.
        shares: What -> its part over ``compared``; undefined unless the interval of ``compared`` excludes 0.
        adjusted: Largest minus smallest adjusted value, whichever groups these are.
        adjusted_worst: The group with the smallest adjusted value.
        adjusted_best: The group with the largest.
        note: What to mind.
    """

    strata: str
    n: int
    n_strata: int
    left_out: float
    groups: list[AdjustedGroup]
    raw: Estimate
    compared: Estimate
    worst: str
    best: str
    parts: dict[str, Estimate]
    remaining: Estimate
    shares: dict[str, Estimate]
    adjusted: Estimate
    adjusted_worst: str
    adjusted_best: str
    note: str = ""


@dataclass(frozen=True)
class Strata:
    """Faces of G groups in strata.

    Attributes:
        group: ``(n,)`` codes below G; every group has faces.
        hit: ``(n,)`` whether each face counts.
        layers: Codes of strata ``(n,)`` from coarse to fine: faces alike in a layer are alike in those before it.
        cluster: ``(n,)`` codes of independent units; None where each face is its own.
        names: The G groups.
        expected: ``(n,)`` what to expect of each hit within its finest stratum, whatever the group and up
            to a constant; corrects the finest layer for what differs within strata. None for no correction.
    """

    group: Ints
    hit: Bools
    layers: Sequence[Ints]
    cluster: Ints | None
    names: Sequence[str]
    expected: Array | None = None


@dataclass(frozen=True)
class Inference:
    """How intervals are made.

    Attributes:
        settings: Coverage aimed at, draws for simultaneous intervals, and the seed behind ``rng``, to be stated.
        rng: Source of randomness.
    """

    settings: Settings
    rng: np.random.Generator

    @property
    def z(self) -> float:
        """Half the width of a normal interval, in standard errors."""
        return NormalDist().inv_cdf(0.5 + self.settings.level / 2)

    def normal(self, value: float, variance: float, n: int, clusters: int) -> Estimate:
        """A value with its normal interval."""
        half = self.z * float(np.sqrt(max(variance, 0.0)))
        return Estimate(
            float(value),
            float(value) - half,
            float(value) + half,
            level=self.settings.level,
            method=_NORMAL,
            n=n,
            clusters=clusters,
        )

    def draws(self, values: Array, covariance: Array) -> Array:
        """``(n_boot, P)`` normal draws of P values."""
        p = len(values)
        # Cholesky's factor, unlike eigenvectors, hardly changes when the covariance hardly does.
        ridge = np.eye(p) * (1e-9 * float(covariance.trace()) / p + 1e-18)
        root = np.linalg.cholesky(covariance + ridge)
        return np.asarray(values + self.rng.standard_normal((self.settings.n_boot, p)) @ root.T)


def share_gap(
    group: Ints, hit: Bools, cluster: Ints | None, n_groups: int, inference: Inference
) -> tuple[list[Estimate], Estimate]:
    """Shares of hits of groups that all have faces, and the largest minus the smallest of them.

    Args:
        group: ``(n,)`` codes below ``n_groups``.
        hit: ``(n,)`` whether each face counts.
        cluster: ``(n,)`` codes of independent units; None where each face is its own.
        n_groups: G.
        inference: How intervals are made.
    """
    members = [group == g for g in range(n_groups)]
    shares = [share_of_rows(hit[m], None if cluster is None else cluster[m], inference.settings.level) for m in members]
    units = _Units(cluster, len(group))
    step = _standardised(group, n_groups, hit, np.zeros_like(group), None, units)
    return shares, _gap(step, shares, units.n, inference)


def adjusted_gap(
    strata: Strata, parts: Sequence[str], words: str, inference: Inference, *, least: float = 0.0, note: str = ""
) -> AdjustedGap:
    """Split the gap between groups into what goes with their mix of strata and what remains.

    The parts are of the two groups that are furthest apart before adjustment. Picking these two
    makes their difference, and what remains of it, somewhat too large if groups are many and alike.
    The intervals of ``raw``, ``compared`` and ``adjusted`` hold whichever groups are extreme: they are
    :func:`mien.stats.gap_intervals.gap_interval`'s, with normal draws in place of bootstrap replicates.

    Args:
        strata: The faces; at least two groups.
        parts: One name a layer, for :attr:`AdjustedGap.parts`.
        words: What is held common.
        inference: How intervals are made.
        least: Least share of the faces that compared strata must hold; else nothing is compared.
        note: Anything to say about the result.
    """
    g = len(strata.names)
    raws, raw = share_gap(strata.group, strata.hit, strata.cluster, g, inference)
    fine = strata.layers[-1]
    kept = common_support(strata.group, fine, g, strata.cluster)[fine]
    if not kept.any() or kept.mean() < least:
        return _not_compared(strata, raws, raw, words, note)
    steps, units = _steps(strata, kept)
    n = np.bincount(strata.group[kept], minlength=g)
    own_units = units_of_groups(strata.group[kept], None if strata.cluster is None else strata.cluster[kept], g)
    before, after = (_group_estimates(steps[i], n, own_units, inference) for i in (0, -1))
    compared = _gap(steps[0], before, units.n, inference)
    pieces, remaining, shares = _pieces(steps, parts, compared, units, inference)
    groups = zip(strata.names, raws, n, after, strict=True)
    (worst, best), (adjusted_worst, adjusted_best) = (_ends(steps[i], strata.names) for i in (0, -1))
    return AdjustedGap(
        strata=words,
        n=len(kept),
        n_strata=len(np.unique(fine[kept])),
        left_out=1 - float(kept.mean()),
        groups=[AdjustedGroup(name, e.n, int(m), e, adjusted) for name, e, m, adjusted in groups],
        raw=raw,
        compared=compared,
        worst=worst,
        best=best,
        parts=pieces,
        remaining=remaining,
        shares=shares,
        adjusted=_gap(steps[-1], after, units.n, inference),
        adjusted_worst=adjusted_worst,
        adjusted_best=adjusted_best,
        note=note,
    )


def units_of_groups(group: Ints, cluster: Ints | None, n_groups: int) -> Ints:
    """``(G,)`` independent units with a face in each group."""
    if cluster is None:
        return np.bincount(group, minlength=n_groups).astype(np.int64)
    joint = np.unique(codes_without_holes(cluster) * n_groups + group)
    return np.bincount(joint % n_groups, minlength=n_groups).astype(np.int64)


@dataclass(frozen=True)
class _Step:
    """Values of the G groups with the strata of one layer held common.

    Attributes:
        values: ``(G,)``.
        covariance: ``(G, G)``.
        influence: ``(n, G)`` what each face adds to the errors of the values.
    """

    values: Array
    covariance: Array
    influence: Array


class _Units:
    """Sums errors over independent units: ``(n,)`` codes, or None where each of n faces is its own."""

    def __init__(self, cluster: Ints | None, n: int) -> None:
        self.order: Ints | None = None
        self.n = n
        if cluster is not None:
            self.order = np.argsort(cluster, kind="stable").astype(np.int64)
            self.starts = np.flatnonzero(np.diff(cluster[self.order], prepend=cluster.min() - 1))
            self.n = len(self.starts)

    def covariance(self, influence: Array) -> Array:
        """``(P, P)`` of P values from their ``(n, P)`` influences."""
        if self.order is None:
            return np.asarray(influence.T @ influence)
        sums = np.add.reduceat(influence[self.order], self.starts, axis=0)
        return np.asarray(sums.T @ sums) * (self.n / max(self.n - 1, 1))


def _steps(strata: Strata, kept: Bools) -> tuple[list[_Step], _Units]:
    """The kept faces' values as they are, then with layer after layer held common."""
    group, hit, g = strata.group[kept], strata.hit[kept], len(strata.names)
    units = _Units(None if strata.cluster is None else strata.cluster[kept], len(group))
    steps = [_standardised(group, g, hit, np.zeros_like(group), None, units)]
    for i, layer in enumerate(strata.layers):
        finest = strata.expected is not None and i == len(strata.layers) - 1
        expected = strata.expected[kept] if strata.expected is not None and finest else None
        steps.append(_standardised(group, g, hit, codes_without_holes(layer[kept]), expected, units))
    return steps, units


def _standardised(
    group: Ints, n_groups: int, hit: Bools, stratum: Ints, expected: Array | None, units: _Units
) -> _Step:
    """Directly standardised shares of hits and their influences.

    With y what is observed less what is expected, its mean m_gs over the n_gs faces of group g in
    stratum s, w_s the share of the stratum among N faces, and e the mean expectation, the value is
    sum_s w_s m_gs + e. A face of (g', s) adds to its error

        [g = g'] w_s (y - m_gs) / n_gs + (m_gs + its expectation - value_g) / N :

    its own outcome, and its weight on the common mix. Residuals are scaled by sqrt(n_gs / (n_gs - 1)),
    since they are taken from their own cell's mean.
    """
    s, n = int(stratum.max()) + 1, len(group)
    cell = group * s + stratum
    outcome = hit.astype(np.float64) if expected is None else hit - expected
    size = np.bincount(cell, minlength=n_groups * s).astype(np.float64)
    mean = np.bincount(cell, outcome, n_groups * s) / np.maximum(size, 1)
    weight = np.bincount(stratum, minlength=s) / n
    means = mean.reshape(n_groups, s)
    values = means @ weight + (0.0 if expected is None else expected.mean())
    influence = (means.T[stratum] - values) / n
    if expected is not None:
        influence += expected[:, None] / n
    scale = weight[stratum] / np.sqrt(np.maximum(size * (size - 1), 1))[cell]
    influence[np.arange(n), group] += scale * (outcome - mean[cell])
    return _Step(values, units.covariance(influence), influence)


def _group_estimates(
    step: _Step, n: NDArray[np.integer], units: NDArray[np.integer], inference: Inference
) -> list[Estimate]:
    """Shares of the groups, ``n`` ``(G,)`` faces from ``units`` ``(G,)`` independent units of each."""
    rows = zip(step.values, np.diag(step.covariance), n, units, strict=True)
    return [
        wilson_from_variance(float(value), float(variance), int(m), min(int(m), int(u)), inference.settings.level)
        for value, variance, m, u in rows
    ]


def _gap(step: _Step, estimates: Sequence[Estimate], n_units: int, inference: Inference) -> Estimate:
    drawn = inference.draws(step.values, step.covariance)
    low, high = gap_interval(step.values, drawn, inference.settings.level, estimate_limits(estimates), crossed=True)
    n = sum(e.n for e in estimates)
    return Estimate(
        float(np.ptp(step.values)),
        low,
        high,
        level=inference.settings.level,
        method="simultaneous normal",
        n=n,
        clusters=min(n, n_units),
        seed=inference.settings.seed,
    )


def _ends(step: _Step, names: Sequence[str]) -> tuple[str, str]:
    return names[int(step.values.argmin())], names[int(step.values.argmax())]


def _pieces(
    steps: Sequence[_Step], parts: Sequence[str], gap: Estimate, units: _Units, inference: Inference
) -> tuple[dict[str, Estimate], Estimate, dict[str, Estimate]]:
    """The parts of the difference between two groups, what remains, and the parts' shares."""
    worst, best = int(steps[0].values.argmin()), int(steps[0].values.argmax())
    difference = np.array([v.values[best] - v.values[worst] for v in steps])
    influence = np.stack([v.influence[:, best] - v.influence[:, worst] for v in steps], axis=1)
    one = np.eye(len(steps))
    turn = np.concatenate([-np.diff(one, axis=0), one[-1:]])  # the parts in order, then what remains
    value, covariance = turn @ difference, turn @ units.covariance(influence) @ turn.T
    pieces = [inference.normal(v, e, gap.n, gap.clusters) for v, e in zip(value, np.diag(covariance), strict=True)]
    if not gap.low > 0:
        why = undefined(gap.n, gap.clusters, "the gap is not clearly away from 0", inference.settings.level)
        return dict(zip(parts, pieces[:-1], strict=True)), pieces[-1], dict.fromkeys(parts, why)
    drawn = inference.draws(value, covariance)
    tails = [(1 - inference.settings.level) / 2, (1 + inference.settings.level) / 2]
    low, high = np.quantile(drawn[:, :-1] / drawn.sum(1, keepdims=True), tails, axis=0)
    shares = {
        part: Estimate(
            float(value[i] / value.sum()),
            float(low[i]),
            float(high[i]),
            level=inference.settings.level,
            method="percentiles of normal draws",
            n=gap.n,
            clusters=gap.clusters,
            seed=inference.settings.seed,
        )
        for i, part in enumerate(parts)
    }
    return dict(zip(parts, pieces[:-1], strict=True)), pieces[-1], shares


def _not_compared(strata: Strata, raws: list[Estimate], raw: Estimate, words: str, note: str) -> AdjustedGap:
    why = "too few faces lie in strata that every group shares"
    none = undefined(raw.n, raw.clusters, why, raw.level)
    groups = [AdjustedGroup(name, e.n, 0, e, none) for name, e in zip(strata.names, raws, strict=True)]
    note = "; ".join(filter(None, [note, why]))
    return AdjustedGap(
        strata=words,
        n=raw.n,
        n_strata=0,
        left_out=1.0,
        groups=groups,
        raw=raw,
        compared=none,
        worst="",
        best="",
        parts={},
        remaining=none,
        shares={},
        adjusted=none,
        adjusted_worst="",
        adjusted_best="",
        note=note,
    )
