"""A table of predictions as it was found, before its columns are checked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.missing import missing_mask

PREFIXES = ("target_", "prob_", "votes_")
_WORDS = ("sample_id", "id", "label", "pred")  # never numbers, whatever they look like
UNIT_COLUMNS = ("cluster", "identity")
_CODES = 50  # more distinct whole numbers than this are no codes of groups
_MOST_COLUMNS = 10_000  # each is looked at for groups, which takes about a millisecond
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


@dataclass(frozen=True, kw_only=True)
class PredictionTable:
    """Columns, blocks of columns, and where a row stands.

    Attributes:
        columns: Name -> ``(n,)`` series, for all that are in no block; text is categorical where it repeats.
        blocks: ``target_``, ``prob_`` and ``votes_``, those that are there.
        n: Rows.
        source: Name of the table in messages.
        where: Where a row stands, such as ``p.csv line 7``; None where the row's number says it.
        notes: What a reader must know of the rows, in sentences.
        annotator_errors: Perceived attribute -> what its annotator gets wrong.
        warnings: What puts every finding on these rows in doubt, in sentences.
        numbers: Numbers that a model told beside the classes, each in a column ``number_<name>``.
    """

    columns: dict[str, pd.Series[Any]]
    blocks: dict[str, Block]
    n: int
    source: str
    where: Place | None = None
    notes: tuple[str, ...] = ()
    annotator_errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All columns, those of the blocks last."""
        return [*self.columns, *(f"{prefix}{c}" for prefix, block in self.blocks.items() for c in block.names)]

    def place(self, row: int) -> str:
        """``p.csv line 7`` (the header is line 1), or ``table row 5`` (the first is row 0)."""
        return self.where(row) if self.where else f"{self.source} row {row}"


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
    plain = {
        c: s if c in _WORDS or isinstance(s.dtype, pd.CategoricalDtype) else with_numbers(s, c, typed=True)
        for c, s in series.items()
        if not c.startswith(PREFIXES)
    }
    return PredictionTable(columns=plain, blocks=blocks, n=len(frame), source=source)


def check_names(names: list[str], source: str) -> list[str]:
    """Refuse two columns of one name, and more columns than a table of faces has."""
    if len(names) > _MOST_COLUMNS:
        fix = "Leave out those that are no groups, such as features."
        raise DataError(source, f"has {len(names):,} columns", f"at most {_MOST_COLUMNS:,}", fix)
    twice = sorted(c for c, n in Counter(names).items() if n > 1)
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
        odd = np.flatnonzero(found.isna() & text.notna())
        codes, distinct = pd.factorize(text.iloc[odd].astype(str))
        bad = odd[~missing_mask(distinct)[codes]] if len(odd) else odd
        if len(bad):
            wrong = str(text.iloc[int(bad[0])])
            fix = "Write a point before decimals, and no % sign." if any(c in wrong for c in ",%") else ""
            raise DataError(place(first + int(bad[0])), f"column {column!r} holds {wrong!r}", "a number", fix)
        values = found
    small = values.dtype in (np.float16, np.float32)
    return values.to_numpy(np.float32 if small else np.float64, na_value=np.nan)


def with_numbers(values: pd.Series[Any], name: str, *, typed: bool) -> pd.Series[Any]:
    """A column of numbers with some words that mean missing, as numbers; any other column as it is.

    Args:
        values: ``(n,)`` a column.
        name: Its name: what tells persons and pictures apart stays text, for long numbers lose digits.
        typed: Its file or frame said that it holds text: then whole numbers of few values are codes of
            groups, which stay words. A CSV says nothing, and numbers are numbers.
    """
    if name.strip().lower() in UNIT_COLUMNS:
        return values
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, words = values.cat.codes.to_numpy(), list(values.cat.categories)
    elif values.dtype == object or pd.api.types.is_string_dtype(values):
        if not _numeric(values.dropna().iloc[:1000].tolist()):
            return values
        codes, distinct = pd.factorize(values)
        words = list(distinct)
    else:
        return values
    known = ~missing_mask(words)
    texts = [w for w, k in zip(words, known, strict=True) if k]
    if not texts or not _numeric(texts):
        return values
    if typed and len(texts) <= _CODES and all(isinstance(t, str) and t.strip().lstrip("+-").isdigit() for t in texts):
        return values
    found = np.full(len(words) + 1, np.nan)
    found[:-1][known] = pd.to_numeric(pd.Series(texts, dtype=object)).to_numpy(np.float64)
    return pd.Series(found[codes])


def _numeric(words: list[Any]) -> bool:
    """Whether all words that do not mean missing are numbers; truth values are none."""
    texts = [w for w, gone in zip(words, missing_mask(words), strict=True) if not gone]
    if any(isinstance(t, bool | np.bool_) for t in texts):
        return False
    found = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce")
    return bool(found.notna().all())


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
