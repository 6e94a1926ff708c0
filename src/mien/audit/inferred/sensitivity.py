"""What annotator error would change a gap between perceived groups, and how much of it would erase it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mien.audit.inferred.margins import Counted, GapOf, edge_floor, metric_values, mistakes
from mien.records import Estimate
from mien.stats.intervals import NAN
from mien.stats.mixture import inverted_counts, true_counts

Array = NDArray[np.float64]
_LARGEST_CONDITION = 10.0  # where the curve of even errors ends: beyond it intervals say nothing
_EVEN_POINTS, _MOVED_POINTS = 19, 21
_HALVINGS = 20  # to a millionth
_FEW_STEPS = 5  # a curve of fewer gets points of its own
_NEAR_POINTS = 9  # up to the end of a short curve, and about where a gap is erased


@dataclass(frozen=True)
class SensitivityPoint:
    """A gap under one assumed annotator error.

    Attributes:
        error: The assumed error, a share.
        gap: The gap that the true groups would then have.
    """

    error: float
    gap: Estimate


@dataclass(frozen=True)
class EvenErrorCurve:
    """A gap under errors that fall evenly: on a share of every group, right and mistaken faces alike.

    Such errors mix the groups and make a gap of accuracy or recall look smaller than it is. No
    amount of them could have made one.

    Attributes:
        metric: As in the gaps.
        class_name: The class of a ``recall`` gap; empty otherwise.
        points: From no error up to the largest that these faces allow.
        note: Why the curve ends where it ends.
    """

    metric: str
    class_name: str
    points: list[SensitivityPoint]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class ErasureCurve:
    """The difference of two groups if the annotator's errors fell on mistaken faces alone.

    A share of the faces perceived as the worst group and predicted wrong belong in truth to the
    best group; all that are predicted right are perceived correctly.

    Attributes:
        metric: As in the gaps.
        class_name: The class of a ``recall`` gap; empty otherwise.
        worst: The group with the smallest value among perceived groups.
        best: The one with the largest.
        points: Best minus worst for shares from 0 to 1; negative where the order has turned.
        erased_at: The share at which the difference is 0; undefined if none is enough.
        uncertain_at: The share from which the interval of the difference includes 0; NaN if none.
        of_group: ``erased_at`` as a share of all faces perceived as the worst group (of the class, for
            a recall); NaN if undefined.
        sentence: The same in a sentence.
    """

    metric: str
    class_name: str
    worst: str
    best: str
    points: list[SensitivityPoint]
    erased_at: Estimate
    uncertain_at: float
    of_group: float
    sentence: str


def percent(share: float) -> str:
    """``13%``; below 10 per cent with one decimal, so that little is not called nothing."""
    return f"{share:.0%}" if share >= 0.0995 or share == 0 else f"{share:.1%}"


def even_errors(n_groups: int, error: float) -> Array:
    """``(G, G)`` rates of an annotator that takes a share ``error`` of every group evenly for the others."""
    other = error / (n_groups - 1)
    return np.full((n_groups, n_groups), other) + np.eye(n_groups) * (1 - error - other)


def even_error_curves(counted: Counted, gaps: list[GapOf], groups: list[str], least: int) -> list[EvenErrorCurve]:
    """Each gap under even errors of growing size.

    The condition number of :func:`even_errors` is ``1 / (1 - e G / (G - 1))``; the curve ends where
    it reaches 10, or earlier where a group of the gap would have fewer than ``least`` faces: so
    few are perceived as it that a larger share of the others cannot have been taken for it. There are
    points enough to draw the first gap's curve, however short it is.

    Args:
        counted: Counts of perceived groups.
        gaps: Which gaps.
        groups: The G names.
        least: Least faces of a group.

    Returns:
        One curve for each gap that two groups take part in.
    """
    last = (1 - 1 / _LARGEST_CONDITION) * (len(groups) - 1) / len(groups)
    points: list[list[SensitivityPoint]] = [[] for _ in gaps]
    notes = [f"ends at {last:.1%}: with more the groups could hardly be told apart" for _ in gaps]
    going = [i for i, gap in enumerate(gaps) if gap.eligible.sum() > 1]
    errors = np.linspace(0, last, _EVEN_POINTS)
    if going:
        end = _largest_error(counted, gaps[going[0]], groups, least, last)
        if end < errors[_FEW_STEPS]:
            errors = np.unique([*errors, *np.linspace(0, end, _NEAR_POINTS)])
    for error in errors.tolist():
        if not going:
            break
        rates = even_errors(len(groups), error)[None]
        solved = inverted_counts(counted.observed, rates)
        true = replace(counted, observed=true_counts(counted.observed, rates), drawn=true_counts(counted.drawn, rates))
        for i in list(going):
            ending = _ending(gaps[i], gaps[i].hits_and_misses(solved)[0], groups, least)
            if ending:
                notes[i] = f"ends at {points[i][-1].error if points[i] else 0:.1%}: {ending}"
                going.remove(i)
            else:
                values, drawn = gaps[i].values(true.observed)[0], gaps[i].values(true.drawn)
                points[i].append(SensitivityPoint(error, true.gap(gaps[i], values, drawn)[0]))
    return [
        EvenErrorCurve(gap.metric, gap.class_name, p, note)
        for gap, p, note in zip(gaps, points, notes, strict=True)
        if p
    ]


def _largest_error(counted: Counted, gap: GapOf, groups: list[str], least: int, last: float) -> float:
    """The largest error up to ``last`` that the faces of a gap allow, by halving."""

    def possible(error: float) -> bool:
        solved = inverted_counts(counted.observed, even_errors(len(groups), error)[None])
        return not _ending(gap, gap.hits_and_misses(solved)[0], groups, least)

    if possible(last):
        return last
    low, high = 0.0, last
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if possible(middle) else (low, middle)
    return low


def _ending(gap: GapOf, solved: Array, groups: list[str], least: int) -> str:
    """Why so large an error is not possible; empty if it is.

    Args:
        gap: Which gap.
        solved: ``(G, 2)`` its hits and misses, solved for the true groups.
        groups: The G names.
        least: Least faces of a group.
    """
    what = f" annotated with {gap.class_name}" if gap.class_name else ""
    for g in np.flatnonzero(gap.eligible):
        if solved[g].sum() < max(least, 1):
            return f"too few faces{what} are perceived as {groups[g]} for an error so large"
        if solved[g].min() < 0:
            kind = "right" if solved[g, 0] < 0 else "wrong"
            return (
                f"faces of other groups alone would bring more {kind} predictions among those perceived as "
                f"{groups[g]} than there are"
            )
    return ""


def moved(margins: Array, share: Array | float) -> Array:
    """Margins of (worst, best) after a share of the worst group's mistaken faces has gone to the best.

    Args:
        margins: ``(b, 2, 2 + 3K)``.
        share: ``(b,)`` or one number.
    """
    columns = mistakes(margins.shape[-1])
    out = margins.copy()
    going = margins[:, 0, columns] * np.broadcast_to(share, len(margins))[:, None]
    out[:, 0, columns] -= going
    out[:, 1, columns] += going
    return out


def _difference(margins: Array, gap: GapOf, share: Array | float) -> Array:
    """``(b,)`` best minus worst after the move."""
    values = gap.values(moved(margins, share))
    return np.asarray(values[:, 1] - values[:, 0])


def erasing_shares(margins: Array, gap: GapOf) -> Array:
    """The share of the worst group's mistakes that, moved to the best, makes the two equal.

    The difference falls with the share, so halving finds where it crosses 0. For accuracy and
    recall that is ``(h' m - h m') / (m (h + h'))``, with h hits and m mistakes of the worst group
    and h', m' of the best.

    Args:
        margins: ``(b, 2, 2 + 3K)`` of (worst, best).
        gap: Which gap.

    Returns:
        ``(b,)``: 0 where the difference is not positive to begin with, NaN where no share is enough.
    """
    low, high = np.zeros(len(margins)), np.ones(len(margins))
    never = ~(_difference(margins, gap, 1.0) <= 0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = _difference(margins, gap, middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    at_once = _difference(margins, gap, 0.0) <= 0
    return np.where(at_once, 0.0, np.where(never, np.nan, (low + high) / 2))


def erasure_curve(counted: Counted, gap: GapOf, groups: list[str]) -> ErasureCurve | None:
    """How a gap would fall if some of the worst group's mistaken faces were in truth the best group's.

    Args:
        counted: Counts of perceived groups.
        gap: Which gap.
        groups: The G names.

    Returns:
        The curve; None where fewer than two groups take part or the gap is 0.
    """
    values = gap.values(counted.observed)[0]
    part = np.flatnonzero(gap.eligible & ~np.isnan(values))
    if len(part) < 2 or not np.ptp(values[part]) > 0:
        return None
    pair = part[[int(values[part].argmin()), int(values[part].argmax())]]
    reach = _multiplier(counted, gap, part)
    two = replace(counted, observed=counted.observed[:, pair], drawn=counted.drawn[:, pair])
    erased = _erased_at(two, gap)
    # The difference is no straight line: where the best group is small it bends before it reaches 0.
    shares = np.arange(_MOVED_POINTS) / (_MOVED_POINTS - 1)
    if erased.value > 0:
        shares = np.unique([*shares, *np.linspace(0, min(4 * erased.value, 1.0), 2 * _NEAR_POINTS - 1)])
    points = [SensitivityPoint(float(s), _moved_estimate(two, gap, float(s), reach)) for s in shares]
    of_group = erased.value * _mistaken_share(two.observed, gap)
    uncertain = _first_zero(points)
    worst, best = groups[int(pair[0])], groups[int(pair[1])]
    return ErasureCurve(
        metric=gap.metric,
        class_name=gap.class_name,
        worst=worst,
        best=best,
        points=points,
        erased_at=erased,
        uncertain_at=uncertain,
        of_group=of_group,
        sentence=_sentence(gap, worst, best, erased.value, uncertain, of_group),
    )


def _moved_estimate(two: Counted, gap: GapOf, share: float, reach: float) -> Estimate:
    """Best minus worst after the move, with an interval of ``reach`` standard errors to each side."""
    after = moved(two.observed, share)
    values, sizes = gap.values(after)[0], gap.sizes(after)[0]
    value = float(values[1] - values[0])
    if np.isnan(value):
        return two.estimate(NAN, NAN, NAN, float(sizes.sum()), "none", "no face is left in a group")
    departure = _difference(two.drawn, gap, share) - value
    departure = departure[~np.isnan(departure)]
    floor = edge_floor(values, sizes, two.level)
    error = float(np.sqrt(max((departure**2).mean() if len(departure) else 0.0, (floor**2).sum())))
    low, high = max(value - reach * error, -1.0), min(value + reach * error, 1.0)
    return two.estimate(value, low, high, float(sizes.sum()), "simultaneous bootstrap")


def _multiplier(counted: Counted, gap: GapOf, part: NDArray[np.int64]) -> float:
    """How many standard errors the differences of all pairs stay within: the pair is picked among them."""
    values, drawn = gap.values(counted.observed)[0, part], gap.values(counted.drawn)[:, part]
    floor = edge_floor(values, gap.sizes(counted.observed)[0, part], counted.level)
    first, second = np.triu_indices(len(part), 1)
    departure = drawn[:, first] - drawn[:, second] - (values[first] - values[second])
    n = np.maximum((~np.isnan(departure)).sum(0), 1)
    spread = np.sqrt(np.maximum(np.nansum(departure**2, 0) / n, floor[first] ** 2 + floor[second] ** 2))
    ratio = np.nan_to_num(np.abs(departure)) / np.where(spread > 0, spread, np.inf)
    return max(float(np.quantile(ratio.max(1), counted.level)), NormalDist().inv_cdf(0.5 + counted.level / 2))


def _mistaken_share(margins: Array, gap: GapOf) -> float:
    """Share of the worst group's faces (of the class, for a recall) that are predicted wrong."""
    return 1 - float(metric_values(margins, "recall" if gap.metric == "recall" else "accuracy", gap.k)[0, 0])


def _erased_at(two: Counted, gap: GapOf) -> Estimate:
    value, n = float(erasing_shares(two.observed, gap)[0]), float(gap.sizes(two.observed).sum())
    # Where no share is enough, more than all would be needed.
    drawn = np.nan_to_num(erasing_shares(two.drawn, gap), nan=1.0)
    low, high = np.quantile(drawn, [(1 - two.level) / 2, (1 + two.level) / 2])
    note = "not even all mistakes would be enough" if np.isnan(value) else ""
    return two.estimate(value, float(low), float(high), n, "bootstrap percentile", note)


def _first_zero(points: list[SensitivityPoint]) -> float:
    """The error at which the lower end of the interval reaches 0, between points by a straight line; NaN if never."""
    for before, after in zip([None, *points], points, strict=False):
        low = after.gap.low
        if np.isnan(low):
            return NAN
        if low <= 0:
            if before is None:
                return after.error
            return before.error + (after.error - before.error) * before.gap.low / (before.gap.low - low)
    return NAN


def _sentence(gap: GapOf, worst: str, best: str, erased: float, uncertain: float, of_group: float) -> str:
    of_class = f" annotated with {gap.class_name}" if gap.class_name else ""
    mistaken = f"faces{of_class} perceived as {worst} that the model got wrong"
    if np.isnan(erased):
        return (
            f"Errors of the annotator on mistaken faces alone could not erase the {gap.title} gap, not even if all "
            f"{mistaken} were in truth {best}."
        )
    text = (
        f"If the annotator erred on mistaken faces alone, {percent(erased)} of the {mistaken} would have to be in "
        f"truth {best} for the {gap.title} gap to vanish ({percent(of_group)} of all faces{of_class} perceived as "
        f"{worst})."
    )
    if uncertain == 0:
        return text + " The gap cannot be told from zero even without such errors."
    return text if np.isnan(uncertain) else text + f" From {percent(uncertain)} on it could not be told from zero."
