"""How a candidate is chosen: pure functions over what is known of the validation faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.metrics import accuracy, per_class_recall

Rule = Literal["accuracy", "worst_class", "worst_group", "distance"]
RULES: dict[Rule, str] = {
    "accuracy": "the highest accuracy of all validation faces",
    "worst_class": "the highest recall of the class that is found least often (nobody's group is asked for)",
    "worst_group": "the highest figure of the group that is served worst",
    "distance": "the smallest distance of (accuracy of all, figure of the worst group) from (1, 1)",
}

BY_GROUPS: tuple[Rule, ...] = ("worst_group", "distance")  # rules that ask for the groups of validation faces
CLASS_FACES = 5  # of a class, in every group, for its recall to count in the groups' balanced accuracy


def shared_classes(annotated: NDArray[np.integer] | NDArray[np.float64]) -> NDArray[np.bool_]:
    """``(K,)`` classes of which every group has faces enough: a group without a hard class is not served better.

    Args:
        annotated: ``(G, K)`` faces of each class in the groups that are compared.
    """
    return np.asarray((annotated >= CLASS_FACES).all(0) & (len(annotated) > 0))


def mean_recall(tables: NDArray[np.float64], classes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``(...)`` mean recall over some classes of ``(..., K, K)`` counts; those without a face there do not count.

    >>> mean_recall(np.array([[8.0, 2, 0], [0, 5, 5], [0, 0, 0]]), np.array([True, True, True])).round(3).item()
    0.65
    """
    return mean_of_recalls(per_class_recall(tables), classes)


def mean_of_recalls(recalls: NDArray[np.float64], classes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``(...)`` as :func:`mean_recall`, of ``(..., K)`` recalls."""
    recall = np.where(classes, recalls, np.nan)
    n = (~np.isnan(recall)).sum(-1)
    return np.asarray(np.where(n > 0, np.nansum(recall, -1) / np.maximum(n, 1), np.nan))


def merit(tables: NDArray[np.float64], rule: Rule, metric: str, eligible: NDArray[np.bool_]) -> float:
    """How good a candidate is by a rule; more is better.

    Args:
        tables: ``(G + 1, K, K)`` confusion counts of validation faces; the last table of unknown groups.
        rule: The rule.
        metric: What groups are compared by: ``accuracy``, or ``balanced_accuracy`` over the classes of which all of
            them have faces enough.
        eligible: ``(G,)`` groups with faces enough to select by; no other rule asks for them.

    Returns:
        NaN where a rule asks for classes and none has faces enough, or for groups and fewer than two have: of one group
        there is no worst.
    """
    everybody = tables.sum(0)
    if rule == "accuracy":
        return float(accuracy(everybody))
    if rule == "worst_class":
        recall = per_class_recall(everybody)[everybody.sum(-1) >= CLASS_FACES]
        return float(recall.min()) if len(recall) else float("nan")
    groups = tables[:-1][eligible]
    if len(groups) < 2:
        return float("nan")
    each = accuracy(groups) if metric == "accuracy" else mean_recall(groups, shared_classes(groups.sum(-1)))
    worst = float(each.min())
    if rule == "worst_group":
        return worst
    return -float(np.hypot(1 - accuracy(everybody), 1 - worst))


def choice(merits: Sequence[Sequence[float]]) -> int:
    """The candidate with the best mean over seeds; the first of several.

    Args:
        merits: For each candidate, one a seed.

    >>> choice([[0.5, 0.7], [0.9, 0.5], [0.7, 0.7]])
    1
    """
    means = [float(np.mean(each)) for each in merits]
    best = max((m for m in means if m == m), default=float("nan"))  # NaN is never the best
    return means.index(best) if best == best else 0
