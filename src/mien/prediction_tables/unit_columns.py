"""Who belongs together: the independent units behind ``cluster`` and ``identity``, and one that is too large."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from mien.errors import DataError
from mien.missing import MISSING_WORDS, NO_NAME, NOBODY, missing_mask
from mien.prediction_tables.columns import Ints, Texts, hashes
from mien.prediction_tables.table import UNIT_COLUMNS, PredictionTable
from mien.units import joined_units

LARGE = 0.1  # a unit with a larger share of all faces is named: few data sets have such a person
_MANY_FACES = 10  # but not in a table of a dozen rows
_UNEVEN = 2.0  # nor where all persons are about as large: ten persons with a tenth each are no slip


@dataclass(frozen=True)
class UnitsFound:
    """Independent units and what is to be said of them.

    Attributes:
        codes: ``(n,)`` units from 0, without holes; None where the table has no such column.
        notes: Words taken for missing, in sentences.
        warnings: Units that are too large to be one person or picture, in sentences.
    """

    codes: Ints | None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def with_unit_names(table: PredictionTable) -> PredictionTable:
    """The table with its columns of units under their own names: *Identity* and *CLUSTER * are these.

    Raises:
        DataError: If two columns are called so, as *Identity* and *identity* are.
    """
    meant: dict[str, list[str]] = {}
    for name in table.columns:
        if name.strip().lower() in UNIT_COLUMNS:
            meant.setdefault(name.strip().lower(), []).append(name)
    for unit, names in meant.items():
        if len(names) > 1:
            found = f"columns {' and '.join(map(repr, names))} are both {unit!r}"
            raise DataError(table.source, found, f"one column {unit!r}", "Leave one out, or rename it.")
    new = {names[0]: unit for unit, names in meant.items() if names[0] != unit}
    if not new:
        return table
    notes = [f"The column {name!r} was read as {unit!r}." for name, unit in new.items()]
    columns = {new.get(name, name): column for name, column in table.columns.items()}
    return replace(table, columns=columns, notes=(*table.notes, *notes))


def units_of(table: PredictionTable) -> UnitsFound:
    """Independent units from ``cluster`` and ``identity``; a missing value is a unit of its own."""
    names = [c for c in UNIT_COLUMNS if c in table.columns]
    if not names:
        return UnitsFound(None)
    columns = [_unit_codes(table.columns[c], c == "cluster") for c in names]
    notes = [note for c in names if (note := _words_note(table.columns[c], c))]
    warnings = [w for c, codes in zip(names, columns, strict=True) if (w := _large_note(table.columns[c], c, codes))]
    if len(columns) == 1:
        return UnitsFound(numbered(columns[0]), notes, warnings)
    joined = joined_units([pd.Series(c).where(c >= 0) for c in columns])
    if not warnings and (row := _large_row(joined)) is not None:
        warnings = [
            f"{int((joined == joined[row]).sum()):,} of the {len(joined):,} faces hang together through shared "
            f"pictures and persons ('cluster' and 'identity'), and count as one. The first is {table.place(row)}. If a "
            "value stands there that means nobody, leave these cells empty."
        ]
    return UnitsFound(joined, notes, warnings)


def _unit_codes(column: pd.Series[Any], cluster: bool) -> Ints:
    """Codes of the values from 0, -1 where missing; ``-1`` means nobody in ``cluster``."""
    if pd.api.types.is_integer_dtype(column) and not column.isna().any():
        values = column.to_numpy(np.int64)
        least = int(values.min())
        if int(values.max()) - least < 4 * len(values):
            return np.where(values == -1, -1, values - least) if cluster and least < 0 else values - least
    if pd.api.types.is_numeric_dtype(column):
        known = column.where(column != -1) if cluster else column
        return pd.factorize(known)[0].astype(np.int64)
    if pd.api.types.is_string_dtype(column) and not isinstance(column.dtype, pd.CategoricalDtype):
        return _text_unit_codes(column, cluster)
    texts = Texts.of(column)
    absent = np.append(missing_mask(texts.words, cluster=cluster), False)
    return np.where(absent[texts.codes], -1, texts.codes).astype(np.int64)


def _text_unit_codes(column: pd.Series[Any], cluster: bool) -> Ints:
    """As :func:`_unit_codes` for many different texts, which are told apart by their 64-bit hashes."""
    perhaps = _perhaps_missing(column)
    known = column.notna().to_numpy(bool, copy=True)
    known[column.index.get_indexer(perhaps.index)] = ~missing_mask(perhaps, cluster=cluster)
    codes = np.full(len(column), -1, dtype=np.int64)
    codes[known] = np.unique(hashes(column.array[known]), return_inverse=True)[1].reshape(-1)
    return codes


def _words_note(column: pd.Series[Any], name: str) -> str:
    """Words that were taken for missing, with their counts; empty where there are none."""
    if pd.api.types.is_numeric_dtype(column):
        nobody = int((column == -1).sum()) if name == "cluster" else 0
        counts = {"-1": nobody} if nobody else {}
    else:
        texts = Texts.of(column if isinstance(column.dtype, pd.CategoricalDtype) else _perhaps_missing(column))
        absent = missing_mask(texts.words, cluster=name == "cluster")
        words = {w for w, gone in zip(texts.words, absent, strict=True) if gone and w.strip()}
        counts = {w: n for w, n in texts.counts().items() if w in words}
    if not counts:
        return ""
    said = ", ".join(f"{w!r} in {n:,} rows" for w, n in sorted(counts.items()))
    return f"In '{name}' these words were taken for nobody known: {said}. Each such face counts as independent."


def _perhaps_missing(column: pd.Series[Any]) -> pd.Series[Any]:
    """The rows whose words could mean missing: of a million names nothing else is looked at word by word."""
    text = column if pd.api.types.is_string_dtype(column) else column.dropna().astype(str)
    perhaps = text.str.strip().str.lower().isin([*MISSING_WORDS, NO_NAME, *NOBODY])
    return text[perhaps.fillna(False).astype(bool)].astype(object)


def _large_row(codes: Ints) -> int | None:
    """A row of the largest unit, where that is too large; None otherwise."""
    sizes = np.bincount(codes[codes >= 0])
    if not len(sizes):
        return None
    largest, n_alone = int(sizes.max()), int((codes < 0).sum())
    n_units = int((sizes > 0).sum()) + n_alone
    if largest < _MANY_FACES or largest <= LARGE * len(codes) or largest < _UNEVEN * len(codes) / n_units:
        return None
    return int(np.argmax(codes == int(sizes.argmax())))


def _large_note(column: pd.Series[Any], name: str, codes: Ints) -> str:
    row = _large_row(codes)
    if row is None:
        return ""
    n, unit = int((codes == codes[row]).sum()), "person" if name == "identity" else "picture with its copies"
    return (
        f"The value {str(column.iloc[row])!r} of the column '{name}' stands in {n:,} of the {len(codes):,} rows: these "
        f"faces count as one {unit}, which makes every finding about them unsure. If the value means that nobody is "
        "known, leave these cells empty."
    )


def numbered(codes: Ints) -> Ints:
    """Codes without holes, in their order; each -1 becomes a number of its own at the end."""
    alone = codes < 0
    used = np.zeros(int(codes.max(initial=-1)) + 1, dtype=bool)
    used[codes[~alone]] = True
    numbers = np.cumsum(used)
    numbers -= 1
    if not alone.any():
        return codes if used.all() else numbers[codes]
    out = np.empty(len(codes), dtype=np.int64)
    out[~alone] = numbers[codes[~alone]]
    out[alone] = int(used.sum()) + np.arange(int(alone.sum()))
    return out
