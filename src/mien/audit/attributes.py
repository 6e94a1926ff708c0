"""Attributes: from columns of the predictions to codes of groups."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError, UsageError
from mien.records import Predictions
from mien.registry import nearest
from mien.samples import ANNOTATED, PERCEIVED

MAX_GROUPS = 50
MAX_INTERSECTIONS = 400
UNKNOWN = "unknown"
NOT_STATED, MEASURED = "not stated", "measured"
_SOURCE, _CONFIDENCE, _ANNOTATOR, _PROB = "_source", "_confidence", "_annotator", "_prob_"
_MISSING = ("", UNKNOWN, "nan", "<na>")


@dataclass(frozen=True)
class Attribute:
    """An attribute, or the intersection of several, as codes.

    Attributes:
        name: The specification: ``gender``, or ``gender*age`` for an intersection.
        label: For people: ``perceived gender``.
        source: ``annotated``, ``perceived`` (a model's or an onlooker's guess), ``measured`` (parts of a
            column of numbers) or ``not stated``.
        groups: The G groups; of an intersection all combinations, empty ones too.
        codes: ``(n,)`` int64, -1 where the value (of any part) is unknown.
        confidence: Mean confidence of the perceived values; NaN where there is none.
        note: Where a column of numbers was cut.
    """

    name: str
    label: str
    source: str
    groups: tuple[str, ...]
    codes: NDArray[np.int64]
    confidence: float = float("nan")
    note: str = ""


def candidate_attributes(pred: Predictions) -> list[str]:
    """Columns that can be audited: 2 to 50 values, not numbers, not a source or a confidence."""
    return [str(c) for c in _attribute_columns(pred) if not _refusal(pred.groups[c])]


def resolve_attributes(pred: Predictions, by: Sequence[str]) -> list[Attribute]:
    """Turn specifications into attributes.

    Args:
        pred: The predictions.
        by: Column names; ``gender*age`` means the intersection, ``brightness:3`` cuts a column of
            numbers into three parts of equally many faces.

    Raises:
        UsageError: If there is no specification or one of them names no column.
        DataError: If a column cannot serve as an attribute.
    """
    specs = list(dict.fromkeys("*".join(part.strip() for part in spec.split("*")) for spec in by))
    if not specs:
        candidates = candidate_attributes(pred)
        raise UsageError(
            "audit",
            "no attribute was given",
            "at least one column of groups",
            f"Pass by={candidates[:3]!r}; candidates: {', '.join(candidates)}."
            if candidates
            else f"The table has no column that could be one: add one with 2 to {MAX_GROUPS} named groups.",
        )
    return [resolve_attribute(pred, spec) for spec in specs]


def resolve_attribute(pred: Predictions, spec: str) -> Attribute:
    """Turn one specification into codes; see :func:`resolve_attributes`."""
    parts = [_single(pred, part) for part in spec.split("*")]
    if len(parts) == 1:
        return parts[0]
    if len({p.name for p in parts}) < len(parts):
        raise UsageError(f"attribute {spec!r}", "names a column twice", "different columns")
    return _intersection(pred, spec, parts)


def _intersection(pred: Predictions, spec: str, parts: list[Attribute]) -> Attribute:
    if (size := math.prod(len(p.groups) for p in parts)) > MAX_INTERSECTIONS:
        raise DataError(
            f"attribute {spec!r}",
            f"has {size} intersections",
            f"at most {MAX_INTERSECTIONS}",
            "Leave an attribute out, or merge values.",
        )
    groups: list[str] = [""]
    codes: NDArray[np.int64] = np.zeros(len(pred), dtype=np.int64)
    for part in parts:
        groups = [f"{g}*{h}" if g else h for g in groups for h in part.groups]
        unknown = (codes < 0) | (part.codes < 0)
        codes = np.where(unknown, -1, codes * len(part.groups) + part.codes).astype(np.int64)
    sources = {p.source for p in parts}
    if PERCEIVED in sources or NOT_STATED in sources:
        source = PERCEIVED if PERCEIVED in sources else NOT_STATED
    else:
        source = ANNOTATED if ANNOTATED in sources else MEASURED
    label = " * ".join(p.label for p in parts)
    note = " ".join(f"{p.label}: {p.note}" for p in parts if p.note)
    return Attribute(spec, label, source, tuple(groups), codes, note=note)


def _parts(pred: Predictions, spec: str, column: pd.Series[Any], n_parts: int) -> Attribute:
    """A column of numbers cut at its quantiles."""
    where = f"{pred.source or 'predictions'} column {spec.partition(':')[0]!r}"
    if not is_number(column):
        raise DataError(where, "does not hold numbers", "numbers to cut into parts", "Name the column without ':'.")
    if not 2 <= n_parts <= MAX_GROUPS:
        raise UsageError(f"attribute {spec!r}", f"{n_parts} parts", f"2 to {MAX_GROUPS}")
    values = column.to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(values)
    edges = np.quantile(values[known], np.arange(1, n_parts) / n_parts) if known.any() else np.zeros(0)
    if len(np.unique(edges)) < n_parts - 1:
        raise DataError(
            where, f"has too few distinct values for {n_parts} parts", "numbers that differ", "Use fewer parts."
        )
    names = {2: ("low", "high"), 3: ("low", "middle", "high")}.get(n_parts, tuple(str(i + 1) for i in range(n_parts)))
    codes = np.where(known, np.searchsorted(edges, values, side="left"), -1).astype(np.int64)
    if len(np.unique(codes[known])) < n_parts:
        found = f"cannot be cut into {n_parts} parts: too many faces share a value"
        raise DataError(where, found, "numbers that differ", "Use fewer parts, or name its values.")
    note = f"The parts are cut at {' and '.join(f'{e:.3g}' for e in edges)}." if n_parts < 4 else ""
    name = spec.partition(":")[0]
    source = _source(pred, name, known)
    label = name.removeprefix("perceived_").replace("_", " ")
    return Attribute(
        spec,
        f"perceived {label}" if source == PERCEIVED else name,
        MEASURED if source == NOT_STATED else source,
        names,
        codes,
        note=note,
    )


def _single(pred: Predictions, name: str) -> Attribute:
    column_name, separator, n_parts = name.rpartition(":")
    if separator and name not in pred.groups.columns and column_name in pred.groups.columns and n_parts.isdigit():
        return _parts(pred, name, pred.groups[column_name], int(n_parts))
    if name not in pred.groups.columns:
        known = [str(c) for c in _attribute_columns(pred)]
        raise UsageError(
            f"attribute {name!r}",
            f"{pred.source or 'the table'} has no such column",
            "",
            nearest(name, known) if known else "It has no attribute column at all.",
        )
    column = pred.groups[name]
    lost = pred.undetected
    unseen = [t for t in _values(lost[name])[1] if t is not None] if lost is not None and name in lost else []
    refusal = _refusal(column, unseen)
    if refusal:
        raise DataError(f"{pred.source or 'predictions'} column {name!r}", *refusal)
    value_codes, texts = _values(column)
    groups = _ordered(column, {t for t in (*texts, *unseen) if t is not None})
    # A last entry of -1 serves the code -1 of missing values.
    lookup = np.array([*(-1 if t is None else groups.index(t) for t in texts), -1], dtype=np.int64)
    codes = lookup[value_codes]
    source = _source(pred, name, codes >= 0)
    plain = name.removeprefix("perceived_").replace("_", " ")
    return Attribute(
        name,
        f"perceived {plain}" if source == PERCEIVED else name,
        source,
        groups,
        codes,
        _mean_confidence(pred, name, codes >= 0),
    )


def _attribute_columns(pred: Predictions) -> list[Any]:
    columns = [str(c) for c in pred.groups.columns]
    return [
        c
        for c, name in zip(pred.groups.columns, columns, strict=True)
        if not name.endswith((_SOURCE, _CONFIDENCE, _ANNOTATOR))
        and (_PROB not in name or name.split(_PROB)[0] not in columns)
    ]


def codes_in(attribute: Attribute, frame: pd.DataFrame) -> NDArray[np.int64] | None:
    """The groups of other faces than those that the attribute was made from: ``(m,)``, -1 where unknown.

    Args:
        attribute: The attribute.
        frame: ``(m, A)`` its columns for these faces.

    Returns:
        None where the groups cannot be told: parts of a column of numbers.
    """
    index = {g: i for i, g in enumerate(attribute.groups)}
    parts = attribute.name.split("*")
    if any(p not in frame for p in parts):
        return None
    texts = [frame[p].astype(str).str.strip() for p in parts]
    joined = ["*".join(row) for row in zip(*texts, strict=True)]
    return np.array([index.get(name, -1) for name in joined], dtype=np.int64)


def _values(column: pd.Series[Any]) -> tuple[NDArray[np.int64], list[str | None]]:
    """Codes of a column's distinct values (-1 where missing), and each value as text, None for words for missing."""
    codes, distinct = pd.factorize(column)
    texts = [str(value).strip() for value in distinct]
    return codes.astype(np.int64), [None if t.lower() in _MISSING else t for t in texts]


def is_number(column: pd.Series[Any]) -> bool:
    """Whether a column holds numbers, not groups."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _refusal(column: pd.Series[Any], unseen: Sequence[str] = ()) -> tuple[str, str, str] | None:
    """Why a column cannot be an attribute: what was found, what was expected, what to do."""
    expected = f"2 to {MAX_GROUPS} named groups"
    if is_number(column):
        fix = (
            f"Cut it into parts ({column.name}:3 makes three), or bin it into named groups; if the numbers are codes, "
            "write their names."
        )
        return "holds numbers", expected, fix
    n_groups = len({t for t in (*_values(column)[1], *unseen) if t is not None})
    if n_groups > MAX_GROUPS:
        fix = "Merge values into fewer groups. If the column names persons, call it 'identity'."
        return f"has {n_groups} distinct values", expected, fix
    if n_groups < 2:
        fix = "Leave it out, or add the faces of another group: a gap needs two."
        return "has " + ("one group only" if n_groups else "no known value"), expected, fix
    return None


def _ordered(column: pd.Series[Any], found: set[str]) -> tuple[str, ...]:
    """Groups in the column's own order of categories, else sorted with leading numbers as numbers."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        named = [g for g in (str(c).strip() for c in column.dtype.categories) if g in found]
        return tuple(dict.fromkeys([*named, *sorted(found - set(named))]))

    def key(group: str) -> tuple[float, str]:
        number = re.match(r"\d+", group)
        return (float(number.group()) if number else float("inf"), group)

    return tuple(sorted(found, key=key))


def _source(pred: Predictions, name: str, known: NDArray[np.bool_]) -> str:
    """Where the values come from; a column that mixes sources is refused."""
    if name + _SOURCE not in pred.groups.columns:
        return PERCEIVED if name.startswith("perceived_") else NOT_STATED
    stated = sorted({t for t in _values(pred.groups[name + _SOURCE][known])[1] if t is not None})
    if len(stated) > 1:
        raise DataError(
            f"{pred.source or 'predictions'} column {name + _SOURCE!r}",
            f"mixes {' and '.join(stated)}",
            "one source for the whole column",
            "Audit them apart: keep the perceived values in a column of their own.",
        )
    if stated and stated[0] not in (ANNOTATED, PERCEIVED):
        raise DataError(
            f"{pred.source or 'predictions'} column {name + _SOURCE!r}",
            f"holds {stated[0]!r}",
            f"{ANNOTATED!r} or {PERCEIVED!r}",
        )
    return str(stated[0]) if stated else NOT_STATED


def _mean_confidence(pred: Predictions, name: str, known: NDArray[np.bool_]) -> float:
    if name + _CONFIDENCE not in pred.groups.columns:
        return float("nan")
    values = pd.to_numeric(pred.groups[name + _CONFIDENCE], errors="coerce")[known].dropna()
    return float(values.mean()) if len(values) else float("nan")
