"""Split at random in given proportions, alike in classes and in groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from mien.data.splits import SPLITS, TEST, TRAIN, VALIDATION
from mien.data.splits.units import Seed, Share, check_parts, deal_in_order, split_units
from mien.errors import DataError
from mien.registry import nearest
from mien.samples import SampleTable

By = Annotated[Sequence[str], Field(min_length=1)]


def cells_of(table: SampleTable, strata: NDArray[np.int64], by: Sequence[str]) -> NDArray[np.int64]:
    """``(n, 1 + G)`` codes: the class, then the group of each attribute, 0 where it is missing.

    Raises:
        DataError: If the table has no such attribute.
    """
    columns = [strata]
    for name in by:
        if name not in table.attributes:
            raise DataError(
                "split.options.by", f"the store has no attribute {name!r}", "", nearest(name, list(table.attributes))
            )
        columns.append(pd.factorize(table.frame[name], sort=True)[0] + 1)
    return np.stack(columns, axis=1).astype(np.int64)


@SPLITS.register("stratified")
def stratified_split(
    table: SampleTable,
    strata: NDArray[np.int64],
    *,
    by: By,
    train: Annotated[float, Field(gt=0, le=1)] = 0.7,
    validation: Share = 0.15,
    test: Share = 0.15,
    seed: Seed = 0,
) -> SampleTable:
    """Split in proportions that hold in each class and, within it, in each group; copies and persons kept together.

    Args:
        table: The faces.
        strata: ``(n,)`` classes.
        by: Attributes whose groups are to be alike in all parts, such as ``[gender, age]``; a missing group is
            a group of its own.
        train: Share of the faces to train on.
        validation: Share of those that validate.
        test: Share of those that test; the three sum to 1.
        seed: Seed of the shuffle.

    Raises:
        DataError: If the shares do not sum to 1, the store has no such attribute, or a part would be empty.
    """
    shares = {TRAIN: train, VALIDATION: validation, TEST: test}
    if min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6 or train == 0:
        raise DataError("split", f"shares {shares}", "numbers of 0 or more that sum to 1, with some train")
    units = split_units(table)
    split = np.array(list(shares), dtype=object)[
        deal_in_order(units, cells_of(table, strata, by), list(shares.values()), seed)
    ]
    check_parts(split, shares, units)
    frame = table.frame.assign(split=split)
    return table.derive("stratified split", frame, {"by": list(by), **shares, "seed": seed})
