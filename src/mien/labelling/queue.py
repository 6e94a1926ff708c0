"""Which faces are labelled, and in which order: mixed, where a model was unsure, where a cell is thin."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError, UsageError
from mien.labelling.task import LabelTask
from mien.labels import NOT_EXPRESSIONS
from mien.records import Predictions
from mien.samples import SampleTable
from mien.spellings import canonical

_MAX_GROUPS = 50

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class QueuedFace:
    """One face of the queue.

    Attributes:
        sample_id: The face.
        suggestion: What the model said (``label``, ``confidence``); None where it is not shown.
    """

    sample_id: str
    suggestion: dict[str, Any] | None = None


def queue_digest(queue: Sequence[QueuedFace]) -> str:
    """SHA-256 of the faces and their order."""
    return hashlib.sha256("\n".join(f.sample_id for f in queue).encode()).hexdigest()


def build_queue(
    table: SampleTable,
    task: LabelTask,
    predictions: Predictions | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[QueuedFace]:
    """Order a store's faces for labelling.

    Thin cells come before unsure faces where both are asked for. A face is as uncertain as the least
    sure of: the model's expression (entropy of its probabilities over the highest possible), and the
    ``<attribute>_confidence`` of the attributes that are asked for (one minus it). Where none is asked
    for and there are no predictions, all of the store's attributes count. A face on which nobody said
    anything is left out where only unsure faces are asked for, and comes last among the others.

    Args:
        table: The store's faces.
        task: The settings.
        predictions: A model's predictions of these faces; joined by ``sample_id``.
        say: Takes lines for the user.

    Raises:
        DataError: If no face is left, or the predictions are of other faces.
        UsageError: If the order asks for what neither the predictions nor the store have.
    """
    faces = table.in_split(task.split) if task.split else table
    said = _Said.of(faces, task, predictions)
    keep = np.ones(len(faces), dtype=bool)
    keys: list[NDArray[Any]] = [_shuffled(faces, task.seed)]
    if task.uncertain_first:
        keys.append(-said.uncertainty())  # what is missing sorts last
    if task.below is not None:
        keep = said.confidence() < task.below
    if task.thin_cells_first:
        sizes = cell_sizes(faces, said.predicted)
        keys.append(np.where(sizes <= task.thin_cell, sizes, np.inf))
    silent = int(np.isnan(said.confidence()).sum()) if task.uncertain_first or task.below is not None else 0
    if silent:
        say(f"{silent} faces have no prediction: they {'are left out' if task.below is not None else 'come last'}")
    order = np.lexsort(keys)
    order = order[keep[order]][: task.n_faces]
    if not len(order):
        raise DataError(table.name, "no face is left to label", "a face under the confidence asked for")
    ids = faces.frame["sample_id"].to_numpy(dtype=object)
    return [
        QueuedFace(str(ids[i]), said.suggestion(int(i), task.classes) if task.show_suggestion else None) for i in order
    ]


def cell_sizes(table: SampleTable, predicted: NDArray[np.object_]) -> Floats:
    """Faces in the smallest cell of class and group that a face belongs to; infinite where it belongs to none.

    Args:
        table: ``n`` faces; every attribute with 2 to 50 groups makes cells with the classes.
        predicted: ``(n,)`` a model's class, which stands in where a face has no votes; None where it has none.

    Raises:
        UsageError: If no attribute of the table has groups, or no face has a class.
    """
    classes = np.array([canonical(v) for v in table.vocabulary], dtype=object)
    named = ~np.isin(classes, NOT_EXPRESSIONS)
    votes = np.where(named, table.votes, 0.0)
    label = np.where(votes.sum(1) > 0, classes[votes.argmax(1)], predicted) if len(classes) else predicted
    if pd.isna(label).all():
        raise UsageError(
            "thin cells",
            "no face has a class: the store has no votes, and there are no predictions",
            "a store with votes, or predictions of its faces",
            "Pass a model's predictions (--predictions FILE), or leave --thin-cells-first out.",
        )
    grouped = [a for a in table.attributes if 2 <= table.frame[a].nunique() <= _MAX_GROUPS]
    if not grouped:
        fix = "Add perceived ones ('mien annotate'), or leave --thin-cells-first out."
        raise UsageError("thin cells", "the store has no attribute with groups", "an attribute such as gender", fix)
    smallest = np.full(len(table), np.inf)
    for attribute in grouped:
        cells = pd.DataFrame({"label": label, "group": table.frame[attribute].to_numpy(dtype=object)})
        sizes = cells.groupby(["label", "group"], dropna=True)["label"].transform("size")
        smallest = np.fmin(smallest, sizes.to_numpy(np.float64))
    return smallest


@dataclass(frozen=True)
class _Said:
    """What models said of the n faces: expressions with probabilities, attributes with confidence."""

    predicted: NDArray[np.object_]
    entropy: Floats | None
    top: Floats | None
    attributes: list[Floats]

    @classmethod
    def of(cls, table: SampleTable, task: LabelTask, predictions: Predictions | None) -> _Said:
        counted = {n for a in task.attributes for n in (a.name, f"perceived_{a.name}")}
        if not counted and predictions is None:
            counted = set(table.attributes)
        confidences = [f"{a}_confidence" for a in table.attributes if a in counted]
        attributes = [table.frame[c].to_numpy(np.float64) for c in confidences if c in table.frame]
        nobody = np.full(len(table), None, dtype=object)
        if predictions is None:
            return cls(nobody, None, None, attributes)
        row = pd.Index(np.asarray(predictions.sample_id, dtype=object)).get_indexer(
            pd.Index(table.frame["sample_id"].to_numpy(dtype=object))
        )
        if (row < 0).all():
            raise DataError(
                predictions.source or "predictions", "no sample_id of the store", "predictions of its faces"
            )
        names = np.array([canonical(c) for c in predictions.classes], dtype=object)
        predicted = np.where(row < 0, nobody, names[predictions.predicted[row]])
        if predictions.probs is None:
            return cls(predicted, None, None, attributes)
        probs = np.where((row < 0)[:, None], np.nan, np.asarray(predictions.probs, dtype=np.float64)[row])
        logs = np.log(np.where(probs > 0, probs, 1.0))
        entropy = -(probs * logs).sum(1) / np.log(probs.shape[1])
        return cls(predicted, entropy, probs.max(1), attributes)

    def uncertainty(self) -> Floats:
        parts = [1 - c for c in self.attributes] + ([] if self.entropy is None else [self.entropy])
        return _combined(np.fmax, parts, "uncertain_first", len(self.predicted))

    def confidence(self) -> Floats:
        parts = self.attributes + ([] if self.top is None else [self.top])
        return _combined(np.fmin, parts, "below", len(self.predicted))

    def suggestion(self, i: int, classes: Sequence[str]) -> dict[str, Any] | None:
        label = next((c for c in classes if canonical(c) == self.predicted[i]), None)
        if label is None:
            return None
        confidence = None if self.top is None or np.isnan(self.top[i]) else round(float(self.top[i]), 4)
        return {"label": label, "confidence": confidence}


def _combined(combine: np.ufunc, parts: Sequence[Floats], setting: str, n: int) -> Floats:
    if not parts:
        raise UsageError(
            setting,
            "nobody said how sure a model was of these faces",
            "predictions with probabilities, or a store with '<attribute>_confidence' of an attribute asked for",
        )
    return np.asarray(combine.reduce([*parts, np.full(n, np.nan)]), dtype=np.float64)


def _shuffled(table: SampleTable, seed: int | None) -> NDArray[np.int64]:
    """A place for each row that depends on the ids and the seed, not on the order of the rows."""
    if seed is None:
        return np.arange(len(table))
    from mien.stats.settings import random_stream  # loads the whole audit, which a server does not need

    by_id = np.argsort(table.frame["sample_id"].to_numpy(dtype=str), kind="stable")
    place = np.empty(len(table), dtype=np.int64)
    place[by_id] = random_stream(seed, "labelling", "order").permutation(len(table))
    return place
