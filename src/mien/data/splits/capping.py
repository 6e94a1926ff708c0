"""At most so many faces of a class, drawn by seed."""

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

    Units are taken whole, in random order, where none of their classes would come above the cap. What is left of the
    room is filled from the others, face by face: what is left out trains nothing and tests nothing, so that no unit
    is cut between parts, and a class that shares its units with a larger one keeps its faces.

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
    order = np.random.default_rng(seed).permutation(n_units)
    for u in order:
        if (counts[u] <= left).all():
            left -= counts[u]
            taken[u] = True
    stays = taken[unit]
    place = np.empty(n_units, dtype=np.int64)
    place[order] = np.arange(n_units)
    for face in np.argsort(place[unit], kind="stable"):
        if not stays[face] and left[stratum[face]] > 0:
            left[stratum[face]] -= 1
            stays[face] = True
    return np.asarray(stays)
