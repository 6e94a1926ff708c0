"""Which faces are probed, and folds that never split an independent unit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.stats.cells import Ints


def canonical_order(columns: Sequence[NDArray[Any]], unit: Ints) -> Ints:
    """An order of rows that depends on their contents only: by unit, units by the least hash of their rows.

    Args:
        columns: ``(n, ...)`` arrays, all that tells rows apart.
        unit: ``(n,)`` codes of units from 0, without holes.

    Returns:
        ``(n,)`` row numbers.
    """
    n = len(unit)
    parts = [np.ascontiguousarray(c).reshape(n, -1).view(np.uint8).reshape(n, -1) for c in columns]
    hashes = np.empty(n, dtype=np.uint64)
    for i in range(n):
        digest = hashlib.blake2b(digest_size=8)
        for part in parts:
            digest.update(part[i])
        hashes[i] = int.from_bytes(digest.digest(), "little")
    least = np.full(int(unit.max()) + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(least, unit, hashes)
    return np.lexsort((hashes, unit, least[unit])).astype(np.int64)


def choose_units(group: Ints, unit: Ints, max_n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Rows of at most about ``max_n``, whole units: the largest groups are thinned, small ones stay.

    Args:
        group: ``(n,)`` codes; a unit belongs to the group of its first row.
        unit: ``(n,)`` codes of units from 0, without holes.
        max_n: Rows wanted at most; exceeded by part of a unit in each group.
        rng: Source of randomness.

    Returns:
        ``(n,)`` bool.
    """
    if len(group) <= max_n:
        return np.ones(len(group), dtype=bool)
    first = np.unique(unit, return_index=True)[1]
    size, unit_group = np.bincount(unit), group[first]
    rows_of = np.bincount(unit_group, weights=size)
    cap, left = 0.0, float(max_n)
    for i, rows in enumerate(ordered := np.sort(rows_of)):
        cap = left / (len(ordered) - i)
        if rows > cap:
            break
        left -= rows
    chosen = np.zeros(len(size), dtype=bool)
    for g in range(len(rows_of)):
        members = rng.permutation(np.flatnonzero(unit_group == g))
        chosen[members[np.cumsum(size[members]) - size[members] < max(cap, 1)]] = True
    return chosen[unit]


def deal_folds(group: Ints, unit: Ints, n_folds: int, rng: np.random.Generator) -> Ints:
    """Folds of whole units, stratified by the group of a unit's first row, and evenly large.

    Args:
        group: ``(n,)`` codes.
        unit: ``(n,)`` codes of units from 0, without holes.
        n_folds: Number of folds.
        rng: Source of randomness.

    Returns:
        ``(n,)`` folds from 0.
    """
    first = np.unique(unit, return_index=True)[1]
    size = np.bincount(unit)
    order = np.lexsort((rng.random(len(size)), -size, group[first]))
    fold = np.empty(len(size), dtype=np.int64)
    fold[order] = np.arange(len(size)) % n_folds
    return fold[unit]


def kept_groups(
    names: Sequence[str], codes: Ints, unit: Ints, min_n: int, min_units: int
) -> tuple[list[int], dict[str, str]]:
    """Which groups have enough faces and units, and why the others are left out."""
    kept: list[int] = []
    left_out: dict[str, str] = {}
    for g, name in enumerate(names):
        rows = np.flatnonzero(codes == g)
        n_units = len(np.unique(unit[rows]))
        if len(rows) < min_n:
            left_out[name] = f"{len(rows)} faces, fewer than {min_n}"
        elif n_units < min_units:
            left_out[name] = f"{n_units} independent units, fewer than {min_units}"
        else:
            kept.append(g)
    return kept, left_out
