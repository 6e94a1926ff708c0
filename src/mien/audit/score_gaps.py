"""Scores of faces by group: estimates, and the gaps between groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute, codes_in
from mien.audit.calibration import bin_components, calibration_error, calibration_estimates, calibration_means
from mien.audit.gaps import Contrast
from mien.audit.judgement import Evidence, judge
from mien.audit.results import GapResult
from mien.audit.scores import GROUP_SCORES, GroupMeans, Scores, Units, group_means, is_share, mean_estimates
from mien.metrics import METRICS, reduce_components
from mien.records import Estimate, Predictions
from mien.stats.cells import Ints, independent_units
from mien.stats.gap_intervals import separate_gap
from mien.stats.intervals import undefined
from mien.stats.multiplicity import bonferroni_level
from mien.stats.permutation import hypergeometric_tables
from mien.stats.settings import Settings

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FaceScores:
    """The scores of all faces, and which of them are compared beyond the usual.

    Attributes:
        values: Name -> ``(n,)``.
        asked: Names of further metrics of faces.
    """

    values: Scores
    asked: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoreResults:
    """What the scores of faces show for one attribute.

    Attributes:
        estimates: One dictionary metric -> Estimate a group.
        gaps: One gap a metric.
    """

    estimates: list[dict[str, Estimate]]
    gaps: list[GapResult]


def score_results(
    pred: Predictions,
    attribute: Attribute,
    known: Ints,
    faces: FaceScores,
    units: Units,
    settings: Settings,
    clusters: Ints | None = None,
) -> ScoreResults:
    """Estimates and gaps of every score that the predictions allow.

    Args:
        pred: The predictions.
        attribute: The attribute.
        known: ``(m,)`` rows whose group is known.
        faces: Scores of all rows.
        units: How the known rows belong together.
        settings: The audit's settings.
        clusters: ``(n,)`` the predictions' own numbering of units, which faces not found share.
    """
    scores, asked = faces.values, faces.asked
    estimates: list[dict[str, Estimate]] = [{} for _ in attribute.groups]
    gaps = []
    missed = detection_units(pred, attribute, clusters)
    for name in [*_names(pred, scores), *asked, *(["detection_failure"] if missed else [])]:
        if name == "top2" and name not in scores:
            for own in estimates:
                own[name] = undefined(0, 0, "two classes: it could only be 1", settings.level)
            continue
        rng = settings.stream(attribute.name, name)
        share = name == "detection_failure" or (name in scores and is_share(name, scores[name]))
        own_units = missed[1] if name == "detection_failure" and missed else units
        apart = None
        if name == "ece":
            means = calibration_means(scores, known, units)
            bins, null_bins = _draws(means, settings, rng)
            drawn, null, values = calibration_error(bins), calibration_error(null_bins), calibration_error(means.mean)
            counted = bin_components(scores, known, units)
            found = calibration_estimates(means, counted, bins, settings.level, settings.seed)
            apart = _calibration_gap(means, counted, bins, settings)
        else:
            means = (
                group_means(*missed)
                if name == "detection_failure" and missed
                else group_means(scores[name][known], units, skewed=not share)
            )
            drawn, null = (d[:, :, 0] for d in _draws(means, settings, rng))
            if share and own_units.unit is None:
                values_of = missed[0] if own_units is not units and missed else scores[name][known]
                null = dealt_shares(values_of, own_units, settings.n_perm, rng)
            values = means.mean[:, 0]
            found = mean_estimates(share, means, settings.level)
        for own, estimate in zip(estimates, found, strict=True):
            own[name] = estimate
        part = settings.enough(means.n, means.units)
        contrast = Contrast(
            name=name,
            eligible=part[None],
            trials=means.n[None] if share else None,
            lower=METRICS.lower_is_better(name),
            bounded=name not in asked,
        )
        mask = np.where(part, 0.0, np.nan)
        evidence = Evidence(
            values=(values + mask)[None],
            replicates=(drawn + mask)[:, None],
            null=reduce_components((null + mask)[:, None], contrast.kind),
            estimates=found,
            sizes=means.n,
            units=means.units,
            tested=own_units.tested,
            crossed=own_units.crossed,
            interval=apart,
        )
        gaps.append(judge(contrast, attribute.groups, evidence, settings.level, settings.seed))
    return ScoreResults(estimates, gaps)


def _calibration_gap(means: GroupMeans, counted: Array, bins: Array, settings: Settings) -> tuple[float, float]:
    """The gap of calibration errors that intervals of all groups at once (Bonferroni) leave open.

    The error is biased upwards by what noise there is, so that a gap of 3,000 against 60 calibrated faces is
    about 0.09 on average: no interval around the observed gap can hold. Each group's own does.
    """
    part = settings.enough(means.n, means.units)
    level = bonferroni_level(settings.level, int(part.sum()))
    each = calibration_estimates(means, counted, bins, level, settings.seed)
    low, high = (np.where(part, [getattr(e, end) for e in each], np.nan) for end in ("low", "high"))
    return separate_gap(low, high)


def detection_units(
    pred: Predictions, attribute: Attribute, clusters: Ints | None
) -> tuple[NDArray[np.float64], Units] | None:
    """Every face of a known group, 1 where the tool did not find it; None where that is not known.

    Faces that were not found have no prediction, but mostly a label: the gap is judged within the
    annotated class, as all gaps are.
    """
    lost = pred.undetected
    lost_codes = None if lost is None else codes_in(attribute, lost)
    if lost is None or lost_codes is None:
        return None
    codes = np.concatenate([attribute.codes, lost_codes])
    classes = {str(c): k for k, c in enumerate(pred.classes)}
    labels = np.concatenate([pred.labels, lost["label"].astype(str).map(classes).to_numpy(np.int64)])
    missed = np.concatenate([np.zeros(len(pred)), np.ones(len(lost))])
    cluster = None
    if clusters is not None and "cluster" in lost:
        cluster = independent_units(np.concatenate([clusters, lost["cluster"].to_numpy(np.int64)]))
    known = np.flatnonzero(codes >= 0)
    own = None if cluster is None else cluster[known]
    units = Units.of(codes[known], labels[known], own, len(attribute.groups), len(pred.classes))
    return missed[known], units


def dealt_shares(values: NDArray[Any], units: Units, b: int, rng: np.random.Generator) -> Array:
    """Shares of the groups when faces annotated alike are dealt to them at random: the exact law, ``(b, G)``.

    Args:
        values: ``(n,)`` 0, 1, or NaN where a face does not count.
        units: Groups and classes of the rows; each row is its own unit.
        b: Number of replicates.
        rng: Source of randomness.
    """
    g, k = units.n_groups, units.n_classes
    counted = np.flatnonzero(~np.isnan(values))
    cell = units.group[counted] * k + units.label[counted]
    n = np.bincount(cell, minlength=g * k).reshape(g, k)
    hits = np.bincount(units.label[counted], weights=values[counted], minlength=k).astype(np.int64)
    total = np.zeros((b, g))
    for c in range(k):
        types = np.array([hits[c], n[:, c].sum() - hits[c]], dtype=np.int64)
        total += hypergeometric_tables(types, n[:, c], b, rng)[:, 0]
    size = n.sum(1).astype(np.float64)
    return np.asarray(np.divide(total, size, out=np.full(total.shape, np.nan), where=size > 0))


def _names(pred: Predictions, scores: Scores) -> list[str]:
    """Which scores are shown: ties only where there are votes, the rest with probabilities only."""
    if pred.probs is None:
        return ["tie_accuracy"] if pred.votes is not None else []
    names = [n for n in GROUP_SCORES if n != "tie_accuracy" or pred.votes is not None]
    return [*names, "ece"] if "confidence" in scores else names


def _draws(means: GroupMeans, settings: Settings, rng: np.random.Generator) -> tuple[Array, Array]:
    return means.replicates(settings.n_boot, rng), means.null(settings.n_perm, rng)
