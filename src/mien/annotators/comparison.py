"""Two annotators on the same faces: where they agree, how far beyond chance, and what each makes of a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
from mien.stats.cells import bootstrap_counts, independent_units
from mien.stats.intervals import percentile, share_estimate, undefined
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
class _Drawing:
    """The ``(n,)`` independent unit of each face, and the settings of the intervals."""

    unit: Ints
    settings: Settings

    def replicates(self, cells: Ints, keep: Bools, n_cells: int, name: str) -> Ints:
        """``(n_boot, n_cells)`` counts of the kept faces, whole units drawn; no rows where none is kept."""
        if not keep.any():
            return np.zeros((0, n_cells), dtype=np.int64)
        rng = self.settings.stream(name, "annotators")
        unit = independent_units(self.unit[keep])
        return np.concatenate(list(bootstrap_counts(cells[keep], unit, n_cells, self.settings.n_boot, rng)))

    def n_units(self, keep: Bools) -> int:
        return len(np.unique(self.unit[keep]))

    def note(self, n: int) -> str:
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
    other = b.frame.iloc[ids_b.get_indexer(shared.frame["sample_id"])].reset_index(drop=True)
    drawing = _Drawing(split_units(shared), settings)
    classes, class_of = _classes(shared, labels)
    sides = [(_said(shared.frame, head), _said(other, head)) for head in heads]
    return AnnotatorComparison(
        a=_annotator(shared.frame, heads or all_heads, "the first"),
        b=_annotator(other, heads or all_heads, "the second"),
        n=len(shared),
        clusters=drawing.n_units(np.ones(len(shared), dtype=bool)),
        n_only_a=int((~in_b).sum()),
        n_only_b=int((~ids_b.isin(ids_a)).sum()),
        level=settings.level,
        attributes=[
            _compared(head, *said, classes, class_of, drawing) for head, said in zip(heads, sides, strict=True)
        ],
        numbers=[
            compare_numbers(name, _number(shared.frame, name), _number(other, name), drawing.unit, settings)
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


def _compared(
    head: Head, a: _Said, b: _Said, classes: list[str], class_of: Ints, drawing: _Drawing
) -> AttributeComparison:
    others = sorted({str(g) for said in (a, b) for g in said.group.dropna().unique()} - set(head.groups))
    groups = [*head.groups, *others]
    code_a, code_b = (np.asarray(pd.Categorical(s.group, groups).codes, dtype=np.int64) for s in (a, b))
    both, agree = (code_a >= 0) & (code_b >= 0), code_a == code_b
    counts = np.bincount((code_a * len(groups) + code_b)[both], minlength=len(groups) ** 2)
    counts = counts.reshape(len(groups), len(groups))
    drawn = drawing.replicates(code_a * len(groups) + code_b, both, len(groups) ** 2, head.name)
    drawn = drawn.reshape(len(drawn), *counts.shape)
    agreement, kappa = _agreement_and_kappa(counts, drawn, both, drawing)
    shares_a, shares_b, differences = _shares(counts, drawn, both, drawing)
    return AttributeComparison(
        name=head.name,
        groups=groups,
        counts=counts.tolist(),
        agreement=agreement,
        kappa=kappa,
        shares_a=shares_a,
        shares_b=shares_b,
        differences=differences,
        by_confidence_a=_within(_band(a.confidence), _BANDS, agree, both, drawing, f"{head.name} first"),
        by_confidence_b=_within(_band(b.confidence), _BANDS, agree, both, drawing, f"{head.name} second"),
        by_class=_within(class_of, classes, agree, both, drawing, f"{head.name} class"),
        n_only_a=int(((code_a >= 0) & (code_b < 0)).sum()),
        n_only_b=int(((code_a < 0) & (code_b >= 0)).sum()),
        n_neither=int(((code_a < 0) & (code_b < 0)).sum()),
    )


def _agreement_and_kappa(counts: Ints, drawn: Ints, both: Bools, drawing: _Drawing) -> tuple[Estimate, Estimate]:
    n, clusters, level = int(counts.sum()), drawing.n_units(both), drawing.settings.level
    if not n:
        none = undefined(0, 0, "no face has a group from both", level)
        return none, none
    shares = np.trace(drawn, axis1=1, axis2=2) / drawn.sum((1, 2))
    few = drawing.note(n)
    agreement = share_estimate(
        float(np.trace(counts)), n, clusters, shares, level=level, seed=drawing.settings.seed, note=few
    )
    value, chance = (float(v[0]) for v in _kappa(counts[None]))
    if np.isnan(value):
        return agreement, undefined(n, clusters, "both give one and the same group to every face", level)
    kappa = percentile(
        value, _kappa(drawn)[0], level=level, n=n, clusters=clusters, seed=drawing.settings.seed, note=few
    )
    # The bootstrap sees no variation where all agree, and too little where nearly all do.
    low, high = ((end - chance) / (1 - chance) for end in (agreement.low, agreement.high))
    method = "bootstrap percentile, at least wilson of the agreement"
    return agreement, replace(
        kappa, low=float(np.fmin(kappa.low, low)), high=float(np.fmax(kappa.high, high)), method=method
    )


def _kappa(counts: Ints) -> tuple[Floats, Floats]:
    """Cohen's kappa (1960) and the agreement expected by chance, of ``(b, G, G)`` counts; NaN where that is 1."""
    n = counts.sum((1, 2))
    by_a, by_b = counts.sum(2) / n[:, None], counts.sum(1) / n[:, None]
    chance = (by_a * by_b).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa = (np.trace(counts, axis1=1, axis2=2) / n - chance) / (1 - chance)
    return np.where(chance < 1, kappa, np.nan), chance


def _shares(
    counts: Ints, drawn: Ints, both: Bools, drawing: _Drawing
) -> tuple[list[Estimate], list[Estimate], list[Estimate]]:
    """Shares of the groups by A, by B, and their paired differences."""
    n, clusters, level, seed = int(counts.sum()), drawing.n_units(both), drawing.settings.level, drawing.settings.seed
    if not n:
        none = [undefined(0, 0, "no face has a group from both", level)] * len(counts)
        return none, none, none
    faces = [(counts.sum(axis), drawn.sum(axis + 1) / drawn.sum((1, 2))[:, None]) for axis in (1, 0)]
    by_a, by_b = (
        [share_estimate(float(k), n, clusters, d, level=level, seed=seed) for k, d in zip(whole, parts.T, strict=True)]
        for whole, parts in faces
    )
    (a, drawn_a), (b, drawn_b) = faces
    differences = []
    for g in range(len(counts)):
        if a[g] + b[g] == 2 * counts[g, g]:
            differences.append(Estimate(0.0, level=level, n=n, clusters=clusters, note="no face differs"))
            continue
        replicates = drawn_a[:, g] - drawn_b[:, g]
        value = float(a[g] - b[g]) / n
        differences.append(percentile(value, replicates, level=level, n=n, clusters=clusters, seed=seed))
    return by_a, by_b, differences


def _band(confidence: Floats | None) -> Ints | None:
    """``(n,)`` band of confidence, -1 where unknown; None of an annotator that gives no confidence but 1."""
    if confidence is None or not (confidence < 1).any():
        return None
    return np.where(np.isnan(confidence), -1, np.digitize(confidence, _CONFIDENCE_EDGES))


def _within(
    part: Ints | None, names: Sequence[str], agree: Bools, both: Bools, drawing: _Drawing, stream: str
) -> list[AgreementWithin]:
    """Agreement in each part of the faces; ``part`` is ``(n,)`` codes below ``len(names)``, -1 for none."""
    if part is None or not names:
        return []
    keep, out = both & (part >= 0), []
    drawn = drawing.replicates(2 * part + agree, keep, 2 * len(names), stream).reshape(-1, len(names), 2)
    with np.errstate(invalid="ignore"):
        shares = drawn[:, :, 1] / drawn.sum(2)
    for i, name in enumerate(names):
        mine = keep & (part == i)
        n, k = int(mine.sum()), float((mine & agree).sum())
        estimate = share_estimate(
            k,
            n,
            drawing.n_units(mine),
            shares[:, i],
            level=drawing.settings.level,
            seed=drawing.settings.seed,
            note=drawing.note(n),
        )
        out.append(AgreementWithin(name, estimate))
    return out
