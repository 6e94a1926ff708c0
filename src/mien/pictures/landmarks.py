"""The five landmarks of a face in a table: what they are called, and where they lie when its picture changes size."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

#: The five points that corpora agree on, as they lie in the picture: left and right are the onlooker's.
LANDMARKS = ("left eye", "right eye", "tip of the nose", "left corner of the mouth", "right corner of the mouth")
COLUMNS = tuple(f"landmark_{i}_{axis}" for i in range(len(LANDMARKS)) for axis in "xy")


def rescaled(
    frame: pd.DataFrame, scale: tuple[ArrayLike, ArrayLike], first: tuple[ArrayLike, ArrayLike] = (0.0, 0.0)
) -> pd.DataFrame:
    """The rows with their landmarks in the pixels of faces that were cut out and brought to another size.

    Pixel i ends at i + 1/2: the edges of a picture lie at -1/2 and at its size less 1/2, and stay edges.

    Args:
        frame: ``n`` rows; columns of landmarks that it lacks are not made.
        scale: New pixels for each old one, across and down: numbers, or ``(n,)``.
        first: Column and row of the first pixel that was cut out: numbers, or ``(n,)``.

    Returns:
        The rows anew; NaN where a landmark is not known.
    """
    of = dict(zip("xy", zip(scale, first, strict=True), strict=True))
    return frame.assign(**{name: _rescaled(frame[name], *of[name[-1]]) for name in COLUMNS if name in frame})


def _rescaled(values: pd.Series, scale: ArrayLike, first: ArrayLike) -> NDArray[np.float64]:
    old = values.to_numpy(dtype=np.float64, na_value=np.nan)
    found: NDArray[np.float64] = (old - np.asarray(first) + 0.5) * np.asarray(scale) - 0.5
    return found
