"""Metrics of a whole set of groups: gaps, ratios, and the fairness scores of the FER literature.

All take ``(..., G, K, K)`` confusion counts, rows annotated, columns predicted, and give ``(...)``,
so that thousands of bootstrap or permutation replicates are one call. Two arguments say what is
compared; decide both once, on the observed counts, so that replicates compare the same things:

* ``eligible``: ``(G,)`` bool, the groups that take part; all by default.
* ``support``, ``(K,)`` bool (classes), or ``cells``, ``(G, K)`` bool (classes of a group): which
  recalls take part.

Undefined is NaN: a rate without faces, a gap or ratio of fewer than two rates, a ratio 0/0. What is
undefined takes no part in the maximum or minimum over the classes; :func:`undefined_classes` names
such classes. The worst of many noisy rates is bad on average even where no disparity exists: read
every number here beside its expectation under no disparity.

Each metric is a largest gap, or a smallest ratio, of the rates that its ``*_components`` function
gives as ``(..., C, G)``: interval builders start from these.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.metrics.confusion import accuracy, per_class_recall

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
_MOST_SUBSETS = 12  # 2^11 sets of classes


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


def _over_classes(values: Array, largest: bool) -> Array:
    """The largest or smallest of ``(..., C)`` values, NaN ones left out; NaN where all are."""
    low, high, n = _range(values, None)
    return np.where(n > 0, high if largest else low, np.nan)


def _counts(confusion: ArrayLike) -> NDArray[Any]:
    counts: NDArray[Any] = np.asarray(confusion)
    if counts.ndim < 3 or counts.shape[-1] != counts.shape[-2]:
        raise ValueError(f"confusion counts of groups are (..., G, K, K), got shape {counts.shape}")
    return counts


def _share(top: NDArray[Any], bottom: NDArray[Any]) -> Array:
    shape = np.broadcast_shapes(top.shape, bottom.shape)
    return np.asarray(np.divide(top, bottom, out=np.full(shape, np.nan), where=bottom > 0))


def _by_group(rates: Array, eligible: ArrayLike | None) -> Array:
    """``(..., G, C)`` rates as ``(..., C, G)``, NaN for groups that take no part."""
    if eligible is not None:
        rates = np.where(np.asarray(eligible, dtype=bool)[:, None], rates, np.nan)
    return np.asarray(np.swapaxes(rates, -1, -2))


def undefined_classes(per_class: ArrayLike, classes: Sequence[str]) -> list[str]:
    """Names of the classes whose value is undefined, and which a reduction over classes left out.

    Args:
        per_class: ``(K,)`` what a ``per_class_*`` function gives.
        classes: The K names.
    """
    return [str(c) for c, value in zip(classes, np.asarray(per_class), strict=True) if np.isnan(value)]


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


def equal_odds_components(
    confusion: ArrayLike,
    min_support: int = 1,
    eligible: ArrayLike | None = None,
    support: ArrayLike | None = None,
) -> Array:
    """Each group's sum of class recalls over the common support: see :func:`equal_odds_fairness`.

    Args:
        confusion: ``(..., G, K, K)`` counts.
        min_support: Faces of a class that each group needs for the class to count.
        eligible: ``(G,)`` bool.
        support: ``(K,)`` bool in place of ``min_support``.

    Returns:
        ``(..., 1, G)`` in [0, K]; NaN for groups that take no part or lack a supported class, and
        everywhere where no class is supported.
    """
    counts = _counts(confusion)
    classes = np.asarray(common_support(counts, min_support, eligible) if support is None else support, dtype=bool)
    sums = np.where(classes[..., None, :], per_class_recall(counts), 0.0).sum(-1, keepdims=True)
    sums = np.where(np.asarray(classes.any(-1))[..., None, None], sums, np.nan)
    return _by_group(sums, eligible)


def equal_odds_fairness(
    confusion: ArrayLike,
    min_support: int = 1,
    eligible: ArrayLike | None = None,
    support: ArrayLike | None = None,
) -> Array:
    """Smallest over largest sum of class recalls among the groups: 1 is equal, 0 the worst.

    F = min_g S_g / max_g S_g with S_g = sum_c recall(g, c), as in Xu et al. (2020) and the works
    after it. A class that some group lacks is dropped from all groups: otherwise a group would be
    marked down for a class that nobody in it was annotated with.

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
    sums = equal_odds_components(confusion, min_support, eligible, support)[..., 0, :]
    use = np.ones(sums.shape[-1], dtype=bool) if eligible is None else np.asarray(eligible, dtype=bool)
    lacking = (np.isnan(sums) & use).any(-1)
    return np.where(lacking, np.nan, _ratio(*_range(sums, use), least=1))


def min_max_accuracy_components(confusion: ArrayLike, eligible: ArrayLike | None = None) -> Array:
    """Accuracy of every group: ``(..., 1, G)``; NaN without faces and where a group takes no part."""
    return _by_group(accuracy(_counts(confusion))[..., None], eligible)


def min_max_accuracy(confusion: ArrayLike, eligible: ArrayLike | None = None) -> Array:
    """Smallest over largest accuracy among the groups: 1 is equal, 0 the worst.

    The fairness score of Churamani, Kara and Gunes (2022). Unlike :func:`equal_odds_fairness` it
    moves with each group's mix of classes, and rare classes hardly count.

    Returns:
        ``(...)`` in [0, 1]; 1 for a single group; NaN without faces and where every accuracy is 0.
    """
    return _ratio(*_range(min_max_accuracy_components(confusion, eligible)[..., 0, :], None), least=1)


def selection_rates(confusion: ArrayLike) -> Array:
    """Share of each group's faces that are predicted as each class.

    Args:
        confusion: ``(..., G, K, K)`` counts.

    Returns:
        ``(..., G, K)``, summing to 1 over the classes; NaN for a group without faces.
    """
    counts = _counts(confusion)
    return _share(counts.sum(-2), counts.sum((-2, -1))[..., None])


def demographic_parity_components(confusion: ArrayLike, eligible: ArrayLike | None = None) -> Array:
    """Selection rates as ``(..., K, G)``; NaN without faces and where a group takes no part."""
    return _by_group(selection_rates(confusion), eligible)


def per_class_demographic_parity_difference(confusion: ArrayLike, eligible: ArrayLike | None = None) -> Array:
    """Largest minus smallest selection rate of each class.

    fairlearn's ``demographic_parity_difference`` with the class as the positive one.

    Returns:
        ``(..., K)`` in [0, 1]; NaN for fewer than two groups.
    """
    return max_min_gap(demographic_parity_components(confusion, eligible))


def per_class_demographic_parity_ratio(confusion: ArrayLike, eligible: ArrayLike | None = None) -> Array:
    """Smallest over largest selection rate of each class.

    fairlearn's ``demographic_parity_ratio`` with the class as the positive one.

    Returns:
        ``(..., K)`` in [0, 1]; NaN for fewer than two groups and for a class that is never predicted.
    """
    return min_max_ratio(demographic_parity_components(confusion, eligible))


def demographic_parity_difference(confusion: ArrayLike, eligible: ArrayLike | None = None) -> Array:
    """Largest gap of a selection rate over the classes.

    The unfairness of Denis, Elie, Hebiri and Hu (2024). It asks for equal predictions and not for
    correct ones: groups that differ in their annotated expressions differ here although every
    prediction is right.

    Returns:
        ``(...)`` in [0, 1]; NaN for fewer than two groups.
    """
    return _over_classes(per_class_demographic_parity_difference(confusion, eligible), largest=True)


def demographic_parity_ratio(confusion: ArrayLike, eligible: ArrayLike | None = None) -> Array:
    """Smallest ratio of selection rates over the classes that are predicted at all.

    Returns:
        ``(...)`` in [0, 1]; NaN for fewer than two groups.
    """
    return _over_classes(per_class_demographic_parity_ratio(confusion, eligible), largest=False)


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
    rates = demographic_parity_components(confusion, eligible)
    largest = np.full(rates.shape[:-2], np.nan)
    for g in range(rates.shape[-1] - 1):
        # Each group against all later ones: memory stays that of the input.
        distance = np.abs(rates[..., g + 1 :] - rates[..., g : g + 1]).sum(-2) / 2
        largest = np.fmax(largest, np.fmax.reduce(distance, axis=-1))
    return np.asarray(largest)


def statistical_parity_components(confusion: ArrayLike, eligible: ArrayLike | None = None) -> Array:
    """How often each set of classes is predicted, of every set and its complement one.

    The largest gap among these rates is :func:`statistical_parity`.

    Returns:
        ``(..., 2^(K-1) - 1, G)``; NaN without faces and where a group takes no part.

    Raises:
        ValueError: For more than 12 classes: there would be too many sets.
    """
    rates = demographic_parity_components(confusion, eligible)
    k = rates.shape[-2]
    if k > _MOST_SUBSETS:
        raise ValueError(f"{k} classes have {2 ** (k - 1) - 1} sets, at most {_MOST_SUBSETS} classes can be handled")
    members = [set(s) for size in range(k - 1) for s in combinations(range(1, k), size)]
    # Class 0 belongs to every set that is kept: the complement has the same gap.
    sets = np.array([[c == 0 or c in s for c in range(k)] for s in members], dtype=np.float64).reshape(-1, k)
    return np.asarray(sets @ rates)


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
    positive = _share(hits, annotated)
    if cells is not None:
        positive = np.where(np.asarray(cells, dtype=bool), positive, np.nan)
    negative = _share(predicted - hits, annotated.sum(-1, keepdims=True) - annotated)
    return _by_group(np.concatenate([positive, negative], axis=-1), eligible)


def per_class_equalized_odds_difference(
    confusion: ArrayLike, eligible: ArrayLike | None = None, cells: ArrayLike | None = None
) -> Array:
    """The larger of the gaps of the true and the false positive rate of each class.

    fairlearn's ``equalized_odds_difference`` with the class as the positive one, where every group
    has it. A group that lacks it has no true positive rate and takes no part in that gap; fairlearn
    counts it as 0.

    Returns:
        ``(..., K)`` in [0, 1]; NaN for a class with fewer than two groups in both rates.
    """
    gaps = max_min_gap(equalized_odds_components(confusion, eligible, cells))
    return np.asarray(np.fmax.reduce(_two_rates(gaps), axis=-2))


def per_class_equalized_odds_ratio(
    confusion: ArrayLike, eligible: ArrayLike | None = None, cells: ArrayLike | None = None
) -> Array:
    """The smaller of the ratios of the true and the false positive rate of each class.

    fairlearn's ``equalized_odds_ratio`` with the class as the positive one, where both rates have a
    ratio. False positive rates are small, and their ratio is unsteady: prefer the difference.

    Returns:
        ``(..., K)`` in [0, 1]; a rate that is 0 in every group takes no part; NaN where neither
        rate has a ratio.
    """
    ratio = min_max_ratio(equalized_odds_components(confusion, eligible, cells))
    return np.asarray(np.fmin.reduce(_two_rates(ratio), axis=-2))


def _two_rates(values: Array) -> Array:
    """``(..., 2 K)`` values as ``(..., 2, K)``: of true and of false positive rates."""
    return values.reshape(*values.shape[:-1], 2, -1)


def equalized_odds_difference(
    confusion: ArrayLike, eligible: ArrayLike | None = None, cells: ArrayLike | None = None
) -> Array:
    """Largest gap of a true or false positive rate over the classes.

    Hardt et al. (2016) for two classes; with more, each class against the rest. Without ``cells`` a
    class with a face or two in some group decides it: leave rare ones out.

    Returns:
        ``(...)`` in [0, 1]; NaN where no class is defined.
    """
    return _over_classes(per_class_equalized_odds_difference(confusion, eligible, cells), largest=True)


def equalized_odds_ratio(
    confusion: ArrayLike, eligible: ArrayLike | None = None, cells: ArrayLike | None = None
) -> Array:
    """Smallest ratio of true or false positive rates over the classes.

    Returns:
        ``(...)`` in [0, 1]; NaN where no class is defined.
    """
    return _over_classes(per_class_equalized_odds_ratio(confusion, eligible, cells), largest=False)
