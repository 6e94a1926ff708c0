"""How a candidate is chosen: pure functions over what is known of the validation faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.metrics import accuracy, balanced_accuracy, per_class_recall

Rule = Literal["accuracy", "worst_class", "worst_group", "distance"]
RULES: dict[Rule, str] = {
    "accuracy": "the highest accuracy of all validation faces",
    "worst_class": "the highest recall of the class that is found least often (nobody's group is asked for)",
    "worst_group": "the highest figure of the group that is served worst",
    "distance": "the smallest distance of (accuracy of all, figure of the worst group) from (1, 1)",
}


def merit(tables: NDArray[np.float64], rule: Rule, metric: str, min_n: int) -> float:
    """How good a candidate is by a rule; more is better.

    Args:
        tables: ``(G + 1, K, K)`` confusion counts of validation faces; the last table of unknown groups.
        rule: The rule.
        metric: What groups are compared by: ``accuracy`` or ``balanced_accuracy``.
        min_n: Groups with fewer faces do not select.

    Returns:
        NaN where a rule asks for groups and none has faces enough.
    """
    everybody = tables.sum(0)
    if rule == "accuracy":
        return float(accuracy(everybody))
    if rule == "worst_class":
        return float(np.nanmin(per_class_recall(everybody)))
    groups = tables[:-1][tables[:-1].sum((1, 2)) >= min_n]
    if not len(groups):
        return float("nan")
    worst = float(np.nanmin({"accuracy": accuracy, "balanced_accuracy": balanced_accuracy}[metric](groups)))
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
