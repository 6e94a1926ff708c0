"""Predictions of several models brought to the same faces, classes, groups and annotation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.audit.attributes import candidate_attributes
from mien.audit.compare.pairing import paired
from mien.audit.table_checks import table_warnings
from mien.errors import DataError, UsageError
from mien.missing import is_missing
from mien.records import Predictions
from mien.samples import PERCEIVED
from mien.spellings import canonical, folded
from mien.stats.cells import independent_units
from mien.units import joined_units

BY_PLACE = (
    "Nothing names the faces in all tables: the rows were matched by their places, the first with the first. If they "
    "list the faces in different orders, the comparison is void: a column with the path of each picture ('path') in "
    "each table would tell."
)
_SLIPS, _FEW_SLIPS = 0.01, 4  # so many faces' groups may differ by a slip; in another order many more do


@dataclass(frozen=True)
class SharedFaces:
    """Predictions of several models brought to the same faces, classes, groups and annotation.

    Attributes:
        runs: One table a model, row for row the same faces.
        n_left_out: Faces of each model that not all models have.
        notes: What differed and was settled.
        warnings: For each model, what puts every finding about its table in doubt; first how the rows were matched,
            where nothing names them.
    """

    runs: list[Predictions]
    n_left_out: list[int]
    notes: list[str]
    warnings: list[list[str]]


def shared_faces(
    runs: Sequence[Predictions], names: Sequence[str], by: Sequence[str] = (), least: int = 2
) -> SharedFaces:
    """Match the rows of several tables; see :func:`mien.audit.compare.pairing.paired`.

    Faces that not all tables have are left out and counted. Groups that only some tables have serve
    for all; where two tables name a group differently, the first one's counts and a note says so.
    Faces are one unit if any table joins them.

    Args:
        runs: Two or more tables.
        names: What to call them in messages.
        by: Specifications of the attributes in question.
        least: Fewest shared faces.

    Raises:
        UsageError: If there are fewer than two tables, or not one distinct name for each.
        DataError: If the classes or the annotated classes differ, an id stands twice, too few faces are shared, or
            the rows can be matched by their places only and these disagree.
    """
    first, ids = runs[0], _unique_ids(runs, names)
    pairing = paired(runs, names, max(least, 2))
    n_shared = len(pairing.rows[0])
    if n_shared < max(least, 2):
        raise DataError(
            f"{' and '.join(names)}",
            f"share {n_shared} faces",
            f"{max(least, 2)} or more with the same sample_id, or the same path in a column that both have",
            f"{names[0]} has ids such as {str(ids[0][0])!r}, {names[1]} such as {str(ids[1][0])!r}."
            if len(ids[1])
            else "",
        )
    selected = zip(runs, pairing.rows, names, strict=True)
    cut = [_in_order(run.select(r), first.classes, n) for run, r, n in selected]
    if pairing.by_place:
        for run, name in zip(cut[1:], names[1:], strict=True):
            _check_places(cut[0], run, (names[0], name), by)
    for run, name in zip(cut[1:], names[1:], strict=True):
        _check_labels(cut[0], run, names[0], name)
    notes = list(pairing.notes)
    groups = _merged_groups(cut, names, by, notes)
    votes = next((run.votes for run in cut if run.votes is not None), None)
    if votes is None and any(not np.allclose(run.targets, cut[0].targets, atol=1e-3) for run in cut[1:]):
        notes.append(f"The annotated distributions differ: KL divergence is to that of {names[0]} for every model.")
    notes += _not_found(runs, ids, names, pairing.by_ids)
    joined = [pd.Series(run.cluster) for run in cut if run.cluster is not None]
    unit = independent_units(joined_units(joined)) if joined else None
    soft = cut[0].soft_targets
    cut = [replace(run, groups=groups, cluster=unit, soft_targets=soft, votes=votes) for run in cut]
    doubts = [*pairing.warnings, *([BY_PLACE] if pairing.by_place else [])]
    warnings = [[*doubts, *table_warnings(run, by)] for run in runs]
    return SharedFaces(cut, [len(run) - n_shared for run in runs], notes, warnings)


def _unique_ids(runs: Sequence[Predictions], names: Sequence[str]) -> list[pd.Index[Any]]:
    """The ids of each table; refuses what cannot be compared at all."""
    if len(runs) < 2:
        raise UsageError("comparison", f"has {len(runs)} table of predictions", "two or more")
    if len(names) != len(runs) or len(set(names)) < len(runs):
        raise UsageError("names", f"are {list(names)}", f"{len(runs)} different names, one for each table")
    ids = [pd.Index(run.sample_id).astype(object) for run in runs]
    for name, index in zip(names, ids, strict=True):
        if not index.is_unique:
            twice = str(index[index.duplicated()][0])
            raise DataError(name, f"sample_id {twice!r} stands there twice", "each face once")
    return ids


def _not_found(
    runs: Sequence[Predictions], ids: Sequence[pd.Index[Any]], names: Sequence[str], by_ids: bool
) -> Iterator[str]:
    """Faces that one model did not find and another did take no part: a comparison cannot see that failure."""
    for run, name in zip(runs, names, strict=True):
        if run.undetected is None or not len(run.undetected):
            continue
        if not by_ids:
            yield f"{name} did not find {len(run.undetected)} faces; they are left out here."
        else:
            missed = pd.Index(run.undetected["sample_id"].astype(object))
            n = int(np.logical_or.reduce([missed.isin(index) for index in ids]).sum())
            if n:
                yield f"{name} did not find {n} faces that another model predicted; they are left out here."


def _in_order(run: Predictions, classes: tuple[str, ...], name: str) -> Predictions:
    """The same predictions with the classes in another order and spelling."""
    if run.classes == classes:
        return run
    spelt = {canonical(c): k for k, c in enumerate(run.classes)}
    wanted = [canonical(c) for c in classes]
    if set(spelt) != set(wanted) or len(spelt) < len(run.classes):
        odd = sorted(map(str, set(run.classes) ^ set(classes)))
        raise DataError(
            name,
            f"has the classes {', '.join(run.classes)}",
            f"{', '.join(classes)}",
            f"Not in both: {', '.join(odd)}. Map them to one vocabulary first.",
        )
    order = np.array([spelt[c] for c in wanted])
    place = np.argsort(order)
    return replace(
        run,
        classes=classes,
        labels=place[run.labels].astype(np.int64),
        predicted=place[run.predicted].astype(np.int64),
        probs=None if run.probs is None else run.probs[:, order],
        soft_targets=None if run.soft_targets is None else run.soft_targets[:, order],
        votes=None if run.votes is None else run.votes[:, order],
    )


def _check_labels(a: Predictions, b: Predictions, name_a: str, name_b: str) -> None:
    differ = np.flatnonzero(a.labels != b.labels)
    if len(differ):
        i = int(differ[0])
        raise DataError(
            f"face {str(a.sample_id[i])!r}",
            f"is annotated {a.classes[a.labels[i]]!r} in {name_a} and {a.classes[b.labels[i]]!r} in {name_b}"
            f" ({len(differ)} such faces of {len(a)})",
            "one annotation for both",
            "Evaluate both models on the same labels; if the ids are row numbers, give the faces names.",
        )


def _check_places(a: Predictions, b: Predictions, names: tuple[str, str], by: Sequence[str]) -> None:
    """Refuse rows that only their places match, where the groups say that these are other faces."""
    asked = {part.strip() for spec in by for part in spec.split("*")}
    columns = [c for c in candidate_attributes(a) if c in asked or not c.startswith(PERCEIVED)]
    for name in columns:
        n = int(_other_group(a.groups[name], b.groups[name]).sum()) if name in b.groups else 0
        if n > max(_SLIPS * len(a), _FEW_SLIPS):
            raise DataError(
                " and ".join(names),
                f"can be matched by the places of their rows only, and {n:,} of {len(a):,} rows have another {name!r}: "
                "the tables list the faces in different orders",
                "the same faces in the same order, or a name for each face",
                "Give both tables a column that names each face, such as the path of its picture ('path'): the rows "
                "are then matched by it, in whatever order they stand.",
            )


def _other_group(ours: pd.Series[Any], theirs: pd.Series[Any]) -> NDArray[np.bool_]:
    """``(n,)`` faces whose groups are known in both columns and differ by more than their spelling."""
    one, other = ([str(v) for v in column.tolist()] for column in (ours, theirs))
    # Groups are few and faces many: each word is looked at once.
    names = {word: None if is_missing(word, group=True) else folded(word) for word in {*one, *other}}
    pairs = ((names[a], names[b]) for a, b in zip(one, other, strict=True))
    differ = np.fromiter((a is not None and b is not None and a != b for a, b in pairs), np.bool_, len(one))
    return differ & ours.notna().to_numpy(np.bool_) & theirs.notna().to_numpy(np.bool_)


def _merged_groups(
    runs: Sequence[Predictions], names: Sequence[str], by: Sequence[str], notes: list[str]
) -> pd.DataFrame:
    """The first table's attribute columns, and those that only later tables have."""
    first, groups = runs[0].groups, runs[0].groups.copy()
    for run, name in zip(runs[1:], names[1:], strict=True):
        for column in run.groups.columns:
            owner = str(column).removesuffix("_source").removesuffix("_confidence")
            if column not in groups and owner not in first:
                groups[column] = run.groups[column]
        for column in dict.fromkeys(part.strip() for spec in by for part in spec.split("*")):
            if column in run.groups and column in first:
                differ = int(_other_group(first[column], run.groups[column]).sum())
                if differ:
                    notes.append(f"{differ} faces have another {column} in {name}: that of {names[0]} counts.")
    return groups
