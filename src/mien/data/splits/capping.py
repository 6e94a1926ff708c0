"""At most so many faces of a class, drawn by seed, whole units at a time."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

Cap = Annotated[int, Field(ge=1)]
#: What is capped: all faces that are dealt to parts, before they are, or what then trains.
Capped = Literal["pool", "train"]


def within_cap(units: NDArray[np.int64], strata: NDArray[np.int64], cap: int, seed: int) -> NDArray[np.bool_]:
    """Draw faces until each class has as many as it may.

    Units are taken whole, in random order; one that would bring a class above the cap is left out, and
    the next ones may still fit.

    Args:
        units: ``(n,)`` unit of each face.
        strata: ``(n,)`` class of each face.
        cap: Most faces of a class.
        seed: Seed of the order.

    Returns:
        ``(n,)`` which faces stay: of no class more than ``cap``, and all of it where it has no more.
    """
    _, unit = np.unique(units, return_inverse=True)
    _, stratum = np.unique(strata, return_inverse=True)
    n_units, n_strata = int(unit.max(initial=-1)) + 1, int(stratum.max(initial=-1)) + 1
    counts = np.bincount(unit * n_strata + stratum, minlength=n_units * n_strata).reshape(n_units, n_strata)
    left = np.full(n_strata, cap)
    taken = np.zeros(n_units, dtype=bool)
    for u in np.random.default_rng(seed).permutation(n_units):
        if (counts[u] <= left).all():
            left -= counts[u]
            taken[u] = True
    return np.asarray(taken[unit])
