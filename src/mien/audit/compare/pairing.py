"""Which row of one table is which row of another: by ids, else by a column that names pictures, last by place.

A place is no name. Two tools that list a folder in different orders write the same faces in other
rows, and a comparison by place is then one of different faces.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from mien.audit.attributes import is_number
from mien.errors import DataError
from mien.missing import missing_mask
from mien.prediction_tables.repeats import PICTURE_COLUMNS
from mien.records import Predictions
from mien.stats.cells import Ints

ID = "sample_id"
_SLASHES = re.compile(r"[\\/]+")
_ENDING = re.compile(r"\.(?:jpe?g|png|bmp|gif|tiff?|webp|ppm|pgm|npy|npz)$", re.IGNORECASE)
_ADDED = re.compile(r"(?:[ _.-](?:aligned|align|cropped|crop|faces?|resized|gr[ae]y))+$")
_SLIPS = 0.01  # share of the rows that may disagree by a slip
_HALF = 0.5  # columns of different names pair only where they name mostly the same


@dataclass(frozen=True)
class Pairing:
    """Rows that are the same face.

    Attributes:
        rows: One ``(m,)`` array of rows a table: entry by entry the same face.
        by_ids: Whether their ``sample_id`` says so.
        by_place: Whether nothing but the place of the rows says so.
        notes: How they were matched, where that is not by ``sample_id``, in sentences.
        warnings: What puts the match in doubt, in sentences.
    """

    rows: list[Ints]
    by_ids: bool
    by_place: bool
    notes: list[str]
    warnings: list[str] = field(default_factory=list)


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
    (``path``, ``filename`` or any other text), if need be without folders or endings; else by place.

    Args:
        runs: Two or more tables whose ids are unique.
        names: What to call them.
        least: Fewest shared faces: a column that gives fewer is not taken.

    Raises:
        DataError: If only the places of the rows are left, and columns that name pictures say that these differ.
    """
    numbered = [row_numbers(run) for run in runs]
    ids = [_Names(ID, pd.Series(run.sample_id).astype(object)) for run in runs]
    if not any(numbered):
        found = _by_columns([ids], names, least)
        if found and not found.notes:
            return _unless_contradicted(replace(found, by_ids=True), runs, ids, names)
        if found:
            return found
    columns = [_unique_columns(run) for run in runs]
    candidates = [[*([] if n else [i]), *c] for n, i, c in zip(numbered, ids, columns, strict=True)]
    if found := _by_columns(_choices(candidates), names, max(least, 2)):
        return found
    rows = _matched(ids, 0) or [np.zeros(0, dtype=np.int64) for _ in runs]
    notes = _names_at_places(columns, rows, names) if all(numbered) else []
    return Pairing(rows, True, all(numbered) and not notes, notes)


def _by_columns(choices: Iterable[Sequence[_Names]], names: Sequence[str], least: int) -> Pairing | None:
    """The first columns, one of each table, by which enough faces are found in all tables; in their plainest form."""
    for chosen in choices:
        columns = [c.column for c in chosen]
        fewest = min(len(c.values) for c in chosen)
        for form, words in _FORMS:
            rows = _matched([_in_form(c, form) for c in chosen], least)
            loose = len(set(columns)) > 1 or form in (_stem, _bare)
            if rows is None or (loose and len(rows[0]) < _HALF * fewest):
                continue
            if set(columns) == {ID} and not words:
                return Pairing(rows, False, False, [])
            note = _files_note(columns, names, words) if words else _column_note(columns, names)
            return Pairing(rows, False, False, [note])
    return None


def _unless_contradicted(
    by_ids: Pairing, runs: Sequence[Predictions], ids: Sequence[_Names], names: Sequence[str]
) -> Pairing:
    """The match by ids; or by the names of pictures, where ids that are mere numbers put other pictures together."""
    if not all(str(i.values.iloc[-1]).isdigit() for i in ids):
        return by_ids
    pictures = [[c for c in _unique_columns(run) if c.column.lower() in PICTURE_COLUMNS] for run in runs]
    found = _by_columns(_choices(pictures), names, max(2, math.ceil(_HALF * min(map(len, runs)))))
    if found is None:
        return by_ids
    partners = [pd.Series(dict(zip(p.rows[0].tolist(), p.rows[1].tolist(), strict=True))) for p in (by_ids, found)]
    both = partners[0].index.intersection(partners[1].index)
    n = int((partners[0][both] != partners[1][both]).sum())
    if n <= _SLIPS * len(both):
        return by_ids
    return replace(
        found,
        warnings=[
            f"'{ID}' puts other pictures together than their names do, for {n:,} of {len(both):,} faces: it seems to "
            f"number the rows only. {found.notes[0].split(', for the')[0].rstrip('.')}. If the names are wrong, leave "
            "them out."
        ],
    )


def _names_at_places(columns: Sequence[Sequence[_Names]], rows: Sequence[Ints], names: Sequence[str]) -> list[str]:
    """Whether names of pictures that match nothing as a whole still agree place by place: then a note says so.

    Raises:
        DataError: Where two tables name other pictures at the same places.
    """
    pictures = [next((c for c in own if c.column.lower() in PICTURE_COLUMNS), None) for own in columns]
    notes: list[str] = []
    for other, at, name in zip(pictures[1:], rows[1:], names[1:], strict=True):
        first = pictures[0]
        if first is None or other is None or not len(at):
            continue
        ours, theirs = (c.values.iloc[r].map(_stem, na_action="ignore") for c, r in ((first, rows[0]), (other, at)))
        differ = np.flatnonzero(ours.to_numpy() != theirs.to_numpy())
        if len(differ) > _SLIPS * len(at):
            i, n = int(differ[0]), f"{len(differ):,} of {len(at):,}"
            raise DataError(
                f"{names[0]} and {name}",
                f"name other pictures: in {n} rows the names differ, such as {first.values.iloc[rows[0][i]]!r} in "
                f"'{first.column}' of {names[0]} and {other.values.iloc[at[i]]!r} in '{other.column}' of {name}",
                "the same pictures in both tables, under the same file names",
                "Write the same names in both tables (folders and endings such as .jpg may differ), or leave the "
                "columns out if the rows are in the same order.",
            )
        notes.append(
            f"The faces were matched by their places in the tables; the file names in '{first.column}' of {names[0]} "
            f"and '{other.column}' of {name} agree there, but do not tell all faces apart."
        )
    return notes if len(notes) == len(rows) - 1 else []


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


def _in_form(names: _Names, form: Callable[[str], str]) -> _Names | None:
    """Names in a shorter form; None where two of them are then alike."""
    short = names.values.map(lambda v: form(str(v)), na_action="ignore")
    return None if short.dropna().duplicated().any() else _Names(names.column, short)


def _file(name: str) -> str:
    """``a/b/im_1.jpg`` -> ``im_1.jpg``, with slashes of either kind."""
    return _SLASHES.split(name)[-1]


def _stem(name: str) -> str:
    """``a/b/im_1.jpg`` -> ``im_1``."""
    return _ENDING.sub("", _file(name))


def _bare(name: str) -> str:
    """``a/b/IM_1_aligned.jpg`` -> ``im_1``: without what tools add to the name of a picture that they cut out."""
    return _ADDED.sub("", _stem(name).casefold())


#: The forms in which names are compared, and what they leave out, in words.
_FORMS: tuple[tuple[Callable[[str], str], str], ...] = (
    (str, ""),
    (_file, "folders"),
    (_stem, "folders and endings"),
    (_bare, "folders, endings and words such as '_aligned'"),
)


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


def _files_note(columns: Sequence[str], names: Sequence[str], without: str) -> str:
    said = f"'{columns[0]}'" if len(set(columns)) == 1 else _column_note(columns, names).split("matched by ")[1]
    return (
        f"The faces were matched by the names of the picture files in {said.split(', for the')[0]}, without {without}: "
        "these differ between the tables, and no name stands twice in one."
    )
