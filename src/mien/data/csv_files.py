"""The CSV files of corpora as plain text: every cell as it stands, every row with its line.

How a file is written (byte-order mark, semicolons, tabs, UTF-16) changes nothing in what it says;
:mod:`mien.prediction_tables.dialects` tells it for all tables.
"""

from __future__ import annotations

import csv
import zlib
from collections import Counter
from collections.abc import Sequence
from lzma import LZMAError
from pathlib import Path

import pandas as pd

from mien.data.picture_files import entries_of
from mien.errors import DataError
from mien.prediction_tables.dialects import FALLBACK, Dialect, dialect_of
from mien.prediction_tables.row_lengths import refuse_long_rows
from mien.spreadsheets import without_marks


def header_of(path: Path) -> tuple[str, ...]:
    """The names of a CSV's columns, without blanks around them; empty where it is none."""
    try:
        return dialect_of(path).header
    except (DataError, OSError):
        return ()


def fault_of(path: Path) -> str:
    """Why a CSV has no header that can be read: ``is empty``, ``line 1 is a title ...``; '' where it has one."""
    try:
        dialect_of(path)
    except DataError as error:
        return f"line 1 {error.found}" if error.where.endswith("line 1") else error.found
    except OSError as error:
        return f"cannot be read ({error})"
    return ""


def notes_on(path: Path) -> tuple[str, ...]:
    """What must be known of how a CSV was read: another separator, another encoding; empty for an ordinary one."""
    return dialect_of(path).notes()


def csv_files_in(root: Path) -> list[Path]:
    """The CSV files right in a folder, in capitals or not, in order of their names."""
    named = [root / e.name for e in entries_of(root) if e.name.lower().endswith(".csv") and e.name[0] != "."]
    return [path for path in named if path.is_file()]


def read_rows(path: Path, what: str, names: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV as text: nothing is taken for missing, nothing for a number; empty lines are no rows.

    Args:
        path: The file.
        what: What it should be, for the error.
        names: Names of the columns where the file has no line for them.

    Returns:
        One row a line, cells that a short line lacks filled with ''; the index is the line on which a row
        begins. Columns without a name (row numbers that pandas wrote, empty ones of a spreadsheet) are left out.

    Raises:
        DataError: If it cannot be read, two columns have one name, or a line has more cells than columns.
    """
    try:
        dialect = dialect_of(path)
        refuse_long_rows(dialect)
        for encoding in (dialect.encoding, *FALLBACK):
            try:
                return _rows(dialect if encoding == dialect.encoding else dialect.in_encoding(encoding), names)
            except UnicodeDecodeError:
                continue  # a letter beyond the first megabyte told
        raise DataError(str(path), f"is no text in {dialect.encoding}", what)
    except (OSError, EOFError, zlib.error, LZMAError, csv.Error) as error:
        raise DataError(str(path), f"cannot be read ({error})", what) from error


def _rows(dialect: Dialect, names: Sequence[str]) -> pd.DataFrame:
    columns, name = list(names), dialect.path.name
    rows: list[list[str]] = []
    lines: list[int] = []
    with dialect.open() as file:
        # strict: a quote that is never closed would swallow all rows after it.
        reader = csv.reader(file, delimiter=dialect.separator, strict=True)
        begin = 1
        for record in reader:
            line, begin = begin, reader.line_num + 1
            if line <= dialect.skip or not any(cell.strip() for cell in record):
                continue
            if not columns:
                columns = [without_marks(cell.strip()) for cell in record]
                _refuse_twins(f"{name} line {line}", columns)
                continue
            if any(cell.strip() for cell in record[len(columns) :]):
                raise DataError(f"{name} line {line}", f"{len(record)} cells", f"{len(columns)}, one a column")
            cells = [without_marks(cell) for cell in record[: len(columns)]]
            rows.append(cells + [""] * (len(columns) - len(cells)))
            lines.append(line)
    frame = pd.DataFrame(rows, index=lines, columns=columns, dtype=object)
    return frame.loc[:, [c != "" for c in columns]]


def _refuse_twins(where: str, names: list[str]) -> None:
    twins = [n for n, times in Counter(filter(None, names)).items() if times > 1]
    if twins:
        raise DataError(where, f"two columns called {twins[0]!r}", "each name once")
