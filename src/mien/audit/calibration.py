"""Calibration and abstention of each group: whether the model is as sure as it is right, and whom it answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.audit.scores import GroupMeans, Scores, Units, abstention_threshold, group_means
from mien.metrics import calibration_errors, confidence_bins, ece_interval
from mien.records import Estimate
from mien.stats.cells import Ints

Array = NDArray[np.float64]
N_BINS = 15
ECE_NOTE = "biased upwards for few faces"
_ANSWERED = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of confidence of one group.

    Attributes:
        low: Lower end of the bin.
        high: Upper end, inside the bin.
        n: Faces.
        confidence: Their mean highest probability; NaN for an empty bin.
        accuracy: Share of them that are right; NaN for an empty bin.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class AbstentionPoint:
    """A group where the model answers only above a confidence that is the same for all groups.

    Attributes:
        answered: Share of all faces that are answered.
        threshold: The confidence it takes.
        coverage: Share of the group's faces that are answered.
        risk: Share of these answers that are wrong; NaN if there are none.
        n: Answers.
    """

    answered: float
    threshold: float
    coverage: float
    risk: float
    n: int


@dataclass(frozen=True)
class GroupCalibration:
    """Calibration of one group.

    Attributes:
        group: Its name.
        bins: Reliability, 15 equal-width bins.
        abstention: Coverage and risk at ten thresholds.
    """

    group: str
    bins: list[ReliabilityBin]
    abstention: list[AbstentionPoint]


def calibration_means(scores: Scores, rows: Ints, units: Units) -> GroupMeans:
    """Signed confidence minus accuracy of each bin, as shares of the group: sums to the overconfidence.

    The expected calibration error (Guo et al. 2017, equation 3) is the sum of their absolute values.
    """
    return group_means(
        scores["overconfidence"][rows], units, confidence_bins(scores["confidence"][rows], N_BINS), N_BINS
    )


def calibration_error(values: Array) -> Array:
    """``(..., 15)`` signed bin values to the expected calibration error ``(...)``."""
    return np.asarray(np.abs(values).sum(-1))


def bin_components(scores: Scores, rows: Ints, units: Units) -> Array:
    """Faces, sum of their confidence, and hits of each bin: ``(G, 3, 15)``."""
    confidence = scores["confidence"][rows].astype(np.float64)
    hit = confidence - scores["overconfidence"][rows]
    index = units.group * N_BINS + confidence_bins(scores["confidence"][rows], N_BINS)
    sums = [np.bincount(index, weights=w, minlength=units.n_groups * N_BINS) for w in (None, confidence, hit)]
    return np.stack([x.reshape(-1, N_BINS) for x in sums], axis=1).astype(np.float64)


def calibration_estimates(
    means: GroupMeans, components: Array, replicates: Array, level: float, seed: int
) -> list[Estimate]:
    """The calibration error of each group; its interval holds for calibrated models too: ``ece_interval``.

    Args:
        means: Signed bin values.
        components: ``(G, 3, 15)`` of :func:`bin_components`.
        replicates: ``(b, G, 15)`` replicates of the signed bin values.
        level: Coverage aimed at.
        seed: Seed of the replicates.
    """
    observed, least = calibration_error(means.mean), calibration_errors(components)
    out = []
    for g, value in enumerate(observed):
        n, units = int(means.n[g]), int(means.units[g])
        if not n:
            out.append(Estimate(float("nan"), level=level, note="no faces"))
            continue
        low, high = ece_interval(means.mean[g], replicates[:, g], level, least[g])
        out.append(
            Estimate(
                float(value),
                low,
                high,
                level=level,
                method="triangle inequality",
                n=n,
                clusters=units,
                seed=seed,
                note=ECE_NOTE,
            )
        )
    return out


def group_calibration(scores: Scores, rows: Ints, units: Units, names: tuple[str, ...]) -> list[GroupCalibration]:
    """Reliability bins and abstention of every group.

    Args:
        scores: Row scores of all faces.
        rows: ``(m,)`` rows whose group is known.
        units: How these belong together.
        names: The G groups.
    """
    confidence, everybody = scores["confidence"][rows], scores["confidence"]
    hit = confidence.astype(np.float64) - scores["overconfidence"][rows]
    bins = bin_components(scores, rows, units)
    thresholds = [abstention_threshold(everybody, share) for share in _ANSWERED]
    # How many of the thresholds, which ascend, a face reaches: then sums from the top give all at once.
    reached = np.searchsorted(np.array(thresholds), confidence, side="right")
    index, width = units.group * (len(thresholds) + 1) + reached, len(thresholds) + 1
    answered, hits = (
        np.bincount(index, weights=w, minlength=units.n_groups * width).reshape(-1, width)[:, ::-1].cumsum(1)[:, -2::-1]
        for w in (None, hit)
    )
    return [
        GroupCalibration(name, _bins(*bins[g]), _points(thresholds, int(bins[g, 0].sum()), answered[g], hits[g]))
        for g, name in enumerate(names)
    ]


def _bins(n: Array, confidence: Array, hits: Array) -> list[ReliabilityBin]:
    edges = np.linspace(0, 1, N_BINS + 1)
    nan = float("nan")
    return [
        ReliabilityBin(
            float(edges[i]),
            float(edges[i + 1]),
            int(n[i]),
            float(confidence[i] / n[i]) if n[i] else nan,
            float(hits[i] / n[i]) if n[i] else nan,
        )
        for i in range(N_BINS)
    ]


def _points(thresholds: list[float], n: int, answered: Array, hits: Array) -> list[AbstentionPoint]:
    nan = float("nan")
    return [
        AbstentionPoint(
            share,
            t,
            float(answered[i] / n) if n else nan,
            float(1 - hits[i] / answered[i]) if answered[i] else nan,
            int(answered[i]),
        )  # fmt: skip
        for i, (share, t) in enumerate(zip(_ANSWERED, thresholds, strict=True))
    ]
