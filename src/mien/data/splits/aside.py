"""Validation faces set aside for what is fitted after training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.data.splits import FIT, VALIDATION
from mien.data.splits.units import assign_units, split_units
from mien.errors import DataError
from mien.samples import SampleTable

_STREAM = 0xF17  # so that the draw is none of the split's own


def set_aside(table: SampleTable, strata: pd.Series, share: float, seed: int) -> SampleTable:
    """Give a share of the validation faces to the part ``fit``: whole units, balanced by class.

    What is fitted after training (thresholds, a new head) is fitted to these faces, and the others choose between
    epochs and methods: no face does both.

    Args:
        table: Faces with their split.
        strata: Class of each face, by ``sample_id``.
        share: Of the validation faces; 0 leaves the table as it is.
        seed: Seed of the draw.

    Raises:
        DataError: If either part would have no faces.
    """
    if not share:
        return table
    split = table.frame["split"].to_numpy(dtype=object).copy()
    rows = np.flatnonzero(split == VALIDATION)
    classes: NDArray[np.int64] = strata.loc[table.frame["sample_id"].to_numpy()[rows]].to_numpy(np.int64)
    part = assign_units(split_units(table)[rows], classes, [1 - share, share], seed + _STREAM)
    if len(np.unique(part)) < 2:
        found = f"{share:g} of {len(rows):,} validation faces leaves a part without any"
        raise DataError("split.fit", found, "faces for both", "Hold out more faces.")
    split[rows[part == 1]] = FIT
    detail = {"faces to fit on": int((part == 1).sum()), "faces left to validate": int((part == 0).sum())}
    return table.derive("set aside", table.frame.assign(split=split), {"share": share, "seed": seed}, detail)
