"""The mix of true groups behind a known confusion: what counts of perceived groups say of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
        out[where] = most_likely_counts(perceived[where], start, own)
    return out


def most_likely_counts(perceived: Array, start: Array, rates: Array, *, steps: int = 1000, stop: float = 1e-5) -> Array:
    """Go from a mix of true groups to the most likely one, by expectation maximisation.

    It needs no matrix to be inverted, so that neighbouring ages, which are often confused, have shares too.

    Args:
        perceived: ``(m, G, C)`` counts, or shares, by perceived group.
        start: ``(m, G, C)`` of the true groups; where it is 0 it stays 0.
        rates: ``(m, G, G)`` or ``(1, G, G)``, rows true, columns perceived.
        steps: Most steps.
        stop: Movement in one step, as a share of the faces, at which a mix is taken as found.

    Returns:
        ``(m, G, C)`` with the sums of ``perceived``.
    """
    out = start
    running = np.arange(len(out))
    n, m, own = out, perceived, rates
    for step in range(1, steps + 1):
        expected = np.swapaxes(own, 1, 2) @ n
        better = n * (own @ np.divide(m, expected, out=np.zeros_like(expected), where=expected > 0))
        last, n = n, better
        if step % 10 == 0:
            out[running] = n
            going = (np.abs(n - last) > stop * (1 + m.sum(1, keepdims=True))).any((1, 2))
            running, n, m = running[going], n[going], m[going]
            own = own if len(own) == 1 else own[going]
            if not len(running):
                break
    return out
