"""Rows into files, as they come: JSON lines, CSV, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from mien.demographics import Head
from mien.outputs import begin_in, whole, writing
from mien.predict.rows import FaceRow, columns
from mien.spreadsheets import with_marks

ENDINGS = (".jsonl", ".csv", ".parquet")
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
            begin_in(path.parent, path.touch)
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
