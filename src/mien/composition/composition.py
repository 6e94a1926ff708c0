"""What a corpus is made of, before any model: classes, groups, and how they go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien import __version__
from mien.audit.attributes import Attribute
from mien.audit.lookup import pick
from mien.audit.plain_results import from_plain
from mien.composition.faces import Faces, corpus_attributes, corpus_faces, number_columns
from mien.composition.independence import Association, Setting, association
from mien.composition.numbers import NumberColumn, number_column
from mien.composition.perceived import (
    Certainty,
    CorrectedShares,
    certainty,
    checked_shares,
    own_correction,
    probable_shares,
)
from mien.composition.shares import Distribution, Representation, distributions, representation
from mien.errors import DataError, UsageError
from mien.inputs import SMALL
from mien.own_files import read_json
from mien.records import Estimate, plain, write_json
from mien.samples import PERCEIVED, SampleTable
from mien.stats.cells import Ints
from mien.stats.settings import Settings

MIN_N = 30
_FORMAT = 1


@dataclass(frozen=True)
class ThinCell:
    """A cell with too few independent faces to say anything about.

    Attributes:
        group: The group.
        class_name: The class; empty in a corpus without expressions.
        split: The split.
        n: Its faces.
        n_clusters: Independent units among them.
        need: Independent units that are missing.
    """

    group: str
    class_name: str
    split: str
    n: int
    n_clusters: int
    need: int


@dataclass(frozen=True)
class Described:
    """How one attribute, or the class, is distributed.

    Attributes:
        name: The attribute; ``class`` for the classes.
        groups: Its groups.
        overall: Over all faces.
        by_split: Split -> distribution.
        representation: How even it is.
        with_split: Whether the splits differ in it; None with a single split.
    """

    name: str
    groups: list[str]
    overall: Distribution
    by_split: dict[str, Distribution]
    representation: Representation
    with_split: Association | None


@dataclass(frozen=True, kw_only=True)
class AttributeComposition:
    """One attribute of a corpus.

    Attributes:
        label: The attribute for people: ``perceived gender``.
        source: ``annotated``, ``perceived``, ``measured`` or ``not stated``.
        note: What to mind about its groups.
        n_unknown: Faces whose group is unknown.
        described: Its distribution, overall and by split.
        by_class: Class -> distribution over the groups.
        with_class: Whether groups and classes go together, with every cell; None in a corpus without
            expressions.
        n_cells: Cells of group, class and split.
        thin: Those with too few faces, the neediest first.
        probable: Group -> mean probability; empty where the table holds none.
        corrected: Shares corrected for the annotator's errors; None where these are not known.
        certainty: The annotator's confidence; None where the table holds none.
    """

    label: str
    source: str
    note: str
    n_unknown: int
    described: Described
    by_class: dict[str, Distribution]
    with_class: Association | None
    n_cells: int
    thin: list[ThinCell]
    probable: dict[str, Estimate] = field(default_factory=dict)
    corrected: CorrectedShares | None = None
    certainty: Certainty | None = None


@dataclass(frozen=True, kw_only=True)
class Composition:
    """What a corpus is made of.

    Attributes:
        source: The corpus.
        labels: The label scheme; empty in a corpus without expressions.
        classes: Its K classes.
        n: Faces.
        n_clusters: Independent units: copies of a picture and faces of a person are one.
        unlabelled: Reason -> faces without a class for it.
        splits: Split -> faces.
        by_label: The classes; None in a corpus without expressions.
        attributes: One entry an attribute.
        numbers: Attributes that are numbers.
        level: Coverage of the intervals.
        n_boot: Bootstrap replicates.
        n_perm: Permutations.
        min_n: Independent faces below which a cell is thin.
        seed: Seed of everything drawn.
        version: Version of Mien.
    """

    source: str
    labels: str
    classes: list[str]
    n: int
    n_clusters: int
    unlabelled: dict[str, int]
    splits: dict[str, int]
    by_label: Described | None
    attributes: list[AttributeComposition]
    numbers: list[NumberColumn]
    level: float
    n_boot: int
    n_perm: int
    min_n: int
    seed: int
    version: str

    def attribute(self, name: str) -> AttributeComposition:
        """The entry of an attribute.

        Raises:
            UsageError: If it is not described; the message says which are.
        """
        return pick("attribute", name, {a.described.name: a for a in self.attributes})

    def save(self, path: Path | str) -> Path:
        """Write one JSON file; NaN becomes null."""
        write_json(Path(path), {"kind": "mien composition", "format": _FORMAT, **plain(asdict(self))})
        return Path(path)

    @classmethod
    def load(cls, path: Path | str) -> Composition:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: If it is missing or not a composition.
        """
        content = read_json(path, "what Composition.save wrote", most=SMALL)
        try:
            return from_plain(cls, content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
            raise DataError(str(path), f"cannot be read ({reason})", "what Composition.save wrote") from error


def composition(
    table: SampleTable,
    by: Sequence[str] | None = None,
    *,
    labels: str = "majority",
    shares: Mapping[str, CorrectedShares] | None = None,
    settings: Settings = Settings(min_n=MIN_N),
) -> Composition:
    """Describe what a corpus is made of.

    Nothing here needs a model's predictions, and a corpus without expressions is described by its
    groups alone. Copies of a picture and faces of a person are one unit in every interval and permutation.

    Args:
        table: The faces.
        by: Attributes: ``gender``, ``gender*age`` for an intersection, ``age_years:3`` for parts of a
            column of numbers; by default every column that can be one.
        labels: The label scheme that turns votes into classes; faces it gives none are counted. Not read
            where there are no votes.
        shares: Attribute -> shares corrected for the annotator's errors, to stand beside the raw ones; by
            default corrected with the errors that came with the table, where some did.
        settings: Coverage, replicates, permutations, least faces of a group, seed.

    Raises:
        UsageError: If an attribute is not in the table, or a setting cannot work.
        DataError: If a column cannot serve as an attribute.
        LabelError: If the label scheme does not fit the votes.
    """
    if settings.min_n < 1:
        raise UsageError("min_n", f"is {settings.min_n}", "1 or more")
    faces = corpus_faces(table, labels)
    attributes = corpus_attributes(faces, by)
    given = checked_shares(shares, attributes)
    numbers = [number_column(faces, name, settings.level) for name in number_columns(faces)]
    return Composition(
        source=table.name,
        labels=labels if faces.classes else "",
        classes=[str(c) for c in faces.classes],
        n=len(faces),
        n_clusters=faces.n_units,
        unlabelled=faces.dropped,
        splits={s: int((faces.split == i).sum()) for i, s in enumerate(faces.splits)},
        by_label=_described(faces, "class", [str(c) for c in faces.classes], faces.label, settings)
        if faces.classes
        else None,
        attributes=[_attribute(faces, a, given.get(a.name), settings) for a in attributes],
        numbers=[n for n in numbers if n],
        level=settings.level,
        n_boot=settings.n_boot,
        n_perm=settings.n_perm,
        min_n=settings.min_n,
        seed=settings.seed,
        version=__version__,
    )


def _setting(settings: Settings, name: str, purpose: str) -> Setting:
    return Setting(settings.level, settings.n_perm, settings.stream(name, purpose))


def _described(faces: Faces, name: str, groups: Sequence[str], codes: Ints, settings: Settings) -> Described:
    known = codes >= 0
    category, unit, split = codes[known], faces.units(known), faces.split[known]
    level = settings.level
    everybody = np.zeros(len(category), dtype=np.int64)
    rng = settings.stream(name, "imbalance")
    return Described(
        name,
        list(groups),
        distributions(everybody, [""], category, groups, unit, level)[""],
        distributions(split, faces.splits, category, groups, unit, level),
        representation(category, groups, unit, settings=settings, rng=rng),
        association(category, groups, split, faces.splits, unit, _setting(settings, name, "splits"), cells=False)
        if len(faces.splits) > 1
        else None,
    )


def _attribute(
    faces: Faces, attribute: Attribute, corrected: CorrectedShares | None, settings: Settings
) -> AttributeComposition:
    groups, codes = attribute.groups, attribute.codes
    both = (codes >= 0) & (faces.label >= 0)
    group, label, unit = codes[both], faces.label[both], faces.units(both)
    classes = [str(c) for c in faces.classes]
    guessed = attribute.source == PERCEIVED and "*" not in attribute.name
    note = attribute.note
    if guessed and corrected is None:
        corrected, why = own_correction(faces, attribute, settings=settings)
        note = " ".join(filter(None, [note, why]))
    return AttributeComposition(
        label=attribute.label,
        source=attribute.source,
        note=note,
        n_unknown=int((codes < 0).sum()),
        described=_described(faces, attribute.name, groups, codes, settings),
        by_class=distributions(label, classes, group, groups, unit, settings.level),
        with_class=association(group, groups, label, classes, unit, _setting(settings, attribute.name, "classes"))
        if classes
        else None,
        n_cells=len(groups) * max(len(classes), 1) * len(faces.splits),
        thin=_thin_cells(faces, attribute, both if classes else codes >= 0, settings.min_n),
        probable=probable_shares(faces, attribute, settings.level) if guessed else {},
        corrected=corrected,
        certainty=certainty(faces, attribute, settings.level) if guessed else None,
    )


def _thin_cells(faces: Faces, attribute: Attribute, known: NDArray[np.bool_], min_n: int) -> list[ThinCell]:
    """Cells of group, class (where there are any) and split with fewer than ``min_n`` units, the neediest first."""
    classes, label = (faces.classes, faces.label) if faces.classes else (("",), np.zeros_like(faces.label))
    shape = (len(attribute.groups), len(classes), len(faces.splits))
    cell = np.ravel_multi_index((attribute.codes[known], label[known], faces.split[known]), shape)
    size = int(np.prod(shape))
    unit = faces.units(known)
    counts = np.bincount(cell, minlength=size)
    units = counts if unit is None else np.bincount(np.unique(unit * size + cell) % size, minlength=size)
    thin = [
        ThinCell(
            attribute.groups[g],
            str(classes[c]),
            faces.splits[s],
            int(counts[i]),
            int(units[i]),
            min_n - int(units[i]),
        )
        for i, (g, c, s) in ((i, np.unravel_index(i, shape)) for i in np.flatnonzero(units < min_n))
    ]
    return sorted(thin, key=lambda t: (-t.need, t.n))
