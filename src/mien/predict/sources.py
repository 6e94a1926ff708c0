"""Which pictures a command was given: files, folders, patterns, lists."""

from __future__ import annotations

import csv
import glob
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mien.data.picture_files import list_pictures
from mien.errors import DataError, UsageError
from mien.inputs import check_regular
from mien.prediction_tables.dialects import dialect_of
from mien.prediction_tables.repeats import PICTURE_COLUMNS

LISTS = (".csv", ".tsv", ".txt")
_PATTERN = frozenset("*?[")


def pictures_of(given: Sequence[str]) -> Iterator[str]:
    """Every picture that is meant, in order; one that is named and not there comes too, for it is a row with a reason.

    Args:
        given: Each a picture, a folder (with all below it), a pattern such as ``faces/*.jpg``, a ``.txt`` with a
            path a line or a ``.csv`` with a column of paths, or ``-`` for paths from standard input.

    Raises:
        UsageError: If a folder or a pattern holds no picture.
        DataError: If a list cannot be read.
    """
    for name in given:
        path = Path(name)
        if name == "-":
            yield from (line.rstrip("\r\n") for line in sys.stdin if line.strip())
        elif path.is_dir():
            found = list_pictures(path).pictures
            if not found:
                raise UsageError(name, "holds no picture", "a folder of pictures")
            yield from map(str, found)
        elif path.suffix.lower() in LISTS:
            yield from _listed(path)
        elif _PATTERN & set(name) and not path.exists():
            matching = sorted(glob.glob(name, recursive=True))
            if not matching:
                raise UsageError(name, "matches nothing", "a pattern of pictures", "Put it between quotes.")
            yield from pictures_of([found for found in matching if found != "-"])
        else:
            yield name


def _listed(path: Path) -> Iterator[str]:
    """The paths of a list; those that are not absolute lie beside it, or where the command runs."""
    check_regular(path, "a list of pictures")
    if not path.is_file():
        raise DataError(str(path), "no such file", "a list of pictures")
    if path.suffix.lower() == ".txt":
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as lines:
            yield from (_found(line.strip(), path) for line in lines if line.strip())
        return
    dialect = dialect_of(path)
    with open(path, encoding=dialect.encoding, newline="") as file:
        for _ in range(dialect.skip):
            file.readline()
        rows = csv.reader(file, delimiter=dialect.separator)
        header = [cell.strip().lower() for cell in next(rows, [])]
        column = next((header.index(name) for name in PICTURE_COLUMNS if name in header), None)
        if column is None:
            raise DataError(f"{path} line 1", f"columns {', '.join(header)}", f"one of {', '.join(PICTURE_COLUMNS)}")
        for row in rows:
            if len(row) > column and row[column].strip():
                yield _found(row[column].strip(), path)


def _found(name: str, beside: Path) -> str:
    """A listed path as it can be opened from here."""
    there = beside.parent / name
    return str(there) if not Path(name).is_absolute() and not Path(name).exists() and there.exists() else name
