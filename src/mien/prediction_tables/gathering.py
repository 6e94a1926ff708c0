"""The batches of a file, gathered column by column: ten million rows must fit in little memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mien.prediction_tables.table import (
    PREFIXES,
    UNIT_COLUMNS,
    Block,
    Place,
    PredictionTable,
    in_order,
    numbers,
    with_numbers,
)

BATCH = 262_144
MANY = 65_536  # a text column with more distinct values is no set of groups, and is kept as plain text
IDS = ("sample_id", "id")
AS_TEXT = (*IDS, "label", "pred")
_EXACT = 2.0**53  # whole numbers below are exact as floats


def arrow_text(values: pa.Array | pa.ChunkedArray) -> Any:
    """Text of about its own bytes, as a pandas array; Python strings would take six times as much."""
    return pd.StringDtype("pyarrow", na_value=np.nan).__from_arrow__(values)  # type: ignore[attr-defined]


class Gathered:
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
        self, source: str, again: Callable[[str], pd.Series[Any]], where: Place | None = None, *, typed: bool = True
    ) -> PredictionTable:
        """All rows.

        Args:
            source: Name of the table in messages.
            again: Reads a column anew as text, where its batches do not fit together.
            where: Where a row stands, for messages.
            typed: The file says of each column whether it holds text or numbers; CSV does not.
        """
        columns: dict[str, pd.Series[Any]] = {}
        for name in list(self.columns):
            values = self.columns.pop(name).whole()
            values = _as_categories(again(name)) if values is None or _lost_digits(values, name) else values
            columns[name] = values if name in AS_TEXT else with_numbers(values, name, typed=typed)
        blocks = {
            p: Block(tuple(c.removeprefix(p) for c in self.parts[p]), values) for p, values in self.blocks.items()
        }
        return PredictionTable(columns=columns, blocks=blocks, n=self.n, source=source, where=where)


def _lost_digits(values: pd.Series[Any], name: str) -> bool:
    """Whether a column of persons or pictures holds whole numbers that floats cannot tell apart."""
    if name.strip().lower() not in UNIT_COLUMNS or not pd.api.types.is_float_dtype(values):
        return False
    return bool((values.abs() >= _EXACT).any())


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
