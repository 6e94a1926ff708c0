"""A whole table of predictions, checked: what :class:`mien.records.Predictions` is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.prediction_tables.columns import (
    Bools,
    Ints,
    Texts,
    attributes_of,
    class_codes,
    classes_of,
    detected_of,
    ids_of,
    images_of,
    units_of,
)
from mien.prediction_tables.distributions import block_of
from mien.prediction_tables.table import PredictionTable


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
    ids, detected = ids_of(table), detected_of(table)
    named: dict[str, Texts] = {c: Texts.of(table.columns[c]) for c in ("label", "pred") if c in table.columns}
    found = classes_of(table, classes, named)
    probs = block_of(table, "prob_", found, detected)
    # Where a name stands beside the distribution, a face that was not found needs no distribution.
    targets = block_of(table, "target_", found, detected if "label" in named else None)
    votes = block_of(table, "votes_", found, detected)
    if targets is None or "label" in named:
        labels = class_codes(table, "label", named, found, None)
    else:
        labels = targets.argmax(1)
    if probs is None or "pred" in named:
        predicted = class_codes(table, "pred", named, found, detected)
    else:
        predicted = probs.argmax(1)
    fields = {
        "sample_id": ids,
        "labels": labels,
        "predicted": predicted,
        "probs": probs,
        "soft_targets": targets,
        "votes": None if votes is None else votes.astype(np.float64, copy=False),
        "groups": attributes_of(table),
        "cluster": units_of(table),
        "image": images_of(table),
    }
    if detected is not None:
        fields = set_apart(fields, found, detected)
    kept = {"source": table.source, "notes": table.notes, "annotator_errors": table.annotator_errors}
    return {**fields, "classes": found, **kept}


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
