"""Confounders: how much of a gap goes with how the pictures were taken, not with who is on them.

A confounder is a number about the picture (brightness, blur, size, head pose) that differs between
groups and that accuracy depends on. Gaps are re-weighted to one common mix of it, together with the
annotated classes: see :mod:`mien.stats.strata` for the estimand.

The strata are annotated class x quantile bins of the confounder, with as many bins (at most ten) as
leave 80 % of the faces where every group has some. For several confounders at once the bins are of
a prognostic score, :func:`mien.stats.stratify.prognostic_score`: what the confounders let expect of
the accuracy, whatever the group. If even two bins a class are too many, class and confounders make
one score; if half of the faces have no counterpart in some group, nothing is compared. The score also
corrects for what differs within a stratum: the outcomes compared are hits less expected hits, as
Abadie and Imbens (2011) do after matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.audit.attributes import Attribute, is_number, resolve_attribute
from mien.errors import DataError, UsageError
from mien.prediction_tables.number_columns import means_numbers
from mien.records import Estimate, Predictions
from mien.registry import nearest
from mien.stats.cells import Ints, independent_units
from mien.stats.intervals import mean_estimate, undefined
from mien.stats.settings import Settings
from mien.stats.strata import AdjustedGap, Inference, Strata, adjusted_gap, share_gap
from mien.stats.stratify import (
    MIN_CELL,
    N_FOLDS,
    codes_without_holes,
    common_support,
    large_groups,
    prognostic_score,
    quantile_bins,
)
from mien.wording import listed, number

Array = NDArray[np.float64]
EXPRESSIONS = "the mix of expressions"
SUPPORT = 0.8
_LARGEST = 1e100
MAX_BINS = 10
_LEAST = 0.5
_SHOWN_BINS = 5
_FEW = "Fewer than two groups have enough faces to compare."
_NOTES = (
    "Gaps that go with a confounder are associations, not causes.",
    "What makes pictures differ may come from the group itself: darker skin makes the face region darker. Holding it "
    "common then takes away part of the group's own gap. Read the adjusted gap as the gap among pictures alike.",
    "Only what was measured is held common, and only to within its bins.",
)


@dataclass(frozen=True)
class ConfounderBin:
    """Faces with about the same value of a confounder, over all groups.

    Attributes:
        low: Smallest value.
        high: Largest value.
        accuracy: Share of faces whose predicted class is the annotated one.
    """

    low: float
    high: float
    accuracy: Estimate


@dataclass(frozen=True, kw_only=True)
class Confounder:
    """One confounder, or several held common at once.

    Attributes:
        columns: The columns.
        title: In words: ``brightness``, or ``brightness and sharpness``.
        n_missing: Faces of known group left out because a value is missing.
        means: Group -> mean value; empty for several columns.
        bins: Accuracy along the confounder (for several: along their score), over all groups.
        strength: Accuracy in the best of these bins minus that in the worst.
        gap: The accuracy gap, before and after; None if fewer than two groups have enough faces.
        sentence: The finding.
    """

    columns: list[str]
    title: str
    n_missing: int
    means: dict[str, Estimate]
    bins: list[ConfounderBin]
    strength: Estimate
    gap: AdjustedGap | None
    sentence: str


@dataclass(frozen=True, kw_only=True)
class ConfounderResult:
    """What confounders do to the accuracy gap of one attribute.

    Attributes:
        attribute: The attribute, as asked for.
        label: For people: ``perceived skin``.
        n: Faces whose group is known.
        by_class: The gap with the mix of annotated classes alone held common; None as in :class:`Confounder`.
        confounders: One a column.
        joint: All columns at once; None for a single column.
        sentence: The finding: that of ``joint``, or of the single confounder.
        too_few: Groups below the least number of faces, which take no part.
        notes: What to mind.
    """

    attribute: str
    label: str
    n: int
    by_class: AdjustedGap | None
    confounders: list[Confounder]
    joint: Confounder | None
    sentence: str
    too_few: list[str]
    notes: list[str] = field(default_factory=list)


def candidate_confounders(pred: Predictions) -> list[str]:
    """Numeric columns with two values or more whose name holds a known word (``brightness``, ``face_size``)."""
    found = []
    for column in pred.groups.columns:
        if not means_numbers(str(column)):
            continue
        values = pred.groups[column]
        if is_number(values) and _n_distinct(_numbers(values)) > 1:
            found.append(str(column))
    return found


def confounder_analysis(
    pred: Predictions,
    attribute: Attribute | str,
    columns: Sequence[str],
    *,
    n_bins: int = MAX_BINS,
    settings: Settings = Settings(n_boot=1000),
) -> ConfounderResult:
    """Re-weight the accuracy gap between groups to a common mix of confounders.

    Three gaps stand side by side: as it is, with the mix of annotated classes held common, and with
    classes and confounder held common. See the module's text for the method.

    Args:
        pred: The predictions.
        attribute: The groups, or their column.
        columns: Numeric columns of ``pred.groups``.
        n_bins: Most bins of a confounder.
        settings: Coverage, replicates, least faces of a group, seed.

    Returns:
        The result; undefined values are NaN with a note.

    Raises:
        UsageError: If there is no such column, or a setting cannot work.
        DataError: If a column holds no numbers or only one.
    """
    if n_bins < 2:
        raise UsageError("n_bins", f"is {n_bins}", "2 or more")
    who = resolve_attribute(pred, attribute) if isinstance(attribute, str) else attribute
    names = list(dict.fromkeys([columns] if isinstance(columns, str) else columns))
    if not names:
        raise UsageError("confounders", "no column was given", "at least one numeric column of the predictions")
    values = np.column_stack([_column(pred, name) for name in sorted(names)])  # a fit must not depend on their order
    rows = _rows(pred, who, values)
    n = np.bincount(rows.group, minlength=len(who.groups))

    def analyse(part: Sequence[str]) -> Confounder:
        purpose = "confounders " + " ".join(sorted(part))
        inference = Inference(settings, settings.stream(who.name, purpose))
        return _analyse(
            rows, [sorted(names).index(c) for c in sorted(part)], list(part), n_bins, settings.min_n, inference
        )

    single = [analyse([name]) for name in names]
    joint = analyse(names) if len(names) > 1 else None
    inference = Inference(settings, settings.stream(who.name, "confounders"))
    return ConfounderResult(
        attribute=who.name,
        label=who.label,
        n=len(rows.group),
        by_class=_class_gap(_eligible(rows, settings.min_n), inference),
        confounders=single,
        joint=joint,
        sentence=(joint or single[0]).sentence,
        too_few=[g for g, m in zip(who.groups, n, strict=True) if 0 < m < settings.min_n],
        notes=list(_NOTES),
    )


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Faces of known group: ``(n,)`` each, ``values`` ``(n, J)``; ``names`` are the groups."""

    group: Ints
    label: Ints
    hit: NDArray[np.bool_]
    fold: Ints
    values: Array
    cluster: Ints | None
    names: tuple[str, ...]

    def keep(self, mask: NDArray[np.bool_]) -> _Rows:
        """The faces of a mask."""
        cut = {k: getattr(self, k)[mask] for k in ("group", "label", "hit", "fold", "values")}
        return replace(self, **cut, cluster=None if self.cluster is None else self.cluster[mask])

    def score(self, with_class: bool) -> Array:
        """The faces' prognostic score: ``(n,)``."""
        return prognostic_score(self.values, self.label, self.group, self.hit, self.fold, with_class)

    def strata(self, *layers: Ints, expected: Array | None = None) -> Strata:
        """These faces in strata."""
        return Strata(self.group, self.hit, layers, self.cluster, self.names, expected)


def _rows(pred: Predictions, attribute: Attribute, values: Array) -> _Rows:
    units = independent_units(pred.cluster)
    # A face's fold comes from its id, a unit's from the least of its faces: the order of rows does not matter.
    key = pd.util.hash_array(np.asarray(pred.sample_id, dtype=object))
    if units is not None:
        least = np.full(int(units.max()) + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
        np.minimum.at(least, units, key)
        key = least[units]
    fold, hit = (key % np.uint64(N_FOLDS)).astype(np.int64), pred.labels == pred.predicted
    return _Rows(
        group=attribute.codes,
        label=pred.labels,
        hit=hit,
        fold=fold,
        values=values,
        cluster=units,
        names=attribute.groups,
    ).keep(attribute.codes >= 0)


def _eligible(rows: _Rows, min_n: int) -> _Rows | None:
    """The faces of groups with enough of them; None if there are fewer than two such groups."""
    mask, codes, names = large_groups(rows.group, rows.names, min_n)
    return None if len(names) < 2 else replace(rows.keep(mask), group=codes, names=names)


def _numbers(column: pd.Series[Any]) -> Array:
    """``(n,)`` values, NaN where missing, infinite, or so large that their squares are."""
    values = column.to_numpy(np.float64, na_value=np.nan)
    return np.where(np.abs(values) < _LARGEST, values, np.nan)


def unknown(column: pd.Series[Any]) -> int:
    """Faces whose value takes no part."""
    return int(np.isnan(_numbers(column)).sum())


def _n_distinct(values: Array) -> int:
    return len(np.unique(values[~np.isnan(values)]))


def _column(pred: Predictions, name: str) -> Array:
    if name not in pred.groups.columns:
        numeric = [str(c) for c in pred.groups.columns if is_number(pred.groups[c])]
        fix = nearest(name, numeric) if numeric else "It has no numeric column at all."
        raise UsageError(f"confounder {name!r}", f"{pred.source or 'the table'} has no such column", "", fix)
    where, column = f"{pred.source or 'predictions'} column {name!r}", pred.groups[name]
    if not is_number(column):
        raise DataError(where, f"holds {column.dtype} values", "numbers", "Audit it as an attribute instead.")
    values = _numbers(column)
    if _n_distinct(values) < 2:
        raise DataError(where, f"has {_n_distinct(values)} distinct values", "two or more", "Leave it out.")
    return values


def _class_gap(rows: _Rows | None, inference: Inference) -> AdjustedGap | None:
    return None if rows is None else adjusted_gap(rows.strata(rows.label), [EXPRESSIONS], "annotated class", inference)


def _analyse(
    rows: _Rows, which: list[int], columns: list[str], n_bins: int, min_n: int, inference: Inference
) -> Confounder:
    values = rows.values[:, which]
    known = np.isfinite(values.sum(1))
    rows = replace(rows, values=values).keep(known)
    title = listed(columns)
    means = _means(rows, inference.settings.level) if len(columns) == 1 else {}
    part = _eligible(rows, min_n)
    if part is None:
        few = undefined(len(rows.group), 0, "fewer than two groups with enough faces", inference.settings.level)
        return Confounder(
            columns=columns,
            title=title,
            n_missing=int((~known).sum()),
            means=means,
            bins=[],
            strength=few,
            gap=None,
            sentence=_FEW,
        )
    score = part.score(with_class=False)
    along = part.values[:, 0] if len(columns) == 1 else score
    bins, strength = _along(part, along, inference)
    gap = _gap(part, along, score, columns, n_bins, inference)
    return Confounder(
        columns=columns,
        title=title,
        n_missing=int((~known).sum()),
        means=means,
        bins=bins,
        strength=strength,
        gap=gap,
        sentence=_sentence(gap, title, means),
    )


def _means(rows: _Rows, level: float) -> dict[str, Estimate]:
    """Mean of the one confounder by group."""
    out = {}
    for g, name in enumerate(rows.names):
        mine = rows.group == g
        unit = None if rows.cluster is None else codes_without_holes(rows.cluster[mine])
        out[name] = mean_estimate(rows.values[mine, 0], unit, level)
    return out


def _along(rows: _Rows, score: Array, inference: Inference) -> tuple[list[ConfounderBin], Estimate]:
    """Accuracy in bins of a score, and how much it changes over them."""
    codes, edges = quantile_bins(score, _SHOWN_BINS)
    shares, strength = share_gap(codes, rows.hit, rows.cluster, len(edges) + 1, inference)
    members = [score[codes == b] for b in range(len(shares))]
    ends = zip(members, shares, strict=True)
    return [ConfounderBin(float(mine.min()), float(mine.max()), share) for mine, share in ends], strength


def _gap(rows: _Rows, along: Array, score: Array, columns: list[str], n_bins: int, inference: Inference) -> AdjustedGap:
    """The gap held against annotated class x bins of a confounder, or against bins of one score of both."""
    title, inside = listed(columns), _overlap(rows)
    fine, n, share = _supported_bins(rows, along, rows.label, n_bins, inside)
    if share >= SUPPORT:
        words = f"annotated class x {n} bins of {f'the score of {title}' if len(columns) > 1 else title}"
        layers, parts = [rows.label, fine], [EXPRESSIONS, title]
    else:
        score = rows.score(with_class=True)
        fine, n, share = _supported_bins(rows, score, np.zeros_like(rows.label), n_bins, inside)
        words = f"{n} bins of the score of {listed(['annotated class', *columns])}"
        layers, parts = [fine], [listed([EXPRESSIONS, *columns])]
    note = "" if share >= SUPPORT else f"only {share:.0%} of the faces are like some of every group"
    return adjusted_gap(rows.strata(*layers, expected=score), parts, words, inference, least=_LEAST, note=note)


def _overlap(rows: _Rows) -> NDArray[np.bool_]:
    """Whether each confounder of a face lies where every group has faces: ``(n,)``.

    A score alone does not see it: where all dark pictures are of one group, nothing tells what
    darkness does, and a score says that it does nothing.
    """
    g = len(rows.names)
    n_bins = int(np.clip(np.bincount(rows.group).min() // (2 * MIN_CELL), 2, _SHOWN_BINS))
    inside = np.ones(len(rows.group), dtype=np.bool_)
    for column in rows.values.T:
        codes = quantile_bins(column, n_bins)[0]
        inside &= common_support(rows.group, codes, g, rows.cluster)[codes]
    return inside


def _supported_bins(
    rows: _Rows, score: Array, label: Ints, n_bins: int, inside: NDArray[np.bool_]
) -> tuple[Ints, int, float]:
    """The most bins that leave enough faces where every group has some, else those that leave most.

    Returns:
        ``(n,)`` strata of class and bin, how many bins, and the share of faces that they leave.
    """
    best: tuple[Ints, int, float] = (label, 1, -1.0)
    for wanted in [n_bins, *(b for b in (8, 6, 5, 4, 3, 2) if b < n_bins)]:
        codes, edges = quantile_bins(score, wanted)
        n = len(edges) + 1
        # Faces without overlap go to strata of their own group, which are never compared.
        fine = np.where(inside, label * n + codes, (label.max() + 1) * n + rows.group)
        share = float(common_support(rows.group, fine, len(rows.names), rows.cluster)[fine].mean())
        if share > best[2]:
            best = (fine, n, share)
        if share >= SUPPORT:
            break
    return best


def _sentence(gap: AdjustedGap, title: str, means: dict[str, Estimate]) -> str:
    if not gap.parts:
        return f"Too few faces are alike in class and {title} across the groups: the gap cannot be adjusted."
    if not gap.compared.low > 0:
        return (
            f"The accuracy gap of {gap.compared} is not clearly away from 0, so it is not split; "
            f"among pictures alike in {title} it is {gap.adjusted}."
        )
    average = f" (on average {means[gap.worst].value:.3g} against {means[gap.best].value:.3g})" if means else ""
    where = f" over the {1 - gap.left_out:.0%} of faces that can be compared" if gap.left_out >= 0.01 else ""
    pieces = ", ".join(_piece(what, part) for what, part in gap.parts.items())
    return (
        f"Of the accuracy gap of {number(gap.compared.value)} ({gap.worst} below {gap.best}){where}, {pieces}{average}"
        f"; {gap.remaining} remains among pictures alike."
    )


def _piece(what: str, part: Estimate) -> str:
    if part.high < 0:
        hidden = replace(part, value=-part.value, low=-part.high, high=-part.low)
        return f"{hidden} more is hidden by {what}"
    return f"{part} goes with {what}"
