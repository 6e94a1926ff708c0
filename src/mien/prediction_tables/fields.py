"""A whole table of predictions, checked: what :class:`mien.records.Predictions` is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.prediction_tables.columns import Bools, Ints, Texts, detected_of, ids_of, images_of, row_numbers
from mien.prediction_tables.distributions import block_of
from mien.prediction_tables.gathering import IDS
from mien.prediction_tables.number_columns import attributes_of, told_numbers
from mien.prediction_tables.repeats import refuse_headers, repeats_of
from mien.prediction_tables.table import PredictionTable
from mien.prediction_tables.unit_columns import numbered, units_of, with_unit_names
from mien.prediction_tables.vocabulary import check_blocks, class_codes, classes_of, joined_note, not_found


def fields_of(table: PredictionTable, classes: Sequence[str] | None = None) -> dict[str, Any]:
    """Check a table and give the fields of Predictions, by name.

    Args:
        table: The table.
        classes: The classes in order; by default as the table has them.

    Raises:
        DataError: With row and column, on anything that cannot be read.
    """
    if not table.n:
        raise DataError(table.source, "has no rows", "one row a face")
    refuse_headers(table)
    check_blocks(table)
    table = with_unit_names(table)
    ids, detected = ids_of(table), detected_of(table)
    named: dict[str, Texts] = {c: Texts.of(table.columns[c]) for c in ("label", "pred") if c in table.columns}
    lost = not_found(table, classes, named)
    if lost is not None:
        named["pred"] = lost.named
        detected = ~lost.rows if detected is None else detected & ~lost.rows
    found = classes_of(table, classes, named)
    joined = joined_note(table, named, found)
    units = units_of(table)
    fields = {
        "sample_id": ids,
        **_classes_of_rows(table, found, named, detected),
        "groups": attributes_of(table),
        "numbers": told_numbers(table),
        "cluster": units.codes,
        "image": images_of(table),
    }
    repeats = repeats_of(table, _number_rows(table, ids))
    if repeats.keep is not None:
        fields = _counted_once(fields, repeats.keep)
        detected = None if detected is None else detected[repeats.keep]
    if detected is not None:
        fields = set_apart(fields, found, detected)
    notes = [*table.notes, *filter(None, [joined, lost.note if lost else ""]), *units.notes]
    warnings = [*table.warnings, *repeats.warnings, *units.warnings]
    return {
        **fields,
        "classes": found,
        "source": table.source,
        "notes": tuple(dict.fromkeys(notes)),
        "warnings": tuple(dict.fromkeys(warnings)),
        "annotator_errors": table.annotator_errors,
    }


def _classes_of_rows(
    table: PredictionTable, classes: tuple[str, ...], named: dict[str, Texts], detected: Bools | None
) -> dict[str, Any]:
    """Labels, predictions and distributions of the rows, by field."""
    probs = block_of(table, "prob_", classes, detected)
    # Where a name stands beside the distribution, a face that was not found needs no distribution.
    targets = block_of(table, "target_", classes, detected if "label" in named else None)
    votes = block_of(table, "votes_", classes, detected)
    if targets is None or "label" in named:
        labels = class_codes(table, "label", named, classes, None)
    else:
        labels = targets.argmax(1)
    if probs is None or "pred" in named:
        predicted = class_codes(table, "pred", named, classes, detected)
    else:
        predicted = probs.argmax(1)
    return {
        "labels": labels,
        "predicted": predicted,
        "probs": probs,
        "soft_targets": targets,
        "votes": None if votes is None else votes.astype(np.float64, copy=False),
    }


def _number_rows(table: PredictionTable, ids: Any) -> bool:
    """Whether ids only number the rows, from 0 or 1: then they do not tell one face from another."""
    if not any(c in table.columns for c in IDS):
        return True
    n, first = len(ids), str(ids[0])
    if first not in ("0", "1") or str(ids[n - 1]) != str(n - 1 + int(first)):
        return False
    return bool((np.asarray(ids.astype(object)) == (np.arange(n) + int(first)).astype(str)).all())


def _counted_once(fields: dict[str, Any], keep: Bools) -> dict[str, Any]:
    """The rows that count; ids that number rows number these."""
    fields = {k: _rows(v, keep) for k, v in fields.items()}
    if fields["cluster"] is not None:
        fields["cluster"] = numbered(fields["cluster"])
    return {**fields, "sample_id": row_numbers(int(keep.sum()))}


def set_apart(fields: dict[str, Any], classes: tuple[str, ...], detected: Bools) -> dict[str, Any]:
    """Keep the faces that were found in the arrays; the others go to a frame of their own.

    Args:
        fields: Fields of Predictions over all faces, by name.
        classes: The classes.
        detected: ``(n,)`` which faces were found.

    Returns:
        The fields over the faces that were found, and ``undetected``.
    """
    fields["cluster"] = None if fields["cluster"] is None else _found_first(fields["cluster"], detected)
    lost = np.flatnonzero(~detected)
    columns = {"sample_id": fields["sample_id"][lost], "label": np.array(classes, dtype=object)[fields["labels"][lost]]}
    columns |= {c: fields[c][lost] for c in ("cluster", "image") if fields[c] is not None}
    groups = fields["groups"]
    undetected = pd.concat([pd.DataFrame(columns), groups.iloc[lost].reset_index(drop=True)], axis=1)
    if len(lost):
        fields = {k: _rows(v, detected) for k, v in fields.items()}
    return {**fields, "undetected": undetected}


def _rows(values: Any, mask: Bools) -> Any:
    if values is None:
        return None
    return values[mask].reset_index(drop=True) if isinstance(values, pd.DataFrame) else values[mask]


def _found_first(units: Ints, detected: Bools) -> NDArray[np.int64]:
    """Number the units of found faces from 0 without holes, and after them those without a found face."""
    found = np.zeros(int(units.max()) + 1, dtype=bool)
    found[units[detected]] = True
    numbers = np.where(found, np.cumsum(found) - 1, int(found.sum()) + np.cumsum(~found) - 1)
    return np.asarray(numbers[units], dtype=np.int64)
