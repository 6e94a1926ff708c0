"""Attributes: from columns of the predictions to codes of groups."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError, UsageError
from mien.missing import NO_NAME, missing_mask
from mien.prediction_tables.table import in_order
from mien.records import Predictions
from mien.registry import nearest
from mien.samples import ANNOTATED, PERCEIVED
from mien.spellings import commonest, folded

MAX_GROUPS = 50
MAX_INTERSECTIONS = 400
NOT_STATED, MEASURED = "not stated", "measured"
_SOURCE, _CONFIDENCE, _ANNOTATOR, _PROB = "_source", "_confidence", "_annotator", "_prob_"
_MOST_SPELLINGS = 20 * MAX_GROUPS
_OTHER_ROLES = {
    "label": "is the annotation: what each class is served like stands in every audit (recall of the class)",
    "pred": "is the model's prediction: a model's own answers are no groups of faces",
    "identity": "names persons: their faces count as one unit, and are no groups to compare",
    "cluster": "names faces that belong together: they count as one unit, and are no groups to compare",
    "detected": "says which faces were found: the audit counts the others for each group anyway",
    "sample_id": "names each face: that is no group",
    "id": "names each face: that is no group",
}
_SPLIT_COLUMNS = ("split", "subset", "partition", "usage", "fold")


@dataclass(frozen=True, kw_only=True)
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
        note: Where a column of numbers was cut; which spellings were joined and which words taken for missing.
    """

    name: str
    label: str
    source: str
    groups: tuple[str, ...]
    codes: NDArray[np.int64]
    confidence: float = float("nan")
    note: str = ""


def candidate_attributes(pred: Predictions) -> list[str]:
    """Columns that can be audited: 2 to 50 groups, not numbers, not a source or a confidence, not the split."""
    columns = [c for c in _attribute_columns(pred) if str(c).lower() not in _SPLIT_COLUMNS]
    return [str(c) for c in columns if not _refusal(pred.groups[c])]


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
            f"Pass --by {','.join(candidates[:3])} (by={candidates[:3]!r}); candidates: {', '.join(candidates)}."
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
    if len(set(groups)) < len(groups):
        twice = next(g for g in groups if groups.count(g) > 1)
        where = f"{pred.source or 'predictions'} attribute {spec!r}"
        raise DataError(where, f"two intersections are both called {twice!r}", "names that differ",
                        "Rename the groups that hold a '*'.")  # fmt: skip
    sources = {p.source for p in parts}
    if PERCEIVED in sources or NOT_STATED in sources:
        source = PERCEIVED if PERCEIVED in sources else NOT_STATED
    else:
        source = ANNOTATED if ANNOTATED in sources else MEASURED
    label = " * ".join(p.label for p in parts)
    note = " ".join(f"{p.label}: {p.note}" for p in parts if p.note)
    return Attribute(name=spec, label=label, source=source, groups=tuple(groups), codes=codes, note=note)


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
        name=spec,
        label=f"perceived {label}" if source == PERCEIVED else name,
        source=MEASURED if source == NOT_STATED else source,
        groups=names,
        codes=codes,
        note=note,
    )


def _single(pred: Predictions, name: str) -> Attribute:
    column_name, separator, n_parts = name.rpartition(":")
    if separator and name not in pred.groups.columns and column_name in pred.groups.columns and n_parts.isdigit():
        return _parts(pred, name, pred.groups[column_name], int(n_parts))
    if name not in pred.groups.columns:
        known = [str(c) for c in _attribute_columns(pred)]
        if role := _OTHER_ROLES.get(name.strip().lower()):
            candidates = ", ".join(candidate_attributes(pred)) or "none in this table"
            raise UsageError(f"attribute {name!r}", role, "a column of groups", f"Columns that could be: {candidates}.")
        raise UsageError(
            f"attribute {name!r}",
            f"{pred.source or 'the table'} has no such column",
            "",
            nearest(name, known) if known else "It has no attribute column at all.",
        )
    column = pred.groups[name]
    lost = pred.undetected
    unseen = _words(lost[name]) if lost is not None and name in lost else _Words.none()
    refusal = _refusal(column, unseen)
    if refusal:
        raise DataError(f"{pred.source or 'predictions'} column {name!r}", *refusal)
    words = _words(column)
    names = {**unseen.names, **words.names}
    groups = _ordered(column, names)
    # A last entry of -1 serves the code -1 of missing values.
    lookup = np.array([*(-1 if f is None else groups.index(names[f]) for f in words.forms), -1], dtype=np.int64)
    codes = lookup[words.codes]
    source = _source(pred, name, codes >= 0)
    plain = name.removeprefix("perceived_").replace("_", " ")
    return Attribute(
        name=name,
        label=f"perceived {plain}" if source == PERCEIVED else name,
        source=source,
        groups=groups,
        codes=codes,
        confidence=_mean_confidence(pred, name, codes >= 0),
        note=words.note,
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
    index = {_folded_parts(g.split("*")): i for i, g in enumerate(attribute.groups)}
    parts = attribute.name.split("*")
    if any(p not in frame for p in parts):
        return None
    texts = [frame[p].astype(object) for p in parts]
    known = ~np.logical_or.reduce([missing_mask(t, group=True) for t in texts])
    joined = [_folded_parts(map(str, row)) for row in zip(*texts, strict=True)]
    return np.array([index.get(name, -1) if k else -1 for name, k in zip(joined, known, strict=True)], dtype=np.int64)


def _folded_parts(parts: Iterable[str]) -> str:
    return "*".join(folded(part) for part in parts)


@dataclass(frozen=True)
class _Words:
    """A column of groups: codes of its distinct values, and which of them are one group.

    Attributes:
        codes: ``(n,)`` codes of distinct values, -1 where there is none.
        forms: Each distinct value's folded form; None for a word that means missing.
        names: Folded form -> the commonest spelling.
        missing: Word for missing -> rows; empty cells are not counted.
        joined: Commonest spelling -> its other spellings with their rows.
    """

    codes: NDArray[np.int64]
    forms: list[str | None]
    names: dict[str, str]
    missing: dict[str, int]
    joined: dict[str, dict[str, int]]

    @classmethod
    def none(cls) -> _Words:
        """No rows at all."""
        return cls(np.zeros(0, dtype=np.int64), [], {}, {}, {})

    @property
    def note(self) -> str:
        """What was joined and what was taken for missing, in sentences; empty for neither."""
        said = []
        for name, others in self.joined.items():
            ways = ", ".join(f"{other!r} ({n:,})" for other, n in others.items())
            said.append(f"{name!r} is also written {ways}: these faces are one group.")
        if self.missing:
            words = ", ".join(f"{w!r} ({n:,})" for w, n in sorted(self.missing.items()))
            said.append(f"Taken for missing, not for a group: {words}.")
        if NO_NAME in self.names:
            said.append(
                f"{self.names[NO_NAME]!r} counts as a group, as where nobody wears glasses; if it means that nothing "
                "is known, leave these cells empty."
            )
        return " ".join(said)


def _words(column: pd.Series[Any]) -> _Words:
    """The groups of a column; spellings that differ by case, blanks, Unicode form or a trailing .0 are one."""
    found, distinct = pd.factorize(column)
    codes, texts = found.astype(np.int64), [str(value).strip() for value in distinct]
    counts = np.bincount(codes[codes >= 0], minlength=len(texts)).tolist()
    absent = missing_mask(texts, group=True)
    forms = [None if gone else folded(t) for t, gone in zip(texts, absent, strict=True)]
    rows: dict[str, dict[str, int]] = {}
    missing: dict[str, int] = {}
    for text, form, n in zip(texts, forms, counts, strict=True):
        kept = missing if form is None else rows.setdefault(form, {})
        if text:
            kept[text] = kept.get(text, 0) + n
    names = {form: commonest(ways) for form, ways in rows.items()}
    joined = {names[f]: {w: ways[w] for w in sorted(ways) if w != names[f]} for f, ways in sorted(rows.items())}
    return _Words(codes, forms, names, missing, {name: others for name, others in joined.items() if others})


def missing_words(column: pd.Series[Any]) -> dict[str, int]:
    """Words in a column of groups that were taken for missing -> rows; empty cells are not counted."""
    return _words(column).missing


def is_number(column: pd.Series[Any]) -> bool:
    """Whether a column holds numbers, not groups."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _refusal(column: pd.Series[Any], unseen: _Words | None = None) -> tuple[str, str, str] | None:
    """Why a column cannot be an attribute: what was found, what was expected, what to do."""
    expected = f"2 to {MAX_GROUPS} named groups"
    blank = column.isna().all() or (column.nunique() <= 2 and not (w := _words(column)).names and not w.missing)
    if blank and not (unseen and unseen.names):
        return "is empty: no face has a value there", expected, "Fill it, or leave it out."
    if is_number(column):
        fix = (
            f"Cut it into parts ({column.name}:3 makes three), or bin it into named groups; if the numbers are codes, "
            "write their names."
        )
        return "holds numbers", expected, fix
    # Names of a million pictures are no groups, however they are spelt: they are not looked at one by one.
    n_groups = int(column.nunique())
    if n_groups <= _MOST_SPELLINGS:
        n_groups = len({*_words(column).names, *(unseen.names if unseen else ())})
    if n_groups > MAX_GROUPS:
        fix = "Merge values into fewer groups. If the column names persons, call it 'identity'."
        return f"has {n_groups} distinct values", expected, fix
    if n_groups < 2:
        fix = "Leave it out, or add the faces of another group: a gap needs two."
        if gone := _words(column).missing:
            words = ", ".join(f"{word!r} ({n:,} rows)" for word, n in sorted(gone.items()))
            fix += f" Taken for missing: {words}; if it is a group, give it another name."
        return "has " + ("one group only" if n_groups else "no known value"), expected, fix
    return None


def _ordered(column: pd.Series[Any], names: Mapping[str, str]) -> tuple[str, ...]:
    """Groups in the column's own order of categories, else sorted with leading numbers as numbers.

    Args:
        column: The column.
        names: Folded form -> name of each group.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        written = [str(c) for c in column.dtype.categories]
        # Files give their words in alphabetical order; only another order is somebody's choice.
        if written != in_order(written):
            named = [names[form] for form in map(folded, written) if form in names]
            return tuple(dict.fromkeys([*named, *in_order(set(names.values()) - set(named))]))
    return tuple(in_order(names.values()))


def _source(pred: Predictions, name: str, known: NDArray[np.bool_]) -> str:
    """Where the values come from; a column that mixes sources is refused."""
    if name + _SOURCE not in pred.groups.columns:
        return PERCEIVED if name.startswith("perceived_") else NOT_STATED
    stated = sorted(form for form in _words(pred.groups[name + _SOURCE][known]).names if form != NO_NAME)
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
