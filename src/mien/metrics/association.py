"""What a corpus is made of: how even its groups are, and how classes and groups go together.

All take counts with any leading axes, so that thousands of replicates are one call: ``(..., G)`` faces
of each group, or ``(..., R, C)`` contingency tables (rows groups, columns classes; every measure of
a table here is the same for its transpose). Shares or weights serve as well as counts. Logarithms are natural.

The choice of measures follows Dominguez-Catena, Paternain and Galar, "Metrics for Dataset
Demographic Bias: A Case Study on Facial Expression Recognition", IEEE TPAMI 46 (2024): representational
bias is an uneven mix of groups (:func:`effective_number`, :func:`evenness`), stereotypical bias an
association of groups with classes, global (:func:`normalized_mutual_information`,
:func:`cramers_v`) or in single cells (:func:`duchers_z`,
:func:`normalized_pointwise_mutual_information`).

Undefined is NaN: everything without faces, and what a function says. The plain values of all global
measures of association lie above 0 even where nothing is associated, the more so the fewer the faces:
read them beside their expectation under independence (:mod:`mien.composition`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
NORMALISATIONS = ("joint", "arithmetic", "geometric", "min", "max")
_ROUNDING = 1e-12


def entropy(counts: ArrayLike) -> Array:
    """Shannon's entropy, -sum p ln p.

    Args:
        counts: ``(..., G)``.

    Returns:
        ``(...)`` in nats, 0 to ln G; NaN without faces.
    """
    values = np.asarray(counts, dtype=np.float64)
    shares = _divide(values, values.sum(-1, keepdims=True))
    return np.asarray(-_x_log_y(shares, shares).sum(-1))


def effective_number(counts: ArrayLike) -> Array:
    """Effective number of groups: how many equally large groups would be as diverse, exp(entropy).

    The effective number of species of ecology (Hill number of order 1).

    Args:
        counts: ``(..., G)``; empty groups change nothing.

    Returns:
        ``(...)`` in [1, G]; NaN without faces.
    """
    return np.asarray(np.exp(entropy(counts)))


def evenness(counts: ArrayLike) -> Array:
    """Shannon's evenness, entropy over ln G: 1 where all groups are equally large, 0 where one has all faces.

    Args:
        counts: ``(..., G)``. An empty group makes the mix less even; the authors' own code counts
            only groups that have faces: leave the empty ones out to compare with it.

    Returns:
        ``(...)`` in [0, 1]; NaN without faces and for a single group.
    """
    n_groups = np.asarray(counts).shape[-1]
    values = entropy(counts)
    return np.asarray(values / np.log(n_groups)) if n_groups > 1 else np.full_like(values, np.nan)


def imbalance_ratio(counts: ArrayLike) -> Array:
    """Faces of the largest over those of the smallest group.

    Args:
        counts: ``(..., G)``.

    Returns:
        ``(...)`` of 1 or more; NaN where a group is empty.
    """
    values = np.asarray(counts, dtype=np.float64)
    return _divide(values.max(-1), values.min(-1))


def expected_counts(table: ArrayLike) -> Array:
    """Faces of each cell if group and class were independent: row sum times column sum over all.

    Args:
        table: ``(..., R, C)``.

    Returns:
        ``(..., R, C)``; NaN without faces.
    """
    counts = _table(table)
    rows, columns = counts.sum(-1, keepdims=True), counts.sum(-2, keepdims=True)
    return _divide(rows * columns, counts.sum((-2, -1), keepdims=True))


def mutual_information(table: ArrayLike) -> Array:
    """Mutual information of group and class, sum p_gc ln(p_gc / (p_g p_c)).

    Args:
        table: ``(..., R, C)``.

    Returns:
        ``(...)`` in nats, 0 or more; NaN without faces.
    """
    counts = _table(table)
    total = counts.sum((-2, -1))
    ratio = _divide(counts, expected_counts(counts))
    values = _divide(_x_log_y(counts, ratio).sum((-2, -1)), total)
    return np.asarray(np.maximum(values, 0.0))


def normalized_mutual_information(table: ArrayLike, norm: str = "joint") -> Array:
    """Mutual information over an entropy: 0 for independence, 1 where each tells the other.

    Args:
        table: ``(..., R, C)``.
        norm: What it is divided by: ``joint`` entropy H(G, C) (as Dominguez-Catena et al. do), or
            the ``arithmetic`` mean (scikit-learn's default), ``geometric`` mean, ``min`` or ``max`` of
            H(G) and H(C).

    Returns:
        ``(...)`` in [0, 1]; NaN where the divisor is 0 (a single group or class; with ``joint`` and
        ``arithmetic``, both).

    Raises:
        ValueError: On an unknown ``norm``.
    """
    counts = _table(table)
    if norm not in NORMALISATIONS:
        raise ValueError(f"norm is {norm!r}, expected one of {', '.join(NORMALISATIONS)}")
    of_rows, of_columns = entropy(counts.sum(-1)), entropy(counts.sum(-2))
    if norm == "joint":
        divisor = entropy(counts.reshape(*counts.shape[:-2], -1))
    elif norm == "arithmetic":
        divisor = (of_rows + of_columns) / 2
    elif norm == "geometric":
        divisor = np.sqrt(of_rows * of_columns)
    else:
        divisor = (np.minimum if norm == "min" else np.maximum)(of_rows, of_columns)
    return np.asarray(np.minimum(_divide(mutual_information(counts), divisor), 1.0))


def mean_square_contingency(table: ArrayLike) -> Array:
    """Pearson's phi squared: chi-squared over the number of faces.

    Args:
        table: ``(..., R, C)``.

    Returns:
        ``(...)``, 0 to min(R, C) - 1; NaN without faces.
    """
    counts = _table(table)
    expected = expected_counts(counts)
    cells = _divide((counts - expected) ** 2, expected)
    total = counts.sum((-2, -1))
    return _divide(np.where(expected > 0, cells, 0.0).sum((-2, -1)), total)


def cramers_v(table: ArrayLike) -> Array:
    """Cramér's V, the root of phi squared over min(R, C) - 1, counting rows and columns that have faces.

    Args:
        table: ``(..., R, C)``.

    Returns:
        ``(...)`` in [0, 1]; NaN where fewer than two rows or columns have faces.
    """
    counts = _table(table)
    return np.asarray(np.sqrt(_divide(mean_square_contingency(counts), largest_contingency(counts))))


def largest_contingency(table: ArrayLike) -> Array:
    """The largest phi squared that a table of this shape can have: ``(...)``, min(R, C) - 1 of what has faces."""
    counts = _table(table)
    smaller = np.minimum((counts.sum(-1) > 0).sum(-1), (counts.sum(-2) > 0).sum(-1))
    return np.asarray(smaller - 1, dtype=np.float64)


def duchers_z(table: ArrayLike) -> Array:
    """Ducher's Z of each cell: how far its size lies from independence towards the most or least possible.

    With p = P(g, c), a = P(g) and b = P(c) (Ducher et al. 1994)::

        (p - a b) / (min(a, b) - a b)            where p > a b,
        (p - a b) / (a b - max(0, a + b - 1))    where p < a b,
        0                                        where p = a b.

    So 1 says that the smaller of group and class lies wholly within the other, and -1 that the cell
    is as empty as it can be.

    Args:
        table: ``(..., R, C)``.

    Returns:
        ``(..., R, C)`` in [-1, 1]; NaN where the row or the column has no face.
    """
    counts = _table(table)
    n = counts.sum((-2, -1), keepdims=True)
    rows, columns = counts.sum(-1, keepdims=True), counts.sum(-2, keepdims=True)
    # Times n squared: counts stay whole numbers, and equal stays equal.
    product = rows * columns
    departure = counts * n - product
    departure = np.where(np.abs(departure) <= _ROUNDING * n * n, 0.0, departure)
    most = np.minimum(rows, columns) * n - product
    least = product - np.maximum(rows + columns - n, 0.0) * n
    reach = np.where(departure > 0, most, least)
    value = np.divide(departure, reach, out=np.zeros_like(departure), where=(departure != 0) & (reach > 0))
    return np.where((rows > 0) & (columns > 0), np.clip(value, -1.0, 1.0), np.nan)


def normalized_pointwise_mutual_information(table: ArrayLike) -> Array:
    """Pointwise mutual information of each cell over its own surprise, ln(p / (a b)) / -ln p.

    Bouma (2009). Empty cells have -1 whatever their expected size: prefer :func:`duchers_z` where
    cells are small.

    Args:
        table: ``(..., R, C)``.

    Returns:
        ``(..., R, C)`` in [-1, 1]; 0 for independence; NaN where the row or the column has no face
        and where the cell holds all faces.
    """
    counts = _table(table)
    share = _divide(counts, counts.sum((-2, -1), keepdims=True))
    ratio = _divide(counts, expected_counts(counts))
    known = (share > 0) & (share < 1)
    logs = [np.log(x, out=np.zeros_like(x), where=known) for x in (ratio, share)]
    value = np.divide(logs[0], -logs[1], out=np.full_like(share, np.nan), where=known)
    return np.where(ratio == 0, -1.0, value)


def _table(table: ArrayLike) -> Array:
    counts: NDArray[Any] = np.asarray(table, dtype=np.float64)
    if counts.ndim < 2:
        raise ValueError(f"a contingency table is (..., R, C), got shape {counts.shape}")
    return counts


def _divide(top: Array, bottom: Array) -> Array:
    """``top / bottom``, NaN where ``bottom`` is not above 0."""
    shape = np.broadcast_shapes(np.shape(top), np.shape(bottom))
    return np.asarray(np.divide(top, bottom, out=np.full(shape, np.nan), where=np.asarray(bottom) > 0))


def _x_log_y(x: Array, y: Array) -> Array:
    """``x ln y``, 0 where x is 0; NaN stays."""
    logs = np.log(y, out=np.zeros_like(y), where=y > 0)
    return np.asarray(np.where(x == 0, 0.0, x * logs))
