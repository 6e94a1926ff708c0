"""k folds: one tests, the next one validates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mien.data.splits import SPLITS, TEST, TRAIN, VALIDATION
from mien.data.splits.stratified import cells_of
from mien.data.splits.units import Seed, assign_units, check_parts, deal_in_order, split_units
from mien.errors import DataError
from mien.samples import SampleTable


@SPLITS.register("fold")
def fold_split(
    table: SampleTable,
    strata: NDArray[np.int64],
    *,
    k: Annotated[int, Field(ge=3)] = 5,
    fold: Annotated[int, Field(ge=0)] = 0,
    by: Sequence[str] = (),
    seed: Seed = 0,
) -> SampleTable:
    """Fold ``fold`` of ``k`` is the test part, the next one validates, the rest trains.

    Args:
        table: The faces.
        strata: ``(n,)`` classes.
        k: Number of folds.
        fold: The fold that tests, 0 to k-1.
        by: Attributes whose groups are to be alike in all folds within each class, such as ``[gender, age]``.
        seed: Seed of the shuffle.

    Raises:
        DataError: If ``k`` is under 3, ``fold`` is not one of them, the store has no such attribute, or a part would
            be empty.
    """
    if k < 3 or not 0 <= fold < k:
        raise DataError("split", f"fold {fold} of k={k}", "k of 3 or more and fold from 0 to k-1")
    units = split_units(table)
    if by:
        part = deal_in_order(units, cells_of(table, strata, by), [1 / k] * k, seed)
    else:
        part = assign_units(units, strata, [1 / k] * k, seed)
    names = np.full(k, TRAIN, dtype=object)
    names[fold], names[(fold + 1) % k] = TEST, VALIDATION
    check_parts(names[part], {TRAIN: 1 - 2 / k, VALIDATION: 1 / k, TEST: 1 / k}, units)
    frame = table.frame.assign(split=names[part], fold=part)
    return table.derive("fold split", frame, {"k": k, "fold": fold, "seed": seed} | ({"by": list(by)} if by else {}))
