"""Metrics of a whole set of groups: gaps, ratios, and the fairness scores of the FER literature.

All take ``(..., G, K, K)`` confusion counts, rows annotated, columns predicted, and give ``(...)``,
so that thousands of bootstrap or permutation replicates are one call. Two arguments say what is
compared; decide both once, on the observed counts, so that replicates compare the same things:

* ``eligible``: ``(G,)`` bool, the groups that take part; all by default.
* ``support``, ``(K,)`` bool (classes), or ``cells``, ``(G, K)`` bool (classes of a group): which
  recalls take part.

Undefined is NaN: a rate without faces, a gap or ratio of fewer than two rates, a ratio 0/0. What is
undefined takes no part in the maximum or minimum over the classes. The worst of many noisy rates is bad
on average even where no disparity exists: read every number here beside its expectation under no disparity.

Each metric is :func:`reduce_components` of *components*, ``(..., C, G)`` values of every group: one component, or
one a class and rate. An audit reduces its replicates by the same function.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.metrics.confusion import accuracy, divide, per_class_recall

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
DIFFERENCE, RATIO, DISTANCE = "difference", "ratio", "distance"


def max_min_gap(values: ArrayLike, eligible: ArrayLike | None = None, axis: int = -1) -> Array:
    """Largest minus smallest value over the groups.

    It is 0 or more by construction, so it is positive on average even where no disparity exists:
    read it beside its expectation under no disparity.

    Args:
        values: ``(..., G)`` with groups on ``axis``; NaN takes no part.
        eligible: Bool that broadcasts to ``values``; False takes no part.
        axis: The axis of the groups.

    Returns:
        ``(...)``; NaN where fewer than two groups take part.
    """
    low, high, n = _range(values, eligible, axis)
    return np.asarray(np.subtract(high, low, out=np.full(high.shape, np.nan), where=n >= 2))


def min_max_ratio(values: ArrayLike, eligible: ArrayLike | None = None, axis: int = -1) -> Array:
    """Smallest over largest value over the groups: 1 is equal, 0 the worst.

    Args:
        values: ``(..., G)``, 0 or more, with groups on ``axis``; NaN takes no part.
        eligible: Bool that broadcasts to ``values``; False takes no part.
        axis: The axis of the groups.

    Returns:
        ``(...)`` in [0, 1]; NaN where fewer than two groups take part or all values are 0.
    """
    return _ratio(*_range(values, eligible, axis), least=2)


def _range(values: ArrayLike, eligible: ArrayLike | None, axis: int = -1) -> tuple[Array, Array, NDArray[Any]]:
    """Smallest, largest and number of the values that take part."""
    array = np.asarray(values, dtype=np.float64)
    use = ~np.isnan(array)
    if eligible is not None:
        use &= np.asarray(eligible, dtype=bool)
    low, high = np.where(use, array, np.inf).min(axis), np.where(use, array, -np.inf).max(axis)
    return np.asarray(low), np.asarray(high), np.asarray(use.sum(axis))


def _ratio(low: Array, high: Array, n: NDArray[Any], least: int) -> Array:
    return np.asarray(np.divide(low, high, out=np.full(high.shape, np.nan), where=(n >= least) & (high > 0)))


def reduce_components(values: Array, kind: str) -> Array:
    """How far apart groups are, over all components.

    Args:
        values: ``(..., C, G)``, C components of G groups; NaN takes no part.
        kind: ``difference``, the largest over the components of the largest minus the smallest value; ``ratio``, the
            smallest over the components of the smallest over the largest value; or ``distance``, the largest total
            variation distance between two groups' components (half the sum of their differences).

    Returns:
        ``(...)``; NaN where no component has two groups.

    >>> values = np.array([[0.2, 0.6, np.nan], [0.8, 0.4, 0.7]])
    >>> [round(float(reduce_components(values, kind)), 3) for kind in (DIFFERENCE, RATIO, DISTANCE)]
    [0.4, 0.333, 0.4]
    """
    if kind == DISTANCE:
        return _largest_distance(values)
    low, high, n = _range(max_min_gap(values) if kind == DIFFERENCE else min_max_ratio(values), None)
    return np.where(n > 0, high if kind == DIFFERENCE else low, np.nan)


def _largest_distance(values: Array) -> Array:
    part = np.flatnonzero(~np.isnan(values).all(tuple(range(values.ndim - 1))))
    largest = np.full(values.shape[:-2], np.nan)
    for i, g in enumerate(part[:-1]):
        # Each group against all later ones: memory stays that of the input.
        distance = 0.5 * np.abs(values[..., part[i + 1 :]] - values[..., g, None]).sum(-2)
        largest = np.fmax(largest, np.fmax.reduce(distance, axis=-1))
    return np.asarray(largest)


def _counts(confusion: ArrayLike) -> NDArray[Any]:
    counts: NDArray[Any] = np.asarray(confusion)
    if counts.ndim < 3 or counts.shape[-1] != counts.shape[-2]:
        raise ValueError(f"confusion counts of groups are (..., G, K, K), got shape {counts.shape}")
    return counts


def _by_group(rates: Array, eligible: ArrayLike | None) -> Array:
    """``(..., G, C)`` rates as ``(..., C, G)``, NaN for groups that take no part."""
    if eligible is not None:
        rates = np.where(np.asarray(eligible, dtype=bool)[:, None], rates, np.nan)
    return np.asarray(np.swapaxes(rates, -1, -2))


def common_support(confusion: ArrayLike, min_support: int = 1, eligible: ArrayLike | None = None) -> Bools:
    """Classes with enough faces in every group that takes part.

    Args:
        confusion: ``(..., G, K, K)`` counts.
        min_support: Faces of a class that each group needs; at least 1.
        eligible: ``(G,)`` bool.

    Returns:
        ``(..., K)`` bool; all False where no group takes part.
    """
    enough = _counts(confusion).sum(-1) >= max(min_support, 1)
    if eligible is None:
        return np.asarray(enough.all(-2))
    use = np.asarray(eligible, dtype=bool)
    return np.asarray((enough | ~use[:, None]).all(-2) & use.any())


def mean_recalls(recall: Array, support: ArrayLike) -> Array:
    """Each group's mean recall over the same classes: what :func:`equal_odds_fairness` compares.

    Args:
        recall: ``(..., K, G)``.
        support: ``(..., K)`` bool, the classes that count.

    Returns:
        ``(..., G)``; NaN where a group lacks one of these classes, and everywhere where there are none.
    """
    classes = np.asarray(support, dtype=bool)
    return divide(np.where(classes[..., None], recall, 0.0).sum(-2), classes.sum(-1)[..., None])


def equal_odds_fairness(
    confusion: ArrayLike,
    min_support: int = 1,
    eligible: ArrayLike | None = None,
    support: ArrayLike | None = None,
) -> Array:
    """Smallest over largest sum of class recalls among the groups: 1 is equal, 0 the worst.

    F = min_g S_g / max_g S_g with S_g = sum_c recall(g, c), as in Xu et al. (2020) and the works
    after it; sums divided by the number of classes have the same ratio. A class that some group
    lacks is dropped from all groups: otherwise a group would be marked down for a class that nobody
    in it was annotated with.

    Args:
        confusion: ``(..., G, K, K)`` counts.
        min_support: Faces of a class that each group needs for the class to count.
        eligible: ``(G,)`` bool.
        support: ``(K,)`` bool in place of ``min_support``: :func:`common_support` of the observed
            counts, so that replicates are compared over the same classes.

    Returns:
        ``(...)`` in [0, 1]; 1 for a single group; NaN where no class is supported, where a group
        that takes part lacks a supported class, and where every recall is 0.
    """
    counts = _counts(confusion)
    classes = common_support(counts, min_support, eligible) if support is None else support
    means = mean_recalls(_by_group(per_class_recall(counts), eligible), classes)
    use = np.ones(means.shape[-1], dtype=bool) if eligible is None else np.asarray(eligible, dtype=bool)
    lacking = (np.isnan(means) & use).any(-1)
    return np.where(lacking, np.nan, _ratio(*_range(means, use), least=1))


def min_max_accuracy(confusion: ArrayLike, eligible: ArrayLike | None = None) -> Array:
    """Smallest over largest accuracy among the groups: 1 is equal, 0 the worst.

    The fairness score of Churamani, Kara and Gunes (2022). Unlike :func:`equal_odds_fairness` it
    moves with each group's mix of classes, and rare classes hardly count.

    Returns:
        ``(...)`` in [0, 1]; 1 for a single group; NaN without faces and where every accuracy is 0.
    """
    return _ratio(*_range(accuracy(_counts(confusion)), eligible), least=1)


def selection_rates(confusion: ArrayLike) -> Array:
    """Share of each group's faces that are predicted as each class.

    Args:
        confusion: ``(..., G, K, K)`` counts.

    Returns:
        ``(..., G, K)``, summing to 1 over the classes; NaN for a group without faces.
    """
    counts = _counts(confusion)
    return divide(counts.sum(-2), counts.sum((-2, -1))[..., None])


def demographic_parity_components(confusion: ArrayLike, eligible: ArrayLike | None = None) -> Array:
    """Selection rates as ``(..., K, G)``; NaN without faces and where a group takes no part."""
    return _by_group(selection_rates(confusion), eligible)


def demographic_parity_difference(confusion: ArrayLike, eligible: ArrayLike | None = None) -> Array:
    """Largest gap of a selection rate over the classes.

    The unfairness of Denis, Elie, Hebiri and Hu (2024). It asks for equal predictions and not for
    correct ones: groups that differ in their annotated expressions differ here although every
    prediction is right.

    Returns:
        ``(...)`` in [0, 1]; NaN for fewer than two groups.
    """
    return reduce_components(demographic_parity_components(confusion, eligible), DIFFERENCE)


def demographic_parity_ratio(confusion: ArrayLike, eligible: ArrayLike | None = None) -> Array:
    """Smallest ratio of selection rates over the classes that are predicted at all.

    Returns:
        ``(...)`` in [0, 1]; NaN for fewer than two groups.
    """
    return reduce_components(demographic_parity_components(confusion, eligible), RATIO)


def statistical_parity(confusion: ArrayLike, eligible: ArrayLike | None = None) -> Array:
    """Largest total variation distance between the predictions of two groups.

    Dwork et al. (2012, definition 3.2): statistical parity holds up to bias e if
    (1/2) sum_c |P(predicted c | g) - P(predicted c | h)| <= e. The distance is the largest gap of the
    rate at which any *set* of classes is predicted, so it is at least
    :func:`demographic_parity_difference`, equals it for two and three classes, and is at most K/2
    times as large.

    Returns:
        ``(...)`` in [0, 1]; NaN for fewer than two groups.
    """
    return reduce_components(demographic_parity_components(confusion, eligible), DISTANCE)


def equalized_odds_components(
    confusion: ArrayLike, eligible: ArrayLike | None = None, cells: ArrayLike | None = None
) -> Array:
    """One-vs-rest rates of every class: K true positive rates, then K false positive rates.

    Args:
        confusion: ``(..., G, K, K)`` counts.
        eligible: ``(G,)`` bool.
        cells: ``(G, K)`` bool, the classes of a group whose true positive rate takes part (enough
            faces); by default all that have a face.

    Returns:
        ``(..., 2 K, G)``; NaN where a rate has no faces (a group that lacks the class, or has
        nothing else) or takes no part.
    """
    counts = _counts(confusion)
    annotated, predicted = counts.sum(-1), counts.sum(-2)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    positive = divide(hits, annotated)
    if cells is not None:
        positive = np.where(np.asarray(cells, dtype=bool), positive, np.nan)
    negative = divide(predicted - hits, annotated.sum(-1, keepdims=True) - annotated)
    return _by_group(np.concatenate([positive, negative], axis=-1), eligible)


def equalized_odds_difference(
    confusion: ArrayLike, eligible: ArrayLike | None = None, cells: ArrayLike | None = None
) -> Array:
    """Largest gap of a true or false positive rate over the classes.

    Hardt et al. (2016) for two classes; with more, each class against the rest. Without ``cells`` a
    class with a face or two in some group decides it: leave rare ones out.

    Returns:
        ``(...)`` in [0, 1]; NaN where no class is defined.
    """
    return reduce_components(equalized_odds_components(confusion, eligible, cells), DIFFERENCE)


def equalized_odds_ratio(
    confusion: ArrayLike, eligible: ArrayLike | None = None, cells: ArrayLike | None = None
) -> Array:
    """Smallest ratio of true or false positive rates over the classes.

    Returns:
        ``(...)`` in [0, 1]; NaN where no class is defined.
    """
    return reduce_components(equalized_odds_components(confusion, eligible, cells), RATIO)
