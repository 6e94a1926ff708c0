"""A tool's predictions and somebody's annotations, joined by the pictures' names.

Tools know neither what a face shows nor to which group it belongs: both stand in another table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.prediction_tables.gathering import IDS
from mien.prediction_tables.number_columns import NUMBER
from mien.prediction_tables.table import PredictionTable
from mien.prediction_tables.tool_tables import PICTURES, has_annotations, has_predictions, rows_of

Ints = NDArray[np.int64]
_ASKED = "a table with the column 'label', the groups, and the pictures' names"


def joined(predictions: PredictionTable, annotations: PredictionTable) -> PredictionTable:
    """Predictions with the annotations of the same pictures.

    Pictures are paired by their names: the columns of the two tables that share most values, with their
    folders or, where these differ, without. Only where the predictions name no pictures at all are they
    paired by place, in tables of one length, and a warning says so.

    Args:
        predictions: What a tool said; its own columns give way to those of the annotations.
        annotations: What the faces are.

    Raises:
        DataError: If one of the two is not what it should be, no name is shared, or a name stands twice.
    """
    if not has_annotations(annotations):
        raise DataError(annotations.source, f"has no column 'label' (it has {', '.join(annotations.names)})", _ASKED)
    if not has_predictions(predictions):
        found = f"has no predictions (it has {', '.join(predictions.names)})"
        raise DataError(predictions.source, found, "'pred' or 'prob_<class>' columns")
    annotations = _without_predictions(annotations)
    pairing = _paired_names(predictions, annotations)
    if pairing is None:
        return _by_place(predictions, annotations)
    unknown = predictions.n - len(pairing.rows)
    note = f"{unknown:,} of {predictions.n:,} predictions have no annotation and did not count."
    said, known = rows_of(predictions, pairing.rows), rows_of(annotations, pairing.places)
    if not any(c in (*said.columns, *known.columns) for c in IDS):
        known = replace(known, columns={"sample_id": known.columns[pairing.column].astype(str), **known.columns})
    return _merged(said, known, [note] if unknown else [], _doubts(predictions, annotations, pairing))


def _doubts(predictions: PredictionTable, annotations: PredictionTable, pairing: _Pairing) -> list[str]:
    """Why faces paired by their names may yet be the wrong ones, or not all."""
    ours, theirs = Path(predictions.source).name, Path(annotations.source).name
    left, doubts = annotations.n - len(pairing.rows), []
    if left:
        doubts.append(
            f"{left:,} of {annotations.n:,} annotated faces have no prediction in {ours} and did not count. If the "
            "tool found no face there, the groups in which it fails most look better than they are: give those faces a "
            "row with detected=0."
        )
    if pairing.numbered:
        doubts.append(
            f"{pairing.column!r} only numbers the rows of {ours}: if row 5 there is another picture than number 5 of "
            f"{theirs}, every number here is wrong. Pair them by the pictures' names."
        )
    return doubts


def _merged(
    predictions: PredictionTable, annotations: PredictionTable, notes: list[str], warnings: list[str]
) -> PredictionTable:
    """Two tables of the same faces side by side; where both have a column, that of the annotations stays."""
    said = (*predictions.notes, *annotations.notes, *notes, *_replaced(predictions, annotations))
    return replace(
        predictions,
        columns={**predictions.columns, **annotations.columns},
        blocks={**predictions.blocks, **annotations.blocks},
        notes=said,
        warnings=(*predictions.warnings, *annotations.warnings, *warnings),
        annotator_errors={**predictions.annotator_errors, **annotations.annotator_errors},
    )


def _without_predictions(annotations: PredictionTable) -> PredictionTable:
    """What another model said of the same pictures does not count."""
    told = {"pred", "detected", *(f"{NUMBER}{name}" for name in annotations.numbers)}
    columns = {c: v for c, v in annotations.columns.items() if c not in told}
    blocks = {p: b for p, b in annotations.blocks.items() if p != "prob_"}
    return replace(annotations, columns=columns, blocks=blocks, numbers=())


def _replaced(predictions: PredictionTable, annotations: PredictionTable) -> list[str]:
    """A sentence on the columns that both tables have."""
    both = [c for c in annotations.columns if c in predictions.columns and c not in (*PICTURES, *IDS)]
    if not both:
        return []
    ours, theirs = Path(predictions.source).name, Path(annotations.source).name
    return [f"{', '.join(both)} of {ours} gave way to {'those' if len(both) > 1 else 'that'} of {theirs}."]


@dataclass(frozen=True)
class _Pairing:
    """Rows of the predictions beside rows of the annotations.

    Attributes:
        column: The column of the annotations that names the pictures.
        rows: ``(m,)`` rows of the predictions, ascending.
        places: ``(m,)`` the rows of the annotations that belong to them.
        numbered: The names number the rows of the predictions from 0 or 1, and so may name other pictures there.
    """

    column: str
    rows: Ints
    places: Ints
    numbered: bool


def _paired_names(predictions: PredictionTable, annotations: PredictionTable) -> _Pairing | None:
    """The pairing by names that pairs most; None where the predictions name no pictures.

    Raises:
        DataError: If they name pictures and none is among the annotations, or a name stands twice.
    """
    ours, theirs = _naming(predictions), _naming(annotations)
    if not ours:
        return None
    best: tuple[int, str, str, bool] = (0, "", "", False)
    for mine in ours:
        for other in theirs:
            for bare in (False, True):
                known = set(_names(annotations, other, bare))
                n = sum(name in known for name in _names(predictions, mine, bare) if name)
                best = max(best, (n, mine, other, bare), key=lambda found: found[0])
    n, mine, other, bare = best
    if not n:
        example = str(predictions.columns[ours[0]].iloc[0])
        raise DataError(
            annotations.source,
            f"names none of the pictures of {predictions.source} (the first is {example!r} in {ours[0]!r})",
            "a column with the same names",
            f"It has {', '.join(annotations.names)}.",
        )
    place = _places(annotations, other, bare)
    names = _names(predictions, mine, bare)
    _refuse_twice(predictions, mine, [name if name in place else "" for name in names])
    rows = np.array([i for i, name in enumerate(names) if name in place], dtype=np.int64)
    numbered = any(names == [str(i + first) for i in range(len(names))] for first in (0, 1))
    return _Pairing(other, rows, np.array([place[names[i]] for i in rows], dtype=np.int64), numbered)


def _naming(table: PredictionTable) -> list[str]:
    """Columns that may name pictures: the well-known ones first, then any whose values are all different."""
    known = [c for names in (PICTURES, IDS) for c in table.columns if c.lower() in names]
    rest = [
        c
        for c, values in table.columns.items()
        if c not in (*known, "label", "pred")
        and not pd.api.types.is_numeric_dtype(values)
        and len(values) > 1
        and values.nunique() == len(values)
    ]
    return [*known, *rest]


def _names(table: PredictionTable, column: str, bare: bool) -> list[str]:
    """``(n,)`` names as they are compared: with forward slashes, without their folders where ``bare``."""
    values = table.columns[column]
    texts = values.astype(object).where(values.notna(), "").astype(str).str.strip().str.replace("\\", "/")
    texts = texts.str.rsplit("/", n=1).str[-1] if bare else texts.str.removeprefix("./")
    return [str(t) for t in texts.tolist()]


def _places(table: PredictionTable, column: str, bare: bool) -> dict[str, int]:
    names = _names(table, column, bare)
    _refuse_twice(table, column, names)
    return {name: i for i, name in enumerate(names) if name}


def _refuse_twice(table: PredictionTable, column: str, names: list[str]) -> None:
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name and name in seen:
            found = f"{column} {name!r} stands there a second time"
            raise DataError(table.place(i), found, "each picture once", "Remove the repeats, or give whole paths.")
        seen.add(name)


def _by_place(predictions: PredictionTable, annotations: PredictionTable) -> PredictionTable:
    """Rows paired one by one, where the predictions name no pictures."""
    name = Path(predictions.source).name
    fix = "Save the pictures' names too: as the keys of a JSON dictionary, or as a column 'filename'."
    if predictions.n != annotations.n:
        found = f"names no pictures and has {predictions.n:,} entries, {annotations.source} has {annotations.n:,} rows"
        raise DataError(predictions.source, found, "the pictures' names, or as many entries as rows", fix)
    warning = (
        f"{name} does not name its pictures: its first entry was taken for the first row of "
        f"{Path(annotations.source).name}, and so on. If the order differs, every number here is wrong. {fix}"
    )
    return _merged(predictions, annotations, [], [warning])


def refuse_half(table: PredictionTable) -> None:
    """Refuse a table that holds predictions and no annotations; with what to do.

    Raises:
        DataError: In that case only: what else may be missing is said where it is looked for.
    """
    if has_predictions(table) and not has_annotations(table):
        raise DataError(
            table.source,
            f"holds predictions, but no column 'label' and no 'target_<class>' (it has {', '.join(table.names)})",
            "what the faces are, too",
            f"Give it beside the predictions: --annotations FILE, {_ASKED}.",
        )
