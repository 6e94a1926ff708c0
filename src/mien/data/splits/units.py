"""What a split may not cut, how its parts are dealt, and what options of splits may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from mien.samples import SampleTable
from mien.units import joined_units

# What options may be; read_options holds the values of a configuration to it.
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, lt=1)]
Faces = Annotated[int, Field(ge=0)]


def split_units(table: SampleTable) -> NDArray[np.int64]:
    """``(n,)`` numbers of what a split may not cut: copies of a picture and faces of a person, joined."""
    return joined_units([table.frame["cluster"], table.frame["identity"].fillna("")])


def assign_units(
    units: NDArray[np.int64], strata: NDArray[np.int64], shares: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """Deal whole units to parts so that each stratum is shared out in the asked proportions.

    Args:
        units: ``(n,)`` unit of each face; a unit goes to one part.
        strata: ``(n,)`` class of each face; a unit counts under the commonest class of its faces.
        shares: Share of each of the P parts; they sum to 1.
        seed: Seed of the shuffle.

    Returns:
        ``(n,)`` part numbers, 0 to P-1.
    """
    order = np.random.default_rng(seed).permutation(len(units))
    _, inverse, sizes = np.unique(units, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    counts = pd.crosstab(inverse, strata)
    stratum = counts.to_numpy().argmax(1)
    # Large units first: small ones then even out what they leave.
    seen = pd.unique(inverse[order])
    queue = seen[np.argsort(-sizes[seen], kind="stable")]
    wanted = np.asarray(shares)[None, :] * np.bincount(stratum, weights=sizes, minlength=counts.shape[1])[:, None]
    part = np.zeros(len(sizes), dtype=np.int64)
    for unit in queue:
        open_places = wanted[stratum[unit]]
        best = int(open_places.argmax())
        part[unit] = best
        open_places[best] -= sizes[unit]
    return part[inverse]
