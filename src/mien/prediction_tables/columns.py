"""From a table's columns to checked arrays; every error names the row and the column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mien.errors import DataError
from mien.prediction_tables.gathering import IDS, arrow_text, text_array
from mien.prediction_tables.table import PredictionTable
from mien.spellings import folded

RESERVED = (*IDS, "label", "pred", "cluster", "identity", "detected")
#: Columns that say which model, or which state of one, predicted a row, in lower case.
RUN_COLUMNS = (
    *("model", "model_name", "model_id", "run", "run_id", "epoch", "checkpoint", "ckpt", "seed", "weights"),
    *("backbone", "network", "classifier", "method", "algorithm", "experiment", "system", "architecture", "arch"),
)
_CHUNK = 1_000_000  # rows checked at once
YES, NO = ("1", "true", "yes"), ("0", "false", "no")

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

    def counts(self) -> dict[str, int]:
        """Word -> rows, for the words that stand in a row."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.words))
        return {w: int(n) for w, n in zip(self.words, counts, strict=True) if n}


def ids_of(table: PredictionTable) -> Any:
    """``(n,)`` unique ids as text; row numbers where there is no such column."""
    name = next((c for c in IDS if c in table.columns), None)
    if name is None:
        return row_numbers(table.n)
    column = table.columns[name]
    absent = np.flatnonzero(column.isna())
    if len(absent):
        raise DataError(table.place(int(absent[0])), f"{name} is missing", "an id for each face")
    ids = arrow_text(text_array(column))
    twice = _repeats(ids)
    if len(twice):
        runs = [c for c in table.columns if c.lower() in RUN_COLUMNS and table.columns[c].nunique() > 1]
        raise DataError(
            table.place(int(twice[0])),
            f"{name} {ids[int(twice[0])]!r} stands there a second time ({len(twice)} repeats in all)",
            "each face exactly once",
            f"If several models predicted each face ('{runs[0]}'), make a table of each and audit each alone."
            if runs
            else "Remove the repeats; distributed samplers pad with them.",
        )
    return ids


def row_numbers(n: int) -> Any:
    """``(n,)`` ids of rows that have none."""
    return arrow_text(pa.array(np.arange(n)).cast(pa.large_string()))


def hashes(texts: Any) -> NDArray[np.uint64]:
    """64-bit hashes of ``(n,)`` texts, a piece at a time: Python strings of all would take a gigabyte."""
    out = np.empty(len(texts), dtype=np.uint64)
    for start in range(0, len(texts), _CHUNK):
        piece = texts[start : start + _CHUNK].astype(object)
        out[start : start + _CHUNK] = pd.util.hash_array(np.asarray(piece, dtype=object), categorize=False)
    return out


def _repeats(ids: Any) -> Ints:
    """Rows whose id stands in an earlier row."""
    found = hashes(ids)
    ordered = np.sort(found)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    # Equal hashes may yet be different ids.
    rows = np.flatnonzero(np.isin(found, twice)) if len(twice) else np.zeros(0, dtype=np.int64)
    return np.asarray(rows[pd.Series(ids[rows].astype(object)).duplicated().to_numpy()], dtype=np.int64)


def detected_of(table: PredictionTable) -> Bools | None:
    """``(n,)`` whether the tool found the face; None without such a column."""
    if "detected" not in table.columns:
        return None
    texts = Texts.of(table.columns["detected"])
    meaning = [1 if folded(w) in YES else 0 if folded(w) in NO else -1 for w in texts.words]
    found = np.array([*meaning, -1])[texts.codes]
    wrong = np.flatnonzero(found < 0)
    if len(wrong):
        row = int(wrong[0])
        word = repr(texts.words[texts.codes[row]]) if texts.codes[row] >= 0 else "nothing"
        raise DataError(table.place(row), f"column 'detected' holds {word}", "1 or 0, true or false")
    if not found.any():
        raise DataError(table.source, "no row has detected=1", "faces that the tool found", "Nothing can be audited.")
    return np.asarray(found == 1)


def images_of(table: PredictionTable) -> Ints | None:
    """``(n,)`` rows of an image store; None without an ``image`` column of whole numbers (paths are a plain column)."""
    column = table.columns.get("image")
    if column is None or not pd.api.types.is_integer_dtype(column) or column.isna().any():
        return None
    return column.to_numpy(np.int64)
