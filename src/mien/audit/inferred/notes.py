"""What to mind about gaps between perceived groups, in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute
from mien.audit.inferred.annotator_error import MAX_CONDITION, AnnotatorError
from mien.audit.inferred.correction import Correction
from mien.audit.inferred.membership import ConfidenceCoverage
from mien.audit.inferred.sensitivity import ErasureCurve, percent
from mien.samples import PERCEIVED
from mien.stats.mixture import inverted_counts

Array = NDArray[np.float64]
_FEW_VALIDATED = 30
_MISCALIBRATED = 0.05
_UNSURE_DRAWS = 0.025

WEIGHTED_NOTE = (
    "Each face counts in every group by its probability. That is right only if the probabilities are calibrated and, "
    "among faces with the same probabilities, the true group has nothing to do with the model's mistakes. Where the "
    "model does serve the groups differently it makes the gap look smaller, often more so than thresholding (Chen et "
    "al. 2019). Intervals hold the sampling of faces, not the annotator's error."
)
_CORRECTED_NOTE = (
    "Counts by perceived group, solved for the true groups with the annotator's confusion matrix. That is right only "
    "if the annotator errs on these faces as on its validation set, and its errors depend on "
)
_IF_GROUP_ALONE = (
    "the true group alone: not on the expression, nor on whether the model is right. If both fail on the same faces "
    "(blurred ones, say), this can show a gap where there is none: count the matrix apart for validation faces that "
    "the model gets right and wrong. "
)
_IF_OUTCOME = "the true group and on whether the model is right alone, not on the expression. "
_CORRECTED_INTERVALS = "Intervals hold the sampling of the audited faces and of the validation faces."


def thresholded_note(threshold: float) -> str:
    """What the thresholded estimate rests on."""
    which = f" Only faces with a confidence of {threshold:g} or more count." if threshold > 0 else ""
    return (
        f"Each face counts in the group it is perceived as.{which} The annotator's mistakes mix the groups, which as a "
        "rule makes a gap between two of them look smaller than it is; the largest gap of several groups can also look "
        "larger, where few faces are perceived as one of them. Intervals hold the sampling of faces, not the "
        "annotator's error."
    )


def corrected_note(by_outcome: bool) -> str:
    """What the corrected estimate rests on; ``by_outcome``: with a matrix each for right and wrong predictions."""
    return _CORRECTED_NOTE + (_IF_OUTCOME if by_outcome else _IF_GROUP_ALONE) + _CORRECTED_INTERVALS


def source_notes(attribute: Attribute, has_matrix: bool, refused: str, confidence: Array | None) -> list[str]:
    """What is missing.

    Args:
        attribute: The perceived attribute.
        has_matrix: Whether the annotator's confusion matrix is used.
        refused: Why the one that came with the predictions is not; empty if none came.
        confidence: ``(n,)`` of all faces; None where there is none.
    """
    notes = []
    if attribute.source != PERCEIVED:
        stated = "are marked as annotated" if attribute.source != "not stated" else "have no stated source"
        notes.append(f"The groups of {attribute.name} {stated}: they are treated as perceived here.")
    if refused:
        notes.append(
            "The annotator's confusion matrix came with the predictions but cannot be used, so nothing is corrected "
            f"and no interval holds its error. {refused}"
        )
    elif not has_matrix:
        notes.append("Without the annotator's confusion matrix nothing is corrected, and no interval holds its error.")
    if confidence is None:
        columns = f"'{attribute.name}_confidence' or '{attribute.name}_prob_<group>'"
        notes.append(f"There is no column {columns}, and so no weighted estimate.")
    else:
        missing = int(np.isnan(confidence[attribute.codes >= 0]).sum())
        if missing:
            notes.append(f"{missing} faces have a perceived group but no confidence: the weighted estimate lacks them.")
    return notes


def _by_faces(error: AnnotatorError, if_wrong: AnnotatorError | None) -> tuple[tuple[AnnotatorError, str], ...]:
    """Each matrix and the faces that it is for, in words; no words for all."""
    if if_wrong is None:
        return ((error, ""),)
    return (error, " on faces predicted right"), (if_wrong, " on faces predicted wrong")


def matrix_notes(error: AnnotatorError, if_wrong: AnnotatorError | None) -> list[str]:
    """What the annotator's matrices are like.

    Args:
        error: The matrix; with ``if_wrong``, that of faces predicted right.
        if_wrong: That of faces predicted wrong.
    """
    return [note for matrix, which in _by_faces(error, if_wrong) for note in _matrix_notes(matrix, which)]


def _matrix_notes(error: AnnotatorError, which: str) -> list[str]:
    faces = ", ".join(f"{g} {n:,.0f}" for g, n in zip(error.groups, error.n, strict=True))
    right = ", ".join(f"{g} {r:.0%}" for g, r in zip(error.groups, np.diag(error.rates), strict=True))
    notes = [
        f"Annotator{which}: {error.where}. Its mistakes are known as surely as {error.n.sum():,.0f} faces of known "
        f"group show them ({faces}); perceived correctly: {right}. Condition number {error.condition:.1f}: correction "
        "makes the noise of the counts up to so many times larger."
    ]
    few = [g for g, n in zip(error.groups, error.n, strict=True) if n < _FEW_VALIDATED]
    if few:
        notes.append(
            f"Fewer than {_FEW_VALIDATED} validation faces of {', '.join(few)}: how these are mistaken is little known."
        )
    for g in np.flatnonzero(np.diag(error.rates) < error.rates.max(1)):
        most = error.groups[int(error.rates[g].argmax())]
        notes.append(
            f"Most faces of {error.groups[g]} are perceived as {most}. If that is not so, rows and columns of the "
            "matrix may have been exchanged: rows are the true groups."
        )
    return notes


def matrix_doubts(error: AnnotatorError, if_wrong: AnnotatorError | None, correction: Correction) -> list[str]:
    """What speaks against values corrected with these matrices.

    Args:
        error: The matrix; with ``if_wrong``, that of faces predicted right.
        if_wrong: That of faces predicted wrong.
        correction: What was corrected with them.
    """
    doubts = []
    matrices = _by_faces(error, if_wrong)
    for (matrix, which), perceived, drawn in zip(matrices, correction.perceived, correction.drawn, strict=True):
        unsure = float((np.linalg.cond(drawn) > MAX_CONDITION).mean())
        if unsure > _UNSURE_DRAWS:
            doubts.append(
                f"In {unsure:.0%} of the replicates the annotator drawn hardly tells the groups apart{which}: the "
                "corrected intervals say little. Validate it on more faces, or use a better one."
            )
        solved = inverted_counts(perceived[None, :, None], matrix.rates[None])[0, :, 0]
        doubts += [
            f"The matrix does not fit these faces{which}: fewer are perceived as {matrix.groups[g]} than its errors on "
            "the other groups alone would make. Either there are hardly any, or the annotator errs differently here: "
            "do not rely on the corrected values."
            for g in np.flatnonzero(solved < 0)
        ]
    return doubts


def calibration_notes(confused: Array, confidence: Array) -> list[str]:
    """Compare the annotator's confidence with how often it is right by its confusion matrix.

    Args:
        confused: ``(G, G)`` faces by true and perceived group.
        confidence: ``(n,)`` of the faces with a perceived group.
    """
    if np.isnan(confidence).all():
        return []
    sure = float(np.nanmean(confidence))
    right = float(np.trace(confused) / confused.sum())
    if abs(sure - right) <= _MISCALIBRATED:
        return []
    return [
        f"The annotator is {sure:.0%} sure on average; by its confusion matrix it is right for {right:.0%} of these "
        "faces. Either its probabilities are not calibrated on them, or its mistakes were counted on another mix of "
        "groups or faces. The weighted estimate rests on the probabilities, the corrected one on the matrix."
    ]


def coverage_notes(coverage: ConfidenceCoverage) -> list[str]:
    """What a confidence threshold leaves, and where it takes most."""
    notes = [f"Confidence of {coverage.threshold:g} or more: {coverage.overall.value:.0%} of the faces."]
    for what, shares in (("the groups perceived", coverage.by_group), ("the annotated classes", coverage.by_class)):
        known = {name: e.value for name, e in shares.items() if not np.isnan(e.value)}
        if len(known) > 1:
            least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
            notes.append(
                f"Of {what}, {least} keeps least ({known[least]:.0%}) and {most} most ({known[most]:.0%}). The more "
                "they differ, the less do the faces that are left stand for all."
            )
    return notes


def erasure_notes(erasure: list[ErasureCurve], groups: list[str], confused: Array | None) -> list[str]:
    """The sentence on the accuracy gap, beside what the matrix says about the same two groups.

    Args:
        erasure: All curves.
        groups: The G names.
        confused: ``(G, G)`` faces by true and perceived group; None without a matrix.
    """
    curve = next((c for c in erasure if c.metric == "accuracy"), None)
    if curve is None:
        return []
    text = curve.sentence
    if confused is not None:
        worst, best = groups.index(curve.worst), groups.index(curve.best)
        named = float(confused[:, worst].sum())
        if named > 0:
            share = float(confused[best, worst] / named)
            text += (
                f" By the confusion matrix {percent(share)} of the faces perceived as {curve.worst} are {curve.best}."
            )
    return [text]
