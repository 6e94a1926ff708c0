"""Scores of faces by group: estimates, and the gaps between groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute, codes_in
from mien.audit.calibration import bin_components, calibration_error, calibration_estimates, calibration_means
from mien.audit.cells import Ints
from mien.audit.gaps import Contrast, reduce_values
from mien.audit.intervals import undefined
from mien.audit.judgement import Evidence, judge
from mien.audit.results import GapResult
from mien.audit.scores import GROUP_SCORES, SHARES, GroupMeans, Scores, Units, group_means, mean_estimates
from mien.audit.settings import Settings
from mien.records import Estimate, Predictions

Array = NDArray[np.float64]


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
    pred: Predictions, attribute: Attribute, known: Ints, scores: Scores, units: Units, settings: Settings
) -> ScoreResults:
    """Estimates and gaps of every score that the predictions allow.

    Args:
        pred: The predictions.
        attribute: The attribute.
        known: ``(m,)`` rows whose group is known.
        scores: Scores of all rows.
        units: How the known rows belong together.
        settings: The audit's settings.
    """
    estimates: list[dict[str, Estimate]] = [{} for _ in attribute.groups]
    gaps = []
    missed = detection_units(pred, attribute)
    for name in [*_names(pred, scores), *(["detection_failure"] if missed else [])]:
        if name == "top2" and name not in scores:
            for own in estimates:
                own[name] = undefined(0, 0, "two classes: it could only be 1", settings.level)
            continue
        rng = settings.stream(attribute.name, name)
        if name == "ece":
            means = calibration_means(scores, known, units)
            bins, null_bins = _draws(means, settings, rng)
            drawn, null, values = calibration_error(bins), calibration_error(null_bins), calibration_error(means.mean)
            counted = bin_components(scores, known, units)
            found = calibration_estimates(means, counted, bins, settings.level, settings.seed)
        else:
            means = (
                group_means(*missed)
                if name == "detection_failure" and missed
                else group_means(scores[name][known], units)
            )
            drawn, null = (d[:, :, 0] for d in _draws(means, settings, rng))
            values = means.mean[:, 0]
            found = mean_estimates(name, means, settings.level)
        for own, estimate in zip(estimates, found, strict=True):
            own[name] = estimate
        part = means.n >= max(settings.min_n, 1)
        contrast = Contrast(name=name, eligible=part[None], trials=means.n[None] if name in SHARES else None)
        mask = np.where(part, 0.0, np.nan)
        evidence = Evidence(
            (values + mask)[None],
            (drawn + mask)[:, None],
            reduce_values((null + mask)[:, None], contrast.kind),
            null + mask,
            found,
        )
        gaps.append(judge(contrast, attribute.groups, evidence, settings.level, settings.seed))
    return ScoreResults(estimates, gaps)


def detection_units(pred: Predictions, attribute: Attribute) -> tuple[NDArray[np.float64], Units] | None:
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
    if pred.cluster is not None and "cluster" in lost:
        cluster = np.concatenate([pred.cluster, lost["cluster"].to_numpy(np.int64)])
    known = np.flatnonzero(codes >= 0)
    own = None if cluster is None else cluster[known]
    units = Units.of(codes[known], labels[known], own, len(attribute.groups), len(pred.classes))
    return missed[known], units


def _names(pred: Predictions, scores: Scores) -> list[str]:
    """Which scores are shown: ties only where there are votes, the rest with probabilities only."""
    if pred.probs is None:
        return ["tie_accuracy"] if pred.votes is not None else []
    names = [n for n in GROUP_SCORES if n != "tie_accuracy" or pred.votes is not None]
    return [*names, "ece"] if "confidence" in scores else names


def _draws(means: GroupMeans, settings: Settings, rng: np.random.Generator) -> tuple[Array, Array]:
    return means.replicates(settings.n_boot, rng), means.null(settings.n_perm, rng)
