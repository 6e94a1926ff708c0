"""Files of predictions to a PredictionTable, whatever wrote them; here is also how Parquet is read and written."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from lzma import LZMAError
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mien.errors import DataError
from mien.inputs import check_regular
from mien.own_files import as_kind, parse_json
from mien.prediction_tables import gathering
from mien.prediction_tables.annotations import joined, refuse_half
from mien.prediction_tables.arrays import read_arrays
from mien.prediction_tables.csv_tables import UNNAMED, read_csv
from mien.prediction_tables.distributions import settled
from mien.prediction_tables.gathering import IDS, Gathered, arrow_text
from mien.prediction_tables.json_files import read_json
from mien.prediction_tables.kinds import ARRAY, ARRAYS, JSON, PARQUET, kind_of
from mien.prediction_tables.table import PredictionTable, check_names, table_of
from mien.prediction_tables.tool_tables import recognised

_METADATA = b"mien"


def read_table(path: Path, *, annotations: Path | None = None, classes: Sequence[str] | None = None) -> PredictionTable:
    """Read a file of predictions: CSV in any dialect, Parquet, JSON or arrays; its first bytes say which.

    An empty cell is a missing value, and so is every word of :data:`mien.missing.MISSING_WORDS`. A CSV
    column of numbers only is numeric. Tables of other tools are told by their columns, and get the names
    that an audit asks for; whatever was changed or left out stands in the table's notes.

    Args:
        path: The file.
        annotations: Another file of any of these kinds, with the labels and groups of the same pictures.
        classes: The classes of an array's columns.

    Raises:
        DataError: If a file cannot be read, holds predictions without annotations, or a probability, target
            or vote is no number.
    """
    table = _whole(path, classes)
    if annotations is None:
        refuse_half(table)
        return table
    return joined(table, _whole(annotations, None))


def read_frame(frame: pd.DataFrame, source: str) -> PredictionTable:
    """As :func:`read_table`, from a data frame.

    Raises:
        DataError: If two columns share a name or a number is not one.
    """
    unnamed = [c for c in frame.columns if UNNAMED.fullmatch(str(c))]
    table = table_of(frame.drop(columns=unnamed), source) if unnamed else table_of(frame, source)
    if unnamed:
        said = f"A column of {source} without a name (row numbers, or empty ones) did not count."
        table = replace(table, notes=(*table.notes, said))
    return settled(recognised(table))


def table_as_found(path: Path, classes: Sequence[str] | None = None) -> PredictionTable:
    """A table of any of these kinds, with its columns as they stand.

    Args:
        path: The file.
        classes: The classes of an array's columns, in order.

    Raises:
        DataError: If the file cannot be read.
    """
    check_regular(path, "a CSV, Parquet or JSON file")
    try:
        str(path).encode()
    except UnicodeEncodeError as error:  # what reads Parquet takes no such name
        raise DataError(str(path), "has a name that is no UTF-8", "a name in UTF-8", "Rename it.") from error
    if not path.exists():
        raise DataError(str(path), "no such file", "a CSV, Parquet or JSON file")
    try:
        return _read(path, classes)
    except (ValueError, OSError, EOFError, MemoryError, zlib.error, LZMAError, pa.ArrowException) as error:
        raise DataError(str(path), f"cannot be read ({error})", "a CSV or Parquet table") from error


def _whole(path: Path, classes: Sequence[str] | None) -> PredictionTable:
    return settled(recognised(table_as_found(path, classes), classes))


def _read(path: Path, classes: Sequence[str] | None) -> PredictionTable:
    kind = kind_of(path)
    if kind in (ARRAY, ARRAYS):
        return read_arrays(path, classes)
    if kind == JSON:
        return read_json(path, classes)
    return _read_parquet(path) if kind == PARQUET else read_csv(path)


def _read_parquet(path: Path) -> PredictionTable:
    with pq.ParquetFile(path) as file:
        schema, n = file.schema_arrow, file.metadata.num_rows
    twice = [c for c, times in Counter(schema.names).items() if times > 1]
    if twice:
        raise DataError(str(path), f"has the column {twice[0]!r} twice", "each column once")
    names = check_names([c for c in schema.names if _usable(c, schema.field(c).type)], str(path))
    types = {c: schema.field(c).type for c in names}
    # Categories have an order of their own: such a column is read whole, as is.
    whole = [c for c, t in types.items() if pa.types.is_dictionary(t)]
    text = [c for c, t in types.items() if _is_text(t) and c not in IDS]
    batched = [c for c in names if c not in whole]
    gathered = Gathered(batched, lambda row: f"{path} row {row}")
    with pq.ParquetFile(path, read_dictionary=text) as file:
        # One row group at a time: asked for all of them, Arrow keeps the whole file's pages.
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(gathering.BATCH, row_groups=[group], columns=batched, use_threads=False):
                batch.validate(full=True)  # text that is no UTF-8 would show itself anywhere later
                gathered.add(batch.replace_schema_metadata(None).to_pandas(use_threads=False))

    def again(column: str) -> pd.Series[Any]:
        values = pq.read_table(path, columns=[column]).column(0)
        return pd.Series(arrow_text(values.cast(pa.large_string())))

    table = gathered.table(str(path), again)
    pa.default_memory_pool().release_unused()  # pieces that were joined: 0.4 GB of ten million rows
    columns = {c: pq.read_table(path, columns=[c]).column(0).to_pandas() for c in whole}
    return replace(table, columns={**table.columns, **columns}, n=n, **_kept(schema.metadata, str(path)))


def write_parquet(frame: pd.DataFrame, path: Path, content: Mapping[str, Any]) -> None:
    """Write a table of predictions; what is no column goes into the file's metadata, as JSON."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), _METADATA: json.dumps(content).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)


@dataclass(frozen=True)
class _Said:
    """What a table of Mien's own says beside its columns."""

    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    annotator_errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()


def _kept(metadata: dict[bytes, bytes] | None, where: str) -> dict[str, Any]:
    if _METADATA not in (metadata or {}):
        return {}
    where = f"{where}: its metadata"
    content = parse_json((metadata or {})[_METADATA], where, "what Mien wrote there", nan=True)
    said: _Said = as_kind(_Said, content, where)
    return {f.name: getattr(said, f.name) for f in fields(said)}


def _usable(name: str, kind: pa.DataType) -> bool:
    """Lists (embeddings, boxes) cannot be groups; unnamed row labels of pandas are no column."""
    return not (pa.types.is_nested(kind) or UNNAMED.fullmatch(name) is not None)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
