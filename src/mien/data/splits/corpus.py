"""The corpus's own splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.data.splits import SPLITS, TEST, TRAIN, VALIDATION
from mien.data.splits.capping import Cap, Capped, within_cap
from mien.data.splits.units import Part, Seed, assign_units, split_units
from mien.errors import DataError
from mien.samples import SampleTable
from mien.wording import listed

TRAIN_NAMES = ("Training", "train", "training", "FER2013Train")
VALIDATION_NAMES = ("PublicTest", "validation", "valid", "val", "FER2013Valid")
TEST_NAMES = ("PrivateTest", "test", "FER2013Test")


@SPLITS.register("corpus")
def corpus_split(
    table: SampleTable,
    strata: NDArray[np.int64],
    *,
    train: str | None = None,
    validation: str | Part | None = None,
    test: str | Sequence[str] | None = None,
    duplicates: Literal["drop", "keep"] = "drop",
    cap: Cap | None = None,
    capped: Capped = "pool",
    seed: Seed = 0,
) -> SampleTable:
    """The corpus's own splits.

    A split of the corpus that is named train, validation or test and has no such part here, because another was asked
    for, is called ``corpus_train`` and so on: it is not mixed with what was asked for.

    Args:
        table: Faces with the corpus's split names.
        strata: ``(n,)`` classes, for stratifying a share.
        train: Its training split; found by its usual names by default.
        validation: Its validation split, or a share of the training split to set aside for it
            (0.05: what selects the weights is then no part of what is reported).
        test: Its test split, or several that test together: ``[PublicTest, PrivateTest]``.
        duplicates: ``drop`` leaves out training faces with a copy (or the same person) in any other
            split of the corpus, and validation faces with one in test; ``keep`` keeps the corpus as
            published, copies across its splits included.
        cap: Most training faces of a class, drawn by seed; the others are left out.
        capped: Whether the cap is of the training split before a share is set aside for validation
            (``pool``), or of what remains to ``train``.
        seed: Seed of a set-aside share and of a cap.

    Returns:
        A table whose ``split`` is train, validation, test, or the corpus's name for any other.

    Raises:
        DataError: If a split is not there or is named for two parts, ``duplicates`` is neither word, or the share is
            none.
    """
    if duplicates not in ("drop", "keep"):
        raise DataError("split.options.duplicates", repr(duplicates), "'drop' or 'keep'")
    if isinstance(validation, float) and not 0 < validation < 1:
        raise DataError("split.options.validation", str(validation), "a share between 0 and 1, or the name of a split")
    own = table.frame["split"].to_numpy(dtype=object)
    names: Mapping[str, str | None] = {
        TRAIN: _own_name(own, train, TRAIN_NAMES, True),
        VALIDATION: None if isinstance(validation, float) else _own_name(own, validation, VALIDATION_NAMES, False),
    }
    tests = [test] if isinstance(test, str) or test is None else list(test)
    tested = [_own_name(own, name, TEST_NAMES, False) for name in tests]
    parts = [*names.items(), *((TEST, name) for name in tested)]
    chosen = [corpus_name for _, corpus_name in parts if corpus_name is not None]
    if twice := sorted({name for name in chosen if chosen.count(name) > 1}):
        raise DataError("split.options", f"{listed(twice)} named for two parts", "a split of the corpus for each")
    split = own.copy()
    for name in {TRAIN, VALIDATION, TEST} - set(chosen):
        split[own == name] = f"corpus_{name}"
    for name, corpus_name in parts:
        if corpus_name is not None:
            split[own == corpus_name] = name
    units = split_units(table)
    dropped = np.zeros(len(table), dtype=bool)
    if duplicates == "drop":
        dropped = (split == TRAIN) & np.isin(units, units[split != TRAIN])
        dropped |= (split == VALIDATION) & np.isin(units, units[split == TEST])
    rows = np.flatnonzero((split == TRAIN) & ~dropped)
    if not len(rows):
        fix = "Pass duplicates: keep, or name other splits."
        raise DataError("split", "every training face has a copy in another split", "some training faces", fix)
    above = np.zeros(len(table), dtype=bool)
    if cap is not None and capped == "pool":
        above[rows] = ~within_cap(units[rows], strata[rows], cap, seed)
        rows = rows[~above[rows]]
    if isinstance(validation, float):
        part = assign_units(units[rows], strata[rows], [1 - validation, validation], seed)
        split[rows[part == 1]] = VALIDATION
    if cap is not None and capped == "train":
        rows = rows[split[rows] == TRAIN]
        above[rows] = ~within_cap(units[rows], strata[rows], cap, seed)
    if not ((split == VALIDATION) & ~dropped).any():
        raise DataError(
            "split", f"no validation faces among {sorted(set(own))}", "a split or a share", "Pass validation: 0.1."
        )
    kept = table.frame.assign(split=split)[~dropped & ~above]
    n_dropped = {part: int((dropped & (split == part)).sum()) for part in (TRAIN, VALIDATION)}
    detail = {f"{part} faces with a copy or person elsewhere": n for part, n in n_dropped.items()}
    detail |= {"faces above the cap": int(above.sum())} if cap is not None else {}
    shown = tested[0] if len(tested) == 1 else tested
    options = {
        **names,
        TEST: shown,
        "validation": validation or names[VALIDATION],
        "duplicates": duplicates,
        "seed": seed,
        **({"cap": cap, "capped": capped} if cap is not None else {}),
    }
    return table.derive("corpus split", kept, options, detail)


def _own_name(own: NDArray[np.object_], asked: str | None, usual: Sequence[str], needed: bool) -> str | None:
    present = {str(s) for s in own}
    if asked is not None:
        if asked not in present:
            raise DataError("split", f"the corpus has no split {asked!r}", f"one of {sorted(present)}")
        return asked
    for name in usual:
        if name in present:
            return name
    if needed:
        raise DataError(
            "split", f"no training split among {sorted(present)}", f"one of {', '.join(usual)}", "Name it: train: ..."
        )
    return None
