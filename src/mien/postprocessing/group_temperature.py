"""A temperature for each group: probabilities that mean the same for all."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import minimize_scalar

from mien.postprocessing import POSTPROCESSORS
from mien.postprocessing.base import Array, GroupScores, Judged, PostProcessor, by_group, enough, log_loss, tempered

_RANGE = (-3.0, 3.0)  # of the logarithm of the exponent


def fitted_scale(probs: Array, labels: NDArray[np.int64], weights: Array | None = None) -> float:
    """The exponent of the probabilities (1 over the temperature) with the smallest log loss.

    Args:
        probs: ``(n, K)``.
        labels: ``(n,)``.
        weights: ``(n,)``; all the same by default.
    """
    found = minimize_scalar(
        lambda s: log_loss(tempered(probs, float(np.exp(s))), labels, weights), bounds=_RANGE, method="bounded"
    )
    return float(np.exp(found.x))


@POSTPROCESSORS.register("group_temperature")
class GroupTemperature(PostProcessor):
    """Probabilities of each group to the power 1 / T_g, T_g with the smallest log loss among the faces that fit.

    It changes how sure answers are and none of the answers, and so no accuracy. Groups with fewer than ``least`` faces,
    and faces of unknown group, have the temperature of all.

    Source: Guo et al. 2017, "On calibration of modern neural networks", section 4.2, by group as in Pleiss et al.
    2017, "On fairness and calibration".

    Args:
        least: Fewest faces of a group for a temperature of its own.
    """

    at_prediction = True

    def __init__(self, *, least: Annotated[int, Field(ge=1)] = 30) -> None:
        self.least = least

    def fit(self, faces: Judged) -> GroupScores:
        """A temperature a group."""
        scale = dict.fromkeys(range(-1, len(faces.names)), fitted_scale(faces.probs, faces.labels))
        for g in enough(faces, self.least):
            rows = faces.groups[:, g] > 0
            scale[g] = fitted_scale(faces.probs[rows], faces.labels[rows], faces.groups[rows, g])
        return by_group(faces, scale=scale)
