"""What a split may not cut, how its parts are dealt, and what options of splits may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from mien.errors import DataError
from mien.samples import SampleTable
from mien.units import joined_units
from mien.wording import listed

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
        ``(n,)`` part numbers, 0 to P-1. Where there are so few units of a class that a part which is to have some
        would get none at all, units are dealt in a row, as :func:`deal_in_order` does.
    """
    if not len(units):
        return np.zeros(0, dtype=np.int64)
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
    if set(part.tolist()) < set(np.flatnonzero(np.asarray(shares)).tolist()):
        return deal_in_order(units, strata[:, None], shares, seed)
    return part[inverse]


def deal_in_order(
    units: NDArray[np.int64], cells: NDArray[np.int64], shares: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """Deal whole units to parts so that classes, and the groups within each, are shared out in proportion.

    Cells of a class and several groups are often smaller than one face a part, and each dealt by itself
    would give its few faces to the largest part. Units are therefore laid in a row, by class, then by
    group, at random within a cell, and each goes to the part that is furthest behind its share of the row so
    far (systematic sampling): any stretch of the row, a cell, a class or several, is then shared out
    to within about a unit a part.

    Args:
        units: ``(n,)`` unit of each face; a unit goes to one part.
        cells: ``(n, C)`` codes, the most important first; a unit counts under the commonest cell of its faces.
        shares: Share of each of the P parts; they sum to 1.
        seed: Seed of the order.

    Returns:
        ``(n,)`` part numbers, 0 to P-1; a part of a share has some wherever there are as many units as such parts.
    """
    rng = np.random.default_rng(seed)
    _, inverse, sizes = np.unique(units, return_inverse=True, return_counts=True)
    kinds, kind = np.unique(cells, axis=0, return_inverse=True)
    counted = pd.DataFrame({"unit": inverse.reshape(-1), "kind": kind.reshape(-1)}).value_counts().reset_index()
    counted = counted.sort_values(["unit", "count", "kind"], ascending=[True, False, True])
    cell = counted.drop_duplicates("unit")["kind"].to_numpy()
    # Codes are shuffled, so that no class or group always follows the same other.
    shuffled = np.stack([rng.permutation(column.max() + 1)[column] for column in kinds.T], axis=1)[cell]
    row = np.lexsort((rng.permutation(len(sizes)), *shuffled.T[::-1]))
    part = np.zeros(len(sizes), dtype=np.int64)
    behind, wanted = rng.permutation(len(shares)) * 1e-9, np.asarray(shares, dtype=np.float64)
    for unit in row:
        behind += wanted * sizes[unit]
        # A part of share nought is never behind, and must not win a draw of equals.
        best = int(np.where(wanted > 0, behind, -np.inf).argmax())
        part[unit] = best
        behind[best] -= sizes[unit]
    return _none_empty(part, sizes, wanted)[inverse.reshape(-1)]


def _none_empty(part: NDArray[np.int64], sizes: NDArray[np.int64], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """``(u,)`` parts of units; one that is to have some and has none gets the smallest of the part with most."""
    part = part.copy()
    for empty in np.setdiff1d(np.flatnonzero(shares), part):
        theirs = np.flatnonzero(part == np.bincount(part).argmax())
        if len(theirs) > 1:
            part[theirs[sizes[theirs].argmin()]] = empty
    return part


def check_parts(split: NDArray[np.object_], asked: Mapping[str, float], units: NDArray[np.int64]) -> None:
    """Refuse a part that was to have faces and got none.

    Args:
        split: ``(n,)`` part of each face.
        asked: Part -> its share.
        units: ``(n,)`` what is not cut.

    Raises:
        DataError: If there is such a part.
    """
    empty = [part for part, share in asked.items() if share > 0 and not (split == part).any()]
    if empty:
        found = f"no face for {listed(empty)}: {len(split):,} faces are {len(np.unique(units)):,} pictures or persons"
        raise DataError("split", found, "one or more for each part", "Ask for fewer parts or other shares.")
