"""Rows of text tables that are too long to hold: told before they are read whole.

A reader takes a row, and each cell of it, into memory several times over: a cell of two gigabytes
would need twelve. No table of faces has rows of more than a few thousand letters, but one quote that
is never closed makes one row of all that follow.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import TextIOWrapper
from typing import TextIO

import numpy as np

from mien.errors import DataError
from mien.prediction_tables.dialects import Dialect

MOST = 1 << 24  # bytes of a row; 100,000 numbers of 20 digits are two million
_PIECE = 1 << 20
_QUOTE, _NEWLINE, _RETURN = b'"\n\r'


class _StrayQuote(Exception):
    """A quote within a cell that does not begin with one: it quotes nothing, and pairs of quotes say nothing."""


def refuse_long_rows(dialect: Dialect) -> None:
    """Refuse a table with a row of more than 16 MiB; at most about as much is read of it.

    Args:
        dialect: How the table is written.

    Raises:
        DataError: With the row's line, and the column where it is known.
    """
    if dialect.compression is None and dialect.path.stat().st_size <= MOST:
        return
    try:
        length, begin = 0, 0
        for piece, first, last in _ends(dialect):
            if length + (len(piece) if first < 0 else first) > MOST:
                raise _too_long(dialect, begin)
            if first < 0:
                length += len(piece)
            else:
                begin += length + last + 1
                length = len(piece) - last - 1
    except _StrayQuote:
        _count_lines(dialect)


def _ends(dialect: Dialect) -> Iterator[tuple[bytes, int, int]]:
    """Pieces of the file with the places of the first and the last end of a row in each, -1 where there is none."""
    delimiters = np.frombuffer(dialect.separator.encode("latin-1", "replace") + b'\n\r"', np.uint8)
    quoted, before = False, _NEWLINE
    with dialect.open_bytes() as file:
        while piece := file.read(_PIECE):
            if not quoted and _QUOTE not in piece:
                first = min((i for i in (piece.find(b"\n"), piece.find(b"\r")) if i >= 0), default=-1)
                yield piece, first, max(piece.rfind(b"\n"), piece.rfind(b"\r"))
            else:
                letters = np.frombuffer(piece, np.uint8)
                quotes = np.flatnonzero(letters == _QUOTE)
                opening = quotes[int(quoted) :: 2]
                left = np.where(opening > 0, letters[opening - 1], before)
                if not np.isin(left, delimiters).all():
                    raise _StrayQuote
                ends = np.flatnonzero((letters == _NEWLINE) | (letters == _RETURN))
                ends = ends[(np.searchsorted(quotes, ends) + quoted) % 2 == 0]
                quoted ^= bool(len(quotes) % 2)
                yield piece, *((int(ends[0]), int(ends[-1])) if len(ends) else (-1, -1))
            before = piece[-1]


def _count_lines(dialect: Dialect) -> None:
    """The same by reading the rows, which is slower: each line is counted for the row that it belongs to."""
    taken, begin = 0, 1

    def lines(file: TextIO) -> Iterator[str]:
        nonlocal taken
        while line := file.readline(MOST + 1):
            taken += len(line)
            if taken > MOST:
                raise _refusal(dialect, begin)
            yield line

    limit = csv.field_size_limit(MOST)  # of the whole process, and as it was afterwards
    try:
        with TextIOWrapper(dialect.open_bytes(), dialect.encoding, "replace", newline="") as file:
            reader = csv.reader(lines(file), delimiter=dialect.separator)
            for _ in reader:
                taken, begin = 0, reader.line_num + 1
    except csv.Error:
        pass  # whoever reads the table says what is wrong with it
    finally:
        csv.field_size_limit(limit)


def _too_long(dialect: Dialect, begin: int) -> DataError:
    """The refusal of the row that begins at a byte."""
    line, left = 1, begin
    with dialect.open_bytes() as file:
        while left and (piece := file.read(min(_PIECE, left))):
            line, left = line + piece.count(b"\n"), left - len(piece)
        start = file.read(MOST)
    cells = start.split(dialect.separator.encode(dialect.encoding))
    longest = max(range(len(cells)), key=lambda i: len(cells[i]))
    alone = len(cells[longest]) > MOST // 2 and b'"' not in b"".join(cells[:longest])
    return _refusal(dialect, line, longest if alone else None)


def _refusal(dialect: Dialect, line: int, cell: int | None = None) -> DataError:
    column = "" if cell is None else f" column {cell + 1}"
    if cell is not None and line > 1 and cell < len(dialect.header):
        column += f" ({dialect.header[cell][:40]!r})"
    fix = "Is a quote never closed, or is this no table?"
    return DataError(f"{dialect.path} line {line}{column}", f"has more than {MOST:,} bytes", "shorter rows", fix)
