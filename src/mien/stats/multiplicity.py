"""Many tests at once: p-values and levels that allow for how many were looked at, and which of them is right when.

*Strong control* of the family-wise error: the chance that any true null hypothesis is rejected stays below the
level, whichever of the hypotheses are true. *Weak control* promises it only where all are. Everything here but
:func:`adjust_bh` controls strongly; :func:`adjust_bh` controls the false discovery rate, and the family-wise error
weakly. Which to take:

* many findings, each to be looked into: :func:`adjust_bh`;
* a list in which no name may stand by chance, p-values from anywhere: :func:`holm`;
* the same, and all statistics known under one set of permutations: :func:`westfall_young`;
* intervals that hold all at once, or the smallest of a few p-values: :func:`bonferroni_level`, :func:`bonferroni`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
SIGNIFICANT = 0.05  # an (adjusted) p below it is a finding, in every audit, comparison and page
_NEAR = 1e-9  # statistics that are equal may differ in their last bits


def adjust_bh(p_values: ArrayLike) -> Array:
    """Benjamini and Hochberg (1995): of what is adjusted to below q, a share of at most q is false on average.

    The right one for an audit's gaps and groups: there are dozens, a reader follows up each that is named, and one
    in twenty of them being false costs less than missing most of the true ones, as control of any false one would.
    It holds for independent tests and for positively dependent ones (Benjamini and Yekutieli 2001), which statistics
    of the same faces mostly are; and it is the less strict, the more of the tests are true findings. Where nothing is
    true, the chance of any finding is below q too (weak control).

    Args:
        p_values: ``(m,)``; NaN entries take no part and stay NaN.

    Returns:
        ``(m,)`` in [0, 1].

    >>> adjust_bh([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    p = np.asarray(p_values, dtype=np.float64)
    out, order = _ascending(p)
    m = len(order)
    scaled = p[order] * m / np.arange(1, m + 1)
    out[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return out


def holm(p_values: ArrayLike) -> Array:
    """Holm (1979): adjusted so that the chance of any false alarm among all stays below the level (strong control).

    The right one where a false alarm harms somebody, such as an annotator who is named, and the tests' joint law is
    not known: it holds under any dependence, and is never stricter than :func:`bonferroni`. With many tests it
    misses much: the smallest of m p-values still has to be below level / m.

    Args:
        p_values: ``(m,)``; NaN entries take no part and stay NaN.

    Returns:
        ``(m,)`` in [0, 1].

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    out, order = _ascending(p)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return out


def _ascending(p: Array) -> tuple[Array, NDArray[np.int64]]:
    """An array of NaN to fill, and the places of the known p-values from the smallest up."""
    known = np.flatnonzero(~np.isnan(p))
    return np.full(p.shape, np.nan), known[np.argsort(p[known], kind="stable")]


def bonferroni(p: float, n_tests: int) -> float:
    """Bonferroni: a p-value times the number of tests, at most 1 (strong control, under any dependence).

    The right one for a single p-value of a few tests whose other p-values do not matter, or are not at hand. Where
    they are, :func:`holm` is never stricter.

    Args:
        p: The p-value; NaN stays NaN.
        n_tests: Tests, this one among them.

    >>> bonferroni(0.02, 2), bonferroni(0.7, 2)
    (0.04, 1.0)
    """
    return float(np.minimum(p * n_tests, 1.0))


def bonferroni_level(level: float, n: int) -> float:
    """The level at which each of ``n`` intervals holds so that all hold at once at ``level``, however dependent.

    The right one for the worst of many values: it was picked by chance too, and an interval of its own would hold
    too rarely. Step-down methods say nothing about intervals. Fewer than one interval count as one.

    >>> round(bonferroni_level(0.95, 5), 6)
    0.99
    """
    return 1 - (1 - level) / max(n, 1)


def westfall_young(statistics: NDArray[Any]) -> Array:
    """Westfall and Young (1993): step-down p-values adjusted by the statistics' joint law in permutations.

    Holm's procedure with that law in place of Bonferroni's bound. The right one where the same permutations give all
    statistics: dependent tests cost less than independent ones, and more tests do not ask for more permutations,
    as the smallest adjusted p-value is 1 / (1 + b) however many tests there are. Control is strong where the law of
    any of the statistics does not depend on whether the other hypotheses are true (subset pivotality), and weak
    elsewhere. Statistics should be on one scale: the test of the widest would decide for all.

    Args:
        statistics: ``(1 + b, m)``, larger is further from the null; the observed ones first, then b permutations.

    Returns:
        ``(m,)`` in (0, 1]. The observed statistics count as one of the permutations, so that no p-value is 0.

    >>> import numpy as np
    >>> westfall_young(np.array([[3, 1], [1, 2], [2, 0], [0, 3]])).tolist()
    [0.5, 0.75]
    """
    order = np.argsort(-statistics[0], kind="stable")
    ranked = statistics[:, order]
    # Each test is held against the largest of those that are no further out than itself.
    largest = np.maximum.accumulate(ranked[:, ::-1], axis=1)[:, ::-1]
    out = np.empty(len(order))
    out[order] = np.maximum.accumulate((largest >= ranked[0] - _NEAR).mean(0))
    return out
