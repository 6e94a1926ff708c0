"""Two annotators on the same faces: where they agree, how far beyond chance, and what each makes of a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.agreement import Votes, cohen_kappa
from mien.annotators.base import MERGES
from mien.annotators.comparison_numbers import NumberComparison, compare_numbers
from mien.audit.attributes import is_number
from mien.data.labelled import labelled_faces
from mien.data.splits import split_units
from mien.demographics import HEADS, PREFIX, Head
from mien.errors import DataError, UsageError
from mien.records import Estimate
from mien.registry import nearest
from mien.samples import SampleTable
from mien.stats.intervals import clustered_share, mean_estimate, undefined
from mien.stats.settings import Settings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_CONFIDENCE_EDGES = (0.5, 0.7, 0.9)
_BANDS = ("below 0.5", "0.5 to 0.7", "0.7 to 0.9", "0.9 and above")
_KNOWN_HEADS = {**{merge.head.name: merge.head for merge in MERGES}, **HEADS}


@dataclass(frozen=True)
class AgreementWithin:
    """How often the two agree on some of the faces.

    Attributes:
        name: Which faces: a band of confidence, or an annotated class.
        agreement: Share of these faces that get one group from both.
    """

    name: str
    agreement: Estimate


@dataclass(frozen=True, kw_only=True)
class AttributeComparison:
    """What two annotators say of one attribute of the same faces.

    Attributes:
        name: The attribute: ``race6``, ``gender``, ...
        groups: Its G groups.
        counts: ``G`` rows of ``G`` faces: rows what A says, columns what B says.
        agreement: Share of the faces that get one group from both.
        kappa: Cohen's kappa; undefined where both give one and the same group to every face.
        shares_a: Share of each group by A, of the faces that both give a group.
        shares_b: The same by B.
        differences: Share by A minus share by B, paired.
        by_confidence_a: Agreement by A's confidence; empty where A gives none, or always 1.
        by_confidence_b: The same by B's.
        by_class: Agreement by annotated expression; empty where the table has no votes.
        n_only_a: Faces that only A gives a group.
        n_only_b: Faces that only B gives a group.
        n_neither: Faces that neither gives a group.
    """

    name: str
    groups: list[str]
    counts: list[list[int]]
    agreement: Estimate
    kappa: Estimate
    shares_a: list[Estimate]
    shares_b: list[Estimate]
    differences: list[Estimate]
    by_confidence_a: list[AgreementWithin]
    by_confidence_b: list[AgreementWithin]
    by_class: list[AgreementWithin]
    n_only_a: int
    n_only_b: int
    n_neither: int


@dataclass(frozen=True, kw_only=True)
class AnnotatorComparison:
    """Two annotators on the same faces.

    Attributes:
        a: The first annotator, with its version.
        b: The second.
        n: Faces that both tables have.
        clusters: Independent units among them.
        n_only_a: Faces that only the first table has; they take no part.
        n_only_b: Faces that only the second has.
        level: Coverage that the intervals aim at.
        attributes: One for each attribute that both perceive.
        numbers: One for each number that both perceive: the expected age.
    """

    a: str
    b: str
    n: int
    clusters: int
    n_only_a: int
    n_only_b: int
    level: float
    attributes: list[AttributeComparison]
    numbers: list[NumberComparison]


@dataclass(frozen=True)
class _Said:
    """What one annotator says: ``(n,)`` groups (missing where none) and their confidence, if it has one."""

    group: pd.Series[str]
    confidence: Floats | None


@dataclass(frozen=True)
class _Shared:
    """The n faces that both annotated: their names, independent units and annotated classes; and the settings.

    ``class_of`` is ``(n,)`` codes of ``classes``, -1 where a face has none.
    """

    names: NDArray[np.object_]
    unit: Ints
    classes: list[str]
    class_of: Ints
    settings: Settings

    def share(self, hits: Bools, keep: Bools, noted: bool = False) -> Estimate:
        """The share of hits among the kept faces; ``noted`` says so where they are few."""
        found = clustered_share(hits[keep], self.unit[keep], self.settings.level)
        return replace(found, note=self.few(found.n)) if noted and found.n else found

    def few(self, n: int) -> str:
        return f"fewer than {self.settings.min_n} faces" if 0 < n < self.settings.min_n else ""


def compare_annotators(
    a: SampleTable,
    b: SampleTable,
    *,
    attributes: Sequence[str] | None = None,
    labels: str = "majority",
    settings: Settings = Settings(n_boot=1000),
) -> AnnotatorComparison:
    """Compare what two annotators say of the same faces.

    Faces are matched by ``sample_id``; independent units, votes and expressions are those of ``a``. An
    attribute is compared if one table has its column and the other has it too, or has the probabilities
    of a finer one from which it can be merged (``race6`` from ``race``). Columns of numbers in both
    tables (``perceived_age_years``) are compared as numbers.

    Args:
        a: A table with columns ``perceived_<attribute>``, and where there are any ``..._confidence``,
            ``..._prob_<group>`` and ``..._annotator``.
        b: Another table of the same corpus.
        attributes: Which to compare, with or without ``perceived_``; by default all that can be.
        labels: Label scheme for the agreement by class; not read where ``a`` has no votes.
        settings: Coverage, replicates, least faces of a group, seed.

    Raises:
        DataError: If the tables share no face or no perceived attribute.
        UsageError: If an attribute cannot be compared, or on settings that cannot work.
    """
    ids_a, ids_b = pd.Index(a.frame["sample_id"]), pd.Index(b.frame["sample_id"])
    in_b = np.asarray(ids_a.isin(ids_b))
    if not in_b.any():
        raise DataError(f"tables {a.name!r} and {b.name!r}", "share no sample_id", "two annotations of one corpus")
    all_heads, numbers = _shared_heads(a, b), _shared_numbers(a, b)
    asked = _asked(attributes, [*(head.name for head in all_heads), *numbers], f"tables {a.name!r} and {b.name!r}")
    heads = [head for head in all_heads if head.name in asked]
    shared = a.where(in_b, "annotated by both")
    # In the order of their names, so that no sum depends on that of the rows.
    shared = shared.derive("sorted", shared.frame.sort_values("sample_id", ignore_index=True), {}, {})
    other = b.frame.iloc[ids_b.get_indexer(shared.frame["sample_id"])].reset_index(drop=True)
    names = shared.frame["sample_id"].to_numpy(dtype=object)
    faces = _Shared(names, split_units(shared), *_classes(shared, labels), settings)
    sides = [(_said(shared.frame, head), _said(other, head)) for head in heads]
    return AnnotatorComparison(
        a=_annotator(shared.frame, heads or all_heads, "the first"),
        b=_annotator(other, heads or all_heads, "the second"),
        n=len(shared),
        clusters=len(np.unique(faces.unit)),
        n_only_a=int((~in_b).sum()),
        n_only_b=int((~ids_b.isin(ids_a)).sum()),
        level=settings.level,
        attributes=[_compared(head, *said, faces) for head, said in zip(heads, sides, strict=True)],
        numbers=[
            compare_numbers(name, _number(shared.frame, name), _number(other, name), faces.unit, settings)
            for name in numbers
            if name in asked
        ],
    )


def _shared_heads(a: SampleTable, b: SampleTable) -> list[Head]:
    """The attributes that one table has and the other has or can make, those of the vocabulary first."""
    own = {c.removeprefix(PREFIX) for t in (a, b) for c in t.attributes if c.startswith(PREFIX)}
    own -= {name for name in own for t in (a, b) if _is_number(t, name)}
    names = [*(name for name in _KNOWN_HEADS if name in own), *sorted(own - set(_KNOWN_HEADS))]
    heads = [_KNOWN_HEADS.get(name, Head(name, ())) for name in names]
    return [head for head in heads if all(_has(t.frame, head) for t in (a, b))]


def _shared_numbers(a: SampleTable, b: SampleTable) -> list[str]:
    names = (c.removeprefix(PREFIX) for c in a.attributes if c.startswith(PREFIX))
    return sorted(name for name in names if all(_is_number(t, name) for t in (a, b)))


def _is_number(table: SampleTable, name: str) -> bool:
    return PREFIX + name in table.attributes and is_number(table.frame[PREFIX + name])


def _number(frame: pd.DataFrame, name: str) -> Floats:
    return frame[PREFIX + name].to_numpy(np.float64, na_value=np.nan)


def _asked(asked: Sequence[str] | None, shared: list[str], where: str) -> list[str]:
    """Which of the shared attributes to compare."""
    if not shared:
        raise DataError(where, "share no perceived attribute", "perceived_<attribute>")
    names = shared if asked is None else [name.removeprefix(PREFIX) for name in asked]
    for name in names:
        if name not in shared:
            raise UsageError("attributes", f"{name!r} is not perceived in both tables", "", nearest(name, shared))
    return names


def _has(frame: pd.DataFrame, head: Head) -> bool:
    return PREFIX + head.name in frame or _merged(frame, head) is not None


def _merged(frame: pd.DataFrame, head: Head) -> Floats | None:
    """``(n, G)`` probabilities of a head, summed from a finer one's columns; None where there are none."""
    for merge in MERGES:
        columns = [f"{PREFIX}{merge.of.name}_prob_{group}" for group in merge.of.groups]
        if merge.head.name == head.name and set(columns) <= set(frame):
            return np.asarray(merge.probabilities(frame[columns].to_numpy(np.float64)))
    return None


def _said(frame: pd.DataFrame, head: Head) -> _Said:
    column = PREFIX + head.name
    if column in frame:
        confidence = frame.get(f"{column}_confidence")
        group = frame[column].where(frame[column].astype(str) != "")
        return _Said(group, None if confidence is None else confidence.to_numpy(np.float64))
    probs = _merged(frame, head)
    assert probs is not None  # _shared_heads looked
    known = np.isfinite(probs.sum(axis=1))
    group = pd.Series(np.asarray(head.groups, dtype=object)[np.nan_to_num(probs).argmax(1)]).where(known)
    return _Said(group, probs.max(1))


def _annotator(frame: pd.DataFrame, heads: Sequence[Head], otherwise: str) -> str:
    columns = [c for c in (f"{PREFIX}{head.name}_annotator" for head in heads) if c in frame]
    names = {str(name) for c in columns for name in frame[c].dropna().unique() if name}
    return " and ".join(sorted(names)) or otherwise


def _classes(shared: SampleTable, labels: str) -> tuple[list[str], Ints]:
    """The annotated classes, and the ``(n,)`` class of each face, -1 where it has none."""
    class_of = np.full(len(shared), -1, dtype=np.int64)
    if not shared.vocabulary:
        return [], class_of
    faces = labelled_faces(shared, labels, where=f"table {shared.name!r}")
    class_of[faces.kept] = faces.targets.argmax(1)
    return list(faces.classes), class_of


def _compared(head: Head, a: _Said, b: _Said, faces: _Shared) -> AttributeComparison:
    others = sorted({str(g) for said in (a, b) for g in said.group.dropna().unique()} - set(head.groups))
    groups = [*head.groups, *others]
    code_a, code_b = (np.asarray(pd.Categorical(s.group, groups).codes, dtype=np.int64) for s in (a, b))
    both, agree = (code_a >= 0) & (code_b >= 0), code_a == code_b
    counts = np.bincount((code_a * len(groups) + code_b)[both], minlength=len(groups) ** 2)
    return AttributeComparison(
        name=head.name,
        groups=groups,
        counts=counts.reshape(len(groups), len(groups)).tolist(),
        agreement=faces.share(agree, both, noted=True) if both.any() else _none(faces),
        kappa=_kappa(groups, code_a[both], code_b[both], both, faces),
        shares_a=[faces.share(code_a == g, both) if both.any() else _none(faces) for g in range(len(groups))],
        shares_b=[faces.share(code_b == g, both) if both.any() else _none(faces) for g in range(len(groups))],
        differences=[_difference(code_a == g, code_b == g, both, faces) for g in range(len(groups))],
        by_confidence_a=_within(_band(a.confidence), _BANDS, agree, both, faces),
        by_confidence_b=_within(_band(b.confidence), _BANDS, agree, both, faces),
        by_class=_within(faces.class_of, faces.classes, agree, both, faces),
        n_only_a=int(((code_a >= 0) & (code_b < 0)).sum()),
        n_only_b=int(((code_a < 0) & (code_b >= 0)).sum()),
        n_neither=int(((code_a < 0) & (code_b < 0)).sum()),
    )


def _none(faces: _Shared) -> Estimate:
    return undefined(0, 0, "no face has a group from both", faces.settings.level)


def _kappa(groups: list[str], a: Ints, b: Ints, both: Bools, faces: _Shared) -> Estimate:
    """Cohen's kappa of the two as raters of the faces that both give a group."""
    if not both.any():
        return _none(faces)
    votes = Votes.from_rows(
        np.tile(faces.names[both], 2),
        np.repeat(["first", "second"], len(a)),
        np.eye(len(groups))[np.concatenate([a, b])],
        groups,
        cluster=np.tile(faces.unit[both], 2),
    )
    found = cohen_kappa(votes, settings=faces.settings)
    if np.isnan(found.value):
        return replace(found, note="both give one and the same group to every face")
    return replace(found, note="; ".join(filter(None, [faces.few(found.n), found.note])))


def _difference(of_a: Bools, of_b: Bools, both: Bools, faces: _Shared) -> Estimate:
    """Share by A minus share by B of the same faces, a mean of -1, 0 and 1."""
    if not both.any():
        return _none(faces)
    values = of_a[both].astype(np.float64) - of_b[both]
    units = np.unique(faces.unit[both], return_inverse=True)[1]
    found = mean_estimate(values, units, faces.settings.level)
    if values.any():
        return found
    return Estimate(0.0, level=found.level, n=found.n, clusters=found.clusters, note="no face differs")


def _band(confidence: Floats | None) -> Ints | None:
    """``(n,)`` band of confidence, -1 where unknown; None of an annotator that gives no confidence but 1."""
    if confidence is None or not (confidence < 1).any():
        return None
    return np.where(np.isnan(confidence), -1, np.digitize(confidence, _CONFIDENCE_EDGES))


def _within(
    part: Ints | None, names: Sequence[str], agree: Bools, both: Bools, faces: _Shared
) -> list[AgreementWithin]:
    """Agreement in each part of the faces; ``part`` is ``(n,)`` codes below ``len(names)``, -1 for none."""
    if part is None:
        return []
    return [AgreementWithin(name, faces.share(agree, both & (part == i), noted=True)) for i, name in enumerate(names)]
