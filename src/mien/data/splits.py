"""Splits: the corpus's own, by ratio, or k folds; seeded, stratified, never through a picture's copies unless asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from mien.errors import DataError
from mien.samples import SampleTable
from mien.units import joined_units

# What options may be; read_options holds the values of a configuration to it.
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, lt=1)]
Faces = Annotated[int, Field(ge=0)]

TRAIN, VALIDATION, TEST = "train", "validation", "test"
_TRAIN_NAMES = ("Training", "train", "training", "FER2013Train")
_VALIDATION_NAMES = ("PublicTest", "validation", "valid", "val", "FER2013Valid")
_TEST_NAMES = ("PrivateTest", "test", "FER2013Test")


def split_units(table: SampleTable) -> NDArray[np.int64]:
    """``(n,)`` numbers of what a split may not cut: copies of a picture and faces of a person, joined."""
    return joined_units([table.frame["cluster"], table.frame["identity"].fillna("")])


def assign_units(
    units: NDArray[np.int64], strata: NDArray[np.int64], shares: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """Deal whole units to parts so that each stratum is shared out in the asked proportions.

    Args:
        units: ``(n,)`` unit of each face; a unit goes to one part.
        strata: ``(n,)`` class of each face; a unit counts under the commonest class of its faces.
        shares: Share of each of the P parts; they sum to 1.
        seed: Seed of the shuffle.

    Returns:
        ``(n,)`` part numbers, 0 to P-1.
    """
    order = np.random.default_rng(seed).permutation(len(units))
    _, inverse, sizes = np.unique(units, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    counts = pd.crosstab(inverse, strata)
    stratum = counts.to_numpy().argmax(1)
    # Large units first: small ones then even out what they leave.
    seen = pd.unique(inverse[order])
    queue = seen[np.argsort(-sizes[seen], kind="stable")]
    wanted = np.asarray(shares)[None, :] * np.bincount(stratum, weights=sizes, minlength=counts.shape[1])[:, None]
    part = np.zeros(len(sizes), dtype=np.int64)
    for unit in queue:
        open_places = wanted[stratum[unit]]
        best = int(open_places.argmax())
        part[unit] = best
        open_places[best] -= sizes[unit]
    return part[inverse]


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

    Raises:
        DataError: If the shares do not sum to 1 or one is negative.
    """
    shares = {TRAIN: train, VALIDATION: validation, TEST: test}
    if min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6 or train == 0:
        raise DataError("split", f"shares {shares}", "numbers of 0 or more that sum to 1, with some train")
    part = assign_units(split_units(table), strata, list(shares.values()), seed)
    frame = table.frame.assign(split=np.array(list(shares))[part])
    return table.derive("ratio split", frame, {**shares, "seed": seed})


def fold_split(
    table: SampleTable,
    strata: NDArray[np.int64],
    *,
    k: Annotated[int, Field(ge=3)] = 5,
    fold: Annotated[int, Field(ge=0)] = 0,
    seed: Seed = 0,
) -> SampleTable:
    """Fold ``fold`` of ``k`` is the test part, the next one validates, the rest trains.

    Raises:
        DataError: If ``k`` is under 3 or ``fold`` is not one of them.
    """
    if k < 3 or not 0 <= fold < k:
        raise DataError("split", f"fold {fold} of k={k}", "k of 3 or more and fold from 0 to k-1")
    part = assign_units(split_units(table), strata, [1 / k] * k, seed)
    names = np.full(k, TRAIN, dtype=object)
    names[fold], names[(fold + 1) % k] = TEST, VALIDATION
    frame = table.frame.assign(split=names[part], fold=part)
    return table.derive("fold split", frame, {"k": k, "fold": fold, "seed": seed})


def corpus_split(
    table: SampleTable,
    strata: NDArray[np.int64],
    *,
    train: str | None = None,
    validation: str | Part | None = None,
    test: str | None = None,
    duplicates: Literal["drop", "keep"] = "drop",
    seed: Seed = 0,
) -> SampleTable:
    """The corpus's own splits.

    Args:
        table: Faces with the corpus's split names.
        strata: ``(n,)`` classes, for stratifying a share.
        train: Its training split; found by its usual names by default.
        validation: Its validation split, or a share of the training split to set aside for it
            (0.05: what selects the weights is then no part of what is reported).
        test: Its test split.
        duplicates: ``drop`` leaves out training faces with a copy (or the same person) in any other
            split of the corpus, and validation faces with one in test; ``keep`` keeps the corpus as
            published, copies across its splits included.
        seed: Seed of a set-aside share.

    Returns:
        A table whose ``split`` is train, validation, test, or the corpus's name for any other.

    Raises:
        DataError: If a split is not there, ``duplicates`` is neither word, or the share is none.
    """
    if duplicates not in ("drop", "keep"):
        raise DataError("split.options.duplicates", repr(duplicates), "'drop' or 'keep'")
    if isinstance(validation, float) and not 0 < validation < 1:
        raise DataError("split.options.validation", str(validation), "a share between 0 and 1, or the name of a split")
    own = table.frame["split"].to_numpy(dtype=object)
    names: Mapping[str, str | None] = {
        TRAIN: _own_name(own, train, _TRAIN_NAMES, True),
        VALIDATION: None if isinstance(validation, float) else _own_name(own, validation, _VALIDATION_NAMES, False),
        TEST: _own_name(own, test, _TEST_NAMES, False),
    }
    split = own.copy()
    for name, corpus_name in names.items():
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
    if isinstance(validation, float):
        part = assign_units(units[rows], strata[rows], [1 - validation, validation], seed)
        split[rows[part == 1]] = VALIDATION
    if not ((split == VALIDATION) & ~dropped).any():
        raise DataError(
            "split", f"no validation faces among {sorted(set(own))}", "a split or a share", "Pass validation: 0.1."
        )
    kept = table.frame.assign(split=split)[~dropped]
    n_dropped = {part: int((dropped & (split == part)).sum()) for part in (TRAIN, VALIDATION)}
    detail = {f"{part} faces with a copy or person elsewhere": n for part, n in n_dropped.items()}
    options = {**names, "validation": validation or names[VALIDATION], "duplicates": duplicates, "seed": seed}
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
    faces; the counts are therefore reached to within one unit.

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
    split = np.empty(len(table), dtype=object)
    split[order] = np.where(before < validation, VALIDATION, np.where(before < validation + test, TEST, TRAIN))
    if validation < 0 or test < 0 or not (split == TRAIN).any():
        found = f"{validation} and {test} of {len(table)} faces held out"
        raise DataError("split", found, "numbers of 0 or more that leave some to train on")
    return table.derive(
        "hash split", table.frame.assign(split=split), {"validation": validation, "test": test, "seed": seed}
    )


SPLITS = {"corpus": corpus_split, "ratio": ratio_split, "fold": fold_split, "hash": hash_split}
