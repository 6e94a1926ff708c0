"""Intervals of what is largest or smallest over groups: gaps, worst groups, ratios; and of their changes.

The gap of noisy values is larger than the true one on average, the worst of them lower. An interval about either does
not hold: with six equal groups of 60 to 900 faces it puts the gap above 0 every second time. Nor does the noise fall
out of the difference of two models' gaps, for it widens a small gap more than a large one.

All of these are the maximum of smooth numbers, here called contrasts: of x_g - x_h over ordered pairs of groups for a
gap, of -x_g for the worst, of -x_g / x_h for the ratio. A band holds every contrast at once, of both models and of
their differences. Then the maximum lies between the largest lower and the largest upper end; and where two models are
compared, at least what the difference is at the contrasts that may be the other's maximum, and at most what it is at
those that may be the one's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Array = NDArray[np.float64]
Extreme = Literal["gap", "worst", "ratio"]


@dataclass(frozen=True)
class Rates:
    """Rates of groups in some runs of one procedure.

    Attributes:
        values: ``(S, 1 + B, C, G)``: S runs; the rates as observed, then in bootstrap replicates that all runs of the
            same faces share; C rates of G groups. NaN where undefined: it takes no part.
        least: ``(C, G)`` variance that a rate has at least: replicates of a few faces, all of them right, have none.
    """

    values: Array
    least: Array

    def part(self, groups: NDArray[np.bool_]) -> Rates:
        """Some of the groups."""
        return Rates(self.values[..., groups], self.least[..., groups])


@dataclass(frozen=True)
class Bounds:
    """An extreme, or its change.

    Attributes:
        value: Of the mean rates over the runs; for a change, the one's less the other's. NaN where no rate has two
            groups (``worst``: one).
        low: Lower end of its interval for all faces and all runs; for the faces alone with one run.
        high: Upper end.
    """

    value: float
    low: float
    high: float


_MOST = 1e3  # times that one group's rate is another's; more is told as this
_UNKNOWN = _MOST**2  # variance of a rate that most replicates lack
_NOTHING = Bounds(float("nan"), float("nan"), float("nan"))


def extreme(rates: Rates, kind: Extreme, level: float, rng: np.random.Generator) -> Bounds:
    """The extreme of the mean rates over the runs.

    Args:
        rates: Of the procedure.
        kind: ``gap``, the largest over the rates of the largest less the smallest group; ``ratio``, the smallest over
            the rates of the smallest over the largest group; ``worst``, the smallest rate of all.
        level: Coverage of the interval, or more.
        rng: Source of the runs' noise.
    """
    found = _band([rates], kind, level, rng)
    if found is None:
        return _NOTHING
    (own,) = found
    value, low, high = float(own.mean.max()), float(own.low.max()), float(own.high.max())
    if kind == "gap":
        return Bounds(max(value, 0.0), max(low, 0.0), min(high, 1.0))
    return Bounds(min(-value, 1.0), max(-high, 0.0), min(-low, 1.0))


def change_of_extreme(rates: Rates, less: Rates, kind: Extreme, level: float, rng: np.random.Generator) -> Bounds:
    """One procedure's extreme less another's on the same faces.

    Args:
        rates: Of the one.
        less: Of the other; its replicates are of the same draws.
        kind: See :func:`extreme`.
        level: Coverage of the interval, or more.
        rng: Source of the runs' noise.
    """
    found = _band([rates, less], kind, level, rng)
    if found is None:
        return _NOTHING
    one, other, same, from_largest, to_largest = found
    value = float(one.mean.max() - other.mean.max())
    # The other's maximum is no less than it is at the same contrast, or at its seeming maximum; so the one's.
    most = np.minimum(same.high, to_largest.high)[one.high >= one.low.max()].max()
    least = np.maximum(same.low, from_largest.low)[other.high >= other.low.max()].min()
    low, high = max(min(float(least), value), -1.0), min(max(float(most), value), 1.0)
    return Bounds(value, low, high) if kind == "gap" else Bounds(-value, -high, -low)


@dataclass(frozen=True)
class _Ends:
    """Contrasts: their means and the ends of their band, ``(P,)`` each."""

    mean: Array
    low: Array
    high: Array


def _band(sides: list[Rates], kind: Extreme, level: float, rng: np.random.Generator) -> list[_Ends] | None:
    """A band about the contrasts of each side, and about three differences where there are two sides.

    The differences are: the one's less the other's at the same contrast; the one's seeming maximum less the other's;
    the one's less the other's seeming maximum. A contrast that a side has not takes no part. The variance between runs
    is a contrast's own, and no less than what all together show, as a multiple of the faces' variance, with half of
    the degrees of freedom of all groups: a few runs tell little of one contrast (as in
    :func:`mien.audit.seeds.noise.gap_noise`).
    """
    part = np.logical_and.reduce([~np.isnan(side.values[:, 0]).any(0) for side in sides])  # (C, G), in every run
    groups = part.any(0)
    sides, part = [side.part(groups) for side in sides], part[:, groups]
    g, runs, b = part.shape[1], len(sides[0].values), sides[0].values.shape[1] - 1
    if g < (1 if kind == "worst" else 2):
        return None
    freedom = max(runs - 1.0, (runs - 1) * (g - 1) / 2)
    chi = np.sqrt(rng.chisquare(freedom, b) / freedom) if runs > 1 else np.ones(b)
    looked = [_first_look(side, part, kind) for side in sides]
    if any(look is None for look in looked):
        return None
    ratio = float(np.mean([look[2] for look in looked if look is not None])) if runs > 1 else 0.0
    paired = _paired_ratio(sides, part, kind) if runs > 1 and len(sides) == 2 else 0.0

    def drawn(told: Array, least: Array) -> _Drawn:
        return _Drawn.of(told, least, ratio, chi, rng)

    largest = [drawn(look[0], look[1]) for look in looked if look is not None]
    means: list[list[Array]] = [[] for _ in range(5 if len(sides) == 2 else 1)]
    spreads: list[list[Array]] = [[] for _ in means]
    size = np.zeros(b)
    for blocks in zip(*(_contrasts(side, part, kind) for side in sides), strict=True):
        own = [drawn(told, least) for told, least in blocks]
        asked = [each.alone() for each in own]
        if len(own) == 2:
            pairs = ((own[0], own[1]), (largest[0], own[1]), (own[0], largest[1]))
            asked += [one.less(other, paired, chi, rng) for one, other in pairs]
        for i, (mean, noise, spread) in enumerate(asked):
            error = np.divide(np.abs(noise), spread, out=np.zeros_like(noise), where=spread > 0)
            size = np.maximum(size, error.max(1, initial=0.0))
            means[i].append(mean)
            spreads[i].append(spread)
    reach = max(float(np.quantile(size, level)) if b else 0.0, float(ndtri(0.5 + level / 2)))
    both = [(np.concatenate(m), reach * np.concatenate(s)) for m, s in zip(means, spreads, strict=True)]
    return [_Ends(mean, mean - half, mean + half) for mean, half in both]


@dataclass(frozen=True)
class _Drawn:
    """Contrasts with their noise.

    Attributes:
        mean: ``(P,)`` over runs.
        faces: ``(B, P)`` errors of the mean in replicates; NaN where a replicate lacks a rate.
        luck: ``(B, P)`` drawn errors of the mean that runs make.
        runs: ``(P,)`` variance that the runs give the mean.
        least: ``(P,)`` variance that the faces give it at least.
        each: ``(S, P)`` of the runs.
    """

    mean: Array
    faces: Array
    luck: Array
    runs: Array
    least: Array
    each: Array

    @classmethod
    def of(cls, told: Array, least: Array, ratio: float, chi: Array, rng: np.random.Generator) -> _Drawn:
        """From ``(S, 1 + B, P)`` contrasts."""
        s, faces = len(told), (told[:, 1:] - told[:, :1]).mean(0)
        runs = np.zeros(told.shape[-1])
        if s > 1:
            variance = np.maximum(_mean_square(faces), least)
            runs = np.maximum(told[:, 0].var(0, ddof=1), ratio * variance) / s
        luck = rng.standard_normal(faces.shape) * np.sqrt(runs) / chi[:, None]
        return cls(told[:, 0].mean(0), faces, luck, runs, least, told[:, 0])

    def alone(self) -> tuple[Array, Array, Array]:
        """Mean, noise, and its deviation."""
        variance = np.maximum(_mean_square(self.faces), self.least)
        return self.mean, np.nan_to_num(self.faces) + self.luck, np.sqrt(variance + self.runs)

    def less(self, other: _Drawn, ratio: float, chi: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Of the difference: faces are shared, and runs are in pairs: what is fitted to a run has that run's luck."""
        faces = self.faces - other.faces
        variance = _mean_square(faces)
        # Where both are always right, what the difference is in further faces is not known either. Where they are not,
        # and it is the same in all replicates, they give the same answers.
        always = (variance == 0) & (_mean_square(self.faces) == 0)
        variance = np.where(always, np.minimum(self.least, other.least), variance)
        s, runs = len(self.each), np.zeros(faces.shape[1])
        if s > 1:
            runs = np.maximum((self.each - other.each).var(0, ddof=1), ratio * variance) / s
        luck = rng.standard_normal(faces.shape) * np.sqrt(runs) / chi[:, None]
        return self.mean - other.mean, np.nan_to_num(faces) + luck, np.sqrt(variance + runs)


def _mean_square(errors: Array) -> Array:
    """``(P,)`` of ``(B, P)`` errors, over the replicates that have the rate; of one that most lack nothing is known."""
    there = (~np.isnan(errors)).sum(0)
    mean = np.nansum(errors**2, 0) / np.maximum(there, 1)
    return np.asarray(np.where(2 * there < len(errors), _UNKNOWN, mean))


def _paired_ratio(sides: list[Rates], part: NDArray[np.bool_], kind: Extreme) -> float:
    """The runs' variance of a contrast's difference as a multiple of the faces', the mean over contrasts."""
    found = []
    for (one, _), (other, _) in zip(*(_contrasts(side, part, kind) for side in sides), strict=True):
        told = one - other
        variance = _mean_square((told[:, 1:] - told[:, :1]).mean(0))
        own, known = told[:, 0].var(0, ddof=1), (variance > 0) & (variance < _UNKNOWN)
        found.append(own[known] / variance[known])
    ratios = np.concatenate(found) if found else np.zeros(0)
    return float(ratios.mean()) if len(ratios) else 0.0


def _first_look(side: Rates, part: NDArray[np.bool_], kind: Extreme) -> tuple[Array, Array, float] | None:
    """The contrast of the largest mean, its least variance, and the runs' variance as a multiple of the faces'."""
    best: tuple[Array, Array] | None = None
    ratios = []
    for told, least in _contrasts(side, part, kind):
        at = int(told[:, 0].mean(0).argmax())
        if best is None or told[:, 0, at].mean() > best[0][:, 0].mean():
            best = told[:, :, [at]], least[[at]]
        if len(told) > 1:
            variance = np.maximum(_mean_square((told[:, 1:] - told[:, :1]).mean(0)), least)
            own = told[:, 0].var(0, ddof=1)
            ratio = np.divide(own, variance, out=np.zeros_like(own), where=variance > 0)
            ratios.append(ratio[variance < _UNKNOWN])
    every = np.concatenate(ratios) if ratios else np.zeros(0)
    return None if best is None else (*best, float(every.mean()) if len(every) else 0.0)


def _contrasts(side: Rates, part: NDArray[np.bool_], kind: Extreme) -> Iterator[tuple[Array, Array]]:
    """``(S, 1 + B, P)`` contrasts and their least variances, some at a time: all pairs at once are many."""
    values, least = side.values, side.least
    if kind == "worst":
        yield -values[..., part], least[part]
        return
    for one in range(part.shape[1]):
        both = part & part[:, [one]]
        both[:, one] = False
        rate, other = np.nonzero(both)
        if not len(rate):
            continue
        x, y = values[..., rate, one], values[..., rate, other]
        vx, vy = least[rate, one], least[rate, other]
        if kind == "gap":
            yield x - y, vx + vy
        else:
            told = -np.divide(x, y, out=np.where(x > 0, _MOST, 1.0), where=y > 0)
            told = np.where(np.isnan(x) | np.isnan(y), np.nan, told)
            mean_x, mean_y = x[:, 0].mean(0), y[:, 0].mean(0)
            square = np.maximum(mean_y, 1e-6) ** 2
            yield np.maximum(told, -_MOST), vx / square + (mean_x / square) ** 2 * vy


def share_variance(share: Array, n: ArrayLike) -> Array:
    """The variance that shares of groups have at least: each one's own, and what it were if all groups were alike.

    Its own is from one success and one failure more, so that no group has nothing; and a small group that happens to
    be near 0 or 1 would seem surer than it is, if what the others show of the share did not count.

    Args:
        share: ``(..., G)``; NaN where undefined.
        n: Independent units (persons, pictures with their copies) behind each, of a shape that fits.
    """
    units = np.maximum(np.broadcast_to(np.asarray(n, dtype=np.float64), share.shape), 1.0)
    known = ~np.isnan(share)
    hits = np.where(known, share, 0.0) * units
    everybody = (hits.sum(-1) + 1) / (np.where(known, units, 0.0).sum(-1) + 2)
    own = (hits + 1) / (units + 2)
    alike = (everybody * (1 - everybody))[..., None]
    return np.asarray(np.where(known, np.maximum(own * (1 - own), alike) / units, np.nan))
