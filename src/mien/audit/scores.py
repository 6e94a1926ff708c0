"""Scores of single faces (top-2 hits, KL, confidence, abstention) and their means over groups.

A mean of rows needs no resampling of rows: its replicates are normal draws with the error that
units imply, and under no disparity the means of groups have a known mean and covariance, those of
exchanging faces annotated alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.metrics import brier_rows, kl_rows, nll_rows, overconfidence_rows, tie_hits, top_k_hits
from mien.records import Estimate, Predictions
from mien.stats.cells import Ints
from mien.stats.intervals import effective_trials, mean_interval, undefined, wilson

Array = NDArray[np.float64]
Scores = dict[str, NDArray[np.float32]]
ANSWERED = 0.8  # share of all faces that the model answers when it may abstain
SHARES = ("top2", "tie_accuracy", "coverage", "risk", "detection_failure")
GROUP_SCORES = ("top2", "tie_accuracy", "kl", "overconfidence", "coverage", "risk")
_FEW_UNITS = 30
_CHUNK = 500_000  # rows whose probabilities are looked at together


def row_scores(pred: Predictions) -> Scores:
    """The scores of every face: name -> ``(n,)``, NaN where a face does not count.

    ``coverage`` is 1 where the model's highest probability is among the 80 % highest of all faces:
    the faces that it would answer if it might abstain on a fifth. ``risk`` is 1 where such an answer
    is wrong, and NaN where it abstains.
    """
    n = len(pred)
    parts = [_scores_of(pred, slice(i, i + _CHUNK)) for i in range(0, n, _CHUNK)]
    scores: Scores = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    if "confidence" in scores:
        sure = scores["confidence"] >= abstention_threshold(scores["confidence"], ANSWERED)
        scores["coverage"] = sure.astype(np.float32)
        wrong = (pred.predicted != pred.labels).astype(np.float32)
        scores["risk"] = np.where(sure, wrong, np.float32(np.nan))
    return scores


def abstention_threshold(confidence: NDArray[Any], answered: float) -> float:
    """The confidence that a share ``answered`` of the faces reach."""
    return float(np.quantile(confidence, 1 - answered, method="higher"))


def _scores_of(pred: Predictions, rows: slice) -> Scores:
    labels, predicted = pred.labels[rows], pred.predicted[rows]
    votes = None if pred.votes is None else pred.votes[rows]
    targets = np.eye(len(pred.classes))[labels] if pred.soft_targets is None else pred.soft_targets[rows]
    scores: dict[str, NDArray[Any]] = {"tie_accuracy": tie_hits(predicted, targets, votes)}
    if pred.probs is not None:
        probs = pred.probs[rows].astype(np.float64)
        if len(pred.classes) > 2:
            scores["top2"] = top_k_hits(probs, labels, 2)
        scores["kl"] = kl_rows(probs, targets, votes)
        scores["nll"] = nll_rows(probs, labels)
        scores["brier"] = brier_rows(probs, labels)
        scores["confidence"] = probs.max(1)
        scores["overconfidence"] = overconfidence_rows(probs, labels, predicted)
    return {name: np.asarray(values, dtype=np.float32) for name, values in scores.items()}


@dataclass(frozen=True, kw_only=True)
class Units:
    """How the rows of one attribute belong to groups, classes and independent units.

    Attributes:
        group: ``(n,)`` codes.
        label: ``(n,)`` annotated classes.
        unit: ``(n,)`` codes of (unit, group) pairs, from 0; None where each row is its own.
        unit_group: ``(U,)`` group of each pair; None where each row is its own.
        n_groups: G.
        n_classes: K.
        crossed: Whether some unit has rows in several groups.
    """

    group: Ints
    label: Ints
    unit: Ints | None
    unit_group: Ints | None
    n_groups: int
    n_classes: int
    crossed: bool = False

    @property
    def tested(self) -> NDArray[np.bool_]:
        """``(G,)`` groups with a face annotated as a face of another group is: the others are compared with nobody."""
        cells = np.bincount(self.group * self.n_classes + self.label, minlength=self.n_groups * self.n_classes)
        there = cells.reshape(self.n_groups, self.n_classes) > 0
        return np.asarray(there[:, there.sum(0) > 1].any(1))

    @classmethod
    def of(cls, group: Ints, label: Ints, cluster: Ints | None, n_groups: int, n_classes: int) -> Units:
        """From ``(n,)`` codes; a unit with rows in several groups is taken apart, one unit a group."""
        if cluster is None:
            return cls(group=group, label=label, unit=None, unit_group=None, n_groups=n_groups, n_classes=n_classes)
        distinct, unit = np.unique(cluster * n_groups + group, return_inverse=True)
        crossed = len(np.unique(distinct // n_groups)) < len(distinct)
        return cls(
            group=group,
            label=label,
            unit=unit.reshape(-1),
            unit_group=distinct % n_groups,
            n_groups=n_groups,
            n_classes=n_classes,
            crossed=crossed,
        )


@dataclass(frozen=True, kw_only=True)
class GroupMeans:
    """Means of one score, or of a vector of scores, over the groups.

    Attributes:
        n: ``(G,)`` faces that count.
        units: ``(G,)`` independent units among them.
        mean: ``(G, D)``.
        error: ``(G, D, D)`` covariance of the means; NaN with fewer than two units.
        skewness: ``(G,)`` of what the units contribute to the first score; 0 with fewer than three units.
        null_mean: ``(G, D)`` expected under no disparity: the class means at the group's own class mix.
        null_error: ``(G, G, D, D)`` covariance of the means under no disparity.
    """

    n: Ints
    units: Ints
    mean: Array
    error: Array
    skewness: Array
    null_mean: Array
    null_error: Array

    def replicates(self, b: int, rng: np.random.Generator) -> Array:
        """``(b, G, D)`` normal draws around the means, the groups apart."""
        roots = np.stack([_root(np.nan_to_num(e)) for e in self.error])
        noise = rng.standard_normal((b, *self.mean.shape))
        return np.asarray(self.mean + np.einsum("bgd,gde->bge", noise, roots))

    def null(self, b: int, rng: np.random.Generator) -> Array:
        """``(b, G, D)`` normal draws under no disparity."""
        g, d = self.mean.shape
        root = _root(np.nan_to_num(self.null_error).transpose(0, 2, 1, 3).reshape(g * d, g * d))
        noise = rng.standard_normal((b, g * d))
        return np.asarray(np.nan_to_num(self.null_mean) + (noise @ root).reshape(b, g, d))


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    # Without rounding errors taken for variance, the root does not depend on the order of the rows.
    values = np.where(values > 1e-12 * values[-1], values, 0.0)
    return np.asarray((vectors * np.sqrt(values)) @ vectors.T)


def group_means(
    values: NDArray[Any], units: Units, slot: Ints | None = None, n_slots: int = 1, skewed: bool = False
) -> GroupMeans:
    """Means over groups with their errors.

    Args:
        values: ``(n,)`` scores; NaN rows do not count.
        units: How the rows belong together.
        slot: ``(n,)`` the entry of a vector of D scores that the row's value belongs to, the others
            being 0 (calibration bins); None for a single score.
        n_slots: D.
        skewed: Work out the skewness; 0 otherwise.
    """
    g, k, d = units.n_groups, units.n_classes, n_slots
    missing = np.isnan(values)
    # Most scores count every row: then no row is copied.
    counted: Any = np.flatnonzero(~missing) if missing.any() else slice(None)
    x = values[counted].astype(np.float64)
    group = units.group[counted]
    cell = group * k + units.label[counted]
    part = None if units.unit is None else units.unit[counted]
    where = np.zeros(1, dtype=np.int64) if slot is None else slot[counted]
    n = np.bincount(cell, minlength=g * k).reshape(g, k)
    if slot is not None:
        cell = cell * d + where
    total = np.bincount(cell, weights=x, minlength=g * k * d).reshape(g, k, d)
    square = np.bincount(cell, weights=x * x, minlength=g * k * d).reshape(g, k, d)
    n_group = n.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total.sum(1) / n_group[:, None]
        class_mean = np.nan_to_num(total.sum(0) / n.sum(0)[:, None])
        share = n / n_group[:, None]
    if part is None:
        n_units, moment = n_group, _row_moments(total.sum(1), square.sum(1), mean, n_group)
        cube = (
            np.bincount(group, weights=(x - mean[group, 0]) ** 3, minlength=g).astype(np.float64)
            if skewed
            else np.zeros(g)
        )
    else:
        n_units, moment, cube = _unit_moments(x, group, where, part, units, mean)
    skewness = _skewness(cube, moment[:, 0, 0], n_units) if skewed else np.zeros(g)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = n_units / (n_units - 1) / n_group.astype(np.float64) ** 2
        error = np.where(n_units[:, None, None] > 1, moment * scale[:, None, None], np.nan)
    null_error = _null_error(n, square.sum(0), class_mean, n_group)
    if part is not None:
        root = np.sqrt(_inflation(error, mean, square.sum(1), n_group, n_units))
        null_error = null_error * root[:, None, :, None] * root[None, :, None, :]
    return GroupMeans(
        n=n_group,
        units=n_units,
        mean=mean,
        error=error,
        skewness=skewness,
        null_mean=share @ class_mean,
        null_error=null_error,
    )


def _row_moments(first: Array, second: Array, mean: Array, n: Ints) -> Array:
    """``(G, D, D)`` sums of products of what rows with one entry each depart from the mean."""
    centre = np.nan_to_num(mean)
    crossed = centre[:, :, None] * first[:, None]
    moment = np.einsum("gd,de->gde", second, np.eye(mean.shape[1])) - crossed - crossed.transpose(0, 2, 1)
    return np.asarray(moment + n[:, None, None] * centre[:, :, None] * centre[:, None])


def _skewness(cube: Array, square: Array, n: Ints) -> Array:
    """Third moment over the cubed deviation; 0 with fewer than three units."""
    spread = np.maximum(square, 0) / np.maximum(n, 1)  # rounding leaves -1e-15 where all are equal
    usable = (n > 2) & (spread > 0)
    return np.asarray(np.divide(cube / np.maximum(n, 1), spread**1.5, out=np.zeros(len(n)), where=usable))


def _unit_moments(
    x: Array, group: Ints, slot: Ints, part: Ints, units: Units, mean: Array
) -> tuple[Ints, Array, Array]:
    """Units of each group, and second and third moments of what they depart from the mean.

    Units of one face need no sum over their faces: of these there may be millions.

    Returns:
        ``(G,)`` units, ``(G, D, D)`` sums of products, ``(G,)`` sums of cubes of the first score.
    """
    g, d = mean.shape
    size = np.bincount(part)
    alone = size[part] == 1
    own, slots, single = group[alone], np.broadcast_to(slot, len(x)), x[alone]
    where = own * d + slots[alone]
    first, second = (
        np.bincount(where, weights=w, minlength=g * d).reshape(g, d).astype(np.float64) for w in (single, single**2)
    )
    n_units = np.bincount(own, minlength=g).astype(np.int64)
    centre = np.nan_to_num(mean)
    moment = _row_moments(first, second, mean, n_units)
    cube = np.bincount(own, weights=(single - centre[own, 0]) ** 3, minlength=g).astype(np.float64)
    if not alone.all():
        several = np.flatnonzero(size > 1)
        code = np.zeros(len(size), dtype=np.int64)
        code[several] = np.arange(len(several))
        rows = np.flatnonzero(~alone)
        index = code[part[rows]]
        sums = np.bincount(index * d + slots[rows], weights=x[rows], minlength=len(several) * d).reshape(-1, d)
        owner = units.unit_group[several]  # type: ignore[index]
        departure = sums - size[several, None] * centre[owner]
        for i in range(g):
            mine = departure[owner == i]
            moment[i] += mine.T @ mine
            cube[i] += float((mine[:, 0] ** 3).sum())
        n_units = n_units + np.bincount(owner, minlength=g)
    return n_units, moment, cube


def _inflation(error: Array, mean: Array, square: Array, n: Ints, units: Ints) -> Array:
    """How much the units of each group vary beyond independent rows: ``(G, D)``, at least 1.

    A group of few units cannot tell its own: it has at least that of all groups together.
    """
    own = np.einsum("gdd->gd", error)
    with np.errstate(invalid="ignore", divide="ignore"):
        row = (square / n[:, None] - mean**2) / (n - 1)[:, None]
    usable = ~np.isnan(own) & (row > 0)
    top, bottom = (np.where(usable, v * n[:, None], 0.0).sum(0) for v in (own, row))
    pooled = np.divide(top, bottom, out=np.ones(len(top)), where=bottom > 0)
    each = np.divide(own, row, out=np.ones(own.shape), where=usable)
    few = (units < _FEW_UNITS)[:, None] & (units < n)[:, None]
    return np.asarray(np.maximum(np.where(few, np.maximum(each, pooled), each), 1.0))


def _null_error(n: Ints, square: Array, class_mean: Array, n_group: Ints) -> Array:
    """``(G, G, D, D)`` covariance of group means when the faces of each class are dealt at random.

    Of a class with N faces and covariance S, groups of n_g faces have sums with covariance
    S (n_g 1[g = h] - n_g n_h / N), the finite-population law.
    """
    g, k = n.shape
    d = square.shape[1]
    out = np.zeros((g, g, d, d))
    for c in range(k):
        total = int(n[:, c].sum())
        if total < 2:
            continue
        spread = (np.diag(square[c]) - total * np.outer(class_mean[c], class_mean[c])) / (total - 1)
        dealt = np.diag(n[:, c].astype(np.float64)) - np.outer(n[:, c], n[:, c]) / total
        out += dealt[:, :, None, None] * spread
    scale = np.maximum(n_group, 1).astype(np.float64)
    return np.asarray(out / np.outer(scale, scale)[:, :, None, None])


def is_share(name: str, values: NDArray[Any]) -> bool:
    """Whether a score is 1 or 0 of every face: known of the usual ones, seen of a registered metric."""
    usual = (*GROUP_SCORES, "nll", "brier", "confidence")
    return name in SHARES or (name not in usual and bool(np.isin(values[~np.isnan(values)], (0, 1)).all()))


def mean_estimates(share: bool, means: GroupMeans, level: float) -> list[Estimate]:
    """One estimate a group: Wilson's for shares (dependent faces count for fewer), else Student's t."""
    out = []
    for i, n in enumerate(means.n):
        units, value, variance = int(means.units[i]), float(means.mean[i, 0]), float(means.error[i, 0, 0])
        if not n:
            out.append(undefined(0, 0, "no faces", level))
        elif share:
            trials = float(n) if units == n else float(effective_trials(value, int(n), units, variance, level))
            method = "wilson" if units == n else "wilson, effective trials"
            low, high = wilson(value * trials, trials, level)
            out.append(Estimate(value, low, high, level=level, method=method, n=int(n), clusters=units))
        else:
            skewness = float(means.skewness[i])
            out.append(mean_interval(value, variance, int(n), units, level, skewness=skewness))
    return out
