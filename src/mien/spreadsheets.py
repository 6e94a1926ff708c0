"""CSV files that people open: no cell of theirs is a formula, and Mien reads back what it wrote.

Excel, LibreOffice and Google Sheets take a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a
formula, and a formula can start a program or send what stands beside it elsewhere. Names of groups,
classes, faces and annotators come from others. So before such a sign goes an apostrophe, which makes
the cell text. It goes before a sign after blanks and quotation marks too, for programs take those
away, and after a semicolon, a tab or a line break within a cell, for many split cells there whatever
stands between quotes. Numbers are columns of numbers and stay as they are. Parquet and JSON hold names
unchanged.

Every reader of tables takes such an apostrophe away again (:func:`without_marks`), so that a name comes
back as it was; a file of another tool that guards its cells in this way is understood as well.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

MARK = "'"
# The full-width forms are signs as well where Excel speaks Japanese or Chinese.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
# What programs drop before they look: blanks of every kind, control characters, marks without width, quotes.
_DROPPED = "'\"\\s\\x00-\\x20\\x7f-\\xa0\\xad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff"
_BEGIN = "(?:^|(?<=[;\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]))"
_UNMARKED = re.compile(f"{_BEGIN}(?=[{_DROPPED}]*[{_SIGNS}])")
_MARKED = re.compile(f"{_BEGIN}{MARK}(?=[{_DROPPED}]*[{_SIGNS}])")


def with_marks(text: str) -> str:
    """A cell that no spreadsheet takes for a formula.

    >>> with_marks("=1+1"), with_marks(" @SUM(1)"), with_marks("a;=1"), with_marks("10-19")
    ("'=1+1", "' @SUM(1)", "a;'=1", '10-19')
    """
    return _UNMARKED.sub(MARK, text)


def without_marks(text: str) -> str:
    """The inverse of :func:`with_marks`, for any text; text without marks stays.

    >>> without_marks("'=1+1"), without_marks("a;'=1"), without_marks("'tis"), without_marks(with_marks("'=1"))
    ('=1+1', 'a;=1', "'tis", "'=1")
    """
    return _MARKED.sub("", text) if MARK in text else text


def unmarked(values: pd.Series[Any]) -> pd.Series[Any]:
    """A column as it was before :func:`write_csv`; one of numbers as it is."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        words = values.cat.categories
        if any(isinstance(w, str) and without_marks(w) != w for w in words):
            return unmarked(values.astype(object)).astype("category")
        return values
    if values.dtype != object and not pd.api.types.is_string_dtype(values):
        return values
    if values.dtype == object:  # with what is no text among it, such as whole numbers of more than 64 bits
        where = np.fromiter((isinstance(v, str) and MARK in v for v in values), dtype=bool, count=len(values))
    else:
        where = values.str.contains(MARK, regex=False, na=False).to_numpy(dtype=bool)
    if not where.any():
        return values
    out = values.copy()
    out[where] = [without_marks(text) for text in values[where]]
    return out


def unmarked_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Every column of a table as :func:`unmarked` gives it; the very table where none has a mark."""
    changed = {}
    for k in range(frame.shape[1]):
        values = frame.iloc[:, k]
        found = unmarked(values)
        if found is not values:
            changed[k] = found
    if changed:
        frame = frame.copy()
        for k, found in changed.items():
            frame.isetitem(k, found.array)
    return frame


def write_csv(frame: pd.DataFrame, path: Path, float_format: str | None = "%.6g") -> None:
    """Write a table for people as UTF-8, without its index: see the module.

    Args:
        frame: The table.
        path: The file; whoever calls sees to it that it appears whole.
        float_format: How fractions are written; None in full.
    """
    out = frame.rename(columns=lambda name: with_marks(str(name)))
    breaks = any("\r" in name for name in out.columns)
    for k in range(frame.shape[1]):
        values = frame.iloc[:, k]
        if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            continue
        # As objects: text that is no UTF-8 is no text to Arrow.
        cells: Any = pd.Series(
            [with_marks(v) if isinstance(v, str) else v for v in values.astype(object)], dtype=object
        )
        breaks = breaks or any(isinstance(v, str) and "\r" in v for v in cells)
        out.isetitem(k, cells)
    # Python 3.11 quotes no cell for a lone carriage return, at which readers would break the row.
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if breaks else csv.QUOTE_MINIMAL
    # A file name that is no UTF-8 is written with its odd bytes as text.
    out.to_csv(path, index=False, float_format=float_format, quoting=quoting, errors="backslashreplace")
