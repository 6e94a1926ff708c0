"""Tables as tools write them, told by their columns, with the columns that an audit asks for.

timm writes ``filename,label,prob``, where ``label`` is what the model said; data frames of deepface hold
a dictionary in a cell; scikit-learn's users say ``y_true`` and ``y_pred``. Each is told by columns that
belong to no other table, and what was read as what is said in the notes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mien.errors import DataError
from mien.prediction_tables.class_columns import with_class_columns
from mien.prediction_tables.table import Block, PredictionTable
from mien.spellings import folded

#: Other names of the two columns, where the table does not have them.
_OTHER_NAMES = {
    "label": ("y_true", "true_label", "ground_truth", "gt", "annotation", "true label", "actual"),
    "pred": ("y_pred", "pred_label", "predicted_label", "prediction", "predicted", "dominant_emotion"),
}
#: Columns that name the picture, the surest first.
PICTURES = ("filename", "file_name", "file", "path", "img_path", "image_path", "input", "image", "img", "name")
_DICTS = ("emotion", "emotions", "scores", "probs", "probabilities", "results", "predictions")
_PAIR = re.compile(r"['\"]([^'\"]+)['\"]\s*:\s*(?:[\w.]+\()?(-?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)")
_SCORED = re.compile(
    r"['\"]label['\"]\s*:\s*['\"]([^'\"]+)['\"]\s*,\s*['\"]score['\"]\s*:\s*(-?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)"
)
_LISTED = re.compile(r"[^\s,\[\]'\"]+")
_LARGEST = frozenset({"max", "top", "top1", "top_1", "best", "pred", "predicted", "argmax"})
_BOX = ("FaceRectWidth", "FaceRectHeight")


def recognised(table: PredictionTable, classes: Sequence[str] | None = None) -> PredictionTable:
    """The table with a tool's columns under the names that an audit asks for.

    Args:
        table: The table as it was found.
        classes: Names of the classes where the tool writes their numbers (timm's column ``index``).

    Raises:
        DataError: If the tool wrote scores that are no probabilities, or a column of them is empty or no class.
    """
    if not table.n:
        return table
    known = with_class_columns(_renamed(_dicts_in_cells(_timm(_without_largest(table), classes))))
    return _largest_faces(_deepface(known))


def _without_largest(table: PredictionTable) -> PredictionTable:
    """The table without ``prob_max`` and its like, which repeats the largest probability and is no class.

    Raises:
        DataError: If a column of the block is empty throughout, or called so and something else.
    """
    block = table.blocks.get("prob_")
    if block is None or len(block.names) < 3:
        return table
    empty = np.isnan(block.values).all(axis=0)
    if empty.any() and not empty.all():
        name = f"prob_{block.names[int(empty.argmax())]}"
        raise DataError(table.source, f"the column {name!r} is empty throughout", "a probability in each row")
    largest = np.array([folded(n) in _LARGEST for n in block.names])
    if largest.sum() != 1 or len(block.names) < 4:
        return table
    name, others = f"prob_{block.names[int(largest.argmax())]}", block.values[:, ~largest]
    if not np.allclose(np.nan_to_num(block.values[:, largest][:, 0]), np.nan_to_num(others).max(axis=1), atol=1e-3):
        fix = "Call it something else, such as 'confidence'."
        raise DataError(table.source, f"the column {name!r} is called like no class", "prob_<class>", fix)
    names = tuple(n for n, top in zip(block.names, largest, strict=True) if not top)
    note = f"The column {name!r} is the largest of the probabilities and no class: left out."
    return replace(table, blocks={**table.blocks, "prob_": Block(names, others)}, notes=(*table.notes, note))


def has_annotations(table: PredictionTable) -> bool:
    """Whether the table says what the faces are."""
    return "label" in table.columns or "target_" in table.blocks


def has_predictions(table: PredictionTable) -> bool:
    """Whether the table says what a model thought of them."""
    return "pred" in table.columns or "prob_" in table.blocks


def _renamed(table: PredictionTable) -> PredictionTable:
    """``Label`` and ``y_true`` are ``label``, ``y_pred`` is ``pred``, where only one column can be meant."""
    columns, notes = dict(table.columns), []
    for wanted, others in _OTHER_NAMES.items():
        prefix = "target_" if wanted == "label" else "prob_"
        if wanted in columns or prefix in table.blocks:
            continue
        found = [c for c in columns if folded(c) == wanted] or [c for c in columns if folded(c) in others]
        if len(found) == 1:
            columns = {wanted if c == found[0] else c: values for c, values in columns.items()}
            notes.append(f"The column {found[0]!r} was read as {wanted!r}.")
    return replace(table, columns=columns, notes=(*table.notes, *notes)) if notes else table


def _timm(table: PredictionTable, classes: Sequence[str] | None) -> PredictionTable:
    """Tables of timm's ``inference.py``: each picture's best classes, side by side or as lists in cells.

    ``label`` (or ``index``) is then the model's answer. Where every class stands in each row, these are
    distributions; where only the best do, their scores cannot be completed.
    """
    ranked = table.blocks.get("prob_")
    n_ranks = len(ranked.names) if ranked and ranked.names == tuple(str(i) for i in range(len(ranked.names))) else 0
    columns = table.columns
    if "filename" not in columns or "pred" in columns or "target_" in table.blocks:
        return table
    kind = next((k for k in ("label", "index") if f"{k}_0" in columns or k in columns), None)
    if kind is None or not (n_ranks or "prob" in columns or "logit" in columns or "logit_0" in columns):
        return table
    if n_ranks and f"{kind}_0" in columns and ranked is not None:
        words = [columns[f"{kind}_{i}"].astype(str).tolist() for i in range(n_ranks) if f"{kind}_{i}" in columns]
        answers, scores = [list(row) for row in zip(*words, strict=True)], ranked.values.tolist()
    elif kind in columns and "prob" in columns:
        answers = [_LISTED.findall(str(v)) if str(v).startswith("[") else [str(v)] for v in columns[kind].tolist()]
        scores = [[float(s) for s in _LISTED.findall(str(v))] for v in columns["prob"].tolist()]
    else:
        fix = "Call timm's inference.py with --output-type prob."
        raise DataError(table.source, "is timm's table of logits", "probabilities", fix)
    mine = re.compile(r"(label|index|prob|logit)(_\d+)?")
    rest = {c: v for c, v in columns.items() if not mine.fullmatch(c)}
    blocks = {p: b for p, b in table.blocks.items() if p != "prob_"}
    note = f"{Path(table.source).name} is a table of timm: its column {kind!r} is what the model said."
    made = _ranked([_called(row, classes if kind == "index" else None, table) for row in answers], scores)
    if isinstance(made, Block):
        return replace(table, columns=rest, blocks={**blocks, "prob_": made}, notes=(*table.notes, note))
    kept = "It has the scores of the best classes only, so that calibration is not audited (--topk 0 has all)."
    return replace(table, columns={**rest, "pred": made}, blocks=blocks, notes=(*table.notes, note, kept))


def _called(row: Sequence[str], classes: Sequence[str] | None, table: PredictionTable) -> Sequence[str]:
    """The names of a row's classes, where numbers stand and names are given."""
    if classes is None or not all(folded(w).isdigit() for w in row):
        return row
    numbers = [int(folded(w)) for w in row]
    if max(numbers) >= len(classes):
        found = f"has the index {max(numbers)}, and {len(classes)} classes are given ({', '.join(classes)})"
        raise DataError(table.source, found, f"{max(numbers) + 1} classes or more")
    return [classes[k] for k in numbers]


def _ranked(answers: Sequence[Sequence[str]], scores: Sequence[Sequence[float]]) -> Block | pd.Series[Any]:
    """Classes and scores of each row as a block; the best class alone where not all stand in every row."""
    classes = tuple(dict.fromkeys(c for row in answers for c in row))
    if any(len(row) != len(classes) or len(set(row)) != len(row) for row in answers):
        best = [row[int(np.argmax(s))] for row, s in zip(answers, scores, strict=True)]
        return pd.Series(pd.Categorical(best))
    place = {c: k for k, c in enumerate(classes)}
    values = np.empty((len(answers), len(classes)))
    for i, (row, given) in enumerate(zip(answers, scores, strict=True)):
        values[i, [place[c] for c in row]] = given
    return Block(classes, values)


def _dicts_in_cells(table: PredictionTable) -> PredictionTable:
    """``{'angry': 93.1, ...}`` or ``[{'label': 'angry', 'score': 0.93}, ...]`` in the cells of one column."""
    if "prob_" in table.blocks:
        return table
    for name in (c for c in table.columns if folded(c) in _DICTS):
        cells = [str(v).strip() for v in table.columns[name].tolist()]
        if not any(c.startswith(("{", "[{")) for c in cells):
            continue
        rows = [dict(_SCORED.findall(c) or _PAIR.findall(c)) for c in cells]
        classes = tuple(dict.fromkeys(k for row in rows for k in row))
        if len(classes) < 2 or any(row and len(row) != len(classes) for row in rows):
            continue
        values = np.array([[float(row.get(c, "nan")) for c in classes] for row in rows])
        columns = {c: v for c, v in table.columns.items() if c != name}
        note = f"The cells of the column {name!r} were read as the model's probabilities."
        made = replace(table, columns=columns, blocks={**table.blocks, "prob_": Block(classes, values)})
        return replace(made, notes=(*table.notes, note))
    return table


def _deepface(table: PredictionTable) -> PredictionTable:
    """What else deepface says of a face: how sure it was that there is one, and its guesses of the person.

    With ``enforce_detection=False`` it judges the whole picture where it finds no face, and gives its
    confidence as 0; where all are 0 it was told to look for none (``detector_backend="skip"``).
    """
    if "face_confidence" not in table.columns or not any(c.startswith("dominant_") for c in table.columns):
        return table
    # A tool's guess must not pass for an annotation.
    columns = {
        f"perceived_{c.removeprefix('dominant_')}" if c.startswith("dominant_") and c != "dominant_emotion" else c: v
        for c, v in table.columns.items()
        if not _holds_dicts(v) and not (c == "dominant_emotion" and "prob_" in table.blocks)
    }
    if "age" in columns and pd.api.types.is_numeric_dtype(columns["age"]):
        columns = {"perceived_age_years" if c == "age" else c: v for c, v in columns.items()}
    guesses = [c for c in columns if c.startswith("perceived_")]
    notes = [f"What deepface guessed of the persons stands in {', '.join(guesses)}."] if guesses else []
    confidence = pd.to_numeric(columns.pop("face_confidence"), errors="coerce").to_numpy(np.float64)
    guessed = confidence == 0
    if guessed.any() and not guessed[np.isfinite(confidence)].all():
        found = table.columns.get("detected", pd.Series(np.ones(table.n, dtype=np.int64)))
        columns["detected"] = found.where(~guessed, 0)
        notes.append(
            f"In {int(guessed.sum()):,} of {table.n:,} pictures deepface found no face and judged the whole picture "
            "(its face_confidence is 0): they count as faces that were not found."
        )
    return replace(table, columns=columns, notes=(*table.notes, *notes))


def _holds_dicts(values: pd.Series[Any]) -> bool:
    first = next((str(v) for v in values.dropna().iloc[:1].tolist()), "")
    return first.startswith("{")


def _largest_faces(table: PredictionTable) -> PredictionTable:
    """One row a picture of py-feat's tables, which have one a face: the largest face counts."""
    key = next((c for c in ("input", "frame") if c in table.columns), None)
    if key is None or not set(_BOX) <= set(table.columns):
        return table
    keys = pd.DataFrame({c: table.columns[c].astype(str) for c in ("input", "frame") if c in table.columns})
    if not keys.duplicated().any():
        return table
    area = np.nan_to_num(np.prod([table.columns[c].to_numpy(np.float64) for c in _BOX], axis=0), nan=-1.0)
    order = keys.assign(area=area).sort_values("area", ascending=False, kind="stable")
    rows = np.sort(order.drop_duplicates(list(keys.columns)).index.to_numpy())
    several = int((order.groupby(list(keys.columns), sort=False).size() > 1).sum())
    note = f"In {several:,} of {len(rows):,} pictures the tool found several faces: the largest counts."
    return replace(rows_of(table, rows), notes=(*table.notes, note))


def rows_of(table: PredictionTable, rows: np.ndarray[Any, Any]) -> PredictionTable:
    """Some rows of a table, in the order given; messages still name them by their place in the file."""
    columns = {c: v.iloc[rows].reset_index(drop=True) for c, v in table.columns.items()}
    blocks = {p: Block(b.names, b.values[rows]) for p, b in table.blocks.items()}
    place = table.place
    return replace(table, columns=columns, blocks=blocks, n=len(rows), where=lambda row: place(int(rows[row])))
