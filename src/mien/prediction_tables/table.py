"""A table of predictions as it was found, before its columns are checked."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError

PREFIXES = ("target_", "prob_", "votes_")
Place = Callable[[int], str]


@dataclass(frozen=True)
class Block:
    """The columns of one prefix, one a class.

    Attributes:
        names: The columns' names without the prefix, in order.
        values: ``(n, K)`` float32 where all of them are float32 or less, else float64.
    """

    names: tuple[str, ...]
    values: NDArray[Any]


@dataclass(frozen=True)
class PredictionTable:
    """Columns, blocks of columns, and where a row stands.

    Attributes:
        columns: Name -> ``(n,)`` series, for all that are in no block; text is categorical where it repeats.
        blocks: ``target_``, ``prob_`` and ``votes_``, those that are there.
        n: Rows.
        source: Name of the table in messages.
        csv_path: The CSV file, so that messages can count its lines; None for other tables.
        notes: What a reader must know of the rows, in sentences.
        annotator_errors: Perceived attribute -> what its annotator gets wrong.
    """

    columns: dict[str, pd.Series[Any]]
    blocks: dict[str, Block]
    n: int
    source: str
    csv_path: Path | None = None
    notes: tuple[str, ...] = ()
    annotator_errors: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """All columns, those of the blocks last."""
        return [*self.columns, *(f"{prefix}{c}" for prefix, block in self.blocks.items() for c in block.names)]

    def place(self, row: int) -> str:
        """``p.csv line 7`` (the header is line 1), or ``table row 5`` (the first is row 0)."""
        return place_in_csv(self.csv_path, row) if self.csv_path else f"{self.source} row {row}"


def table_of(frame: pd.DataFrame, source: str) -> PredictionTable:
    """A table from a data frame; its columns are taken as they are.

    Raises:
        DataError: If two columns share a name or a number is not one.
    """
    names = check_names([str(c) for c in frame.columns], source)
    # Two columns of one name were refused, so that positions and names agree.
    series = {name: frame.iloc[:, i].reset_index(drop=True) for i, name in enumerate(names)}
    blocks = {}
    for prefix in PREFIXES:
        part = [c for c in names if c.startswith(prefix)]
        if part:
            values = stacked([numbers(series[c], c, lambda row: f"{source} row {row}") for c in part])
            blocks[prefix] = Block(tuple(c.removeprefix(prefix) for c in part), values)
    plain = {c: s for c, s in series.items() if not c.startswith(PREFIXES)}
    return PredictionTable(plain, blocks, len(frame), source)


def check_names(names: list[str], source: str) -> list[str]:
    """Refuse two columns of one name."""
    twice = sorted({c for c in names if names.count(c) > 1})
    if twice:
        raise DataError(source, f"two columns are called {twice[0]!r}", "each column once", "Rename or drop one.")
    return names


def numbers(values: pd.Series[Any], column: str, place: Place, first: int = 0) -> NDArray[Any]:
    """A column of a block as floats: NaN where missing, float32 kept.

    Args:
        values: ``(m,)`` a batch of the column.
        column: Its name.
        place: Where a row stands, for the message.
        first: Row of the batch's first value.

    Raises:
        DataError: With the first value that is no number.
    """
    if not pd.api.types.is_numeric_dtype(values):
        text = values.astype(object)
        found = pd.to_numeric(text, errors="coerce")
        bad = np.flatnonzero(found.isna() & text.notna())
        if len(bad):
            wrong = str(text.iloc[int(bad[0])])
            raise DataError(place(first + int(bad[0])), f"column {column!r} holds {wrong!r}", "a number")
        values = found
    small = values.dtype in (np.float16, np.float32)
    return values.to_numpy(np.float32 if small else np.float64, na_value=np.nan)


def stacked(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """K columns of length n as ``(n, K)``, rows contiguous."""
    out = np.empty((len(columns[0]), len(columns)), dtype=np.result_type(*columns))
    for k, values in enumerate(columns):
        out[:, k] = values
    return out


def in_order(texts: Iterable[str]) -> list[str]:
    """Sorted, but leading numbers as numbers: ``3-9`` comes before ``10-19``."""

    def key(text: str) -> tuple[float, str]:
        plain = text.strip()
        number = re.match(r"\d+", plain)
        return (float(number.group()) if number else float("inf"), plain)

    return sorted(texts, key=key)


def place_in_csv(path: Path, row: int) -> str:
    """``p.csv line 7``: the line on which a data row begins, with line breaks inside quotes counted."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader, wanted, begin = csv.reader(file), row + 1, 1
            for record in reader:
                blank = not record or (len(record) == 1 and not record[0].strip())
                if not blank and not wanted:
                    return f"{path} line {begin}"
                wanted -= not blank
                begin = reader.line_num + 1
    except (OSError, ValueError, csv.Error):
        pass  # compressed, or in another encoding: lines cannot be counted
    return f"{path} line {row + 2}"
