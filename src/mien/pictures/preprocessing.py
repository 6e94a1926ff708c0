"""What some networks want done to each picture before its mean and deviation: median, equalisation, plane.

The steps stand on the weights' card and are taken, in its order, on pixels of 0 to 1 at the size of the network's
input: after augmentation in training, and by whoever serves the weights. :mod:`mien.pictures.tensors` does the same on
batches where a network computes, to 1e-5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Preprocess = Literal["median", "equalise", "plane", "standardise"]
#: The steps by name, and what each does, for people.
STEPS: dict[str, str] = {
    "median": "the median of each pixel and its eight neighbours",
    "equalise": "each channel's grey levels to their rank among its pixels, -1 to 1",
    "plane": "less the plane that fits each channel best, by the deviation of what is left",
    "standardise": "less the picture's mean, by its deviation",
}
#: Steps after which pixels no longer lie from 0 to 1: mean and deviation of the corpus say nothing of them.
OF_OWN_RANGE = ("equalise", "plane", "standardise")
LEVELS = 256
#: A deviation at or below it is that of a flat picture, which is left flat.
FLAT = 1e-6
# Exchanges that leave the median of nine values in the fifth place.
MEDIAN_OF_NINE = (
    (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3),
    (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
)  # fmt: skip

Floats = NDArray[np.float32]


def preprocessed(x: Floats, steps: Sequence[str]) -> Floats:
    """Take the steps.

    Args:
        x: ``(n, C, H, W)`` of 0 to 1.
        steps: Names of :data:`STEPS`, in order.
    """
    for step in steps:
        x = _TAKEN[step](x)
    return x


def median(x: Floats) -> Floats:
    """The median of 3x3 pixels; beyond the edge stands the nearest pixel."""
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    near = [padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    for low, high in MEDIAN_OF_NINE:
        near[low], near[high] = np.minimum(near[low], near[high]), np.maximum(near[low], near[high])
    return near[4]


def equalised(x: Floats) -> Floats:
    """Histogram equalisation of each channel to the cumulative distribution, in [-1, 1].

    Source: the code of FER+ (Barsoum et al. 2016), 2 cdf(level) - 1 over 256 levels. A value between two levels counts
    for both by its nearness and is read between both: on pictures of whole levels nothing changes, and on resampled
    ones a difference in the last digit stays one.
    """
    values = np.clip(x, 0, 1).astype(np.float64).reshape(-1, x.shape[2] * x.shape[3]) * (LEVELS - 1)
    lower = np.minimum(values.astype(np.int64), LEVELS - 2)
    part = values - lower
    out = np.empty_like(values)
    for i in range(len(values)):
        counts = np.bincount(lower[i], 1 - part[i], LEVELS) + np.bincount(lower[i] + 1, part[i], LEVELS)
        cdf = counts.cumsum() * (2 / values.shape[1]) - 1
        out[i] = cdf[lower[i]] * (1 - part[i]) + cdf[lower[i] + 1] * part[i]
    return out.astype(np.float32).reshape(x.shape)


def without_plane(x: Floats) -> Floats:
    """Each channel less its least-squares plane a + bx + cy; the picture by the deviation of what is left (FER+)."""
    height, width = x.shape[2:]
    down, right = (np.arange(n, dtype=np.float64) - (n - 1) / 2 for n in (height, width))
    left: NDArray[Any] = x.astype(np.float64)
    left = left - left.mean((2, 3), keepdims=True)
    # Centred rows and columns are orthogonal: each slope by itself is the least-squares one.
    slope_y = (left * down[:, None]).sum((2, 3), keepdims=True) / max(width * (down**2).sum(), 1.0)
    slope_x = (left * right).sum((2, 3), keepdims=True) / max(height * (right**2).sum(), 1.0)
    return _by_deviation(left - slope_y * down[:, None] - slope_x * right)


def standardised(x: Floats) -> Floats:
    """The picture less its mean, by its deviation, over all channels together."""
    return _by_deviation(x.astype(np.float64) - x.mean((1, 2, 3), keepdims=True, dtype=np.float64))


def _by_deviation(left: NDArray[np.float64]) -> Floats:
    deviation = np.sqrt((left**2).mean((1, 2, 3), keepdims=True))
    return (left / np.where(deviation > FLAT, deviation, 1.0)).astype(np.float32)


_TAKEN = {"median": median, "equalise": equalised, "plane": without_plane, "standardise": standardised}
