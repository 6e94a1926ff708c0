"""Counts of true groups behind counts of perceived groups, by the annotator's confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.audit.inferred.annotator_error import AnnotatorError
from mien.audit.inferred.margins import Counted, mistakes
from mien.stats.mixture import true_counts

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Correction:
    """Corrected counts, and what they were corrected with.

    Attributes:
        counted: Counts of true groups; each replicate has an annotator's error of its own.
        confused: ``(G, G)`` faces by true (rows) and perceived group, as the correction has them.
        perceived: What each matrix was applied to: ``(G,)`` faces by perceived group.
        drawn: The matrices of the replicates, ``(b, G, G)`` each.
    """

    counted: Counted
    confused: Array
    perceived: list[Array]
    drawn: list[Array]


def corrected(
    perceived: Counted, error: AnnotatorError, error_if_wrong: AnnotatorError | None, rng: np.random.Generator
) -> Correction:
    """Counts of the true groups; each replicate draws the matrix from what its validation set leaves open.

    Args:
        perceived: Counts by perceived group.
        error: The annotator's errors; with ``error_if_wrong``, those on faces that the model gets right.
        error_if_wrong: Its errors on faces that the model gets wrong; None where they are the same.
        rng: Source of randomness.
    """
    columns = np.arange(perceived.observed.shape[-1])
    wrong = mistakes(len(columns))
    parts = [(error, columns)]
    if error_if_wrong is not None:
        parts = [(error, np.setdiff1d(columns, wrong)), (error_if_wrong, wrong)]
    observed, drawn = np.empty_like(perceived.observed), np.empty_like(perceived.drawn)
    confused = np.zeros((len(error.groups), len(error.groups)))
    faces, matrices = [], []
    for matrix, part in parts:
        rates = matrix.drawn(len(drawn), rng)
        observed[..., part] = true_counts(perceived.observed[..., part], matrix.rates[None])
        drawn[..., part] = true_counts(perceived.drawn[..., part], rates)
        total = part[part < 2]  # faces predicted right, faces predicted wrong
        confused += observed[0][:, total].sum(1)[:, None] * matrix.rates
        faces.append(perceived.observed[0][:, total].sum(1))
        matrices.append(rates)
    counted = replace(perceived, observed=observed, drawn=drawn, also=", annotator's error drawn")
    return Correction(counted, confused, faces, matrices)
