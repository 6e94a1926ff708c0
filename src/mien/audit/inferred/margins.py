"""The margins of confusion counts that the metrics are made of, in one array that linear steps can act on.

Accuracy, recall and F1 need no single cell of a confusion table, only hits, misses (of the annotated
class) and false alarms (of the predicted class). Corrections for misperceived groups act on these sums:
keeping each of the K x K thin cells above 0 would pull the groups' sums towards each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.audit.vocabulary import metric_title
from mien.records import Estimate
from mien.stats.gap_intervals import gap_interval
from mien.stats.intervals import NAN, undefined, wilson
from mien.stats.limits import Limits, jeffreys_bounds

Array = NDArray[np.float64]
_PRESENT = 0.5  # faces; corrected and weighted counts are not whole


@dataclass(frozen=True)
class GapOf:
    """Which gap is meant.

    Attributes:
        metric: ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``weighted_f1`` or ``recall``.
        class_name: The class of a ``recall`` gap; empty otherwise.
        k: Its index among the classes.
        eligible: ``(G,)`` bool: groups with enough faces.
    """

    metric: str
    class_name: str
    k: int
    eligible: NDArray[np.bool_]

    @property
    def title(self) -> str:
        """The metric in words: ``macro F1``, ``recall of fear``."""
        return metric_title(self.metric, self.class_name)

    def values(self, margins: Array) -> Array:
        """``(b, G)`` values of the metric."""
        return metric_values(margins, self.metric, self.k)

    def hits_and_misses(self, margins: Array) -> Array:
        """``(b, G, 2)`` faces predicted right and wrong, for a recall those annotated with the class."""
        if self.metric != "recall":
            return margins[..., :2]
        n_classes = (margins.shape[-1] - 2) // 3
        return margins[..., [2 + self.k, 2 + n_classes + self.k]]

    def sizes(self, margins: Array) -> Array:
        """``(b, G)`` faces behind the values."""
        return np.asarray(self.hits_and_misses(margins).sum(-1))


@dataclass(frozen=True)
class Counted:
    """Margins of groups, observed and redrawn.

    Attributes:
        observed: ``(1, G, 2 + 3K)``.
        drawn: ``(b, G, 2 + 3K)``, bootstrap replicates.
        units_per_face: Independent units over faces: 1 where each face is one.
        level: Coverage that intervals aim at.
        seed: Seed of the replicates.
        also: What the replicates draw besides the faces, for the name of the method.
    """

    observed: Array
    drawn: Array
    units_per_face: float
    level: float
    seed: int
    also: str = ""

    def estimate(self, value: float, low: float, high: float, faces: float, method: str, note: str = "") -> Estimate:
        """A number of these counts, with what stands behind it; undefined where it is NaN."""
        n, clusters = round(faces), round(faces * self.units_per_face)
        if np.isnan(value):
            return undefined(n, clusters, note or "undefined", self.level)
        low, high = min(low, value), max(high, value)  # an interval holds its own point
        return Estimate(
            value,
            low,
            high,
            level=self.level,
            method=method + self.also,
            n=n,
            clusters=clusters,
            seed=self.seed,
            note=note,
        )

    def value(self, value: float, drawn: Array, faces: float, note: str = "") -> tuple[Estimate, float]:
        """A group's value with Wilson's interval, and the trials behind that.

        The trials are the faces of known group that would vary as much as the replicates do (Korn and
        Graubard 1998), at most the group's independent units. At 0 and 1 the interval also holds the
        replicates' percentiles: corrected counts reach these ends by chance. Without replicates the
        trials are the units.
        """
        units = faces * self.units_per_face
        if np.isnan(value):
            return self.estimate(NAN, NAN, NAN, faces, "none", note), 0.0
        defined = drawn[~np.isnan(drawn)]
        variance, edge = float(defined.var()) if len(defined) else 0.0, value in (0.0, 1.0)
        trials = units if edge or variance == 0 else float(np.clip(value * (1 - value) / variance, 1.0, max(units, 1)))
        low, high = wilson(value * trials, trials, self.level)
        if edge and len(defined):
            ends = np.quantile(defined, [(1 - self.level) / 2, (1 + self.level) / 2])
            low, high = min(low, float(ends[0])), max(high, float(ends[1]))
        method = "wilson" if trials == units else "wilson, effective trials"
        return self.estimate(value, low, high, faces, method, note), trials

    def gap(self, gap: GapOf, values: Array, drawn: Array) -> tuple[Estimate, NDArray[np.int64]]:
        """Largest minus smallest value with its simultaneous interval, and which groups took part.

        Args:
            gap: Which gap.
            values: ``(G,)``, NaN where undefined.
            drawn: ``(b, G)`` replicates.
        """
        sizes = gap.sizes(self.observed)[0]
        part = np.flatnonzero(gap.eligible & ~np.isnan(values))
        size = float(sizes[part].sum())
        if len(part) < 2:
            return self.estimate(NAN, NAN, NAN, size, "none", "fewer than two groups with enough faces"), part
        low, high = gap_interval(
            values[part], drawn[:, part], self.level, self._limits(values, drawn, sizes, part), crossed=True
        )
        return self.estimate(float(np.ptp(values[part])), low, high, size, "simultaneous bootstrap"), part

    def _limits(self, values: Array, drawn: Array, sizes: Array, part: NDArray[np.int64]) -> Limits:
        """Limits of the groups' values; at 0 and 1 they reach as far as the replicates' spread does."""
        trials = np.array([self.value(float(values[g]), drawn[:, g], float(sizes[g]))[1] for g in part])
        shares, edge = values[part], (values[part] == 0) | (values[part] == 1)
        spread = np.where(edge, np.sqrt(np.nan_to_num(np.nanmean((drawn[:, part] - shares) ** 2, axis=0))), 0.0)

        def limits(z: float) -> tuple[Array, Array]:
            low, high = jeffreys_bounds(shares, trials, z)
            return np.minimum(low, shares - z * spread), np.maximum(high, shares + z * spread)

        return limits


def margins_of(tables: NDArray[Any]) -> Array:
    """Margins of ``(..., G, K, K)`` counts.

    Returns:
        ``(..., G, 2 + 3K)``: faces predicted right, faces predicted wrong, then the hits, misses and
        false alarms of each class.
    """
    hits = np.diagonal(tables, axis1=-2, axis2=-1).astype(np.float64)
    misses, alarms = tables.sum(-1) - hits, tables.sum(-2) - hits
    return joined_margins(hits, misses, alarms)


def joined_margins(hits: Array, misses: Array, alarms: Array) -> Array:
    """Margins from ``(..., K)`` hits, misses and false alarms."""
    right, wrong = hits.sum(-1, keepdims=True), misses.sum(-1, keepdims=True)
    return np.concatenate([right, wrong, hits, misses, alarms], axis=-1)


def mistakes(n_margins: int) -> NDArray[np.int64]:
    """The margins that count mistaken faces."""
    k = (n_margins - 2) // 3
    return np.array([1, *range(2 + k, n_margins)], dtype=np.int64)


def metric_values(margins: Array, metric: str, k: int = 0) -> Array:
    """A metric of ``(b, G, 2 + 3K)`` margins, as :mod:`mien.metrics` defines it on whole counts.

    A class of which a group has less than half a face counts as absent there.

    Args:
        margins: See :func:`margins_of`.
        metric: ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``weighted_f1`` or ``recall``.
        k: The class, for ``recall``.

    Returns:
        ``(b, G)``; NaN where undefined.
    """
    hits, misses, alarms = np.split(margins[..., 2:], 3, axis=-1)
    if metric == "accuracy":
        return share_of(margins[..., 0], margins[..., :2].sum(-1))
    if metric == "recall":
        return share_of(hits[..., k], hits[..., k] + misses[..., k])
    annotated = hits + misses
    if metric == "balanced_accuracy":
        values, weights = share_of(hits, annotated), annotated >= _PRESENT
    else:
        values = share_of(2 * hits, annotated + hits + alarms)
        weights = np.where(annotated >= _PRESENT, annotated if metric == "weighted_f1" else 1.0, 0.0)
    return share_of((np.where(weights > 0, values, 0.0) * weights).sum(-1), weights.sum(-1), 0.0)


def share_of(top: Array, bottom: NDArray[Any], least: float = _PRESENT) -> Array:
    """``top / bottom``, NaN where ``bottom`` is less than ``least`` or 0."""
    defined = (bottom >= least) & (bottom > 0)
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=defined))


def edge_floor(values: Array, sizes: Array, level: float) -> Array:
    """``(G,)`` standard errors by Wilson's interval for shares of exactly 0 or 1, where a bootstrap sees none."""
    z = NormalDist().inv_cdf(0.5 + level / 2)
    out = np.zeros(len(values))
    for g in np.flatnonzero((values == 0) | (values == 1)):
        low, high = wilson(values[g] * sizes[g], sizes[g], level)
        out[g] = 0.0 if np.isnan(low) else (high - low) / (2 * z)
    return out
