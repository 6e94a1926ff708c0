"""Faces of cells of class and group, from memberships that may be shared out or missing."""

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
