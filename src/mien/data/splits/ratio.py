"""Split at random in given proportions."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mien.data.splits import SPLITS, TEST, TRAIN, VALIDATION
from mien.data.splits.capping import Cap, Capped, within_cap
from mien.data.splits.units import Seed, Share, assign_units, check_parts, split_units
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
    cap: Cap | None = None,
    capped: Capped = "pool",
    seed: Seed = 0,
) -> SampleTable:
    """Split at random in given proportions, stratified, copies and persons kept together.

    Args:
        table: The faces.
        strata: ``(n,)`` classes.
        train: Share of the faces to train on.
        validation: Share of those that validate.
        test: Share of those that test; the three sum to 1.
        cap: Most faces of a class, drawn by seed; the others are left out.
        capped: Whether the cap is of all faces (``pool``), or of those that ``train``.
        seed: Seed of the shuffle.

    Raises:
        DataError: If the shares do not sum to 1, one is negative, or a part would be empty.
    """
    shares = {TRAIN: train, VALIDATION: validation, TEST: test}
    if min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6 or train == 0:
        raise DataError("split", f"shares {shares}", "numbers of 0 or more that sum to 1, with some train")
    units, options = split_units(table), {**shares, "seed": seed}
    dealt = np.arange(len(table))
    if cap is not None and capped == "pool":
        dealt = np.flatnonzero(within_cap(units, strata, cap, seed))
    split = np.array(list(shares), dtype=object)[assign_units(units[dealt], strata[dealt], list(shares.values()), seed)]
    check_parts(split, shares, units[dealt])
    kept = np.ones(len(dealt), dtype=bool)
    if cap is not None and capped == "train":
        rows = np.flatnonzero(split == TRAIN)
        kept[rows] = within_cap(units[dealt[rows]], strata[dealt[rows]], cap, seed)
    frame = table.frame.iloc[dealt[kept]].assign(split=split[kept])
    if cap is None:
        return table.derive("ratio split", frame, options)
    detail = {"faces above the cap": len(table) - len(frame)}
    return table.derive("ratio split", frame, {**options, "cap": cap, "capped": capped}, detail)
