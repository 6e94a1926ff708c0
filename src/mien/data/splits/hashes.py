"""Hold out by the hash of a picture, whatever its place in the table."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.data.splits import SPLITS, TEST, TRAIN, VALIDATION
from mien.data.splits.units import Faces, Seed, split_units
from mien.errors import DataError
from mien.samples import SampleTable


@SPLITS.register("hash")
def hash_split(
    table: SampleTable,
    strata: NDArray[np.int64],
    *,
    validation: Faces = 4000,
    test: Faces = 0,
    seed: Seed = 0,
) -> SampleTable:
    """Hold out the faces with the smallest hashes of their pictures, whatever their order in the table.

    A unit (copies of a picture, faces of a person) is held out whole, by the smallest hash among its
    faces; each part therefore has as many faces as were asked for, or more by less than one unit.

    Args:
        table: The faces.
        strata: Not used: a hash knows no class.
        validation: Faces to hold out for validation.
        test: Faces to hold out for test.
        seed: Mixed into the hash; another seed holds out other faces.

    Raises:
        DataError: If no face would be left to train on.
    """
    if not all(isinstance(n, int) for n in (validation, test)):
        raise DataError("split", f"validation {validation!r}, test {test!r}", "whole numbers of faces")
    units = split_units(table)
    salted = [int.from_bytes(hashlib.sha256(f"{seed}:{h}".encode()).digest()[:8]) for h in table.frame["hash"]]
    smallest = pd.Series(np.array(salted, dtype=np.uint64)).groupby(units).transform("min").to_numpy()
    order = np.lexsort((units, smallest))
    _, first, sizes = np.unique(units[order], return_index=True, return_counts=True)
    in_order = np.argsort(first)
    before = np.repeat(np.cumsum(sizes[in_order]) - sizes[in_order], sizes[in_order])
    after_validation = before[before >= validation].min(initial=len(table))  # its last unit may overshoot
    split = np.empty(len(table), dtype=object)
    split[order] = np.where(before < validation, VALIDATION, np.where(before < after_validation + test, TEST, TRAIN))
    if validation < 0 or test < 0 or not (split == TRAIN).any():
        found = f"{validation} and {test} of {len(table)} faces held out"
        raise DataError("split", found, "numbers of 0 or more that leave some to train on")
    return table.derive(
        "hash split", table.frame.assign(split=split), {"validation": validation, "test": test, "seed": seed}
    )
