"""The plain lists of corpora: a picture a line, words between blanks, no header and no quotes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import DataError
from mien.inputs import read_small


@dataclass(frozen=True)
class Row:
    """One line of a list.

    Attributes:
        where: File and line, for messages.
        words: What stands in it.
    """

    where: str
    words: tuple[str, ...]


def read_list(path: Path, what: str, skip: int = 0) -> list[Row]:
    """The rows of a list that are not empty.

    Args:
        path: The file.
        what: What it should be, for the error.
        skip: Lines at its beginning that are no rows.

    Raises:
        DataError: If it cannot be read, or is no text in UTF-8.
    """
    try:
        text = read_small(path, what).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(str(path), f"is no text in UTF-8 (byte {error.start})", what) from None
    return list(_rows(path.name, text, skip))


def _rows(name: str, text: str, skip: int) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), start=1):
        words = tuple(line.split())
        if number > skip and words:
            yield Row(f"{name} line {number}", words)


def fitting(rows: Sequence[Row], n: int, columns: str, unread: list[DataError]) -> list[Row]:
    """The rows of ``n`` words; of the others the errors go to ``unread``.

    Args:
        rows: The rows.
        n: How many words a row must have.
        columns: What they are, for the message.
        unread: Gets the errors.
    """
    for row in rows:
        if len(row.words) != n:
            unread.append(DataError(row.where, f"{len(row.words)} words", f"{n}: {columns}"))
    return [row for row in rows if len(row.words) == n]


def estimate_rows(path: Path) -> int:
    """Rows to expect, from the size of the file and of its first lines: for the progress bar only."""
    with open(path, "rb") as file:
        file.readline()
        sample = [len(line) for line in (file.readline() for _ in range(200)) if line]
    return round(path.stat().st_size / (sum(sample) / len(sample))) if sample else 0


def number(text: str) -> float | None:
    """A finite number, or None.

    >>> number("3.5"), number("nan"), number("x")
    (3.5, None, None)
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def code(text: str, codes: Sequence[str] | range) -> int | None:
    """The place of a whole number among ``codes`` that count from 0; None where it is none of them.

    >>> code("2", range(3)), code("2.0", range(3)), code("3", range(3)), code("-1", range(3))
    (2, 2, None, None)
    """
    value = number(text)
    return int(value) if value is not None and value == int(value) and 0 <= value < len(codes) else None
