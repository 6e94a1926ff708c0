"""Faces with the labels of a scheme, in a model's classes: what every evaluation of a store begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.data.splits import split_units
from mien.errors import DataError, LabelError
from mien.inputs import rows_at_once
from mien.labels import Targets, label_scheme
from mien.labels.complexity import vote_columns
from mien.pictures.quality import image_quality
from mien.prediction_tables.fields import set_apart
from mien.records import Predictions
from mien.samples import SampleTable
from mien.spellings import canonical

_SPREAD = (
    "Each person spread {} votes over a face: they are not those of as many people, and nothing is said of how far "
    "annotators agree."
)


@dataclass(frozen=True)
class LabelledFaces:
    """The m faces of a table that a scheme labels with one of the K classes.

    Attributes:
        table: Their rows.
        kept: ``(n,)`` bool, which of the table's rows they are.
        classes: The K classes.
        targets: ``(m, K)`` float64, each row sums to 1.
        votes: ``(m, K)`` annotators' votes, or None where the scheme derives its classes by a rule.
        left_out: Reason -> number of rows left out for it.
    """

    table: SampleTable
    kept: NDArray[np.bool_]
    classes: tuple[str, ...]
    targets: NDArray[np.float64]
    votes: NDArray[np.float64] | None
    left_out: dict[str, int]

    @property
    def rows(self) -> NDArray[np.int64]:
        """``(m,)`` rows of the image store."""
        return self.table.frame["image"].to_numpy(np.int64)

    def where(self, mask: NDArray[np.bool_], reason: str) -> LabelledFaces:
        """The faces of an ``(m,)`` mask; the others are counted under ``reason``."""
        kept = self.kept.copy()
        kept[np.flatnonzero(kept)[~mask]] = False
        return LabelledFaces(
            self.table.where(mask, reason),
            kept,
            self.classes,
            self.targets[mask],
            None if self.votes is None else self.votes[mask],
            {**self.left_out, reason: int((~mask).sum())},
        )

    def quality(self, images: NDArray[np.uint8], chunk: int = 4096) -> dict[str, NDArray[np.float64]]:
        """Brightness, contrast and sharpness of these faces' pictures: name -> ``(m,)``.

        A name that the table has as an attribute is left out: the corpus's own value counts.

        Args:
            images: The store's images.
            chunk: Most pictures read at once.
        """
        rows, chunk = self.rows, rows_at_once(images[0].nbytes, chunk)
        parts = [image_quality(images[rows[i : i + chunk]]) for i in range(0, len(rows), chunk)]
        found = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        return {name: values for name, values in found.items() if name not in self.table.frame}

    def _of_votes(self) -> dict[str, NDArray[np.int64]]:
        """Complexity and number of modes, as numbers that an audit may cut or hold common; the corpus's own count."""
        found = vote_columns(self.table.votes, self.table.vocabulary)
        return {name: values for name, values in found.items() if name not in self.table.frame}

    def predictions(
        self,
        probs: NDArray[np.float64],
        source: str,
        *,
        detected: NDArray[np.bool_] | None = None,
        attributes: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
        numbers: pd.DataFrame | None = None,
    ) -> Predictions:
        """What a model said of these faces, as Predictions.

        Args:
            probs: ``(m, K)``; rows of faces that were not found are not read.
            source: Where they come from, for messages and reports.
            detected: ``(m,)`` whether the model found the face; None where it did not look.
            attributes: Further columns of groups, name -> ``(m,)`` values.
            notes: What a reader of the predictions must know.
            numbers: ``(m, M)`` numbers that the model told beside the classes; None for none.
        """
        table = self.table
        columns = table.attribute_columns
        spread = table.votes_each > 1 and self.votes is not None
        if spread:
            notes = [*notes, _SPREAD.format(table.votes_each)]
        fields: dict[str, Any] = {
            "sample_id": table.frame["sample_id"].to_numpy(dtype=object),
            "labels": self.targets.argmax(1).astype(np.int64),
            "predicted": np.nan_to_num(probs, nan=-1.0).argmax(1).astype(np.int64),
            "probs": probs,
            "soft_targets": self.targets,
            "votes": None if spread else self.votes,
            "groups": table.frame[columns].assign(**({} if spread else self._of_votes()), **(attributes or {})),
            "cluster": split_units(table),
            "image": self.rows,
            "numbers": numbers,
        }
        if detected is not None:
            if not detected.any():
                raise DataError(source, "no face was found in any picture", "faces that the tool finds")
            fields = set_apart(fields, self.classes, detected)
        return Predictions(
            **fields, classes=self.classes, source=source, notes=tuple(notes), annotator_errors=table.annotator_errors
        )


def labelled_faces(
    table: SampleTable,
    labels: str,
    classes: Sequence[str] | None = None,
    *,
    where: str,
    leave_out: bool = False,
    options: Mapping[str, Any] | None = None,
) -> LabelledFaces:
    """Label the faces of a table.

    Args:
        table: The faces.
        labels: A label scheme's name.
        classes: The classes to express the labels in; two spellings of one class are equal. The
            scheme's own by default.
        where: The faces' store, for messages.
        leave_out: Leave out faces labelled with another class (what remains of their distribution
            over ``classes`` is brought to sum 1); else the scheme and ``classes`` must be the same.
        options: Options of the scheme.

    Raises:
        LabelError: If the classes differ without ``leave_out``, or the scheme does not fit the votes.
        DataError: If no face remains.
    """
    scheme = label_scheme(labels, table.vocabulary, options)
    wanted = tuple(classes or scheme.classes)
    place = {canonical(c): i for i, c in enumerate(scheme.classes)}
    if not leave_out and sorted(place) != sorted(canonical(c) for c in wanted):
        raise LabelError(
            f"labels of {where}", f"classes {', '.join(scheme.classes)}", f"those of the model: {', '.join(wanted)}"
        )
    order = np.array([place.get(canonical(c), -1) for c in wanted])
    targets = scheme.targets(table.votes, table.vocabulary, table.faces)
    known = np.isin(targets.probs.argmax(1), order)
    kept = targets.keep & known
    if not kept.any():
        what = f"faces that {scheme.name!r} can label"
        raise DataError(where, "no face has a label", what + (f" as {', '.join(wanted)}" if leave_out else ""))
    votes = scheme.class_votes(table.votes[kept], table.vocabulary)
    return LabelledFaces(
        table.where(kept, "labelled"),
        kept,
        wanted,
        _cut(targets.probs[kept].astype(np.float64), order, normalise=leave_out),
        None if votes is None else _cut(votes, order, normalise=False),
        _reasons(targets, known, scheme.classes),
    )


def _cut(values: NDArray[np.float64], order: NDArray[np.int64], normalise: bool) -> NDArray[np.float64]:
    """Columns in ``order``, zeros for -1."""
    out = np.where(order < 0, 0.0, values[:, order])
    return out / out.sum(1, keepdims=True) if normalise else out


def _reasons(targets: Targets, known: NDArray[np.bool_], classes: tuple[str, ...]) -> dict[str, int]:
    unknown = np.bincount(targets.probs[targets.keep & ~known].argmax(1), minlength=len(classes))
    return {**targets.dropped, **{f"labelled {c}": int(n) for c, n in zip(classes, unknown, strict=True) if n}}


def parse_on(on: str) -> tuple[Path, str | None]:
    """``STORE:split`` -> store and split; the split is None where there is none."""
    if Path(on).exists():
        return Path(on), None
    path, separator, split = on.rpartition(":")
    return (Path(path), split) if separator else (Path(on), None)
