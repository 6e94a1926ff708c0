"""Which pictures a command was given: files, folders, patterns, lists."""

from __future__ import annotations

import csv
import glob
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mien.data.picture_files import is_picture_file, list_pictures
from mien.errors import DataError, UsageError
from mien.inputs import check_regular
from mien.prediction_tables.dialects import dialect_of, encoding_of, first_bytes
from mien.prediction_tables.repeats import PICTURE_COLUMNS
from mien.spreadsheets import without_marks

LISTS = (".csv", ".tsv", ".txt")
#: Endings of films, by which they are told from pictures.
FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".3gp", ".ogv", ".wmv")
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
            yield from _typed()
        elif _is(path, "dir"):
            yield from _below(path)
        elif path.suffix.lower() in LISTS:
            yield from _listed(path)
        elif _PATTERN & set(name) and not _is(path, "file"):
            yield from _matching(name)
        else:
            yield name


def is_film(name: str) -> bool:
    """Whether a path is called like a film."""
    return Path(name).suffix.lower() in FILMS


def films_of(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """The films among what a command was given, and the films that it passes over because pictures lie beside them.

    Args:
        given: As :func:`pictures_of` takes it. A folder or pattern is of films where it holds some and no picture.

    Returns:
        Films that are named, or all that such a folder or pattern holds; and those of folders and patterns that hold
        pictures too, of which only the pictures are looked at.
    """
    films: list[str] = []
    over: list[str] = []
    for name in given:
        path = Path(name)
        if is_film(name) and (not _PATTERN & set(name) or _is(path, "file")):
            films.append(name)
        elif name != "-" and path.suffix.lower() not in LISTS:
            found, pictures = _films_below(path) if _is(path, "dir") else _films_matching(name)
            (over if pictures else films).extend(found)
    return films, over


def _films_below(folder: Path) -> tuple[list[str], bool]:
    """Films in a folder and below it, and whether pictures lie there too."""
    listing = list_pictures(folder, unreadable=True)  # by the same walk as its pictures
    return [str(path) for path in listing.others if is_film(path.name)], bool(listing.pictures)


def _films_matching(pattern: str) -> tuple[list[str], bool]:
    """Films that a pattern matches, and whether it matches pictures or folders too."""
    if not _PATTERN & set(pattern) or _is(Path(pattern), "file"):
        return [], True
    found = sorted(glob.glob(pattern, recursive=True))
    films = [name for name in found if is_film(name) and _is(Path(name), "file")]
    return films, any(_is(Path(name), "dir") or is_picture_file(Path(name)) for name in found if name not in films)


def _is(path: Path, kind: str) -> bool:
    """Whether a path is a ``dir`` or a ``file``; one that no system takes, such as a name too long, is neither."""
    try:
        return path.is_dir() if kind == "dir" else path.is_file()
    except (OSError, ValueError):
        return False


def _typed() -> Iterator[str]:
    """Paths from standard input, whatever bytes they have."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    yield from (line.rstrip("\r\n") for line in sys.stdin if line.strip())


def _below(folder: Path) -> Iterator[str]:
    found = list_pictures(folder, unreadable=True).pictures
    if not found:
        raise UsageError(str(folder), "holds no picture", "a folder of pictures")
    yield from map(str, found)


def _matching(pattern: str) -> Iterator[str]:
    """Pictures that a pattern matches; the folders that it matches only where it matches no picture."""
    found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    pictures = [path for path in found if not _is(path, "dir") and is_picture_file(path)]
    if pictures:
        yield from map(str, pictures)
        return
    folders = [path for path in found if _is(path, "dir")]
    if not folders:
        raise UsageError(pattern, "matches no picture", "a pattern of pictures", "Put it between quotes.")
    for folder in folders:
        yield from _below(folder)


def _listed(path: Path) -> Iterator[str]:
    """The paths of a list; those that are not absolute lie beside it, or where the command runs."""
    check_regular(path, "a list of pictures")
    if not path.is_file():
        raise DataError(str(path), "no such file", "a list of pictures")
    if path.suffix.lower() == ".txt":
        said = encoding_of(first_bytes(path)[0])
        # Only of Notepad's "Unicode": names of files may be of bytes that are no text in any encoding.
        encoding = said if said.startswith("utf-16") else "utf-8-sig"
        try:
            with open(path, encoding=encoding, errors="surrogateescape") as lines:
                yield from (_found(line.rstrip("\r\n"), path) for line in lines if line.strip())
        except UnicodeError as error:  # of which surrogates save UTF-8 alone
            fix = "Save it anew, as UTF-8 say: lines may have been added in another encoding."
            raise DataError(str(path), f"is no text in {encoding} ({error})", "a list as text", fix) from None
        return
    dialect = dialect_of(path)
    if dialect.compression is not None:
        raise DataError(str(path), f"is packed ({dialect.compression})", "a list as text", "Unpack it.")
    with open(path, encoding=dialect.encoding, errors="surrogateescape", newline="") as file:
        for _ in range(dialect.skip):
            file.readline()
        rows = csv.reader(file, delimiter=dialect.separator)
        first = next((row for row in rows if any(cell.strip() for cell in row)), [])
        header = [cell.strip().lower() for cell in first]
        column = next((header.index(name) for name in PICTURE_COLUMNS if name in header), None)
        if column is None:
            raise DataError(f"{path} line 1", f"columns {', '.join(header)}", f"one of {', '.join(PICTURE_COLUMNS)}")
        try:
            for row in rows:
                if len(row) > column and row[column].strip():
                    yield _found(row[column], path)
        except csv.Error as error:
            raise DataError(f"{path} line {rows.line_num}", f"cannot be read ({error})", "a row of a table") from None


def _found(name: str, beside: Path) -> str:
    """A listed path as it can be opened from here: beside its list, or else as it is.

    Without the marks that Mien's tables have, without blanks around it, and with Windows' backslashes turned, unless
    there is a file of that very name.
    """
    plain = without_marks(name.strip())
    turned = plain.replace("\\", "/")
    for each in dict.fromkeys((name, without_marks(name), name.strip(), plain, turned)):
        there = beside.parent / each
        if not Path(each).is_absolute() and _is(there, "file"):
            return str(there)
    return next((each for each in (name, plain, turned) if _is(Path(each), "file")), plain)
