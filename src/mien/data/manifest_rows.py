"""The rows of a manifest as people write them: paths of other systems, words for missing, rows that come twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import pandas as pd

from mien.data.words import join_spellings, joined_groups, without_missing
from mien.errors import DataError
from mien.spellings import canonical

_NO_LIST = re.compile(r"^\s*(?:-|0?,)|,0\d|[eE]")  # what no list of whole numbers has
_COMMA = re.compile(r"^\s*(-?\d*),(\d+(?:[eE][+-]?\d+)?)\s*$")
_RANGE = re.compile(r"\d+\s*[-–]\s*\d+")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(rf"\d+[-. /]{_MONTH}|{_MONTH}[-. /]\d+", re.IGNORECASE)


def paths_of(manifest: Path, written: pd.Series[str]) -> list[Path]:
    """The pictures that a manifest names, relative to it; backslashes of Windows and blanks around are understood.

    Args:
        manifest: The CSV.
        written: ``(n,)`` paths as they stand.
    """
    return [_path(manifest.parent, text) for text in written]


def _path(folder: Path, text: str) -> Path:
    if text == text.strip() and "\\" not in text:
        return folder / text
    try:
        if (folder / text).is_file():  # blanks and backslashes may be part of a name
            return folder / text
    except (OSError, ValueError):
        pass
    return folder / text.strip().replace("\\", "/")


def with_points(frame: pd.DataFrame, numbers: Sequence[str], others: Sequence[str]) -> pd.DataFrame:
    """Numbers with decimal commas as numbers with points; other words of these columns stay as they are.

    Args:
        frame: The manifest as text.
        numbers: Columns that hold numbers whatever they look like.
        others: Columns that do where all that they hold are numbers and one of them can be no list: ``6,12`` may be
            the action units 6 and 12; ``0,5``, ``-1,5`` and ``27,25``, which does not rise, may not.
    """
    mixed = [c for c in others if c not in numbers and _measured(frame[c])]
    return frame.assign(**{c: frame[c].str.replace(_COMMA, r"\1.\2", regex=True) for c in (*numbers, *mixed)})


def _measured(column: pd.Series[str]) -> bool:
    """Whether a column is of numbers with decimal commas, and none of lists of whole numbers."""
    words = without_missing(column).dropna().str.strip()
    points = words.str.replace(_COMMA, r"\1.\2", regex=True)
    numbers = pd.to_numeric(points, errors="coerce").notna()
    pairs = words[words.str.fullmatch(r"\d+,\d+")].str.split(",", expand=True).astype(float)
    falls = bool(len(pairs)) and bool((pairs[0] >= pairs[1]).any())
    return bool(len(words)) and bool(numbers.all()) and (falls or bool(words.str.contains(_NO_LIST).any()))


def tidied(frame: pd.DataFrame, attributes: Sequence[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Missing words taken out, spellings of one group joined; and what there is to say about it.

    Args:
        frame: The manifest as text; ``identity`` and ``split`` come back '' where missing, every other column
            that is no path, label, id or vote NaN.
        attributes: Its columns of groups or numbers.

    Returns:
        The table, and facts for the history: missing values a column, spellings that were joined.
    """
    out = frame.copy()
    missing: dict[str, int] = {}
    joined: dict[str, Any] = {}
    for column in frame.columns:
        if column in ("path", "label", "sample_id") or column.startswith("votes_"):
            continue
        out[column] = without_missing(frame[column], group=column in attributes, cluster=column == "identity")
        if column in attributes and (dates := _dates(out[column])):
            joined[f"{column}: words that a spreadsheet may have made of ranges"] = dates
        of_another = column.endswith(("_source", "_confidence")) or column.partition("_prob_")[0] in attributes
        if out[column].isna().any() and (not of_another or column in attributes):
            missing[column] = int(out[column].isna().sum())
        if column == "split" or (column in attributes and not _fractions(out[column])):
            joined |= joined_groups(column, out[column].dropna())
            out[column] = join_spellings(out[column])
        if column in ("split", "identity"):
            out[column] = out[column].fillna("")
    return out, ({"rows without a value": missing} if missing else {}) | joined


def _dates(column: pd.Series[str]) -> list[str]:
    """Dates among ranges such as 20-29: a spreadsheet takes 3-9 for the ninth of March."""
    words = [str(w) for w in column.dropna().unique()]
    return sorted(w for w in words if _DATE.fullmatch(w)) if any(_RANGE.fullmatch(w) for w in words) else []


def _fractions(column: pd.Series[str]) -> bool:
    """Whether a column holds measured numbers, whose spelling (``0.5``, ``.50``) makes no group."""
    numbers = pd.to_numeric(column.dropna(), errors="coerce")
    return bool(len(numbers)) and bool(numbers.notna().all()) and bool((numbers % 1 != 0).any())


def faults(frame: pd.DataFrame, paths: Sequence[Path], labels: pd.Series[str] | None) -> dict[int, DataError]:
    """Rows that cannot be right beside the others, or on this machine: row -> error.

    A row that says all again, or uses an id again, is the later one's fault. Where one picture has two
    different labels neither is known to be right, so all its rows are named.

    Args:
        frame: The manifest; the index is the line of each row.
        paths: ``(n,)`` its pictures.
        labels: ``(n,)`` its labels, NaN where missing; None without.
    """
    errors: dict[int, DataError] = {}
    lines, written = list(frame.index), frame["path"].tolist()
    what = "sample_id" if "sample_id" in frame else "path"
    ids = frame[what].tolist()
    first: dict[str, int] = {}
    for i, (text, name) in enumerate(zip(written, ids, strict=True)):
        if what == "sample_id" and not name.strip():
            errors[i] = DataError("", "'sample_id' is empty", "a name for each face, or no such column")
        elif text == "path" and frame.iloc[i].tolist() == list(frame.columns):
            errors[i] = DataError("", "the header stands here again", "a picture", "Were files put together?")
        elif _of_another_system(text):
            fix = "Write paths relative to the CSV."
            errors[i] = DataError("", f"'path' is {text!r}", "a path on this computer", fix)
        elif name and (at := first.setdefault(name, i)) != i:
            errors[i] = DataError("", f"{what} {name!r} occurs twice, first in line {lines[at]}", "each once")
    if labels is not None:
        errors |= _contradictions(pd.Series([str(p) for p in paths]), labels.reset_index(drop=True), lines)
    return errors


def _of_another_system(text: str) -> bool:
    """Whether a path names a drive of Windows, which cannot be found here."""
    return bool(PureWindowsPath(text).drive) and not Path(text).drive and "/" not in text[:2]


def _contradictions(pictures: pd.Series[str], labels: pd.Series[str], lines: Sequence[int]) -> dict[int, DataError]:
    errors: dict[int, DataError] = {}
    known = labels.notna()
    several = pictures[known & pictures.duplicated(keep=False)]
    for picture, rows in several.groupby(several).groups.items():
        found = {canonical(labels[i]) for i in rows}
        if len(found) > 1:
            where = ", ".join(f"{labels[i]!r} in line {lines[i]}" for i in list(rows)[:4])
            error = DataError("", f"one picture has two labels: {Path(str(picture)).name} is {where}", "one label")
            errors |= dict.fromkeys(map(int, rows), error)
    return errors
