"""Split at random in given proportions, alike in classes and in groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from mien.data.splits import SPLITS, TEST, TRAIN, VALIDATION
from mien.data.splits.units import Seed, Share, split_units
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
        ``(n,)`` part numbers, 0 to P-1.
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
    return part[inverse.reshape(-1)]


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
        DataError: If the shares do not sum to 1, or the store has no such attribute.
    """
    shares = {TRAIN: train, VALIDATION: validation, TEST: test}
    if min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6 or train == 0:
        raise DataError("split", f"shares {shares}", "numbers of 0 or more that sum to 1, with some train")
    part = deal_in_order(split_units(table), cells_of(table, strata, by), list(shares.values()), seed)
    frame = table.frame.assign(split=np.array(list(shares))[part])
    return table.derive("stratified split", frame, {"by": list(by), **shares, "seed": seed})
