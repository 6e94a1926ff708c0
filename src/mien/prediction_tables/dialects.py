"""How a text table is written: its encoding, separator and decimal sign, told from its first megabyte.

A table that was saved by Excel in Germany, Russia or France has semicolons and decimal commas; Excel's
"Unicode text" is UTF-16 with tabs; R and older tools write Latin-1. All of them are the same table.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from mien.errors import DataError
from mien.inputs import check_regular
from mien.spreadsheets import without_marks

SAMPLE = 1 << 20  # bytes looked at; the decimal sign may show only after many rows of zeros and ones
FALLBACK = ("cp1252", "latin-1")  # what a file that is not UTF-8 most often is; the second can hold any byte
_SEPARATORS = (",", ";", "\t", "|")
_WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SEP_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # Excel's own first line, which names the separator
_OF_A_FACE = re.compile(r"\D+\d+")  # fer's columns: box0, angry0, ..., box1, angry1, ...
_WITH_COMMA, _WITH_POINT = (re.compile(rf"-?\d*\{sign}\d+(e[+-]?\d+)?", re.IGNORECASE) for sign in ",.")
_PACKED: tuple[tuple[bytes, str, Callable[..., Any]], ...] = (
    (b"\x1f\x8b", "gzip", gzip.open),
    (b"BZh", "bz2", bz2.open),
    (b"\xfd7zXZ\x00", "xz", lzma.open),
)


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How to read a text table.

    Attributes:
        path: The file.
        header: The cells of its first line that is not blank.
        separator: What stands between cells.
        decimal: ``.`` or ``,``.
        encoding: Python's name of the encoding.
        compression: ``gzip``, ``bz2``, ``xz``, or None.
        skip: Lines before the header that pandas must not see (Excel's ``sep=;``).
    """

    path: Path
    header: tuple[str, ...]
    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    compression: str | None = None
    skip: int = 0

    @property
    def blank_rows_count(self) -> bool:
        """Whether a row without any cell filled is a row: of fer's videos, a picture without a face."""
        return all(_OF_A_FACE.fullmatch(name) for name in self.header)

    def options(self) -> dict[str, Any]:
        """The arguments of :func:`pandas.read_csv`."""
        return {
            "sep": self.separator,
            "decimal": self.decimal,
            "encoding": self.encoding,
            "compression": self.compression,
            "skiprows": self.skip,
        }

    def notes(self) -> tuple[str, ...]:
        """What a reader must know of how the file was read; empty for an ordinary CSV."""
        said = []
        if self.separator != "," or self.decimal != ".":
            sign = " and decimal commas" if self.decimal == "," else ""
            said.append(f"{self.path.name} was read with {_WORDS[self.separator]} between its cells{sign}.")
        if self.encoding in FALLBACK:
            said.append(
                f"{self.path.name} is not UTF-8 and was read as {self.encoding} (Western European): "
                "names with other letters may look odd."
            )
        return tuple(said)

    def open(self) -> TextIO:
        """The file as text, unpacked."""
        opener = next((o for _, name, o in _PACKED if name == self.compression), open)
        file: TextIO = opener(self.path, "rt", encoding=self.encoding, newline="")
        return file

    def open_bytes(self) -> BinaryIO:
        """The file as bytes, unpacked."""
        opener = next((o for _, name, o in _PACKED if name == self.compression), open)
        file: BinaryIO = opener(self.path, "rb")
        return file

    def in_encoding(self, encoding: str) -> Dialect:
        """The same file in another encoding, with its header read anew."""
        other = replace(self, encoding=encoding)
        with other.open() as file:
            return replace(other, header=_header(file, other.separator, other.skip))

    def place(self, row: int) -> str:
        """``p.csv line 7``: the line on which a data row begins, with line breaks inside quotes counted."""
        try:
            with self.open() as file:
                reader, wanted, begin = csv.reader(file, delimiter=self.separator), row + 1, 1
                for record in reader:
                    empty = not record if self.blank_rows_count else not any(cell.strip() for cell in record)
                    blank = reader.line_num <= self.skip or empty
                    if not blank and not wanted:
                        return f"{self.path} line {begin}"
                    wanted -= not blank
                    begin = reader.line_num + 1
        except (OSError, ValueError, csv.Error):
            pass  # broken quotes: lines cannot be counted
        return f"{self.path} line {row + 2}"


def first_bytes(path: Path, size: int = SAMPLE) -> tuple[bytes, str | None]:
    """The first bytes of a file, unpacked, and how it is packed.

    Raises:
        DataError: If it is no regular file, or cannot be unpacked.
    """
    check_regular(path, "a table")
    with open(path, "rb") as file:
        start = file.read(size)
    for magic, name, opener in _PACKED:
        if start.startswith(magic):
            try:
                with opener(path, "rb") as packed:
                    return packed.read(size), name
            except (OSError, EOFError, lzma.LZMAError) as error:
                raise DataError(str(path), f"cannot be unpacked ({error})", f"a whole {name} file") from error
    return start, None


def encoding_of(start: bytes) -> str:
    """The encoding that a file's first bytes speak for; ``cp1252`` where they are not UTF-8.

    >>> encoding_of("größe".encode()), encoding_of("größe".encode("latin-1")), encoding_of("a,b".encode("utf-16"))
    ('utf-8', 'cp1252', 'utf-16')
    """
    if start.startswith(BOM_UTF8):
        return "utf-8-sig"
    if start.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "utf-16"
    head = start[:400]
    if len(head) >= 4 and head.count(0) * 3 > len(head):  # every other byte of UTF-16 without a mark is 0
        return "utf-16-le" if head[1] == 0 else "utf-16-be"
    try:
        getincrementaldecoder("utf-8")().decode(start)  # the sample may end within a letter: no final=True
    except UnicodeDecodeError:
        return FALLBACK[0]
    return "utf-8"


def dialect_of(path: Path) -> Dialect:
    """How a text table is written.

    Raises:
        DataError: If the file is empty or cannot be unpacked.
    """
    start, compression = first_bytes(path)
    encoding = encoding_of(start)
    text = start.decode(encoding, errors="replace")
    named = _SEP_LINE.fullmatch(text.split("\n", 1)[0].rstrip("\r"))
    skip = 1 if named else 0
    widths = {s: len(_header(io.StringIO(text, newline=""), s, skip)) for s in _SEPARATORS}
    separator = named.group(1) if named else max(_SEPARATORS, key=lambda s: widths[s])
    header = _header(io.StringIO(text, newline=""), separator, skip)
    if not header:
        raise DataError(str(path), "is empty", "a header and one row a face")
    _refuse_title(path, text, skip)
    # With commas between cells a decimal comma cannot be told from a separator.
    decimal = _decimal(text, separator) if separator != "," else "."
    return Dialect(
        path=path,
        header=header,
        separator=separator,
        decimal=decimal,
        encoding=encoding,
        compression=compression,
        skip=skip,
    )


def _refuse_title(path: Path, text: str, skip: int) -> None:
    """Refuse a title or a comment above the header, and cells that only blanks keep apart.

    Raises:
        DataError: With what stands there.
    """
    lines = [line.strip("\r\ufeff") for line in text.split("\n", 12)[skip:] if line.strip()][:8]
    first = lines[0]
    rest = [line for line in lines[1:] if not line.startswith("#")]
    if not rest:
        return
    widths = {s: [_width(line, s) for line in (first, *rest)] for s in _SEPARATORS}
    several = [w for w in widths.values() if min(w[1:]) > 1]
    filled = [c for c in re.split(r"[,;\t|]", first) if c.strip()]
    comment = first.startswith("#") and bool(several) and all(w[0] != w[1] for w in several)
    title = len(filled) == 1 and first[0] not in ',;\t|"' and any(min(w[1:]) > 2 for w in several)
    if comment or title:
        what = "a comment" if comment else "a title"
        fix = "Remove the lines above the header."
        raise DataError(f"{path} line {skip + 1}", f"is {what} ({first.strip()[:40]!r})", "the header", fix)
    blanks = len(first.split())
    words_only = all(max(w) == 1 for w in widths.values()) and '"' not in first
    if words_only and blanks > 1 and len(rest) > 1 and all(len(line.split()) == blanks for line in rest):
        found = f"has only blanks between its cells ({first.strip()[:40]!r})"
        raise DataError(str(path), found, "commas, semicolons, tabs or bars", "Save it as CSV.")


def _width(line: str, separator: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=separator)))
    except csv.Error:
        return 1


def _header(file: TextIO, separator: str, skip: int) -> tuple[str, ...]:
    reader = csv.reader(file, delimiter=separator)
    try:
        for record in reader:
            if reader.line_num > skip and any(cell.strip() for cell in record):
                return tuple(without_marks(cell.strip()) for cell in record)
    except csv.Error:
        pass  # a quote that never ends: this is not the separator
    return ()


def _decimal(text: str, separator: str) -> str:
    """``,`` where more cells are numbers with a comma than with a point."""
    commas = points = 0
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            for cell in record:
                commas += bool(_WITH_COMMA.fullmatch(cell.strip()))
                points += bool(_WITH_POINT.fullmatch(cell.strip()))
    except csv.Error:
        pass  # the sample was cut within quotes, or they are broken, which pandas will say
    return "," if commas > points else "."
