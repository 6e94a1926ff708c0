"""Where the model wavers between two classes, the group's weaker one wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from mien.postprocessing import POSTPROCESSORS
from mien.postprocessing.base import Array, Judged, PostProcessor, enough

_OF_CLASS = 5  # faces of a class in a group for its recall to count
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Wavering:
    """Of the two best classes, less than ``margin`` apart, the one that lacks more in the face's group wins.

    Attributes:
        margin: Of their probabilities.
        lack: ``(G + 1, K)`` recall of all less that of the group; the last row for unknown groups.
    """

    margin: float
    lack: Array

    def __call__(self, faces: Judged) -> Array:
        """``(n, K)``: the two probabilities change places where the second one wins."""
        shares = faces.shares
        lack, found, i = shares @ self.lack, faces.probs.copy(), np.arange(len(faces))
        order = np.argsort(-found, axis=1, kind="stable")
        first, second = order[:, 0], order[:, 1]
        wavers = found[i, first] - found[i, second] < self.margin
        turned = wavers & (lack[i, second] > lack[i, first])
        a, b = found[i, first].copy(), found[i, second].copy()
        b = np.where(a > b, b, b - 1e-9)  # equal ones must not stay equal
        found[i[turned], second[turned]], found[i[turned], first[turned]] = a[turned], b[turned]
        return np.asarray(found / found.sum(1, keepdims=True))

    def as_json(self) -> dict[str, Any]:
        """Numbers by group."""
        return {"margin": self.margin, "lack": self.lack.tolist()}


@POSTPROCESSORS.register("reject_option")
class RejectOption(PostProcessor):
    """Of two best classes with less than a margin between them, the one wins that is found too seldom in the group.

    A class lacks in a group by how much its recall is below that of all faces. The margin is the one of a grid, up to
    ``largest``, with the best worst group (mean recall over classes) among the faces that fit; 0, no change, if no
    other is better. A class with fewer than five faces in a group does not lack there, and chooses no margin. The
    group of a face must be known where the rule is used.

    Source: Kamiran, Karim and Zhang 2012, "Decision theory for discrimination-aware classification" (two classes, one
    of them wanted, two groups); for K classes and G groups ours.

    Args:
        largest: Largest margin that is tried.
        steps: Margins that are tried.
        least: Fewest faces of a group for it to count.
    """

    at_prediction = True
    calibrated = False  # scores whose largest one decides

    def __init__(
        self,
        *,
        largest: Annotated[float, Field(gt=0, le=1)] = 0.4,
        steps: Annotated[int, Field(ge=1, le=1000)] = 20,
        least: Annotated[int, Field(ge=1)] = 30,
    ) -> None:
        self.largest, self.steps, self.least = largest, steps, least

    def fit(self, faces: Judged) -> Wavering:
        """What lacks where, and the margin."""
        k, groups = len(faces.classes), enough(faces, self.least)
        everybody = recalls(faces.probs, faces, np.ones(len(faces)))
        lack = np.zeros((len(faces.names) + 1, k))
        some = {g: np.bincount(faces.labels, weights=faces.groups[:, g], minlength=k) for g in groups}
        counted = {g: counts >= _OF_CLASS - _ROUNDING for g, counts in some.items()}
        for g in groups:
            own = recalls(faces.probs, faces, faces.groups[:, g])
            lack[g] = np.where(counted[g], np.nan_to_num(everybody - own), 0)

        def worst(margin: float) -> float:
            said = Wavering(margin=margin, lack=lack)(faces)
            each = [recalls(said, faces, faces.groups[:, g])[counted[g]] for g in groups]
            return min((float(found.mean()) for found in each if len(found)), default=0.0)

        margins = [self.largest * i / self.steps for i in range(self.steps + 1)]
        return Wavering(margin=max(margins, key=lambda m: (worst(m), -m)), lack=lack)


def recalls(probs: Array, faces: Judged, weights: Array) -> Array:
    """``(K,)`` share of each class's faces that are found, weighted; NaN where there are none."""
    k = len(faces.classes)
    right = probs.argmax(1) == faces.labels
    n = np.bincount(faces.labels, weights=weights, minlength=k)
    hits = np.bincount(faces.labels, weights=weights * right, minlength=k)
    return np.asarray(np.divide(hits, n, out=np.full(k, np.nan), where=n > 0))
