"""What a composition counts: the faces of a table with their class, split, unit and groups, as codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.audit.attributes import Attribute, candidate_attributes, is_number, resolve_attributes
from mien.audit.inferred.membership import probability_columns
from mien.data.splits import split_units
from mien.labels import label_scheme
from mien.records import Predictions
from mien.samples import SampleTable
from mien.stats.cells import independent_units

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Faces:
    """The n faces of a table as codes.

    Attributes:
        table: Their rows.
        classes: The K classes of the label scheme; none in a corpus without expressions.
        label: ``(n,)`` classes, -1 where the scheme has none.
        dropped: Reason -> faces without a class for it.
        splits: The S splits, in order of first appearance.
        split: ``(n,)`` splits.
        unit: ``(n,)`` codes of independent units (copies of a picture, faces of a person); None where
            every face is its own.
        rows: The same faces as an attribute reader takes them; their labels stand for predictions.
    """

    table: SampleTable
    classes: tuple[str, ...]
    label: Ints
    dropped: dict[str, int]
    splits: tuple[str, ...]
    split: Ints
    unit: Ints | None
    rows: Predictions

    def __len__(self) -> int:
        return len(self.label)

    @property
    def n_units(self) -> int:
        """Independent units."""
        return len(self) if self.unit is None else int(self.unit.max()) + 1

    def units(self, mask: NDArray[np.bool_]) -> Ints | None:
        """Units of some faces, from 0 without holes; None where no two share one."""
        return None if self.unit is None else independent_units(self.unit[mask])


def corpus_faces(table: SampleTable, labels: str) -> Faces:
    """Bring a table into codes.

    Args:
        table: The faces.
        labels: A label scheme's name; a face counts under the class with the largest target.

    Raises:
        LabelError: If there is no such scheme or it does not fit the votes.
    """
    label = np.full(len(table), -1, dtype=np.int64)
    classes: tuple[str, ...] = ()
    dropped: dict[str, int] = {}
    if table.vocabulary:
        scheme = label_scheme(labels, table.vocabulary)
        targets = scheme.targets(table.votes, table.vocabulary, table.faces)
        label[targets.keep] = targets.probs[targets.keep].argmax(1)
        classes, dropped = scheme.classes, targets.dropped
    split, splits = pd.factorize(table.frame["split"].fillna("").astype(str))
    unit = split_units(table)
    rows = Predictions(
        sample_id=table.frame["sample_id"].to_numpy(dtype=object),
        classes=classes,
        labels=label,
        predicted=label,
        probs=None,
        soft_targets=None,
        votes=None,
        groups=table.frame[table.attribute_columns].reset_index(drop=True),
        cluster=unit,
        source=table.name,
    )
    return Faces(
        table=table,
        classes=classes,
        label=label,
        dropped=dropped,
        splits=tuple(str(s) for s in splits),
        split=split.astype(np.int64),
        unit=independent_units(unit),
        rows=rows,
    )


def corpus_attributes(faces: Faces, by: Sequence[str] | None) -> list[Attribute]:
    """The attributes to describe.

    Args:
        faces: The faces.
        by: Specifications as the audit takes them: ``gender``, ``gender*age``, ``age_years:3``; None
            for every column that can be one, without intersections.

    Raises:
        UsageError: If a specification names no column.
        DataError: If a column cannot serve as an attribute.
    """
    if by is None:
        by = candidate_attributes(faces.rows)
    return [_with_all_groups(faces.rows, a) for a in resolve_attributes(faces.rows, by)] if by else []


def _with_all_groups(rows: Predictions, attribute: Attribute) -> Attribute:
    """Also the groups that an annotator could have named and never did, in the annotator's order."""
    known = probability_columns(rows, attribute.name)
    if not set(attribute.groups) <= set(known):
        return attribute
    # A last entry of -1 serves the code -1 of unknown groups.
    place = np.array([*(known.index(g) for g in attribute.groups), -1], dtype=np.int64)
    return replace(attribute, groups=tuple(known), codes=place[attribute.codes])


def number_columns(faces: Faces) -> list[str]:
    """Attributes that are numbers, such as ``perceived_age_years``."""
    return [a for a in faces.table.attributes if is_number(faces.table.frame[a])]
