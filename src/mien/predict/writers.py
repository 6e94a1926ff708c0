"""Rows into files, as they come: JSON lines, CSV, Parquet."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from mien.demographics import Head
from mien.errors import DataError, UsageError
from mien.inputs import check_regular
from mien.outputs import make_folders, whole, writing
from mien.predict.rows import NO_FACE, FaceRow, columns
from mien.spreadsheets import with_marks

ENDINGS = (".jsonl", ".csv", ".parquet")
_BEGIN = b'{"image": '  # how every line of ours begins
_GROUP = 4096  # rows that Parquet holds together
_ARROW = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}


class Writer(Protocol):
    """Where rows go."""

    def write(self, rows: Sequence[FaceRow]) -> None:
        """The rows of some pictures."""


@contextmanager
def writer(
    path: Path,
    classes: Sequence[str],
    numbers: Sequence[str] = (),
    *,
    resume: bool = False,
    film: bool = False,
    heads: Sequence[Head] = (),
) -> Iterator[Writer]:
    """A file of rows, by its ending.

    JSON lines stand there as soon as they are known, and what stands there can be resumed; a CSV or Parquet file takes
    its place when it is whole.

    Args:
        path: ``.jsonl``, ``.csv`` or ``.parquet``.
        classes: Of the model.
        numbers: That it tells.
        resume: Go on where the file ends.
        film: The rows are of films.
        heads: Perceived attributes that they tell.

    Raises:
        OutputError: If it cannot be written.
    """
    kinds = columns(classes, numbers, film=film, heads=heads)
    if path.suffix == ".jsonl":
        with writing(path):
            make_folders(path.parent)
            with open(path, "a" if resume else "w", encoding="utf-8") as file:
                yield _Lines(file)
        return
    with whole(path) as partial:
        if path.suffix == ".csv":
            with open(partial, "w", encoding="utf-8", newline="") as file:
                yield _Csv(file, kinds)
            return
        schema = _schema(kinds)
        with pq.ParquetWriter(partial, schema, compression="zstd") as file:
            table = _Parquet(file, schema)
            yield table
            table.flush()


def arrow_schema(classes: Sequence[str], numbers: Sequence[str] = (), heads: Sequence[Head] = ()) -> pa.Schema:
    """The columns of a table of rows, as Parquet holds them."""
    return _schema(columns(classes, numbers, heads=heads))


def _schema(kinds: dict[str, type]) -> pa.Schema:
    return pa.schema([(name, _ARROW[kind]) for name, kind in kinds.items()])


class _Lines:
    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, rows: Sequence[FaceRow]) -> None:
        # Whole pictures at a time, so that a killed run ends between two of them or in the last one.
        self.file.write("".join(json.dumps(row.as_json(), ensure_ascii=False) + "\n" for row in rows))
        self.file.flush()


class _Csv:
    def __init__(self, file: Any, kinds: dict[str, type]) -> None:
        self.rows, self.kinds = csv.writer(file), kinds
        self.rows.writerow([with_marks(name) for name in kinds])

    def write(self, rows: Sequence[FaceRow]) -> None:
        for row in rows:
            flat = row.as_flat()
            cells = (flat.get(name) for name in self.kinds)
            self.rows.writerow([with_marks(cell) if isinstance(cell, str) else cell for cell in cells])


class _Parquet:
    def __init__(self, file: Any, schema: Any) -> None:
        self.file, self.schema = file, schema
        self.held: list[dict[str, Any]] = []

    def write(self, rows: Sequence[FaceRow]) -> None:
        self.held += [row.as_flat() for row in rows]
        if len(self.held) >= _GROUP:
            self.flush()

    def flush(self) -> None:
        if self.held:
            self.file.write_table(pa.Table.from_pylist(self.held, schema=self.schema))
            self.held = []


@dataclass(frozen=True)
class Before:
    """What stands in a file that is gone on with.

    Attributes:
        pictures: Picture -> how often it stands there, as :func:`mien.predict.rows.as_text` has it.
        unread: How many of them could not be read.
        last_unread: Whether the last one could not.
        last: The last picture of the file, which may lack faces and is looked at again.
        rows: The lines of it that were cut off.
    """

    pictures: Counter[str] = field(default_factory=Counter)
    unread: int = 0
    last_unread: bool = False
    last: str = ""
    rows: bytes = b""

    def put_back(self, path: Path) -> None:
        """Write the rows of the last picture again, for a command that does not name it."""
        with writing(path), open(path, "ab") as file:
            file.write(self.rows)


def done_already(path: Path, model: str, model_sha256: str, annotator: str = "") -> Before:
    """The pictures of a file of JSON lines that a run was stopped in, less the last of them, which may lack faces.

    Args:
        path: The file, which is cut to whole lines and whole pictures.
        model: The rows must be of this model,
        model_sha256: and of this file of it.
        annotator: Whose perceived attributes they tell; empty for none.

    Raises:
        UsageError: If it is no file of JSON lines.
        DataError: If a line is none of ours, or of another model; then the file stays as it is.
    """
    if path.suffix != ".jsonl":
        expected = "--out FILE.jsonl, which stands there row by row"
        raise UsageError("--resume", f"does not go with {path.suffix}", expected)
    pictures: Counter[str] = Counter()
    if not path.is_file():
        return Before()
    check_regular(path, "a file of rows")
    last, start, place, unread, rows, of_last = None, 0, 0, 0, b"", False
    with open(path, "rb") as file:
        for n, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                if not line.startswith(_BEGIN[: len(line)]):
                    raise DataError(f"{path} line {n}", "is no row of mien predict", "a file that it has begun")
                break  # a line that was being written
            try:
                row = json.loads(line)
                image, found, first = row["image"], (row["model"], row["model_sha256"]), not row["face"]
            except (ValueError, KeyError, TypeError):
                raise DataError(f"{path} line {n}", "is no row of mien predict", "a file that it has begun") from None
            if found != (model, model_sha256):
                said, due = f"{found[0]} {found[1][:12]}", f"this model's ({model} {model_sha256[:12]})"
                raise DataError(f"{path} line {n}", f"is of the model {said}", due, "Begin another file.")
            if first and row["face"] is not None and row.get("annotator", "") != annotator:
                said = f"tells {'perceived attributes' if row.get('annotator') else 'no perceived attributes'}"
                due = f"those of {annotator}" if annotator else "none"
                raise DataError(f"{path} line {n}", said, due, "Pass the options that it was begun with.")
            if first:  # the face 0, or none: another picture begins
                last, start, rows = image, place, b""
                pictures[image] += 1
                of_last = row["face"] is None and row.get("reason") != NO_FACE
                unread += of_last
            rows += line
            place += len(line)
    if last is None:
        if path.stat().st_size:
            os.truncate(path, 0)
        return Before()
    pictures[last] -= 1
    os.truncate(path, start)
    return Before(pictures, unread - of_last, of_last, last, rows)
