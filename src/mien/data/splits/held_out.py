"""Hold out whole groups of a column: every face of a corpus, say, to test on what no training face was like."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mien.data.splits import SPLITS, TEST, TRAIN, VALIDATION
from mien.data.splits.units import Part, Seed, assign_units, split_units
from mien.errors import DataError
from mien.registry import nearest
from mien.samples import SampleTable
from mien.wording import listed


@SPLITS.register("held_out")
def held_out_split(
    table: SampleTable,
    strata: NDArray[np.int64],
    *,
    test: Annotated[tuple[str, ...], Field(min_length=1)],
    by: str = "corpus",
    validation: Part = 0.1,
    seed: Seed = 0,
) -> SampleTable:
    """Test on the faces of some groups of a column; the others train and validate.

    Faces outside these groups that are copies of a tested face, or of its person, are left out.

    Args:
        table: The faces.
        strata: ``(n,)`` classes.
        test: Groups to hold out.
        by: The column; that of the corpora of a merged store by default.
        validation: Share of the other faces that validates.
        seed: Seed of the shuffle.

    Raises:
        DataError: If there is no such column or group, or nothing is left to train on.
    """
    if by not in table.frame:
        raise DataError("split.options.by", f"no column {by!r}", "", nearest(by, list(table.attributes)))
    groups = table.frame[by].astype("object").map(str, na_action="ignore")  # numbers too are named by their text
    known = sorted(set(groups.dropna()))
    if strange := sorted(set(test) - set(known)):
        raise DataError("split.options.test", listed(strange), f"groups of {by}: {listed(known)}")
    tested = groups.isin(test).to_numpy(dtype=bool)
    units = split_units(table)
    copies = ~tested & np.isin(units, units[tested])
    rest = np.flatnonzero(~tested & ~copies)
    if not len(rest):
        raise DataError("split", f"all faces are of {listed(test)} or their copies", "some to train on")
    split = np.full(len(table), TEST, dtype=object)
    part = assign_units(units[rest], strata[rest], [1 - validation, validation], seed)
    split[rest] = np.where(part == 0, TRAIN, VALIDATION)
    options = {"by": by, "test": list(test), "validation": validation, "seed": seed}
    detail = {"faces with a copy or person in test": int(copies.sum())}
    return table.derive("held-out split", table.frame.assign(split=split)[~copies], options, detail)
