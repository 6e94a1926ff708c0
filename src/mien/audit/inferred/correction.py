"""Counts of true groups behind counts of perceived groups, by the annotator's confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.audit.inferred.annotator_error import AnnotatorError
from mien.audit.inferred.margins import Counted, mistakes

Array = NDArray[np.float64]
_EM_STEPS, _EM_STOP = 1000, 1e-5  # steps; movement in one, as a share of the faces


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


def inverted_counts(perceived: Array, rates: Array) -> Array:
    """Solve ``perceived = rates^T true`` whatever comes out: unbiased, but thin counts can turn negative.

    Args:
        perceived: ``(b, G, C)`` counts by perceived group of C kinds of faces.
        rates: ``(b, G, G)`` or ``(1, G, G)``, rows true, columns perceived.

    Returns:
        ``(b, G, C)``.
    """
    return np.asarray(np.swapaxes(np.linalg.inv(rates), 1, 2) @ perceived)


def true_counts(perceived: Array, rates: Array) -> Array:
    """The counts of the true groups that are most likely behind counts of perceived groups.

    The matrix method (Barron 1977; Rogan and Gladen 1978): the expected counts by perceived group
    are ``rates^T N``, for every kind of face c apart, if the annotator's errors depend on the true
    group alone. Where the solution is 0 or more it is the maximum of the likelihood of Poisson
    counts. Elsewhere that maximum is found by expectation maximisation,

        N_g <- N_g sum_h rates_gh perceived_h / (sum_g' N_g' rates_g'h),

    which never leaves 0 or more and keeps the sum; clipping would invent faces.

    Args:
        perceived: ``(b, G, C)`` counts by perceived group of C kinds of faces.
        rates: ``(b, G, G)`` or ``(1, G, G)``, rows true, columns perceived.

    Returns:
        ``(b, G, C)``; the sum over groups is that of ``perceived``.
    """
    solved = inverted_counts(perceived, rates)
    total = perceived.sum(1, keepdims=True)
    negative = (solved < -1e-9 * total).any(1, keepdims=True)
    out = np.maximum(solved, 0.0)
    if perceived.shape[1] == 2:
        # A concave likelihood on a line: its maximum is the end on the side of the unrestricted one.
        return np.where(negative, np.where(out > 0, total, 0.0), out)
    where = np.flatnonzero(negative.any((1, 2)))
    if len(where):
        start = np.where(negative, out + 0.05 * total / len(out[0]), out)[where]  # from 0 no step leads away
        start *= np.divide(
            total[where], start.sum(1, keepdims=True), out=np.ones_like(total[where]), where=total[where] > 0
        )
        own = rates if len(rates) == 1 else rates[where]
        out[where] = _most_likely(perceived[where], start, own)
    return out


def _most_likely(perceived: Array, start: Array, rates: Array) -> Array:
    """Expectation maximisation: ``(m, G, C)`` counts, ``(m, G, G)`` or ``(1, G, G)`` rates."""
    out = start
    running = np.arange(len(out))
    n, m, own = out, perceived, rates
    for step in range(1, _EM_STEPS + 1):
        expected = np.swapaxes(own, 1, 2) @ n
        better = n * (own @ np.divide(m, expected, out=np.zeros_like(expected), where=expected > 0))
        last, n = n, better
        if step % 10 == 0:
            out[running] = n
            going = (np.abs(n - last) > _EM_STOP * (1 + m.sum(1, keepdims=True))).any((1, 2))
            running, n, m = running[going], n[going], m[going]
            own = own if len(own) == 1 else own[going]
            if not len(running):
                break
    return out
