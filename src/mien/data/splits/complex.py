"""Two tests: faces as they come, and faces in which raters saw many expressions (Duan 2022)."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from mien.data.splits import SPLITS, TRAIN, VALIDATION
from mien.data.splits.capping import Cap, within_cap
from mien.data.splits.units import Part, Seed, assign_units, split_units
from mien.errors import DataError
from mien.labels import label_scheme
from mien.labels.cleaning import Clean
from mien.labels.complexity import complexity
from mien.samples import SampleTable


@SPLITS.register("complex")
def complex_split(
    table: SampleTable,
    strata: NDArray[np.int64],
    *,
    above: Annotated[int, Field(ge=1, le=100)] = 3,
    ordinary: Part = 0.1,
    complex_share: Part = 0.1,
    validation: Part = 0.1,
    test: Literal["ordinary", "complex"] = "ordinary",
    clean: Clean = "sum",
    cap: Cap | None = None,
    seed: Seed = 0,
) -> SampleTable:
    """Hold out a random test and a test of complex faces; the parts are the same whatever labels are learnt.

    Duan 2022 tests on a random tenth, and on as many faces of complexity X > 3 (X: expressions with a vote). Here
    both are held out at once, first the random one, then the complex one from what remains: of FERPlus's
    35,393 faces 4,455 have X > 3, so that few are left to learn from. Parts are drawn from the votes
    alone, balanced by the commonest vote and not by the labels of the run: N-hot labels of different N then
    learn from the same faces and are tested on the same. Copies and persons are never cut; a unit enters the
    complex test where all its faces are complex.

    Args:
        table: The faces, with votes.
        strata: Not used: it depends on the labels.
        above: Complexity above which a face is complex.
        ordinary: Share of the faces for the random test.
        complex_share: Share of the faces for the complex test; fewer where there are not so many.
        validation: Share of the faces that validate, drawn from what remains (the source has none and chose its
            epoch on the test).
        test: Which of the two is called ``test``; the other is called ``test_complex`` or ``test_ordinary``.
        clean: Which faces to leave out for votes for unknown and not-a-face; that of the labels should be the same.
        cap: Most training faces of a commonest vote, drawn by seed; the others are left out. What is held out is the
            same for every cap.
        seed: Seed of the draw, of the parts and of nothing else.

    Raises:
        DataError: If the faces have one vote each, none is complex, or none is left to train on.
    """
    kept = label_scheme("distribution", table.vocabulary, {"clean": clean}).targets(table.votes, table.vocabulary).keep
    table = table.where(kept, "cleaned", clean=clean)
    x = complexity(table.votes, table.vocabulary)
    if not (x > above).any():
        found = f"no face has more than {above} expressions with a vote"
        raise DataError("split.options.above", found, "faces that raters disagree about", "Lower above.")
    units, modes = split_units(table), table.votes.argmax(1)
    names = ("test", "test_complex") if test == "ordinary" else ("test_ordinary", "test")
    split = np.full(len(table), TRAIN, dtype=object)
    split[assign_units(units, modes, [1 - ordinary, ordinary], seed) == 1] = names[0]
    rows = np.flatnonzero(split == TRAIN)
    whole = pd.Series(x > above)[rows].groupby(units[rows]).transform("all").to_numpy()
    rows = rows[whole]
    share = min(1.0, complex_share * len(table) / max(len(rows), 1))
    split[rows[assign_units(units[rows], modes[rows], [1 - share, share], seed + 1) == 1]] = names[1]
    rows = np.flatnonzero(split == TRAIN)
    share = validation * len(table) / max(len(rows), 1)
    if share >= 1:
        raise DataError("split", f"{len(rows)} faces remain beside both tests", "some to train on", "Hold out fewer.")
    split[rows[assign_units(units[rows], modes[rows], [1 - share, share], seed + 2) == 1]] = VALIDATION
    above_cap = np.zeros(len(table), dtype=bool)
    if cap is not None:
        rows = np.flatnonzero(split == TRAIN)
        above_cap[rows] = ~within_cap(units[rows], modes[rows], cap, seed + 3)
    options = {
        "above": above,
        "ordinary": ordinary,
        "complex_share": complex_share,
        "validation": validation,
        "test": test,
        "clean": clean,
        "seed": seed,
        **({"cap": cap} if cap is not None else {}),
    }
    part_of = {"train": TRAIN, "validation": VALIDATION, "the random test": names[0], "the complex test": names[1]}
    counted = (x > above) & ~above_cap
    detail = {f"complex faces in {what}": int((counted & (split == name)).sum()) for what, name in part_of.items()}
    detail |= {"faces above the cap": int(above_cap.sum())} if cap is not None else {}
    dealt = table.frame.assign(split=split, complexity=x)[~above_cap]
    return table.derive("complex split", dealt, options, detail)
