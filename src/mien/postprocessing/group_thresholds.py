"""A threshold of one class for each group: every group's share of that class that is found is at least so much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from mien.errors import DataError
from mien.postprocessing import POSTPROCESSORS
from mien.postprocessing.base import Array, Judged, PostProcessor, check_classes, enough


def threshold_of(scores: Array, recall: float, weights: Array | None = None) -> float:
    """The largest threshold at which so large a share of the scores is found (score >= threshold).

    Args:
        scores: ``(m,)`` scores of the faces that are of the class.
        recall: Share, above 0.
        weights: ``(m,)`` how much each counts; equal ones if None.

    >>> threshold_of(np.array([0.9, 0.6, 0.4, 0.2]), 0.75)
    0.4
    """
    order = np.argsort(-scores, kind="stable")
    shares = np.ones(len(scores)) if weights is None else weights
    found = np.cumsum(shares[order]) / shares.sum()
    return float(scores[order][np.flatnonzero(found >= recall - 1e-12)[0]])


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """A face is of the class where its probability reaches the threshold of its group, else the best of the others.

    Attributes:
        column: The class.
        thresholds: ``(G + 1,)``; the last for faces of unknown group. Those of mixed membership have the mean.
    """

    column: int
    thresholds: Array

    def __call__(self, faces: Judged) -> Array:
        """``(n, K)`` probabilities in which the answer is the largest."""
        shares = faces.shares
        threshold = np.clip(shares @ self.thresholds, 1e-9, 1 - 1e-9)
        p = faces.probs[:, self.column]
        others = np.delete(faces.probs, self.column, axis=1)
        # So moved that at the threshold the class and the best other are level, and those keep their order.
        rest = others.sum(1)
        best = np.divide(others.max(1), rest, out=np.full(len(p), 1 / others.shape[1]), where=rest > 0)
        level = best / (1 + best)
        moved = np.where(p >= threshold, level + (1 - level) * (p - threshold) / (1 - threshold), level * p / threshold)
        moved = np.where(p >= threshold, np.minimum(moved + 1e-9, 1), np.maximum(moved - 1e-9, 0))
        parts = np.divide(
            others, rest[:, None], out=np.full(others.shape, 1 / others.shape[1]), where=rest[:, None] > 0
        )
        found = np.insert(parts * (1 - moved)[:, None], self.column, moved, axis=1)
        return np.asarray(found / found.sum(1, keepdims=True))

    def as_json(self) -> dict[str, Any]:
        """Numbers by group."""
        return {"column": self.column, "thresholds": self.thresholds.tolist()}


@POSTPROCESSORS.register("group_thresholds", tiny={"of": "happiness"})
class GroupThresholds(PostProcessor):
    """The class ``of`` wins where its probability reaches its group's threshold, which finds a share ``recall`` of it.

    Each threshold is the largest one at which the faces that fit reach that share, by their labels: equal opportunity
    for one class, by levelling up or down as the numbers say. What is called the class by mistake is not bounded.
    Groups with fewer than ``least`` faces of the class, and faces of unknown group, have the threshold of all.

    Source: Hardt et al. 2016, "Equality of opportunity in supervised learning", for a minimum in place of equality.

    Args:
        of: The class.
        recall: Share of its faces to be found in every group.
        least: Fewest faces of the class in a group for a threshold of its own.
    """

    at_prediction = True
    calibrated = False  # scores whose largest one decides

    def __init__(
        self,
        *,
        of: str,
        recall: Annotated[float, Field(gt=0, le=1)] = 0.8,
        least: Annotated[int, Field(ge=1)] = 10,
    ) -> None:
        self.of, self.recall, self.least = of, recall, least

    def check(self, classes: Sequence[str]) -> None:
        """The class must be one of these."""
        check_classes([self.of], classes)

    def fit(self, faces: Judged) -> Thresholds:
        """A threshold a group.

        Raises:
            ConfigError: If there is no such class.
            DataError: If none of the faces that fit is of it.
        """
        self.check(faces.classes)
        column = faces.classes.index(self.of)
        some = faces.part(faces.labels == column)
        if not len(some):
            raise DataError("group_thresholds", f"none of the faces that fit is {self.of}", "some")
        found = np.full(len(faces.names) + 1, threshold_of(some.probs[:, column], self.recall))
        for g in enough(some, self.least):
            rows = some.groups[:, g] > 0
            found[g] = threshold_of(some.probs[rows, column], self.recall, some.groups[rows, g])
        return Thresholds(column=column, thresholds=found)
