"""How far the truth may lie below and above an estimate, at any critical value.

An estimate carries its interval at one level. Whoever looks at many estimates at once (the largest gap
of all pairs of groups, the worst recall of fourteen cells) needs the same interval at a higher level, and
each side of it by itself: 40 of 40 faces right leaves room of 9 points below and none above.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, stdtrit

from mien.records import Estimate
from mien.stats.intervals import student_share

Array = NDArray[np.float64]
#: Critical value -> (low, high), each in the shape of the values.
Limits = Callable[[float], tuple[Array, Array]]

_UNIT = 1e-12


def jeffreys_bounds(share: ArrayLike, n: ArrayLike, z: float) -> tuple[Array, Array]:
    """Jeffreys' interval of shares, its ends at the tail of a normal critical value.

    Quantiles of Beta(k + 1/2, n - k + 1/2); 0 at no success and 1 at no failure (Brown, Cai and DasGupta
    2001, equation 6). Near 95 % it is as good as Wilson's. Far out in the tails, where simultaneous
    intervals end, it keeps the binomial's skewness, which Wilson's loses: there Wilson's limits exclude the
    truth several times too often.

    Args:
        share: Observed shares.
        n: Trials, not necessarily whole; broadcasts with ``share``.
        z: Critical value; each end has the tail probability ``1 - Phi(z)``.

    Returns:
        ``(low, high)``, never on the wrong side of the share; NaN where ``n`` is 0 or the share is NaN.

    >>> low, high = jeffreys_bounds([0.0, 0.5], 10, 1.959964)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.0, 0.224], [0.217, 0.776])
    """
    p, trials = np.broadcast_arrays(np.asarray(share, np.float64), np.asarray(n, np.float64))
    known = (trials > 0) & ~np.isnan(p)
    m = np.where(known, trials, 1.0)
    k = np.where(known, np.clip(p, 0.0, 1.0), 0.5) * m
    tail = NormalDist().cdf(-z)
    low = np.where(k > _UNIT, betaincinv(k + 0.5, m - k + 0.5, tail), 0.0)
    high = np.where(k < m - _UNIT, 1 - betaincinv(m - k + 0.5, k + 0.5, tail), 1.0)
    return np.where(known, np.minimum(low, p), np.nan), np.where(known, np.maximum(high, p), np.nan)


def share_limits(shares: Array, trials: ArrayLike, units: ArrayLike | None = None) -> Limits:
    """Limits of shares.

    Args:
        shares: The shares.
        trials: Independent faces that each is worth, by a variance taken as known.
        units: Independent units from which that variance was estimated: further out, Student's quantile leaves
            the normal one behind, and fewer trials are sure. None where every face is a unit.
    """
    if units is None:
        return lambda z: jeffreys_bounds(shares, trials, z)
    return lambda z: jeffreys_bounds(shares, np.maximum(np.asarray(trials) * student_share(units, z), 0.5), z)


def estimate_limits(estimates: Sequence[Estimate]) -> Limits:
    """Limits ``(G,)`` of estimates, each by the method of its own interval.

    * A share (Wilson's): Jeffreys', with the trials that the interval implies.
    * F1 (Wilson's of the overlap): the same of the overlap.
    * A mean (Student's): the sides stretched as Student's quantiles are.
    * Any other: the sides stretched as normal quantiles are; on the logit scale for a mean over classes.

    NaN where an estimate has no interval.
    """

    def limits(z: float) -> tuple[Array, Array]:
        ends = np.array([_ends(e, z) for e in estimates], dtype=np.float64).reshape(-1, 2)
        return ends[:, 0], ends[:, 1]

    return limits


def at_level(estimate: Estimate, level: float) -> Estimate:
    """The same estimate with its interval at another level; as it is where it has none, or that level."""
    if math.isnan(estimate.low) or level == estimate.level:
        return estimate
    low, high = _ends(estimate, NormalDist().inv_cdf(0.5 + level / 2))
    if level > estimate.level:
        # At 0 of n Jeffreys' end is nearer than Wilson's at a somewhat lower level.
        low, high = min(low, estimate.low), max(high, estimate.high)
    return replace(estimate, low=low, high=high, level=level)


def implied_trials(estimate: Estimate) -> float:
    """The trials of a share whose Wilson interval is known.

    With x = z^2 / n, half of the interval's width h obeys h^2 (1 + x)^2 = x p (1 - p) + x^2 / 4, which is
    quadratic in x.

    >>> from mien.stats.intervals import wilson
    >>> round(implied_trials(Estimate(0.3, *wilson(30, 100))), 6)
    100.0
    """
    z, p = NormalDist().inv_cdf(0.5 + estimate.level / 2), estimate.value
    h2 = ((estimate.high - estimate.low) / 2) ** 2
    a, b, c = h2 - 0.25, 2 * h2 - p * (1 - p), h2
    if a >= 0:  # no trials at all
        return 0.0
    x = (-b - math.sqrt(max(b * b - 4 * a * c, 0.0))) / (2 * a)
    return z * z / x if x > 0 else math.inf


def _ends(e: Estimate, z: float) -> tuple[float, float]:
    if math.isnan(e.value) or math.isnan(e.low):
        return math.nan, math.nan
    if e.method.startswith("wilson of the overlap"):
        overlap = replace(e, value=_overlap(e.value), low=_overlap(e.low), high=_overlap(e.high))
        low, high = _share_ends(overlap, z)
        return 2 * low / (1 + low), 2 * high / (1 + high)
    if e.method.startswith("wilson"):
        return _share_ends(e, z)
    q = 0.5 + e.level / 2
    stretch = z / NormalDist().inv_cdf(q)
    if e.method.startswith("student") and e.clusters > 1:
        wider = stdtrit(e.clusters - 1, NormalDist().cdf(z)) / stdtrit(e.clusters - 1, q)
        return e.value - wider * (e.value - e.low), e.value + wider * (e.high - e.value)
    if e.method.startswith("logit") and e.low > 0 and e.high < 1:
        centre, low, high = (math.log(x / (1 - x)) for x in (e.value, e.low, e.high))
        ends = (centre - stretch * (centre - low), centre + stretch * (high - centre))
        return 1 / (1 + math.exp(-ends[0])), 1 / (1 + math.exp(-ends[1]))
    low, high = e.value - stretch * (e.value - e.low), e.value + stretch * (e.high - e.value)
    within = e.low >= 0 and e.high <= 1
    return (max(low, 0.0), min(high, 1.0)) if within else (low, high)


def _overlap(f1: float) -> float:
    return f1 / (2 - f1)


def _share_ends(e: Estimate, z: float) -> tuple[float, float]:
    trials = implied_trials(e)
    if e.clusters < e.n:
        own = NormalDist().inv_cdf(0.5 + e.level / 2)
        trials *= float(student_share(e.clusters, z) / student_share(e.clusters, own))
    low, high = jeffreys_bounds(e.value, max(trials, 0.5), z)
    return float(low), float(high)
