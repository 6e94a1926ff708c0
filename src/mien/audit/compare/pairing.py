"""Which row of one table is which row of another: by ids, else by a column that names pictures, last by place.

A place is no name. Two tools that list a folder in different orders write the same faces in other
rows, and a comparison by place is then one of different faces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mien.audit.attributes import is_number
from mien.audit.cells import Ints
from mien.missing import missing_mask
from mien.prediction_tables.repeats import PICTURE_COLUMNS
from mien.records import Predictions

ID = "sample_id"
_SLASHES = re.compile(r"[\\/]+")
_HALF = 0.5  # columns of different names pair only where they name mostly the same


@dataclass(frozen=True)
class Pairing:
    """Rows that are the same face.

    Attributes:
        rows: One ``(m,)`` array of rows a table: entry by entry the same face.
        by_ids: Whether their ``sample_id`` says so.
        by_place: Whether nothing but the place of the rows says so.
        notes: How they were matched, where that is not by ``sample_id``, in sentences.
    """

    rows: list[Ints]
    by_ids: bool
    by_place: bool
    notes: list[str]


@dataclass(frozen=True)
class _Names:
    """A column that tells every face of its table from every other.

    Attributes:
        column: Its name.
        values: ``(n,)`` unique texts; None where missing.
    """

    column: str
    values: pd.Series[Any]


def row_numbers(run: Predictions) -> bool:
    """Whether the ids of a table, with those of faces that were not found, only number its rows, from 0 or 1."""
    lost = run.undetected
    ids = pd.Series(run.sample_id).astype(str)
    if lost is not None and len(lost):
        ids = pd.concat([ids, lost["sample_id"].astype(str)], ignore_index=True)
    # One odd id settles it; only ids that could be numbers are all looked at.
    if not len(ids) or not str(ids.iloc[-1]).isdigit() or not ids.str.fullmatch("0|[1-9][0-9]{0,17}").all():
        return False
    numbers = np.sort(ids.to_numpy(dtype=np.int64))
    return int(numbers[0]) in (0, 1) and bool((np.diff(numbers) == 1).all())


def paired(runs: Sequence[Predictions], names: Sequence[str], least: int) -> Pairing:
    """Match the rows of several tables.

    By ``sample_id`` where the ids are more than row numbers; else by a column that is unique in each table
    (``path``, ``filename`` or any other text), if need be without folders; else by place.

    Args:
        runs: Two or more tables whose ids are unique.
        names: What to call them.
        least: Fewest shared faces: a column that gives fewer is not taken.
    """
    numbered = [row_numbers(run) for run in runs]
    ids = [_Names(ID, pd.Series(run.sample_id).astype(object)) for run in runs]
    if not any(numbered):
        found = _matched(ids, least) or _matched([_without_folders(i) for i in ids], least)
        if found:
            whole = _matched(ids, least) is not None
            return Pairing(found, whole, False, [] if whole else [_files_note([i.column for i in ids], names)])
    candidates = [[*([] if n else [i]), *_unique_columns(run)] for run, n, i in zip(runs, numbered, ids, strict=True)]
    for chosen in _choices(candidates):
        for bare in (False, True):
            keys = [_without_folders(c) for c in chosen] if bare else list(chosen)
            rows = _matched(keys, max(least, 2))
            if rows and (len({c.column for c in chosen}) == 1 or len(rows[0]) >= _HALF * min(map(len, runs))):
                columns = [c.column for c in chosen]
                return Pairing(
                    rows, False, False, [_files_note(columns, names) if bare else _column_note(columns, names)]
                )
    rows = _matched(ids, 0) or [np.zeros(0, dtype=np.int64) for _ in runs]
    return Pairing(rows, True, all(numbered), [])


def _matched(keys: Sequence[_Names | None], least: int) -> list[Ints] | None:
    """Rows with the same name, in the order of the first table; None if a table has no names, or too few are shared."""
    known = [k for k in keys if k is not None]
    if len(known) < len(keys):
        return None
    index = [pd.Index(k.values) for k in known]
    shared = np.logical_and.reduce([index[0].isin(i) for i in index]) & known[0].values.notna().to_numpy(bool)
    if shared.sum() < least:
        return None
    return [i.get_indexer(index[0][shared]).astype(np.int64) for i in index]


def _unique_columns(run: Predictions) -> list[_Names]:
    """Columns of text, or of whole numbers that are called as pictures are, without a value that stands twice."""
    found = []
    for column in run.groups.columns:
        name, values = str(column), run.groups[column]
        picture = name.lower() in PICTURE_COLUMNS
        whole = pd.api.types.is_integer_dtype(values) and (picture or name.lower().endswith("id"))
        if (is_number(values) and not whole) or values.nunique() < 0.9 * len(values):
            continue
        texts = _texts(values)
        if texts.notna().sum() and not texts.dropna().duplicated().any():
            found.append(_Names(name, texts))
    if run.image is not None and len(np.unique(run.image)) == len(run):
        found.append(_Names("image", pd.Series(run.image).astype(str).astype(object)))
    return sorted(found, key=lambda k: (k.column.lower() not in PICTURE_COLUMNS, k.column))


def _texts(values: pd.Series[Any]) -> pd.Series[Any]:
    texts = values.astype(object).map(lambda v: str(v).strip(), na_action="ignore").reset_index(drop=True)
    return texts.where(~missing_mask(texts), None)


def _without_folders(names: _Names) -> _Names | None:
    """The names of files alone; None where two files of different folders are called alike."""
    files = names.values.map(lambda v: _SLASHES.split(str(v))[-1], na_action="ignore")
    return None if files.dropna().duplicated().any() else _Names(names.column, files)


def _choices(candidates: Sequence[Sequence[_Names]]) -> Iterator[tuple[_Names, ...]]:
    """One column of each table: first those of one name, then others, those of pictures first."""
    for first in candidates[0]:
        same = [next((k for k in others if k.column == first.column), None) for others in candidates[1:]]
        if None not in same:
            yield (first, *(k for k in same if k is not None))
    if all(candidates):
        yield from (
            (first, *(others[min(i, len(others) - 1)] for others in candidates[1:]))
            for first in candidates[0]
            for i in range(max(len(others) for others in candidates[1:]))
        )


def _column_note(columns: Sequence[str], names: Sequence[str]) -> str:
    if len(set(columns)) == 1:
        return f"The faces were matched by the column '{columns[0]}', for the tables have no ids of their own."
    said = ", ".join(f"'{c}' of {n}" for c, n in zip(columns, names, strict=True))
    return f"The faces were matched by {said}, for the tables have no ids in common."


def _files_note(columns: Sequence[str], names: Sequence[str]) -> str:
    said = f"'{columns[0]}'" if len(set(columns)) == 1 else _column_note(columns, names).split("matched by ")[1]
    return (
        f"The faces were matched by the names of the picture files in {said.split(', for the')[0]}, without folders: "
        "the folders differ between the tables, and no file name stands twice in one."
    )
