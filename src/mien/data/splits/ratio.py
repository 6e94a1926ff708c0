"""Split at random in given proportions."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mien.data.splits import SPLITS, TEST, TRAIN, VALIDATION
from mien.data.splits.units import Seed, Share, assign_units, split_units
from mien.errors import DataError
from mien.samples import SampleTable


@SPLITS.register("ratio")
def ratio_split(
    table: SampleTable,
    strata: NDArray[np.int64],
    *,
    train: Annotated[float, Field(gt=0, le=1)] = 0.8,
    validation: Share = 0.1,
    test: Share = 0.1,
    seed: Seed = 0,
) -> SampleTable:
    """Split at random in given proportions, stratified, copies and persons kept together.

    Args:
        table: The faces.
        strata: ``(n,)`` classes.
        train: Share of the faces to train on.
        validation: Share of those that validate.
        test: Share of those that test; the three sum to 1.
        seed: Seed of the shuffle.

    Raises:
        DataError: If the shares do not sum to 1 or one is negative.
    """
    shares = {TRAIN: train, VALIDATION: validation, TEST: test}
    if min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6 or train == 0:
        raise DataError("split", f"shares {shares}", "numbers of 0 or more that sum to 1, with some train")
    part = assign_units(split_units(table), strata, list(shares.values()), seed)
    frame = table.frame.assign(split=np.array(list(shares))[part])
    return table.derive("ratio split", frame, {**shares, "seed": seed})
