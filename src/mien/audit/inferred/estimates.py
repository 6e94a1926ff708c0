"""Gaps between perceived groups: as perceived, weighted by confidence, and corrected for the annotator's error.

Who belongs to a group is here an annotator's guess. Its mistakes mix the groups, and a gap between
mixed groups is smaller than the one between the groups themselves, however many faces there are:
an interval that knows of the faces only is then sure of a wrong number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute, resolve_attribute
from mien.audit.gaps import HEADLINE_METRICS
from mien.audit.inferred.annotator_error import AnnotatorError, matched_pair, refusal
from mien.audit.inferred.correction import corrected
from mien.audit.inferred.margins import Counted, GapOf, margins_of
from mien.audit.inferred.membership import (
    confidence_coverage,
    face_confidence,
    group_probabilities,
    probability_columns,
    weighted_margins,
)
from mien.audit.inferred.notes import (
    WEIGHTED_NOTE,
    calibration_notes,
    corrected_note,
    coverage_notes,
    erasure_notes,
    matrix_doubts,
    matrix_notes,
    source_notes,
    thresholded_note,
)
from mien.audit.inferred.results import (
    CORRECTED,
    THRESHOLDED,
    WEIGHTED,
    InferredGap,
    InferredGroup,
    InferredMethod,
    InferredResult,
)
from mien.audit.inferred.sensitivity import erasure_curve, even_error_curves
from mien.errors import DataError, UsageError
from mien.records import Estimate, Predictions
from mien.spellings import folded
from mien.stats.cells import Rows, bootstrap_tables, independent_units
from mien.stats.settings import Settings

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What is asked, with the settings that every method shares."""

    pred: Predictions
    attribute: Attribute
    groups: list[str]
    error: AnnotatorError | None
    error_if_wrong: AnnotatorError | None
    confidence: Array | None
    settings: Settings
    threshold: float

    def counted(self, keep: Bools, observed: Array, drawn: Array, also: str = "") -> Counted:
        cluster = self.pred.cluster
        units = 1.0 if cluster is None else len(np.unique(cluster[keep])) / max(int(keep.sum()), 1)
        return Counted(observed, drawn, units, self.settings.level, self.settings.seed, also)

    def stream(self, purpose: str) -> np.random.Generator:
        return self.settings.stream(self.attribute.name, purpose)


def infer_gaps(
    pred: Predictions,
    attribute: Attribute | str,
    error: AnnotatorError | None = None,
    error_if_wrong: AnnotatorError | None = None,
    *,
    settings: Settings = Settings(n_boot=1000),
    threshold: float = 0.0,
    curves: bool = True,
) -> InferredResult:
    """Gaps between perceived groups, three ways, and what annotator error would do to them.

    * ``thresholded``: each face in the group it is perceived as; with a threshold, only where the
      annotator is at least so sure.
    * ``weighted``: each face adds to every group its probability of belonging to it (Chen et al.
      2019, "Fairness under unawareness"). Needs ``<attribute>_confidence``, or
      ``<attribute>_prob_<group>`` for each group.
    * ``corrected``: the counts by perceived group, solved for those by true group with the
      annotator's confusion matrix: :func:`mien.stats.mixture.true_counts`. Each bootstrap
      replicate also draws the matrix from what its validation set leaves open.

    Args:
        pred: The predictions; ``cluster`` says which faces are not independent.
        attribute: The perceived attribute, or its column.
        error: The annotator's confusion matrix; without it nothing can be corrected.
        error_if_wrong: Its confusion matrix on faces that the model gets wrong; ``error`` is then the one
            on faces that it gets right. For annotators that fail on the same faces as the model.
        settings: Coverage, replicates, least faces of a group, least faces of a class in a group, seed.
        threshold: Least confidence, for ``thresholded`` and the curves only.
        curves: Whether to draw the sensitivity curves.

    Returns:
        The estimates side by side; undefined values are NaN with a note.

    Raises:
        UsageError: On settings that cannot work, or a threshold without confidences.
        DataError: If a column or the matrix does not fit the attribute.
    """
    if not 0 <= threshold < 1:
        raise UsageError("threshold", f"is {threshold}", "0 or more and below 1")
    pred = replace(pred, cluster=independent_units(pred.cluster))
    attribute = resolve_attribute(pred, attribute) if isinstance(attribute, str) else attribute
    there = {folded(g) for g in attribute.groups}
    others = [g for g in probability_columns(pred, attribute.name) if folded(g) not in there]
    named = list(dict.fromkeys([*attribute.groups, *others]))
    error, error_if_wrong = matched_pair(error, error_if_wrong, named)
    groups = error.groups if error is not None else named
    confidence = face_confidence(pred, attribute, groups)
    if threshold > 0 and confidence is None:
        raise UsageError(
            "threshold",
            f"{attribute.name!r} has no confidences",
            f"a column '{attribute.name}_confidence' or '{attribute.name}_prob_<group>'",
        )
    return _answer(
        _Question(
            pred=pred,
            attribute=attribute,
            groups=groups,
            error=error,
            error_if_wrong=error_if_wrong,
            confidence=confidence,
            settings=settings,
            threshold=threshold,
        ),
        curves,
    )


def _answer(asked: _Question, curves: bool) -> InferredResult:
    known = asked.attribute.codes >= 0
    if not known.any():
        raise DataError(f"attribute {asked.attribute.name!r}", "no face has a perceived group", "some that do")
    perceived = _perceived(asked, known)
    named, coverage, solved, confused = perceived, None, None, None
    came = asked.pred.annotator_errors.get(asked.attribute.name) if asked.error is None else None
    refused = refusal(came, asked.attribute.name, asked.attribute.groups)
    said = str((came or {}).get("note") or "") if asked.error is None else asked.error.note
    notes = [said] if said else []
    notes += source_notes(asked.attribute, asked.error is not None, refused, asked.confidence)
    doubts: list[str] = []
    if asked.error is not None:
        correction = corrected(perceived, asked.error, asked.error_if_wrong, asked.stream("annotator error"))
        solved, confused = correction.counted, correction.confused
        doubts = matrix_doubts(asked.error, asked.error_if_wrong, correction)
        notes += [*matrix_notes(asked.error, asked.error_if_wrong), *doubts]
    weighted = _weighted(asked, confused)
    if weighted is not None and confused is not None and asked.confidence is not None:
        notes += calibration_notes(confused, asked.confidence[known])
    if asked.threshold > 0 and asked.confidence is not None:
        kept = known & (np.nan_to_num(asked.confidence) >= asked.threshold)
        coverage = confidence_coverage(
            asked.pred, asked.attribute, asked.groups, kept, asked.threshold, asked.settings.level
        )
        notes += coverage_notes(coverage)
        named = _perceived(asked, kept)
    gaps = _gaps_of(asked, named) if curves else []
    erasure = [c for c in (erasure_curve(named, gap, asked.groups) for gap in gaps) if c is not None]
    estimates = (
        (THRESHOLDED, named, thresholded_note(asked.threshold)),
        (WEIGHTED, weighted, WEIGHTED_NOTE),
        (CORRECTED, solved, corrected_note(asked.error_if_wrong is not None)),
    )
    return InferredResult(
        name=asked.attribute.name,
        label=asked.attribute.label,
        source=asked.attribute.source,
        groups=asked.groups,
        n=int(known.sum()),
        n_unknown=int((~known).sum()),
        annotator=asked.error,
        annotator_if_wrong=asked.error_if_wrong,
        methods=[_method(name, asked, counts, note) for name, counts, note in estimates if counts is not None],
        coverage=coverage,
        even_errors=even_error_curves(named, gaps, asked.groups, asked.settings.min_n),
        erasure=erasure,
        notes=notes + erasure_notes(erasure, asked.groups, confused),
        level=asked.settings.level,
        n_boot=asked.settings.n_boot,
        seed=asked.settings.seed,
        annotator_note=said,
        refused=refused,
        doubts=doubts,
    )


def _perceived(asked: _Question, keep: Bools) -> Counted:
    """Counts by perceived group of the rows to keep; the replicates are the audit's own."""
    rows = Rows(
        asked.attribute.codes[keep],
        asked.pred.labels[keep],
        asked.pred.predicted[keep],
        None if asked.pred.cluster is None else independent_units(asked.pred.cluster[keep]),
        len(asked.groups),
        len(asked.pred.classes),
    )
    observed = margins_of(rows.tables()[None])
    if not len(rows):
        return asked.counted(keep, observed, np.repeat(observed, asked.settings.n_boot, axis=0))
    tables = bootstrap_tables(rows, asked.settings.n_boot, asked.stream("bootstrap"))
    return asked.counted(keep, observed, np.concatenate([margins_of(t) for t in tables]))


def _weighted(asked: _Question, confused: Array | None) -> Counted | None:
    # The other groups share what a face named h leaves as the annotator is known to err, else equally.
    shares = np.ones((len(asked.groups), len(asked.groups))) if confused is None else confused.T
    member = group_probabilities(asked.pred, asked.attribute, asked.groups, asked.confidence, shares)
    if member is None:
        return None
    keep = np.asarray(~np.isnan(member).any(1))
    if not keep.any():
        return None
    observed, drawn = weighted_margins(
        member[keep],
        asked.pred.labels[keep],
        asked.pred.predicted[keep],
        None if asked.pred.cluster is None else independent_units(asked.pred.cluster[keep]),
        len(asked.pred.classes),
        asked.settings.n_boot,
        asked.stream("weighted bootstrap"),
    )
    return asked.counted(keep, observed, drawn)


def _gaps_of(asked: _Question, counted: Counted) -> list[GapOf]:
    """The headline gaps, then the recall gaps, with the groups that have enough faces by this count."""
    headline = [GapOf(metric, "", 0, np.ones(len(asked.groups), dtype=bool)) for metric in HEADLINE_METRICS]
    enough: Bools = headline[0].sizes(counted.observed)[0] >= max(asked.settings.min_n, 1)
    out = [replace(gap, eligible=enough) for gap in headline]
    for k, name in enumerate(asked.pred.classes):
        recall = GapOf("recall", str(name), k, enough)
        out.append(
            replace(recall, eligible=enough & (recall.sizes(counted.observed)[0] >= max(asked.settings.min_class_n, 1)))
        )
    return out


def _method(name: str, asked: _Question, counted: Counted, note: str) -> InferredMethod:
    metrics: list[dict[str, Estimate]] = [{} for _ in asked.groups]
    recall: list[dict[str, Estimate]] = [{} for _ in asked.groups]
    effective = [0.0 for _ in asked.groups]
    gaps = _gaps_of(asked, counted)
    found = []
    for gap in gaps:
        values, drawn = gap.values(counted.observed)[0], gap.values(counted.drawn)
        sizes = gap.sizes(counted.observed)[0]
        # Shares of independent whole faces need no bootstrap.
        exact = name == THRESHOLDED and counted.units_per_face == 1 and gap.metric in ("accuracy", "recall")
        n_drawn = 0 if exact else asked.settings.n_boot
        for g in range(len(asked.groups)):
            note_here = "" if gap.eligible[g] else "too few"
            if np.isnan(values[g]):
                note_here = "nobody annotated with it" if gap.class_name else "no faces"
            estimate, trials = counted.value(float(values[g]), drawn[:n_drawn, g], float(sizes[g]), note_here)
            if gap.class_name:
                recall[g][gap.class_name] = estimate
            else:
                metrics[g][gap.metric] = estimate
            if gap.metric == "accuracy":
                effective[g] = trials
        found.append(_gap(gap, asked, counted, values, drawn))
    sizes = gaps[0].sizes(counted.observed)[0]
    groups = [
        InferredGroup(group, float(sizes[g]), effective[g], metrics[g], recall[g], bool(gaps[0].eligible[g]))
        for g, group in enumerate(asked.groups)
    ]
    return InferredMethod(name, groups, found, note)


def _gap(gap: GapOf, asked: _Question, counted: Counted, values: Array, drawn: Array) -> InferredGap:
    estimate, part = counted.gap(gap, values, drawn)
    if np.isnan(estimate.value):
        return InferredGap(gap.metric, gap.class_name, estimate, "", "", len(part))
    worst, best = (asked.groups[int(part[f(values[part])])] for f in (np.argmin, np.argmax))
    return InferredGap(gap.metric, gap.class_name, estimate, worst, best, len(part))
