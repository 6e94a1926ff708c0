"""CSV and Parquet to a PredictionTable, in batches: ten million rows must fit in little memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.errors import DataError
from mien.prediction_tables.table import (
    PREFIXES,
    Block,
    Place,
    PredictionTable,
    check_names,
    in_order,
    numbers,
    place_in_csv,
)

BATCH = 262_144
MANY = 65_536  # a text column with more distinct values is no set of groups, and is kept as plain text
IDS = ("sample_id", "id")
_METADATA = b"mien"
_AS_TEXT = (*IDS, "label", "pred")


def read_table(path: Path) -> PredictionTable:
    """Read a CSV or (by its ending ``.parquet``) a Parquet file.

    In CSV an empty cell is a missing value, and so are ``NA``, ``N/A``, ``nan``, ``null`` and ``None``,
    as pandas and R write them: a group must not be called so. A column of numbers only is numeric.

    Raises:
        DataError: If the file cannot be read, or a probability, target or vote is no number.
    """
    if not path.is_file():
        raise DataError(str(path), "no such file", "a CSV or Parquet file of predictions")
    try:
        return _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except (ValueError, OSError, pa.ArrowException) as error:
        raise DataError(str(path), f"cannot be read ({error})", "a CSV or Parquet table") from error


def _read_csv(path: Path) -> PredictionTable:
    header = pd.read_csv(path, header=None, nrows=1, dtype=str)
    check_names([c for c in header.iloc[0] if isinstance(c, str)], str(path))
    names = [str(c) for c in pd.read_csv(path, nrows=0).columns]
    text = {c: str if c in IDS else "category" for c in _AS_TEXT}
    # Types are guessed for each batch as a whole; a column whose batches disagree is read again as text.
    with pd.read_csv(path, dtype=text, chunksize=BATCH, low_memory=False) as batches:
        gathered = _Gathered(names, partial(place_in_csv, path))
        for batch in batches:
            if not isinstance(batch.index, pd.RangeIndex):
                raise DataError(str(path), "its rows have more cells than its header", "as many cells as columns")
            gathered.add(batch)

    def again(column: str) -> pd.Series[Any]:
        return pd.read_csv(path, usecols=[column], dtype=str)[column]

    return gathered.table(str(path), again, path)


def _read_parquet(path: Path) -> PredictionTable:
    with pq.ParquetFile(path) as file:
        schema, n = file.schema_arrow, file.metadata.num_rows
    names = check_names([c for c in schema.names if _usable(c, schema.field(c).type)], str(path))
    types = {c: schema.field(c).type for c in names}
    # Categories have an order of their own: such a column is read whole, as is.
    whole = [c for c, t in types.items() if pa.types.is_dictionary(t)]
    text = [c for c, t in types.items() if _is_text(t) and c not in IDS]
    batched = [c for c in names if c not in whole]
    gathered = _Gathered(batched, lambda row: f"{path} row {row}")
    with pq.ParquetFile(path, read_dictionary=text) as file:
        # One row group at a time: asked for all of them, Arrow keeps the whole file's pages.
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(BATCH, row_groups=[group], columns=batched, use_threads=False):
                gathered.add(batch.replace_schema_metadata(None).to_pandas(use_threads=False))

    def again(column: str) -> pd.Series[Any]:
        values = pq.read_table(path, columns=[column]).column(0)
        return pd.Series(arrow_text(values.cast(pa.large_string())))

    table = gathered.table(str(path), again)
    pa.default_memory_pool().release_unused()  # pieces that were joined: 0.4 GB of ten million rows
    columns = {c: pq.read_table(path, columns=[c]).column(0).to_pandas() for c in whole}
    return PredictionTable({**table.columns, **columns}, table.blocks, n, str(path), **_kept(schema.metadata))


def write_parquet(frame: pd.DataFrame, path: Path, content: Mapping[str, Any]) -> None:
    """Write a table of predictions; what is no column goes into the file's metadata, as JSON."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), _METADATA: json.dumps(content).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def _kept(metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
    content = json.loads((metadata or {}).get(_METADATA, b"{}"))
    notes = tuple(str(note) for note in content.get("notes", ()))
    return {"notes": notes, "annotator_errors": content.get("annotator_errors", {})}


def _usable(name: str, kind: pa.DataType) -> bool:
    """Lists (embeddings, boxes) cannot be groups; unnamed row labels of pandas are no column."""
    return not (pa.types.is_nested(kind) or name.startswith("__index_level_"))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def arrow_text(values: pa.Array | pa.ChunkedArray) -> Any:
    """Text of about its own bytes, as a pandas array; Python strings would take six times as much."""
    return pd.StringDtype("pyarrow", na_value=np.nan).__from_arrow__(values)  # type: ignore[attr-defined]


class _Gathered:
    """The batches of a file, gathered column by column.

    Args:
        names: The columns.
        place: Where a row stands, for messages.
    """

    def __init__(self, names: list[str], place: Place) -> None:
        self.place = place
        self.n = 0
        self.parts = {p: [c for c in names if c.startswith(p)] for p in PREFIXES}
        self.blocks: dict[str, NDArray[Any]] = {}
        self.columns = {c: _Ids() if c in IDS else _Column() for c in names if not c.startswith(PREFIXES)}

    def add(self, batch: pd.DataFrame) -> None:
        """Take the next rows."""
        for prefix, part in self.parts.items():
            if part:
                self._extend(prefix, [numbers(batch[c], c, self.place, self.n) for c in part])
        for name, column in self.columns.items():
            column.add(batch[name])
        self.n += len(batch)

    def _extend(self, prefix: str, columns: list[NDArray[Any]]) -> None:
        block = self.blocks.get(prefix)
        dtype = np.result_type(*columns)
        if block is None or block.dtype != dtype:
            dtype = dtype if block is None else np.result_type(block, dtype)
            block = np.empty((0, len(columns)), dtype) if block is None else block.astype(dtype)
        m = len(columns[0])
        # Grown in place: large memory is remapped, where joining pieces at the end would need it twice.
        block.resize((self.n + m, len(columns)), refcheck=False)
        for k, values in enumerate(columns):
            block[self.n :, k] = values
        self.blocks[prefix] = block

    def table(
        self, source: str, again: Callable[[str], pd.Series[Any]], csv_path: Path | None = None
    ) -> PredictionTable:
        """All rows; ``again`` reads a column anew as text, where its batches do not fit together."""
        columns: dict[str, pd.Series[Any]] = {}
        for name in list(self.columns):
            values = self.columns.pop(name).whole()
            columns[name] = _as_categories(again(name)) if values is None else values
        blocks = {
            p: Block(tuple(c.removeprefix(p) for c in self.parts[p]), values) for p, values in self.blocks.items()
        }
        return PredictionTable(columns, blocks, self.n, source, csv_path)


class _Ids:
    """A column whose texts are all different."""

    def __init__(self) -> None:
        self.pieces: list[pa.Array] = []

    def add(self, values: pd.Series[Any]) -> None:
        self.pieces.append(text_array(values))

    def whole(self) -> pd.Series[Any] | None:
        return pd.Series(arrow_text(pa.chunked_array(self.pieces, pa.large_string()).combine_chunks()))


def text_array(values: pd.Series[Any]) -> pa.Array:
    """Any column as Arrow text, numbers as Python writes them; null where missing."""
    if not (pd.api.types.is_string_dtype(values) or pd.api.types.is_integer_dtype(values)):
        values = values.astype(str).where(values.notna(), None)
    found = pa.array(values, from_pandas=True)
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    return found.cast(pa.large_string())


class _Column:
    """Any other column: codes of its texts, or its numbers."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.pieces: list[Any] = []
        self.kinds: set[str] = set()

    def add(self, values: pd.Series[Any]) -> None:
        if len(self.kinds) > 1 or len(self.codes) > MANY:
            self.pieces = []  # to be read again
            return
        kind = _kind(values)
        if kind:
            self.kinds.add(kind)
        self.pieces.append(self._coded(values) if kind == "text" else values)

    def _coded(self, values: pd.Series[Any]) -> NDArray[Any]:
        codes, distinct = pd.factorize(values)
        own = [self.codes.setdefault(str(t), len(self.codes)) for t in distinct]
        return np.array([*own, -1], dtype=np.int8 if len(self.codes) < 128 else np.int32)[codes]

    def whole(self) -> pd.Series[Any] | None:
        if len(self.kinds) > 1 or len(self.codes) > MANY:
            return None
        if self.kinds == {"text"}:
            coded = [p if isinstance(p, np.ndarray) else np.full(len(p), -1, np.int8) for p in self.pieces]
            return _categories(np.concatenate(coded), list(self.codes))
        return pd.concat(self.pieces, ignore_index=True) if self.pieces else pd.Series([], dtype=float)


def _kind(values: pd.Series[Any]) -> str:
    """``text``, ``bool``, ``number`` or another type's name; empty where a batch has no value to tell by."""
    if isinstance(values.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(values):
        return "text"
    if values.dtype == object:
        return "text" if values.notna().any() else ""
    if pd.api.types.is_bool_dtype(values):
        return "bool"
    if pd.api.types.is_numeric_dtype(values):
        return "number" if values.notna().any() else ""
    return str(values.dtype)


def _categories(codes: NDArray[Any], texts: list[str]) -> pd.Series[Any]:
    ordered = in_order(texts)
    rank = {t: i for i, t in enumerate(ordered)}
    lookup = np.array([*(rank[t] for t in texts), -1], dtype=np.int8 if len(texts) < 128 else np.int32)
    return pd.Series(pd.Categorical.from_codes(np.asarray(lookup[codes]), pd.Index(ordered)))


def _as_categories(values: pd.Series[Any]) -> pd.Series[Any]:
    """Text as categories where it repeats, else as it is."""
    first = values.iloc[:BATCH]
    if first.nunique() > min(MANY, len(values) // 2) or values.nunique() > MANY:
        return values
    codes, distinct = pd.factorize(values)
    return _categories(codes, [str(t) for t in distinct])
