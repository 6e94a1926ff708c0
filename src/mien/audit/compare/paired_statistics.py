"""Statistics of pairs: McNemar's test over units, differences of shares, changes of extremes."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.records import Estimate
from mien.stats.cells import Ints
from mien.stats.intervals import undefined

Array = NDArray[np.float64]
_NEAR = 1.5  # groups within this many standard errors of an extreme may be the true one
_BIAS = {"gap": 0.5, "ratio": 0.75, "worst": 1.0, "best": 1.0}  # share of the largest bias that an interval allows for
_SMALLEST_P = 1e-12  # what is left of rounding in an exact p-value


def sign_flip_p(net: NDArray[Any]) -> float:
    """McNemar's test, exact and mid-p, with units in place of faces.

    A unit's net is its faces that only B gets right minus those that only A does. If both models are
    equally good, a net is as likely as its opposite; the law of the sum of all nets with random signs
    follows exactly from its characteristic function, the product of cosines. Where each face is a
    unit this is McNemar's exact test with the mid-p of Fagerland, Lydersen and Laake (2013).

    Args:
        net: ``(m,)`` whole numbers, one a unit.

    Returns:
        In (0, 1]; 1 where no unit has a net.
    """
    sizes, counts = np.unique(np.abs(net[net != 0]).astype(np.int64), return_counts=True)
    total = int((sizes * counts).sum())
    if not total:
        return 1.0
    angle = 2 * np.pi * np.arange(2 * total + 1) / (2 * total + 1)
    characteristic = np.ones(len(angle))
    for size, count in zip(sizes, counts, strict=True):
        characteristic *= np.cos(size * angle) ** count
    law = np.fft.fft(characteristic).real[: total + 1] / len(angle)
    observed = abs(int(net.sum()))
    p = 2 * law[observed + 1 :].sum() + (law[observed] if observed else law[0] / 2)
    return float(np.clip(p, _SMALLEST_P, 1.0))


def paired_share_difference(difference: NDArray[Any], cluster: Ints | None, level: float = 0.95) -> Estimate:
    """The difference of two shares of the same faces.

    Bonett and Price (2012): a Wald interval after adding one pair for each model, so that it has a
    width even where no pair differs. Where faces are dependent, the pairs added are of the average
    unit's size, and the error sums what each unit departs from the mean (Liang and Zeger 1986).

    Args:
        difference: ``(n,)`` 1 where only B is right, -1 where only A is, else 0.
        cluster: ``(n,)`` codes of units; None where each face is its own.
        level: Coverage aimed at.
    """
    n = len(difference)
    if not n:
        return undefined(0, 0, "no faces", level)
    value = float(difference.mean())
    if cluster is None:
        net, size = difference.astype(np.float64), np.ones(n)
    else:
        code = np.unique(cluster, return_inverse=True)[1].reshape(-1)
        net = np.bincount(code, weights=difference).astype(np.float64)
        size = np.bincount(code).astype(np.float64)
    units = len(net)
    added = n / units
    centre = net.sum() / (n + 2 * added)
    squares = ((net - size * centre) ** 2).sum() + added**2 * ((1 - centre) ** 2 + (1 + centre) ** 2)
    half = NormalDist().inv_cdf(0.5 + level / 2) * np.sqrt(squares) / (n + 2 * added)
    low, high = max(-1.0, min(centre - half, value)), min(1.0, max(centre + half, value))
    return Estimate(value, float(low), float(high), level=level, method="paired adjusted Wald", n=n, clusters=units)


def change_of_extreme(
    values: Array, replicates: Array, statistic: str = "gap", level: float = 0.95, floor: Array | None = None
) -> tuple[Estimate, float]:
    """The change of a gap, a worst or a best value, or the ratio of both, between two models.

    A normal interval with the bootstrap's standard error, lengthened on each side by a share of the
    bias that the observed extreme may have there (half for a gap, which has two ends). It was chosen
    by simulated coverage, 95 % aimed at, with 2 to 14 groups of 40 to 3,000 faces and gaps of 0 to
    0.2 that stay, shrink, open or change their worst group (``benchmarks/compare.py``): it covers
    91 % to 100 %. Percentiles fall to 60 % where a gap opens between groups that were equal, and a
    normal interval without the lengthening to 75 %; simultaneous intervals of all pairs always hold,
    but are two to three times as wide.

    The p-value is the interval's: at most 5 % false alarms in these simulations. Exchanging the two
    models within units finds more, but gave up to 26 % false alarms where both have the same gap
    and another worst group: there the gap is unchanged although the models are not exchangeable.

    Args:
        values: ``(2, G)`` the groups' values under A and B.
        replicates: ``(b, 2, G)`` their paired bootstrap; replicates with an undefined value take no part.
        statistic: ``gap`` (largest minus smallest), ``worst``, ``best`` or ``ratio`` (smallest over largest).
        level: Coverage aimed at.
        floor: ``(G,)`` least standard errors of the groups' own differences: a bootstrap sees none
            where no face tells the models apart.

    Returns:
        The change (B - A), and the p-value of no change; NaN where it is undefined.
    """
    a, b = extreme(values, statistic)
    defined = replicates[~np.isnan(replicates).any((1, 2))]
    change = float(b - a)
    if np.isnan(change) or len(defined) < 2:
        return Estimate(change, level=level, note="undefined" if np.isnan(change) else "no interval"), float("nan")
    drawn = extreme(defined, statistic)
    departures = defined - values
    spread = float(np.hypot(np.nanstd(drawn[:, 1] - drawn[:, 0]), _unseen(values, departures, statistic, floor)))
    if spread < 1e-12:
        return Estimate(change, level=level, note="no replicate tells the models apart: no interval"), float("nan")
    bias = [_largest_bias(values[m], departures[:, m], statistic) for m in (0, 1)]
    # The true change is what is seen minus (bias of B - bias of A), each between 0 and its largest.
    below = (max(bias[1], 0.0) - min(bias[0], 0.0)) * _BIAS[statistic]
    above = (max(bias[0], 0.0) - min(bias[1], 0.0)) * _BIAS[statistic]
    normal = NormalDist()
    half = normal.inv_cdf(0.5 + level / 2) * spread
    p = 2 * normal.cdf(-max(change - below, -change - above, 0.0) / spread)
    note = "" if len(defined) >= 0.95 * len(replicates) else "some bootstrap replicates are undefined"
    low, high = change - below - half, change + above + half
    return Estimate(change, low, high, level=level, method="paired bootstrap, for extremes", note=note), max(
        p, _SMALLEST_P
    )


def extreme(values: Array, statistic: str) -> Array:
    """An extreme of ``(..., G)`` values."""
    high, low = values.max(-1), values.min(-1)
    if statistic == "ratio":
        return np.asarray(np.divide(low, high, out=np.full(high.shape, np.nan), where=high > 0))
    return np.asarray({"gap": high - low, "worst": low, "best": high}[statistic])


def _largest_bias(values: Array, departures: Array, statistic: str) -> float:
    """The bias of an extreme if all groups that may be the true one were.

    The mean of the directional derivative where groups are tied (Fang and Santos 2019): the largest
    value moves with the largest departure among the groups near it.
    """
    i, j = int(values.argmax()), int(values.argmin())
    top = values[i] - values <= _NEAR * (departures - departures[:, i : i + 1]).std(0)
    bottom = values - values[j] <= _NEAR * (departures - departures[:, j : j + 1]).std(0)
    up = float(departures[:, top].max(1).mean())
    down = float(departures[:, bottom].min(1).mean())
    if statistic == "ratio":
        return down / float(values[i]) - float(values[j]) * up / float(values[i]) ** 2
    return {"gap": up - down, "worst": down, "best": up}[statistic]


def _unseen(values: Array, departures: Array, statistic: str, floor: Array | None) -> float:
    """What the bootstrap's standard error lacks of the least errors of B's extreme groups."""
    if floor is None:
        return 0.0
    lacking = np.maximum(floor**2 - (departures[:, 1] - departures[:, 0]).var(0), 0.0)
    best, worst = lacking[values[1].argmax()], lacking[values[1].argmin()]
    scale = float(values.max()) if statistic == "ratio" else 1.0
    return float(np.sqrt({"worst": worst, "best": best}.get(statistic, worst + best)) / scale)
