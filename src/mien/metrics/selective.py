"""Metrics of a model that may abstain: how much it decides, and how often it is then wrong.

A face is *accepted* where the confidence reaches a threshold. Coverage is the share of faces
accepted, risk the share of accepted faces that are wrong (Geifman and El-Yaniv 2017, with the 0/1
loss). A threshold cannot part faces of equal confidence: they are accepted or refused as a block,
so that no value depends on the order of the rows. Faces whose confidence or hit is NaN are left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def _known(confidence: ArrayLike, hit: ArrayLike) -> tuple[Array, Array]:
    """Confidence and error of the faces where both are known."""
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(hit, dtype=np.float64)
    if sure.ndim != 1 or sure.shape != right.shape:
        raise ValueError(f"confidence and hit are (n,) both, got shapes {sure.shape} and {right.shape}")
    use = ~np.isnan(sure) & ~np.isnan(right)
    return sure[use], 1 - right[use]


def _blocks(confidence: ArrayLike, hit: ArrayLike) -> tuple[NDArray[np.int64], Array]:
    """Faces accepted and errors among them at each distinct confidence, from the highest down."""
    sure, wrong = _known(confidence, hit)
    values, block = np.unique(-sure, return_inverse=True)
    accepted = np.bincount(block, minlength=len(values)).cumsum()
    return accepted, np.bincount(block, weights=wrong, minlength=len(values)).cumsum()


def risk_coverage(confidence: ArrayLike, hit: ArrayLike) -> tuple[Array, Array]:
    """The risk-coverage curve: one point a distinct confidence, the most confident faces first.

    Args:
        confidence: ``(n,)`` how sure the model is of its prediction; any scale.
        hit: ``(n,)`` whether the prediction is right: bool, or a share in [0, 1].

    Returns:
        ``coverage`` (ascending, the last one 1) and ``risk``, both ``(m,)``; empty without faces.

    Raises:
        ValueError: If the two are not ``(n,)`` both.
    """
    accepted, wrong = _blocks(confidence, hit)
    return accepted / max(accepted[-1:].sum(), 1), wrong / accepted


def area_under_risk_coverage(confidence: ArrayLike, hit: ArrayLike) -> float:
    """Mean risk over all coverages: 0 for a model without errors, lower is better.

    AURC of Geifman, Uziel and El-Yaniv (2019): the mean over the faces of the risk at the threshold
    that just accepts the face. With one confidence for all it is the error rate.

    Args:
        confidence: ``(n,)`` how sure the model is of its prediction.
        hit: ``(n,)`` whether the prediction is right.

    Returns:
        In [0, 1]; NaN without faces.

    Raises:
        ValueError: If the two are not ``(n,)`` both.
    """
    coverage, risk = risk_coverage(confidence, hit)
    return float((np.diff(coverage, prepend=0.0) * risk).sum()) if len(risk) else float("nan")


def risk_at_coverage(confidence: ArrayLike, hit: ArrayLike, coverage: float) -> float:
    """Risk at the highest threshold that still accepts the asked share of faces.

    Args:
        confidence: ``(n,)`` how sure the model is of its prediction.
        hit: ``(n,)`` whether the prediction is right.
        coverage: Least share of faces to accept, in (0, 1]; equal confidences may make it more.

    Returns:
        In [0, 1]; NaN without faces.

    Raises:
        ValueError: If the two are not ``(n,)`` both, or coverage is not in (0, 1].
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage is a share in (0, 1], got {coverage}")
    accepted, wrong = _blocks(confidence, hit)
    if not len(accepted):
        return float("nan")
    # 0.7 of 10 faces is 7, whatever the rounding.
    point = int(np.searchsorted(accepted, coverage * accepted[-1] - 1e-9))
    return float(wrong[point] / accepted[point])


def coverage_and_risk(confidence: ArrayLike, hit: ArrayLike, threshold: float) -> tuple[float, float]:
    """Coverage and risk where faces with at least this confidence are accepted.

    Args:
        confidence: ``(n,)`` how sure the model is of its prediction.
        hit: ``(n,)`` whether the prediction is right.
        threshold: Least confidence to accept.

    Returns:
        ``(coverage, risk)`` in [0, 1]; the risk is NaN where nothing is accepted, both are without faces.

    Raises:
        ValueError: If the two are not ``(n,)`` both.
    """
    sure, wrong = _known(confidence, hit)
    accepted = sure >= threshold
    coverage = float(accepted.mean()) if len(sure) else float("nan")
    return coverage, float(wrong[accepted].mean()) if accepted.any() else float("nan")
