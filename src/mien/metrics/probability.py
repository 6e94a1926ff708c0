"""Metrics of predicted probabilities against the annotated class or the annotators' distribution."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.metrics.catalogue import METRICS

Array = NDArray[np.float64]
FLOOR = 1e-7  # probabilities are clipped here before a logarithm
_ON_EDGE = 1e-6
_FAR = 3.0  # standard errors from 0 beyond which a bin's noise cannot change its sign


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


def overconfidence_rows(probs: Array, labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> Array:
    """Top probability minus whether the prediction is right, for each face: ``(n,)`` in [-1, 1].

    Its mean is confidence minus accuracy: above 0 the model is surer than it is right. Unlike the
    expected calibration error it is a mean over faces, without a bias for few of them.

    Args:
        probs: ``(n, K)`` probabilities.
        labels: ``(n,)`` annotated classes.
        predicted: ``(n,)`` predicted classes.
    """
    top = probs.max(1) if len(probs) else np.zeros(0)
    return np.asarray(top - (predicted == labels))


@METRICS.register("overconfidence")
def overconfidence(probs: Array, labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Mean highest probability minus the share of right predictions: above 0 the model is too sure of itself.

    Args:
        probs: ``(n, K)`` probabilities.
        labels: ``(n,)`` annotated classes.
        predicted: ``(n,)`` predicted classes.

    Returns:
        In [-1, 1]; NaN without faces.
    """
    return _mean(overconfidence_rows(probs, labels, predicted))


def confidence_bins(confidence: NDArray[Any], n_bins: int = 15) -> NDArray[np.int64]:
    """The bin of each confidence: equal width over (0, 1], closed on the right.

    A confidence within a millionth above an edge is on it: 0.6 as float32 is 0.60000002, and ten thousand
    faces that a tool wrote so must not change their bin with the number format.

    Args:
        confidence: ``(n,)`` in [0, 1], float16 to float64.
        n_bins: Bins.

    Returns:
        ``(n,)`` from 0 to ``n_bins - 1``.

    >>> confidence_bins(np.array([0.6, 0.61], dtype=np.float32)).tolist(), confidence_bins(np.array([0.6])).tolist()
    ([8, 9], [8])
    """
    inside = np.ceil((confidence.astype(np.float64) - _ON_EDGE) * n_bins).astype(np.int64) - 1
    return np.asarray(np.clip(inside, 0, n_bins - 1))


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
    index = confidence_bins(top, n_bins)
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


def calibration_errors(components: ArrayLike) -> Array:
    """Least standard errors of the signed gap of each bin, for bins where a bootstrap sees too little.

    A bin of one face, or of hits only, does not vary in a bootstrap. These are binomial errors with
    the accuracy drawn a little to the bin's confidence, as by two more faces.

    Args:
        components: ``(..., 3, n_bins)`` faces, sum of their confidence, and hits of each bin.

    Returns:
        ``(..., n_bins)``; 0 for an empty bin, NaN without faces.
    """
    faces, confidence, hits = np.moveaxis(np.asarray(components, dtype=np.float64), -2, 0)
    mean = np.divide(confidence, faces, out=np.zeros(faces.shape), where=faces > 0)
    accuracy = (hits + 2 * mean) / (faces + 2)
    total = np.broadcast_to(faces.sum(-1, keepdims=True), faces.shape)
    error = np.sqrt(np.maximum(faces * accuracy * (1 - accuracy), 0))
    return np.asarray(np.divide(error, total, out=np.full(faces.shape, np.nan), where=total > 0))


def ece_interval(
    observed: ArrayLike, replicates: ArrayLike, level: float = 0.95, least_errors: ArrayLike | None = None
) -> tuple[float, float]:
    """An interval for the expected calibration error that holds for a calibrated model too.

    The error folds noise into distance: it lies above the truth on average, a bootstrap of it higher
    still, and percentiles of that never reach the 0 of a calibrated model. By the triangle
    inequality the observed error exceeds the truth by at most the sum over bins of the magnitude of
    the noise, so the lower end is the observed error minus a high quantile of that sum; a bin whose
    gap is beyond three standard errors cannot fold and adds its signed noise. The upper end needs
    no more than the error's own spread, since what bias there is points upwards.

    Args:
        observed: ``(n_bins,)`` signed confidence minus accuracy of each bin, as shares of all faces.
        replicates: ``(b, n_bins)`` the same of bootstrap replicates; NaN ones take no part.
        level: Coverage aimed at.
        least_errors: ``(n_bins,)`` :func:`calibration_errors` of the data; without them, intervals
            of few faces are too short.

    Returns:
        ``(low, high)`` in [0, 1]; NaN without faces or with fewer than two replicates.
    """
    gaps, drawn = np.asarray(observed, dtype=np.float64), np.asarray(replicates, dtype=np.float64)
    drawn = drawn[~np.isnan(drawn).any(-1)]
    if np.isnan(gaps).any() or len(drawn) < 2:
        return float("nan"), float("nan")
    noise = drawn - gaps
    spread = noise.std(0)
    error = spread if least_errors is None else np.maximum(spread, np.asarray(least_errors, dtype=np.float64))
    noise = noise * np.divide(error, spread, out=np.zeros(spread.shape), where=spread > 0)
    far = np.abs(gaps) > _FAR * error
    unseen = float(np.sqrt(2 / np.pi) * error[spread == 0].sum())  # mean magnitude of normal noise
    excess = np.where(far, noise * np.sign(gaps), np.abs(noise)).sum(1) + unseen
    ece = float(np.abs(gaps).sum())
    low = ece - float(np.quantile(excess, 0.5 + level / 2))
    high = ece + NormalDist().inv_cdf(0.5 + level / 2) * float(np.abs(drawn).sum(1).std())
    return min(max(low, 0.0), ece), min(high, 1.0)
