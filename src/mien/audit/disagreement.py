"""Annotators who disagree: was the model wrong, or was the face ambiguous.

With several votes a face, the largest share of votes for one class is the face's *agreement*. It
serves three ends: accuracy at equal agreement, group by group; the part of a gap that goes with the
groups' mixes of agreement (strata, see :mod:`mien.stats.strata`); and a split of the errors:

* *ambiguous*: at least :data:`AMBIGUOUS` of the annotators chose what the model said;
* *wrong*: fewer did.

How well can one do at all? One annotator, drawn at random, agrees with the majority of the others
with probability (leave one out; v the votes, V their sum, e_k one vote for class k)

    c(v) = sum_k v_k / V  [k in argmax(v - e_k)] / |argmax(v - e_k)| ,

a tie counting as a draw. The mean of c over a group's faces is its *ceiling*. A model is compared
with the majority of all V votes, an annotator with that of V - 1, and a model that learned from many
annotators may well exceed one: it is a yardstick, not a limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute, resolve_attribute
from mien.errors import DataError, UsageError
from mien.records import Estimate, Predictions
from mien.stats.cells import Ints, independent_units
from mien.stats.intervals import mean_estimate, undefined
from mien.stats.settings import Settings
from mien.stats.shares import share_of_rows
from mien.stats.strata import AdjustedGap, Inference, Strata, adjusted_gap, share_gap
from mien.stats.stratify import MIN_CELL, large_groups, units_per_cell
from mien.wording import number

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
AMBIGUOUS = 0.2
EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
AGREEMENT = "the annotators' own disagreement"
ONE_VOTE = "Every face has one vote: disagreement between annotators cannot be seen."
_FEW = 0.1
_CLOSE = 1e-9  # shares of votes are fractions of small whole numbers
_NOTES = (
    "That annotators disagree more on a group's faces need not lie in the faces: annotators read some groups less "
    "well than others, and then part of what is called ambiguous here is theirs.",
    "A few votes measure a face's ambiguity with noise: more of a gap may go with it than is seen here.",
    "Accuracy counts the annotated class alone as right, even where another has as many votes.",
)


@dataclass(frozen=True)
class AgreementBin:
    """Faces on which annotators agree about equally.

    Attributes:
        low: Agreement above this.
        high: Up to this.
        accuracy: Group -> share of its faces in the bin whose predicted class is the annotated one.
    """

    low: float
    high: float
    accuracy: dict[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class DisagreementGroup:
    """How one group's faces are annotated and predicted.

    Attributes:
        name: The group.
        n: Faces with two votes or more.
        too_few: Whether they are too few to enter gaps.
        agreement: Mean agreement.
        right: Share of faces predicted as annotated.
        ambiguous: Share predicted as something else that enough annotators chose too.
        wrong: Share predicted as something that hardly anyone chose; the three sum to 1.
        ceiling: Chance that one annotator agrees with the majority of the others.
        above_ceiling: ``right`` minus ``ceiling``.
    """

    name: str
    n: int
    too_few: bool
    agreement: Estimate
    right: Estimate
    ambiguous: Estimate
    wrong: Estimate
    ceiling: Estimate
    above_ceiling: Estimate


@dataclass(frozen=True, kw_only=True)
class DisagreementResult:
    """What annotators' disagreement says about the accuracy gap of one attribute.

    Attributes:
        attribute: The attribute, as asked for.
        label: For people: ``perceived age``.
        n: Faces of known group with two votes or more.
        n_without: Faces of known group without votes, left out.
        n_single: Those with one vote, left out.
        groups: The groups, in order.
        bins: Accuracy by agreement and group.
        gap: The accuracy gap split by agreement; None if fewer than two groups have enough faces, or too few
            for two bins.
        wrong_gap: Largest minus smallest share of clearly wrong predictions.
        wrong_most: The group with the largest such share; empty if undefined.
        wrong_least: The group with the smallest.
        sentences: The findings.
        notes: What to mind.
    """

    attribute: str
    label: str
    n: int
    n_without: int
    n_single: int
    groups: list[DisagreementGroup]
    bins: list[AgreementBin]
    gap: AdjustedGap | None
    wrong_gap: Estimate
    wrong_most: str
    wrong_least: str
    sentences: list[str]
    notes: list[str] = field(default_factory=list)


def agreement(votes: Array) -> Array:
    """Largest share of a face's votes for one class: ``(n, K)`` -> ``(n,)``; NaN without votes."""
    total = votes.sum(1)
    return np.asarray(np.divide(votes.max(1), total, out=np.full(len(votes), np.nan), where=total > 0))


def annotator_ceiling(votes: Array) -> Array:
    """Chance that one of a face's annotators agrees with the majority of the others.

    See the module's text for the formula.

    Args:
        votes: ``(n, K)`` whole numbers.

    Returns:
        ``(n,)``; NaN for fewer than two votes.
    """
    n, k = votes.shape
    total = votes.sum(1)
    chance = np.zeros(n)
    for c in range(k):
        others = votes.copy()
        others[:, c] -= 1
        top = others.max(1)
        agrees = others[:, c] >= top
        chance += np.where(agrees, votes[:, c] / (others >= top[:, None]).sum(1), 0.0)
    return np.asarray(np.divide(chance, total, out=np.full(n, np.nan), where=total >= 2))


def disagreement_analysis(
    pred: Predictions,
    attribute: Attribute | str,
    *,
    edges: Sequence[float] = EDGES,
    ambiguous: float = AMBIGUOUS,
    settings: Settings = Settings(n_boot=1000),
) -> DisagreementResult:
    """Tell wrong predictions from ambiguous faces, and split the accuracy gap by annotators' agreement.

    Args:
        pred: The predictions, with votes.
        attribute: The groups, or their column.
        edges: Upper ends of the bins of agreement, ascending to 1; neighbours are merged until every
            group has :data:`mien.stats.stratify.MIN_CELL` faces in each.
        ambiguous: Least share of the annotators that make a class a possible reading.
        settings: Coverage, replicates, least faces of a group, seed.

    Returns:
        The result; undefined values are NaN with a note.

    Raises:
        UsageError: On settings that cannot work, or if there is no such column.
        DataError: If there are no votes, or the column cannot serve as an attribute.
    """
    votes = _votes(pred, edges, ambiguous)
    who = resolve_attribute(pred, attribute) if isinstance(attribute, str) else attribute
    faces, n_without, n_single = _faces(pred, votes, who, ambiguous)
    inference = Inference(settings, settings.stream(who.name, "disagreement"))
    part = _eligible(faces, settings.min_n)
    bounds = _bounds(faces if part is None else part, edges)
    groups = [_group(faces, g, name, settings) for g, name in enumerate(who.groups)]
    gap = None if part is None or len(bounds) < 2 else _gap(part, bounds, inference)
    wrong = _wrong_gap(part, inference)
    return DisagreementResult(
        attribute=who.name,
        label=who.label,
        n=len(faces.group),
        n_without=n_without,
        n_single=n_single,
        groups=groups,
        bins=_accuracies(faces, bounds, settings.level),
        gap=gap,
        wrong_gap=wrong[0],
        wrong_most=wrong[1],
        wrong_least=wrong[2],
        sentences=[_nothing(n_single)] if not len(faces.group) else _sentences(groups, gap, wrong),
        notes=[*_NOTES, *_vote_notes(faces, ambiguous)],
    )


@dataclass(frozen=True, kw_only=True)
class _Faces:
    """Faces of known group with two votes or more: ``(n,)`` each; ``names`` are the groups.

    ``ceiling`` is NaN where votes are shares and not counts.
    """

    group: Ints
    right: Bools
    wrong: Bools
    agreement: Array
    ceiling: Array
    n_votes: Array
    cluster: Ints | None
    names: tuple[str, ...]

    def keep(self, mask: Bools) -> _Faces:
        """The faces of a mask."""
        cut = {k: getattr(self, k)[mask] for k in ("group", "right", "wrong", "agreement", "ceiling", "n_votes")}
        return replace(self, **cut, cluster=None if self.cluster is None else self.cluster[mask])


def _votes(pred: Predictions, edges: Sequence[float], ambiguous: float) -> Array:
    """The votes, after a look at what was asked for."""
    if list(edges) != sorted(set(edges)) or not edges or edges[0] <= 0 or edges[-1] != 1:
        raise UsageError("edges", f"are {list(edges)}", "ascending numbers above 0, the last of them 1")
    if not 0 < ambiguous <= 1:
        raise UsageError("ambiguous", f"is {ambiguous}", "a share above 0, such as 0.2")
    if pred.votes is None or not (pred.votes.sum(1) > 0).any():
        raise DataError(
            pred.source or "predictions",
            "has no annotators' votes",
            "columns 'votes_<class>', one a class",
            "Add them, or leave the analysis of disagreement out.",
        )
    return pred.votes


def _faces(pred: Predictions, votes: Array, who: Attribute, ambiguous: float) -> tuple[_Faces, int, int]:
    """The faces, how many have no votes, and how many have one."""
    known, total = who.codes >= 0, votes.sum(1)
    counted = bool((votes == np.round(votes)).all())
    single = known & (total == 1) & counted
    chosen = votes[np.arange(len(votes)), pred.predicted]
    right = pred.labels == pred.predicted
    faces = _Faces(
        group=who.codes,
        right=right,
        wrong=~right & (chosen < ambiguous * total - _CLOSE),
        agreement=agreement(votes),
        ceiling=annotator_ceiling(votes) if counted else np.full(len(votes), np.nan),
        n_votes=total,
        cluster=independent_units(pred.cluster),
        names=who.groups,
    )
    return faces.keep(known & (total > 0) & ~single), int((known & (total <= 0)).sum()), int(single.sum())


def _eligible(faces: _Faces, min_n: int) -> _Faces | None:
    """The faces of groups with enough of them; None if there are fewer than two such groups."""
    mask, codes, names = large_groups(faces.group, faces.names, min_n)
    return None if len(names) < 2 else replace(faces.keep(mask), group=codes, names=names)


def _bin_codes(values: Array, ends: Sequence[float]) -> Ints:
    return np.searchsorted(np.asarray(ends) + _CLOSE, values, side="left").astype(np.int64)


def _bounds(faces: _Faces, edges: Sequence[float]) -> list[float]:
    """Upper ends of bins, merged until each holds enough units of every group."""
    ends = list(edges)
    units = units_per_cell(faces.group, _bin_codes(faces.agreement, ends), len(faces.names), len(ends), faces.cluster)
    while len(ends) > 1 and units.min() < MIN_CELL:
        b = int(units.min(0).argmin())
        below = b == len(ends) - 1 or (b > 0 and units[:, b - 1].sum() <= units[:, b + 1].sum())
        first = b - 1 if below else b
        # A unit with faces in both bins counts twice here, and strata that are too thin are left out later.
        units = np.add.reduceat(units, [i for i in range(len(ends)) if i != first + 1], axis=1)
        del ends[first]
    return ends


def _accuracies(faces: _Faces, bounds: list[float], level: float) -> list[AgreementBin]:
    code = _bin_codes(faces.agreement, bounds)
    out = []
    for b, (low, high) in enumerate(zip([0.0, *bounds], bounds, strict=False)):
        shares = {}
        for g, name in enumerate(faces.names):
            mine = (code == b) & (faces.group == g)
            unit = None if faces.cluster is None else faces.cluster[mine]
            shares[name] = share_of_rows(faces.right[mine], unit, level)
        out.append(AgreementBin(low, high, shares))
    return out


def _gap(part: _Faces, bounds: list[float], inference: Inference) -> AdjustedGap:
    strata = Strata(part.group, part.right, [_bin_codes(part.agreement, bounds)], part.cluster, part.names)
    return adjusted_gap(strata, [AGREEMENT], f"{len(bounds)} bins of agreement", inference)


def _wrong_gap(part: _Faces | None, inference: Inference) -> tuple[Estimate, str, str]:
    """The gap in clearly wrong predictions, the group with most and the one with least."""
    if part is None:
        return undefined(0, 0, "fewer than two groups with enough faces", inference.settings.level), "", ""
    shares, gap = share_gap(part.group, part.wrong, part.cluster, len(part.names), inference)
    values = np.array([e.value for e in shares])
    return gap, part.names[int(values.argmax())], part.names[int(values.argmin())]


def _group(faces: _Faces, g: int, name: str, settings: Settings) -> DisagreementGroup:
    level, min_n = settings.level, settings.min_n
    mine = faces.keep(faces.group == g)
    counted = not np.isnan(mine.ceiling).any()

    def mean(values: Array, lowest: float) -> Estimate:
        if not counted and np.isnan(values).any():
            return undefined(len(values), 0, "the votes are shares, not counts", level)
        e = mean_estimate(values, mine.cluster, level)
        return replace(e, low=max(e.low, lowest), high=min(e.high, 1.0)) if e.low <= e.high else e

    return DisagreementGroup(
        name=name,
        n=len(mine.group),
        too_few=len(mine.group) < min_n,
        agreement=mean(mine.agreement, 0.0),
        right=share_of_rows(mine.right, mine.cluster, level),
        ambiguous=share_of_rows(~mine.right & ~mine.wrong, mine.cluster, level),
        wrong=share_of_rows(mine.wrong, mine.cluster, level),
        ceiling=mean(mine.ceiling, 0.0),
        above_ceiling=mean(mine.right - mine.ceiling, -1.0),
    )


def _vote_notes(faces: _Faces, ambiguous: float) -> list[str]:
    if np.isnan(faces.ceiling).any():
        return ["The votes are shares, not counts: one annotator cannot be left out, so there is no ceiling."]
    if len(faces.group) and (faces.n_votes * ambiguous <= 1 + _CLOSE).mean() > _FEW:
        return [
            f"Many faces have so few votes that one vote is {ambiguous:.0%} of them: a slip makes a face ambiguous."
        ]
    return []


def _nothing(n_single: int) -> str:
    return ONE_VOTE if n_single else "No face of known group has votes."


def _sentences(groups: list[DisagreementGroup], gap: AdjustedGap | None, wrong: tuple[Estimate, str, str]) -> list[str]:
    estimate, most, least = wrong
    if not most:
        return ["Fewer than two groups have enough faces to compare."]
    by_name = {g.name: g for g in groups}
    errors = (
        f"Hardly any annotator chose what the model said on {by_name[most].wrong} of the faces of {most} and "
        f"{by_name[least].wrong} of {least}, a gap of {estimate}."
    )
    below = [g.name for g in groups if not g.too_few and g.above_ceiling.high < 0]
    ceiling = (
        f"The model agrees with the majority less often than a single annotator does for {', '.join(below)}."
        if below
        else "For no group is the model shown to agree with the majority less often than a single annotator does."
    )
    known = [ceiling] if any(not math.isnan(g.ceiling.value) for g in groups) else []
    return [_gap_sentence(gap), errors, *known]


def _gap_sentence(gap: AdjustedGap | None) -> str:
    if gap is None or not gap.parts:
        return "There are too few faces at each agreement to split the accuracy gap by it."
    if not gap.compared.low > 0:
        return (
            f"The accuracy gap of {gap.compared} is not clearly away from 0, so it is not split; among faces on which "
            f"annotators agree alike it is {gap.adjusted}."
        )
    part, share = gap.parts[AGREEMENT], gap.shares[AGREEMENT]
    pieces = (
        f"{replace(part, value=-part.value, low=-part.high, high=-part.low)} more is hidden by {AGREEMENT}"
        if part.high < 0
        else f"{part} ({share.value:.0%}) goes with {AGREEMENT}"
    )
    return (
        f"Of the accuracy gap of {number(gap.compared.value)} ({gap.worst} below {gap.best}), {pieces}; "
        f"{gap.remaining} remains among faces on which they agree alike."
    )
