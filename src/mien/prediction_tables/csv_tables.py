"""Text tables to a PredictionTable, in batches, with their words as they stand.

Pandas takes some words for missing and others not; here only the empty cell is missing, and
:mod:`mien.missing` says what the rest means, for CSV as for Parquet and frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.missing import missing_mask
from mien.prediction_tables import gathering
from mien.prediction_tables.dialects import FALLBACK, Dialect, dialect_of
from mien.prediction_tables.gathering import AS_TEXT, IDS, Gathered
from mien.prediction_tables.row_lengths import refuse_long_rows
from mien.prediction_tables.table import PREFIXES, PredictionTable, check_names
from mien.spreadsheets import unmarked, unmarked_table

# Spellings that tools write into columns of numbers; others are understood too, but read more slowly.
_NO_NUMBER = ("", "nan", "NaN", "NAN", "NA", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "None", "none", "-nan")
_COMMA_NUMBER = re.compile(r"\s*[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?\s*")
UNNAMED = re.compile(r"(Unnamed: \d+(\.\d+)?(_level_\d+)?|__index_level_\d+__)?")  # pandas' names for no name


def read_csv(path: Path) -> PredictionTable:
    """Read a text table with commas, semicolons, tabs or bars, in any usual encoding, packed or not.

    Columns without a name (row numbers that pandas writes, empty ones of Excel) are left out, and so are
    rows without any cell filled; both are said in the notes.

    Raises:
        DataError: If it cannot be read, two columns share a name, or the header stands among the rows.
    """
    dialect = dialect_of(path)
    refuse_long_rows(dialect)
    try:
        return _read(dialect)
    except UnicodeDecodeError:
        pass  # a letter beyond the first megabyte told: read it all anew
    for encoding in FALLBACK:
        try:
            return _read(dialect.in_encoding(encoding))
        except UnicodeDecodeError:
            continue  # five bytes are nothing in cp1252; Latin-1 has all of them
    raise DataError(str(path), f"is no text in {dialect.encoding}", "UTF-8")


def _read(dialect: Dialect) -> PredictionTable:
    reader = _Batches(dialect)
    gathered = Gathered(reader.named, dialect.place)
    for batch in reader:
        gathered.add(batch)
    table = gathered.table(str(dialect.path), reader.again, dialect.place, typed=False)
    return replace(table, notes=(*dialect.notes(), *reader.notes()))


class _Batches:
    """The batches of a file, without what is no row and no column."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        unnamed = [i for i, name in enumerate(dialect.header) if UNNAMED.fullmatch(name)]
        # Every column needs a name while the file is read; a line break keeps these apart from any of the header.
        self.names = [f"\n{i}" if i in unnamed else name for i, name in enumerate(dialect.header)]
        self.named = [name for name in self.names if not name.startswith("\n")]
        check_names(self.named, str(dialect.path))
        self.n_unnamed = len(unnamed)
        self.blank: list[NDArray[np.int64]] = []  # rows of the file without any cell filled

    def __iter__(self) -> Iterator[pd.DataFrame]:
        text: dict[Any, Any] = {c: str if c in IDS else "category" for c in AS_TEXT if c in self.names}
        missing: dict[Any, Any] = {c: list(_NO_NUMBER) if c.startswith(PREFIXES) else [""] for c in self.names}
        begin = given = 0
        # Types are guessed for each batch as a whole; a column whose batches disagree is read again as text.
        with self._open(dtype=text, na_values=missing, chunksize=gathering.BATCH, low_memory=False) as batches:
            for batch in batches:
                if not isinstance(batch.index, pd.RangeIndex):
                    raise DataError(
                        str(self.dialect.path),
                        "its rows have more cells than its header",
                        "as many cells as columns",
                        "Give every column a name; where cells hold commas themselves, put those cells in quotes.",
                    )
                rows = self._with_points(unmarked_table(self._filled(batch, begin)[self.named]))
                self._refuse_header(rows, given)
                begin, given = begin + len(batch), given + len(rows)
                yield rows.reset_index(drop=True)

    def _with_points(self, rows: pd.DataFrame) -> pd.DataFrame:
        if self.dialect.decimal != ",":
            return rows
        return pd.DataFrame({name: self._pointed(rows[name], str(name)) for name in rows}, index=rows.index)

    def _pointed(self, values: pd.Series[Any], name: str) -> pd.Series[Any]:
        """Numbers with points, where a word that means missing has kept a column of decimal commas text."""
        if self.dialect.decimal != "," or name in AS_TEXT or not pd.api.types.is_string_dtype(values.dtype):
            return values
        words = [str(word) for word in values.dropna().unique()]
        told = [word for word, gone in zip(words, missing_mask(words), strict=True) if not gone]
        if not told or not all(_COMMA_NUMBER.fullmatch(word) for word in told):
            return values
        return values.map({word: word.replace(",", ".") for word in told}, na_action="ignore").fillna(values)

    def _open(self, **options: Any) -> Any:
        given = {**self.dialect.options(), "keep_default_na": False, "header": 0, "names": self.names}
        return pd.read_csv(self.dialect.path, **given, **options)

    def _filled(self, batch: pd.DataFrame, begin: int) -> pd.DataFrame:
        """The rows that hold anything; Excel ends its files with rows of separators."""
        if self.dialect.blank_rows_count:
            return batch
        # Of most files no row is blank, and one look at a column or two says so.
        empty = np.ones(len(batch), dtype=bool)
        for name in self.names:
            empty &= batch[name].isna().to_numpy(bool)
            if not empty.any():
                return batch
        self.blank.append(begin + np.flatnonzero(empty))
        return batch[~empty]

    def _refuse_header(self, rows: pd.DataFrame, given: int) -> None:
        """Refuse a header among the rows, of which ``given`` came before."""
        alike = np.ones(len(rows), dtype=bool)
        for name in self.named:
            # A column of numbers holds no name, so that one look at a column or two is enough here too.
            values = rows[name]
            holds = not (pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values))
            alike &= (values == name).to_numpy(bool, na_value=False) if holds else False
            if not alike.any():
                return
        if len(rows):
            raise DataError(
                self.dialect.place(given + int(alike.argmax())),
                "the header stands there a second time",
                "one header, and then rows",
                "Files were put one after the other, perhaps the same one twice: remove that line, and see that no "
                "face is in the table twice.",
            )

    def again(self, column: str) -> pd.Series[Any]:
        """A column read anew, as text."""
        values: pd.Series[Any] = self._open(usecols=[column], dtype=str, na_values=[""], skip_blank_lines=True)[column]
        values = self._pointed(unmarked(values), column)
        kept = np.ones(len(values), dtype=bool)
        kept[np.concatenate(self.blank) if self.blank else []] = False
        return values if kept.all() else values[kept].reset_index(drop=True)

    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        name, said = self.dialect.path.name, []
        if self.n_unnamed:
            many = "A column" if self.n_unnamed == 1 else f"{self.n_unnamed} columns"
            said.append(f"{many} of {name} without a name (row numbers, or empty ones) did not count.")
        if self.blank:
            n = sum(len(b) for b in self.blank)
            said.append(f"{n} {'row' if n == 1 else 'rows'} of {name} without any cell filled did not count.")
        return tuple(said)
