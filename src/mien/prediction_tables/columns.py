"""From a table's columns to checked arrays; every error names the row and the column."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mien.errors import DataError
from mien.prediction_tables.reading import IDS, arrow_text, text_array
from mien.prediction_tables.table import PredictionTable
from mien.registry import nearest
from mien.units import joined_units

RESERVED = (*IDS, "label", "pred", "cluster", "identity", "image", "split", "detected")
_CHUNK = 1_000_000  # rows checked at once
_YES, _NO = ("1", "true", "yes", "1.0"), ("0", "false", "no", "0.0")

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Texts:
    """A column of words: ``(n,)`` codes, -1 where missing, and the words."""

    codes: NDArray[Any]
    words: list[str]

    @classmethod
    def of(cls, values: pd.Series[Any]) -> Texts:
        """Codes of any column; numbers as Python writes them."""
        if isinstance(values.dtype, pd.CategoricalDtype):
            return cls(values.cat.codes.to_numpy(), [str(c) for c in values.cat.categories])
        codes, distinct = pd.factorize(values)
        return cls(codes, [str(t) for t in distinct])

    def used(self) -> set[str]:
        """The words that stand in a row."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.words))
        return {w for w, n in zip(self.words, counts, strict=True) if n}


def ids_of(table: PredictionTable) -> Any:
    """``(n,)`` unique ids as text; row numbers where there is no such column."""
    name = next((c for c in IDS if c in table.columns), None)
    if name is None:
        return arrow_text(pa.array(np.arange(table.n)).cast(pa.large_string()))
    column = table.columns[name]
    absent = np.flatnonzero(column.isna())
    if len(absent):
        raise DataError(table.place(int(absent[0])), f"{name} is missing", "an id for each face")
    ids = arrow_text(text_array(column))
    twice = _repeats(ids)
    if len(twice):
        raise DataError(
            table.place(int(twice[0])),
            f"{name} {ids[int(twice[0])]!r} stands there a second time ({len(twice)} repeats in all)",
            "each face exactly once",
            "Remove the repeats; distributed samplers pad with them.",
        )
    return ids


def _hashes(texts: Any) -> NDArray[np.uint64]:
    """64-bit hashes of ``(n,)`` texts, a piece at a time: Python strings of all would take a gigabyte."""
    out = np.empty(len(texts), dtype=np.uint64)
    for start in range(0, len(texts), _CHUNK):
        piece = texts[start : start + _CHUNK].astype(object)
        out[start : start + _CHUNK] = pd.util.hash_array(np.asarray(piece, dtype=object), categorize=False)
    return out


def _repeats(ids: Any) -> Ints:
    """Rows whose id stands in an earlier row."""
    hashes = _hashes(ids)
    ordered = np.sort(hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    # Equal hashes may yet be different ids.
    rows = np.flatnonzero(np.isin(hashes, twice)) if len(twice) else np.zeros(0, dtype=np.int64)
    return np.asarray(rows[pd.Series(ids[rows].astype(object)).duplicated().to_numpy()], dtype=np.int64)


def detected_of(table: PredictionTable) -> Bools | None:
    """``(n,)`` whether the tool found the face; None without such a column."""
    if "detected" not in table.columns:
        return None
    texts = Texts.of(table.columns["detected"])
    meaning = [1 if w.lower() in _YES else 0 if w.lower() in _NO else -1 for w in texts.words]
    found = np.array([*meaning, -1])[texts.codes]
    wrong = np.flatnonzero(found < 0)
    if len(wrong):
        row = int(wrong[0])
        word = repr(texts.words[texts.codes[row]]) if texts.codes[row] >= 0 else "nothing"
        raise DataError(table.place(row), f"column 'detected' holds {word}", "1 or 0, true or false")
    if not found.any():
        raise DataError(table.source, "no row has detected=1", "faces that the tool found", "Nothing can be audited.")
    return np.asarray(found == 1)


def classes_of(table: PredictionTable, classes: Sequence[str] | None, named: dict[str, Texts]) -> tuple[str, ...]:
    """The classes: as given, else those of the ``prob_`` or ``target_`` columns, else the words used."""
    if classes:
        return tuple(classes)
    for prefix in ("prob_", "target_"):
        if prefix in table.blocks:
            return table.blocks[prefix].names
    missing = [c for c in ("label", "pred") if c not in named]
    if missing:
        raise DataError(
            table.source,
            f"no column {' and no column '.join(repr(m) for m in missing)} (it has {', '.join(table.names)})",
            "'label' or 'target_<class>' columns, and 'pred' or 'prob_<class>' columns",
            "Rename the columns.",
        )
    labels, predicted = named["label"].used(), named["pred"].used()
    _check_spelling(labels, predicted, table.source)
    return tuple(sorted(labels | predicted))


def _check_spelling(labels: set[str], predicted: set[str], source: str) -> None:
    """Refuse classes that look like two spellings of one: they would count as always wrong."""
    if not labels & predicted:
        raise DataError(
            source,
            f"'label' ({', '.join(sorted(labels)[:4])}) and 'pred' ({', '.join(sorted(predicted)[:4])}) share no class",
            "the same names in both columns",
        )
    # A class of both columns is taken at its word; one of a single column may be a slip of the pen.
    for odd in sorted(labels ^ predicted):
        others = (labels | predicted) - {odd}
        plain_names = {c.strip().lower().removesuffix(".0"): c for c in others}
        close = difflib.get_close_matches(odd.strip().lower().removesuffix(".0"), plain_names, n=1, cutoff=0.85)
        if close:
            column = "label" if odd in labels else "pred"
            raise DataError(
                source,
                f"class {odd!r} stands in {column!r} only and looks like {plain_names[close[0]]!r}",
                "one spelling of each class",
                "Mend the rows; if the two do differ, give one another name.",
            )


def class_codes(
    table: PredictionTable, column: str, named: dict[str, Texts], classes: tuple[str, ...], needed: Bools | None
) -> Ints:
    """``(n,)`` classes of a column of names; -1 where a row that is not ``needed`` has none.

    Raises:
        DataError: With the first row whose name is no class.
    """
    if column not in named:
        other = "target_<class>" if column == "label" else "prob_<class>"
        raise DataError(table.source, f"no column {column!r}", f"{column!r} or {other!r} columns")
    texts, index = named[column], {c: k for k, c in enumerate(classes)}
    codes: Ints = np.array([*(index.get(w, -1) for w in texts.words), -1], dtype=np.int64)[texts.codes]
    wrong = codes < 0 if needed is None else (codes < 0) & (needed | (texts.codes >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        word = texts.words[texts.codes[row]] if texts.codes[row] >= 0 else ""
        raise DataError(
            table.place(row),
            f"unknown class {word!r} in column {column!r} ({int(wrong.sum())} such rows)"
            if word
            else f"no class in column {column!r} ({int(wrong.sum())} such rows)",
            "one of the classes",
            nearest(word, list(classes)),
        )
    return codes


def images_of(table: PredictionTable) -> Ints | None:
    """``(n,)`` rows of an image store; None without an ``image`` column."""
    column = table.columns.get("image")
    if column is None:
        return None
    if not pd.api.types.is_integer_dtype(column):
        raise DataError(
            table.source,
            f"column 'image' holds {column.iloc[0]!r}",
            "row numbers of an image store",
            "Rename the column, or drop it.",
        )
    return column.to_numpy(np.int64)


def units_of(table: PredictionTable) -> Ints | None:
    """``(n,)`` independent units from ``cluster`` and ``identity``; a missing value is a unit of its own."""
    columns = [_unit_codes(table.columns[c]) for c in ("cluster", "identity") if c in table.columns]
    if len(columns) < 2:
        return _numbered(columns[0]) if columns else None
    return joined_units([pd.Series(c).where(c >= 0) for c in columns])


def _unit_codes(column: pd.Series[Any]) -> Ints:
    """Codes of the values from 0, -1 where missing or empty."""
    if pd.api.types.is_integer_dtype(column) and not column.isna().any():
        values = column.to_numpy(np.int64)
        least = int(values.min())
        if int(values.max()) - least < 4 * len(values):
            return values - least
    if pd.api.types.is_numeric_dtype(column):
        return pd.factorize(column)[0].astype(np.int64)
    if pd.api.types.is_string_dtype(column) and not isinstance(column.dtype, pd.CategoricalDtype):
        return _text_unit_codes(column)
    texts = Texts.of(column)
    empty = np.array([*(not w.strip() for w in texts.words), False])
    return np.where(empty[texts.codes], -1, texts.codes).astype(np.int64)


def _text_unit_codes(column: pd.Series[Any]) -> Ints:
    """As :func:`_unit_codes` for many different texts, which are told apart by their 64-bit hashes."""
    known = ~(column.isna() | (column.str.strip() == "")).to_numpy(bool)
    codes = np.full(len(column), -1, dtype=np.int64)
    hashes = _hashes(column.array[known])
    codes[known] = np.unique(hashes, return_inverse=True)[1].reshape(-1)
    return codes


def _numbered(codes: Ints) -> Ints:
    """Codes without holes, in their order; each -1 becomes a number of its own at the end."""
    alone = codes < 0
    used = np.zeros(int(codes.max(initial=-1)) + 1, dtype=bool)
    used[codes[~alone]] = True
    numbers = np.cumsum(used)
    numbers -= 1
    if not alone.any():
        return codes if used.all() else numbers[codes]
    out = np.empty(len(codes), dtype=np.int64)
    out[~alone] = numbers[codes[~alone]]
    out[alone] = int(used.sum()) + np.arange(int(alone.sum()))
    return out


def attributes_of(table: PredictionTable) -> pd.DataFrame:
    """Every other column."""
    found = {c: s for c, s in table.columns.items() if c not in RESERVED}
    return pd.DataFrame(found, index=pd.RangeIndex(table.n), copy=False)
