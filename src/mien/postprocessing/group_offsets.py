"""Offsets of the classes for each group, on the logarithm of the probabilities."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import minimize

from mien.postprocessing import POSTPROCESSORS
from mien.postprocessing.base import Array, GroupScores, Judged, PostProcessor, by_group, enough

_FEW = 5  # faces of a class, of which on its offset is fitted


@POSTPROCESSORS.register("group_offsets")
class GroupOffsets(PostProcessor):
    """log p + b_g for each group, b_g with the smallest log loss among the faces that fit, kept near that of all.

    With ``balanced`` every class of a group counts alike, which raises the recall of classes that are rare in a group
    or that the model misses there. Groups with fewer than ``least`` faces, and faces of unknown group, have the offsets
    of all; so have classes of which a group has fewer than five faces, for nothing can be learnt of them there: the
    others are then fitted to their own faces, as if there were no such class, and moved so that their mean offset is
    that of all. The group of a face must be known where the rule is used.

    Source: bias correction as in Alexandari et al. 2020, "Maximum likelihood with bias-corrected calibration is
    hard-to-beat at label shift adaptation", the offsets alone; a set for each group is ours.

    Args:
        balanced: Whether classes count alike, or as they come.
        penalty: Weight of the mean square of the offsets, of groups from those of all.
        least: Fewest faces of a group for offsets of its own.
    """

    at_prediction = True

    def __init__(
        self,
        *,
        balanced: bool = True,
        penalty: Annotated[float, Field(ge=0, le=1000)] = 0.01,
        least: Annotated[int, Field(ge=1)] = 30,
    ) -> None:
        self.balanced, self.penalty, self.least = balanced, penalty, least

    def fit(self, faces: Judged) -> GroupScores:
        """Offsets a group."""
        k = len(faces.classes)
        everybody = self._offsets(faces, np.ones(len(faces)), np.zeros(k))
        factors = dict.fromkeys(range(-1, len(faces.names)), np.exp(everybody))
        for g in enough(faces, self.least):
            rows = faces.groups[:, g] > 0
            factors[g] = np.exp(self._offsets(faces.part(rows), faces.groups[rows, g], everybody))
        return by_group(faces, factors=factors)

    def _offsets(self, faces: Judged, belongs: Array, around: Array) -> NDArray[np.float64]:
        """``(K,)``, those of classes with too few faces as in ``around``; ``(n,)`` how far each face belongs here."""
        k = len(faces.classes)
        counts = belongs @ np.eye(k)[faces.labels]  # shares of faces added up
        free = np.flatnonzero(counts >= _FEW - 1e-9)
        if len(free) < 2:
            return around
        rows = np.isin(faces.labels, free)
        logits = np.log(np.maximum(faces.probs[rows][:, free], 1e-12))
        onehot = (faces.labels[rows][:, None] == free).astype(np.float64)
        weights = belongs[rows] / (onehot @ counts[free]) if self.balanced else belongs[rows]
        share = weights / weights.sum()
        middle = around[free]

        def loss(b: Array) -> tuple[float, Array]:
            z = logits + b
            z = z - z.max(1, keepdims=True)
            p = np.exp(z)
            p /= p.sum(1, keepdims=True)
            value = -(share * np.log(np.maximum((p * onehot).sum(1), 1e-300))).sum()
            value += self.penalty * ((b - middle) ** 2).sum() / k
            return float(value), share @ (p - onehot) + 2 * self.penalty * (b - middle) / k

        moved = minimize(loss, middle, jac=True, method="L-BFGS-B").x - middle
        found = around.copy()
        found[free] += moved - moved.mean()
        return np.asarray(found)
