"""Metrics of predicted probabilities against the annotated class or the annotators' distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.metrics.catalogue import METRICS

Array = NDArray[np.float64]
FLOOR = 1e-7  # probabilities are clipped here before a logarithm


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def top_k_hits(probs: Array, labels: NDArray[np.int64], k: int = 2) -> NDArray[np.bool_]:
    """Whether the annotated class is among the ``k`` most probable.

    Args:
        probs: ``(n, K)`` probabilities or logits.
        labels: ``(n,)`` annotated classes.
        k: How many classes count; of equal ones, those of the lower index come first.

    Returns:
        ``(n,)`` bool.
    """
    own = np.take_along_axis(probs, labels[:, None], axis=1)
    earlier = np.arange(probs.shape[1]) < labels[:, None]
    rank = ((probs > own) | ((probs == own) & earlier)).sum(1)
    return np.asarray(rank < k)


def top_k_accuracy(probs: Array, labels: NDArray[np.int64], k: int = 2) -> float:
    """Share of faces whose annotated class is among the ``k`` most probable.

    Args:
        probs: ``(n, K)`` probabilities or logits.
        labels: ``(n,)`` annotated classes.
        k: How many classes count; of equal ones, those of the lower index come first.

    Returns:
        In [0, 1]; NaN without faces, and where ``K <= k`` (it could only be 1).
    """
    if probs.shape[1] <= k:
        return float("nan")
    return _mean(top_k_hits(probs, labels, k))


@METRICS.register("top2")
def top2(probs: Array, labels: NDArray[np.int64]) -> float:
    """Share of faces whose annotated class is one of the two most probable.

    Args:
        probs: ``(n, K)`` probabilities or logits.
        labels: ``(n,)`` annotated classes.

    Returns:
        In [0, 1]; NaN without faces, and for two classes (it could only be 1).
    """
    return top_k_accuracy(probs, labels, 2)


def kl_rows(probs: Array, targets: Array, votes: Array | None = None) -> Array:
    """KL(p || q) of each face, in nats, both distributions clipped at 1e-7.

    Args:
        probs: ``(n, K)`` predicted distribution q.
        targets: ``(n, K)`` annotated distribution p.
        votes: ``(n, K)`` annotators' votes; where a face has any, p is their distribution.

    Returns:
        ``(n,)``.
    """
    if votes is not None:
        total = votes.sum(1, keepdims=True)
        targets = np.where(total > 0, votes / np.maximum(total, 1e-12), targets)
    p, q = np.clip(targets, FLOOR, 1.0), np.clip(probs, FLOOR, 1.0)
    return np.asarray((targets * (np.log(p) - np.log(q))).sum(1))


@METRICS.register("kl")
def kl_to_targets(probs: Array, targets: Array, votes: Array | None = None) -> float:
    """Mean KL(p || q) from the annotators' distribution p to the predicted one q, in nats.

    Args:
        probs: ``(n, K)`` probabilities.
        targets: ``(n, K)`` annotated distribution; one-hot rows make it the log-likelihood.
        votes: ``(n, K)`` annotators' votes, which count in place of targets made from them.

    Returns:
        0 or more; NaN without faces.
    """
    return _mean(kl_rows(probs, targets, votes))


def nll_rows(probs: Array, labels: NDArray[np.int64]) -> Array:
    """Minus the logarithm of the annotated class's probability, clipped at 1e-7, for each face: ``(n,)``.

    Args:
        probs: ``(n, K)`` probabilities.
        labels: ``(n,)`` annotated classes.
    """
    own = np.take_along_axis(probs, labels[:, None], axis=1)[:, 0]
    return np.asarray(-np.log(np.clip(own, FLOOR, 1.0)))


@METRICS.register("nll")
def negative_log_likelihood(probs: Array, labels: NDArray[np.int64]) -> float:
    """Mean of minus the logarithm of the annotated class's probability, in nats.

    Args:
        probs: ``(n, K)`` probabilities, clipped at 1e-7.
        labels: ``(n,)`` annotated classes.

    Returns:
        0 or more; NaN without faces.
    """
    return _mean(nll_rows(probs, labels))


def brier_rows(probs: Array, labels: NDArray[np.int64]) -> Array:
    """Squared distance between the probabilities and the one-hot annotated class, for each face: ``(n,)``.

    Args:
        probs: ``(n, K)`` probabilities.
        labels: ``(n,)`` annotated classes.
    """
    own = np.take_along_axis(probs, labels[:, None], axis=1)[:, 0]
    return np.asarray((probs**2).sum(1) - 2 * own + 1)


@METRICS.register("brier")
def brier(probs: Array, labels: NDArray[np.int64]) -> float:
    """Mean squared distance between the probabilities and the one-hot annotated class.

    Brier (1950), summed over the classes: 0 is perfect, 2 the worst.

    Args:
        probs: ``(n, K)`` probabilities.
        labels: ``(n,)`` annotated classes.

    Returns:
        In [0, 2]; NaN without faces.
    """
    return _mean(brier_rows(probs, labels))


def calibration_table(probs: Array, labels: NDArray[np.int64], n_bins: int = 15) -> dict[str, Array]:
    """Confidence against accuracy in equal-width bins of the top probability, for a reliability plot.

    Args:
        probs: ``(n, K)`` probabilities.
        labels: ``(n,)`` annotated classes.
        n_bins: Bins over (0, 1], each closed on the right.

    Returns:
        ``low``, ``high``, ``n``, ``confidence`` (mean top probability) and ``accuracy``, each
        ``(n_bins,)``; the last two are NaN for an empty bin.
    """
    top = probs.max(1) if len(probs) else np.zeros(0)
    hit = (probs.argmax(1) == labels) if len(probs) else np.zeros(0, dtype=bool)
    index = np.clip(np.ceil(top * n_bins).astype(int) - 1, 0, n_bins - 1)
    n = np.bincount(index, minlength=n_bins).astype(np.float64)
    edges = np.linspace(0, 1, n_bins + 1)
    table = {"low": edges[:-1], "high": edges[1:], "n": n}
    for name, values in (("confidence", top), ("accuracy", hit)):
        total = np.bincount(index, weights=values, minlength=n_bins)
        table[name] = np.divide(total, n, out=np.full(n_bins, np.nan), where=n > 0)
    return table


def expected_calibration_error(probs: Array, labels: NDArray[np.int64], n_bins: int = 15) -> float:
    """Distance between confidence and accuracy, averaged over bins with their faces as weights.

    Guo et al. (2017), equation 3. It is biased upwards for few faces: a perfectly calibrated model
    does not reach 0.

    Args:
        probs: ``(n, K)`` probabilities.
        labels: ``(n,)`` annotated classes.
        n_bins: Equal-width bins of the top probability.

    Returns:
        In [0, 1]; NaN without faces.
    """
    if len(probs) == 0:
        return float("nan")
    table = calibration_table(probs, labels, n_bins)
    filled = table["n"] > 0
    distance = np.abs(table["accuracy"] - table["confidence"])[filled]
    return float((table["n"][filled] * distance).sum() / len(probs))


@METRICS.register("ece")
def ece(probs: Array, labels: NDArray[np.int64]) -> float:
    """Expected calibration error in 15 bins: see :func:`expected_calibration_error`.

    Args:
        probs: ``(n, K)`` probabilities.
        labels: ``(n,)`` annotated classes.

    Returns:
        In [0, 1]; NaN without faces.
    """
    return expected_calibration_error(probs, labels)
