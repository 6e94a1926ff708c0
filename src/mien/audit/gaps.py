"""Group values and gaps of a stack of confusion counts: the same function serves data, bootstrap and null."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.metrics import accuracy, balanced_accuracy, macro_f1, max_min_gap, per_class_recall, weighted_f1

Array = NDArray[np.float64]
HEADLINE_METRICS: dict[str, Callable[..., Array]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
}


@dataclass(frozen=True)
class Eligible:
    """Which cells enter gaps; decided once, on the observed counts.

    Attributes:
        groups: ``(G,)`` bool: enough faces.
        recalls: ``(G, K)`` bool: and enough of the class.
    """

    groups: NDArray[np.bool_]
    recalls: NDArray[np.bool_]

    @classmethod
    def of(cls, tables: NDArray[Any], min_n: int, min_class_n: int) -> Eligible:
        """From ``(G, K, K)`` observed counts."""
        groups = tables.sum((-2, -1)) >= max(min_n, 1)
        return cls(groups, groups[:, None] & (tables.sum(-1) >= max(min_class_n, 1)))


@dataclass(frozen=True)
class Stack:
    """Statistics of b tables of counts.

    Attributes:
        values: Headline metric -> ``(b, G)``.
        recall: ``(b, G, K)``.
        gaps: Headline metric -> ``(b,)``.
        recall_gaps: ``(b, K)``.
    """

    values: dict[str, Array]
    recall: Array
    gaps: dict[str, Array]
    recall_gaps: Array


def statistics_of(chunks: Iterable[NDArray[Any]], eligible: Eligible) -> Stack:
    """Reduce chunks of ``(b, G, K, K)`` counts to statistics, so that no more than a chunk is held."""
    parts = [_one(tables, eligible) for tables in chunks]
    names = list(HEADLINE_METRICS)
    return Stack(
        {m: np.concatenate([p.values[m] for p in parts]) for m in names},
        np.concatenate([p.recall for p in parts]),
        {m: np.concatenate([p.gaps[m] for p in parts]) for m in names},
        np.concatenate([p.recall_gaps for p in parts]),
    )


def _one(tables: NDArray[Any], eligible: Eligible) -> Stack:
    values = {name: metric(tables) for name, metric in HEADLINE_METRICS.items()}
    recall = per_class_recall(tables)
    return Stack(
        values,
        recall,
        {name: max_min_gap(v, eligible.groups) for name, v in values.items()},
        max_min_gap(recall, eligible.recalls, axis=-2),
    )
