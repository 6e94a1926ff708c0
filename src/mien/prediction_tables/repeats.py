"""Rows that stand in a table more than once, and headers among the rows.

A program that appends to its results on every run makes each face count several times: intervals
shrink, and a chance gap becomes a finding. But equal rows alone are no evidence. With few columns
(annotated, predicted, gender) many faces are alike. Evidence is one of two things:

- The rows from some place on say again, in the same order, what the table's first rows say, for so
  many rows that chance cannot do it.
- What tells faces apart (the path of a picture, probabilities with three decimals or more) agrees in two
  rows, and nearly always when it agrees, all else does too. Faces of one group photo differ in something;
  frames of a film may not, but follow each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.prediction_tables.columns import RUN_COLUMNS, Bools, Ints, Texts, hashes
from mien.prediction_tables.gathering import IDS
from mien.prediction_tables.number_columns import MOST_GROUPS
from mien.prediction_tables.table import PredictionTable

#: Columns that name pictures in the tables of common tools, in lower case.
PICTURE_COLUMNS = (
    *("path", "image_path", "img_path", "file_path", "filepath", "filename", "file_name", "file", "image_name"),
    *("img_name", "image_file", "image", "img", "picture", "photo", "url", "image_id", "img_id", "input"),
)
_LEAST = 10  # pairs of rows that make evidence of two results
_HALF = 0.5
_NEARLY_ALL = 0.98
_UNLIKELY = 1e-6  # that a run of rows agrees by chance somewhere in the table
_RUNS = (30, 100, 300)  # rows that are compared in order
_SURE = 0.99  # a probability above is often rounded to 1, alike for many faces
_Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class RepeatsFound:
    """Rows that repeat earlier ones.

    Attributes:
        keep: ``(n,)`` the rows that count; None where all do.
        warnings: What is wrong, in sentences.
    """

    keep: Bools | None = None
    warnings: list[str] = field(default_factory=list)


def refuse_headers(table: PredictionTable) -> None:
    """Refuse rows in which every cell of text repeats its own column's name, as joined files have them.

    One such cell alone is a value: a column ``glasses`` may hold ``glasses`` and ``none``.

    Raises:
        DataError: With the first such row.
    """
    texts = {n: c for n, c in table.columns.items() if not pd.api.types.is_numeric_dtype(c)}
    if len(texts) < 2:
        return
    header = np.ones(table.n, dtype=np.bool_)
    for name, column in texts.items():
        header &= _own_name(name, column)
        if not header.any():
            return
    row = int(header.argmax())
    raise DataError(
        table.place(row),
        f"the header stands there again ({int(header.sum())} such rows): every cell holds its column's name",
        "one header, at the top",
        "Delete these lines. If the table was made by joining files, see that no face stands there twice.",
    )


def _own_name(name: str, column: pd.Series[Any]) -> NDArray[np.bool_]:
    """``(n,)`` whether a cell holds the name of its column."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        texts = Texts.of(column)
        own = np.array([*(w.strip() == name for w in texts.words), False], dtype=np.bool_)
        return np.asarray(own[texts.codes])
    return np.asarray((column == name).fillna(False).to_numpy(bool))


def repeats_of(table: PredictionTable, ids_are_numbers: bool) -> RepeatsFound:
    """Find rows that repeat earlier ones.

    Args:
        table: The table.
        ids_are_numbers: Whether its ids only number the rows, so that they tell no face from another.
    """
    models = several_models(table)
    if models or not ids_are_numbers or table.n < 2 or _all_named(table):
        return RepeatsFound(None, models)
    whole = _row_hashes(table, [c for c in table.columns if c not in IDS], list(table.blocks))
    again = _in_order(whole)
    for keys in _keys(table):
        again |= _keyed(keys, whole)
    warnings = _two_results(table, whole)
    if not again.any():
        return RepeatsFound(None, warnings)
    first, n = table.place(int(again.argmax())), int(again.sum())
    sentence = (
        f"{n:,} of the {table.n:,} rows say again what an earlier row says, in every column (the first is {first}). "
        f"Each face was counted once, which leaves {table.n - n:,}. A program that adds its results to an old file "
        "writes such rows: delete them, or, if these are different faces, give each an id of its own ('sample_id')."
    )
    return RepeatsFound(~again, [sentence, *warnings])


def _all_named(table: PredictionTable) -> bool:
    """Whether a column of texts tells every row from every other, as paths of pictures do."""
    texts = [c for name, c in table.columns.items() if name not in IDS and _is_text(c)]
    plain = [c for c in texts if not isinstance(c.dtype, pd.CategoricalDtype) or len(c.cat.categories) >= len(c)]
    return any(c.nunique() == table.n for c in plain)


def _row_hashes(table: PredictionTable, columns: list[str], blocks: list[str]) -> _Hashes:
    out = np.zeros(table.n, dtype=np.uint64)
    for name in columns:
        out = _mixed(out, _column_hashes(table.columns[name]))
    for prefix in blocks:
        for values in table.blocks[prefix].values.T:
            out = _mixed(out, pd.util.hash_array(np.ascontiguousarray(values)))
    return out


def _mixed(a: _Hashes, b: _Hashes) -> _Hashes:
    return (a ^ b) * np.uint64(0x9E3779B97F4A7C15) + (a >> np.uint64(29))


def _column_hashes(column: pd.Series[Any]) -> _Hashes:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray(pd.util.hash_array(column.cat.codes.to_numpy()))
    if pd.api.types.is_numeric_dtype(column):
        return np.asarray(pd.util.hash_array(column.to_numpy(np.float64, na_value=np.nan)))
    if pd.api.types.is_string_dtype(column):
        return hashes(column.array)
    return np.asarray(pd.util.hash_array(pd.factorize(column)[0]))


def _in_order(whole: _Hashes) -> Bools:
    """Rows that say again, in order, what the table's first rows say: ``(n,)``."""
    n, again = len(whole), np.zeros(len(whole), dtype=bool)
    for length in _RUNS:
        if length > n // 2:
            break
        counts = np.unique(whole[:length], return_counts=True)[1] / length
        if n * float((counts**2).sum()) ** length > _UNLIKELY:
            continue  # rows too much alike: sorted by class, say
        alike = (np.flatnonzero(whole[1 : n - length + 1] == whole[0]) + 1).tolist()
        starts = [p for p in alike if np.array_equal(whole[p : p + length], whole[:length])]
        if starts and starts[0] < length:
            break  # the rows follow a short pattern of their own: a drawn table, not a repeated one
        for p in starts:
            differ = np.flatnonzero(whole[p:] != whole[: n - p])
            again[p : p + (int(differ[0]) if len(differ) else n - p)] = True
        break
    return again


def _keys(table: PredictionTable) -> list[tuple[_Hashes, Bools]]:
    """What tells faces apart: hashes, and the rows in which they do."""
    names = [c for c in table.columns if c.lower() in PICTURE_COLUMNS and table.columns[c].nunique() > 1]
    found = [(_column_hashes(table.columns[c]), table.columns[c].notna().to_numpy(bool)) for c in names]
    if "prob_" in table.blocks:
        found.append((_row_hashes(table, [], ["prob_"]), _detailed(table.blocks["prob_"].values)))
    return found


def _is_text(column: pd.Series[Any]) -> bool:
    return not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column))


def _detailed(probs: NDArray[Any]) -> Bools:
    """Rows whose probabilities are hardly those of another face: not sure of one class, three decimals or more."""
    fine = np.zeros(len(probs), dtype=bool)
    for values in probs.T:
        fine |= np.abs(values * 100 - np.round(values * 100)) > 1e-3
    return np.asarray(fine & (probs.max(1) < _SURE))


def _keyed(key: tuple[_Hashes, Bools], whole: _Hashes) -> Bools:
    """Rows that repeat an earlier row in a column that tells faces apart, and in all others: ``(n,)``."""
    again, (hashed, rows) = np.zeros(len(whole), dtype=bool), key
    at = np.flatnonzero(rows)
    shared, same = _pairs(hashed[at]), _pairs(_mixed(hashed[at], whole[at]))
    if not same or same < _NEARLY_ALL * shared:
        return again
    twice = at[pd.Series(whole[at]).duplicated().to_numpy()]
    # Frames of a film follow each other; a table that was added to an old one stands far below.
    if float((whole[twice] == whole[twice - 1]).mean()) < _HALF:
        again[twice] = True
    return again


def _pairs(hashed: _Hashes) -> int:
    """Pairs of rows that agree."""
    sizes = np.unique(hashed, return_counts=True)[1].astype(np.int64)
    return int((sizes * (sizes - 1) // 2).sum())


def several_models(table: PredictionTable) -> list[str]:
    """Pictures that stand there once for each model, where columns such as ``model`` or ``epoch`` say so."""
    runs = [c for c in table.columns if c.lower() in RUN_COLUMNS and table.columns[c].nunique() > 1]
    pictures = [c for c in table.columns if c.lower() in PICTURE_COLUMNS] if runs else []
    for name in pictures:
        at = np.flatnonzero(table.columns[name].notna().to_numpy(bool))
        key = _column_hashes(table.columns[name])[at]
        labels = [c for c in ("label",) if c in table.columns]
        annotated = _mixed(key, _row_hashes(table, labels, [p for p in ("target_",) if p in table.blocks])[at])
        shared, of_one_run = _pairs(key), _pairs(_mixed(key, _row_hashes(table, runs, [])[at]))
        # Several faces of a picture differ in what was annotated, or stand there several times for one model.
        if shared < _LEAST or _pairs(annotated) < _NEARLY_ALL * shared or of_one_run > (1 - _NEARLY_ALL) * shared:
            continue
        said = " and ".join(f"'{c}'" for c in runs)
        return [
            f"One picture again, predicted by several models ({said}): {len(np.unique(key)):,} pictures ('{name}') "
            f"stand in {len(at):,} rows. Each face counts once for each model, and the numbers are of none of them: "
            "make a table of each and audit each alone; 'mien compare' sets two beside each other."
        ]
    return []


def _two_results(table: PredictionTable, whole: _Hashes) -> list[str]:
    """Pictures that stand there again, annotated alike and predicted otherwise: two results in one table."""
    for name in table.columns:
        column = table.columns[name]
        if name.lower() not in PICTURE_COLUMNS or column.nunique() <= MOST_GROUPS:
            continue
        at = np.flatnonzero(column.notna().to_numpy(bool))
        key = _column_hashes(column)[at]
        stable = [c for c in table.columns if c not in (*IDS, name, "pred") and _is_group(table.columns[c])]
        annotated = _row_hashes(table, stable, [p for p in ("target_", "votes_") if p in table.blocks])[at]
        shared, alike = _pairs(key), _pairs(_mixed(key, annotated))
        other = alike - _pairs(_mixed(key, whole[at]))
        if _said_to_belong_together(table, key, at, shared):
            continue
        if len(stable) >= 2 and other >= _LEAST and alike >= _NEARLY_ALL * shared and other > shared / 10:
            n_twice, n_names = int(pd.Series(key).duplicated().sum()), len(np.unique(key))
            return [
                f"{n_twice:,} of the {table.n:,} rows name a picture ('{name}') that an earlier row names, annotated "
                f"alike but predicted otherwise: {n_names:,} pictures stand in the table. It may hold the results of "
                "two models, or of one model run twice: keep one of them. If the rows are frames of a film or several "
                "faces of a picture, say which belong together in a column 'cluster'."
            ]
    return []


def _said_to_belong_together(table: PredictionTable, key: _Hashes, rows: Ints, shared: int) -> bool:
    """Whether ``cluster`` joins the rows of each picture: then its owner knows that they are one."""
    return "cluster" in table.columns and _pairs(_mixed(key, _column_hashes(table.columns["cluster"])[rows])) == shared


def _is_group(column: pd.Series[Any]) -> bool:
    return _is_text(column) and column.nunique() <= MOST_GROUPS
