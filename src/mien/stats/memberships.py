"""Faces of cells of class and group, and their weights, from memberships that may be shared out or missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cell_sizes(classes: NDArray[np.floating], groups: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(K, G)`` faces of each cell of class and group; those of unknown group are spread as the known of their class.

    Args:
        classes: ``(n, K)`` shares of classes; a row sums to 1.
        groups: ``(n, G)`` memberships; a row sums to 1, or to 0 where the group is missing.

    Returns:
        Sizes whose sum over the groups is that of the class; spread evenly where no face of a class has a known group.
    """
    known = classes.T @ groups
    told, every = known.sum(1, keepdims=True), classes.sum(0)[:, None]
    spread = np.where(told > 0, known / np.maximum(told, 1e-12), 1 / max(groups.shape[1], 1))
    return np.asarray(spread * every, dtype=np.float64)


def cell_weights(
    classes: NDArray[np.floating], groups: NDArray[np.floating], exponent: float, effective: float | None = None
) -> NDArray[np.float64]:
    """Weights of rows by the size of their cell of class and group, n^-exponent.

    Args:
        classes: ``(n, K)`` shares of classes; a row sums to 1.
        groups: ``(n, G)`` memberships; a row sums to 1, or to 0 where the group is missing.
        exponent: 0 to 1.
        effective: b of (1 - b) / (1 - b^n) in place of it.

    Faces of unknown group count as the known ones of their class do: a class whose groups are less often known is no
    rarer for it. Where none of a class is known, its faces are spread evenly over the groups.

    Returns:
        ``(n,)`` weights whose mean over the rows of known groups is 1; a row of no group has the mean weight
        of those of its class. All 1 where no row has a group.

    >>> cell_weights(np.eye(2)[[0] * 6 + [1] * 2], np.ones((8, 1)), 1.0)[[0, -1]].round(6).tolist()
    [0.666667, 2.0]
    """
    known = groups.sum(1) > 0
    if not known.any():
        return np.ones(len(groups))
    n = cell_sizes(classes, groups)
    # A cell of a tenth of a face, which shares of many may add up to, weighs no more than one of a whole face.
    sizes = np.maximum(n, 1.0)
    each = sizes**-exponent if effective is None else (1 - effective) / (1 - effective**sizes)
    factors = np.where(n > 0, each, 0.0)
    weights = np.einsum("nk,kg,ng->n", classes, factors, groups)
    of_class = (n * factors).sum(1) / np.maximum(n.sum(1), 1e-12)
    weights = np.where(known, weights, classes @ of_class)
    found: NDArray[np.float64] = weights / weights[known].mean()
    return found
