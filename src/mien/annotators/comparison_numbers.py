"""Two annotators that each give a number: what they give on average, and how far they go together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from mien.records import Estimate
from mien.stats.intervals import mean_estimate, undefined
from mien.stats.settings import Settings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class NumberComparison:
    """What two annotators say of one number of the same faces; all estimates are of faces with both.

    Attributes:
        name: The number: ``age_years``.
        mean_a: Its mean by A.
        mean_b: Its mean by B.
        difference: Mean of what A gives minus what B gives, paired.
        correlation: Pearson's; undefined where one of them gives every face the same.
        n_only_a: Faces to which only A gives a number.
        n_only_b: Faces to which only B gives one.
        n_neither: Faces to which neither does.
    """

    name: str
    mean_a: Estimate
    mean_b: Estimate
    difference: Estimate
    correlation: Estimate
    n_only_a: int
    n_only_b: int
    n_neither: int


def compare_numbers(name: str, a: Floats, b: Floats, unit: Ints, settings: Settings) -> NumberComparison:
    """Compare two numbers of the same faces.

    Args:
        name: The number.
        a: ``(n,)`` by A, NaN where it gives none.
        b: ``(n,)`` by B.
        unit: ``(n,)`` independent units.
        settings: Coverage; means of fewer faces than the least of a group are noted as few.
    """
    has_a, has_b = np.isfinite(a), np.isfinite(b)
    both = has_a & has_b
    x, y, units = a[both], b[both], np.unique(unit[both], return_inverse=True)[1]
    note = f"fewer than {settings.min_n} faces" if 0 < len(x) < settings.min_n else ""
    mean_a, mean_b, difference = (mean_estimate(values, units, settings.level, note) for values in (x, y, x - y))
    return NumberComparison(
        name=name,
        mean_a=mean_a,
        mean_b=mean_b,
        difference=difference,
        correlation=pearson(x, y, units, settings.level, note),
        n_only_a=int((has_a & ~has_b).sum()),
        n_only_b=int((~has_a & has_b).sum()),
        n_neither=int((~has_a & ~has_b).sum()),
    )


def pearson(x: Floats, y: Floats, unit: Ints, level: float = 0.95, note: str = "") -> Estimate:
    """Pearson's correlation with Student's interval on Fisher's scale, robust to dependence within units.

    The standard error sums over each unit what its faces contribute, ``zx zy - r (zx^2 + zy^2) / 2``
    (the influence of a face on r; Devlin, Gnanadesikan and Kettenring 1975, equation 3.4).

    Args:
        x: ``(n,)``.
        y: ``(n,)``.
        unit: ``(n,)`` codes of independent units, from 0.
        level: Coverage aimed at.
        note: Anything to say about the value.
    """
    n, m = len(x), len(np.unique(unit))
    if n == 0:
        return undefined(0, 0, "no face has a number from both", level)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return undefined(n, m, "one of them gives every face the same number", level)
    zx, zy = ((v - v.mean()) / v.std() for v in (x, y))
    r = float(np.clip((zx * zy).mean(), -1, 1))
    if m < 3 or 1 - r**2 < 1e-12:
        return Estimate(r, level=level, n=n, clusters=m, note=note or "no spread to make an interval of")
    influence = np.bincount(unit, weights=zx * zy - r / 2 * (zx**2 + zy**2))
    error = np.sqrt(m / (m - 1) * (influence**2).sum()) / n / (1 - r**2)
    reach = float(stdtrit(m - 1, 0.5 + level / 2)) * error
    low, high = (float(np.tanh(np.arctanh(r) + side * reach)) for side in (-1, 1))
    return Estimate(
        r, low, high, level=level, method="fisher z, robust to clusters", n=n, clusters=m, seed=None, note=note
    )
