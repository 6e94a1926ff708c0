"""Does an annotator score like the others on the same faces? An exact test, without drawing.

If an annotator does as the others do, the score of the annotator's judgement of a face is any of the
scores on that face with equal chance: exchanging it with another's changes nothing. So the sum of
its scores is a sum of independent draws, one from each face, and its distribution is the
convolution of theirs, computed here by Fourier transform. Faces differ in difficulty and in their
annotators; the test compares within each face only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LOWEST_P = 1e-12  # below it the transform's rounding errors are as large
_REACH = 12.0  # standard deviations on either side of the mean
_LARGEST = 1 << 14  # points of the distribution
_FINEST = 40.0  # points a standard deviation, where the scores have no common unit
_MOST_UNITS = 360
_CHUNK = 4_000_000


def exchange_p(pools: Array, own: Array) -> float:
    """Chance that a sum of scores is as low as the annotator's if its judgements could be anybody's.

    Args:
        pools: ``(f, w)`` scores of all judgements of each face, the annotator's among them; NaN fills
            the rows.
        own: ``(f,)`` the annotator's scores.

    Returns:
        In [1e-12, 1]; 1 where all judgements of every face score alike. The p-value for high sums is that
        of the negative scores.
    """
    lowest = np.nanmin(pools, axis=1) if len(pools) else np.zeros(0)
    offsets, mine = pools - lowest[:, None], own - lowest
    sizes = (~np.isnan(offsets)).sum(1)
    means = np.nansum(offsets, 1) / np.maximum(sizes, 1)
    variances = np.nansum((offsets - means[:, None]) ** 2, 1) / np.maximum(sizes, 1)
    informative = variances > 1e-18
    if not informative.any():
        return 1.0
    offsets, mine, deviation = offsets[informative], mine[informative], float(np.sqrt(variances.sum()))
    points, step = _lattice(offsets, deviation)
    units = np.where(np.isnan(offsets), -1, np.rint(np.nan_to_num(offsets) / step)).astype(np.int64)
    observed = int(np.rint(mine / step).sum())
    return _lower_tail(units, sizes[informative], observed, points)


def _lattice(offsets: Array, deviation: float) -> tuple[int, float]:
    """How many points the distribution needs, a power of 2, and how far apart they are.

    Scores are rounded to the points, the annotator's as all others, so the test stays exact.
    """
    values = np.unique(np.round(offsets[~np.isnan(offsets)], 9))
    step = deviation / _FINEST
    if len(values) <= _MOST_UNITS:
        for parts in range(1, _MOST_UNITS + 1):
            if np.abs(values * parts - np.rint(values * parts)).max() < 1e-6:
                step = 1 / parts
                break
    largest = float(np.nansum(np.nanmax(offsets, axis=1)))
    needed = min(largest, 2 * _REACH * deviation)
    step = max(step, needed / (_LARGEST - 2))
    return 1 << int(np.ceil(np.log2(needed / step + 2))), step


def _lower_tail(units: NDArray[np.int64], sizes: NDArray[np.int64], observed: int, points: int) -> float:
    patterns, counts = np.unique(np.sort(units, axis=1), axis=0, return_counts=True)
    transform = np.ones(points // 2 + 1, dtype=np.complex128)
    width = (patterns >= 0).sum(1)
    size = max(1, _CHUNK // points)
    for start in range(0, len(patterns), size):
        part = patterns[start : start + size]
        row, column = np.nonzero(part >= 0)
        place = row * points + part[row, column] % points
        histogram = np.bincount(place, minlength=len(part) * points).reshape(len(part), points)
        factors = np.fft.rfft(histogram / width[start : start + size, None], axis=1)
        transform *= np.prod(factors ** counts[start : start + size, None], axis=0)
    mass = np.maximum(np.fft.irfft(transform, points), 0.0)
    # Sums are known modulo the number of points: where they may be more, read them around the mean.
    mean = float((np.where(units >= 0, units, 0).sum(1) / sizes).sum())
    first = 0 if units.max(1).sum() < points else int(np.floor(mean)) - points // 2
    if observed < first:
        return LOWEST_P
    tail = mass[np.arange(first, min(observed, first + points - 1) + 1) % points].sum()
    return float(np.clip(tail, LOWEST_P, 1.0))
