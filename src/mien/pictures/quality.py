"""How pictures were taken, measured on their pixels: brightness, contrast and sharpness.

These are what an audit holds common between groups, so that darker photographs are not taken for
darker skin. They are measured on the whole crop, face and background together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, UsageError
from mien.pictures.pixels import luma

QUALITIES = ("brightness", "contrast", "sharpness")
_PIXELS = 1 << 18  # pixels worked on at once: what fits a processor's cache is fastest
_ROUNDING = 1e-6  # a single pixel one grey level off is well above it
_MARGIN = 4  # rows and columns that smoothing and Laplacian take from a picture

Floats = NDArray[np.float32]


def image_quality(images: NDArray[np.uint8], chunk: int = 4096) -> dict[str, NDArray[np.float64]]:
    """Measure each picture's brightness, contrast and sharpness.

    Sharpness is the energy of the Laplacian over the energy of the gradient, after a 3x3 binomial
    smoothing: the mean squared frequency (per pixel squared) of the picture's edges. Any change
    ``a + b * pixel`` leaves it as it is, unlike the variance of the Laplacian, and blur lowers it.
    Without the smoothing, noise and the rounding to whole grey levels would make dull, blurred
    pictures look sharp. Sharpness compares pictures of one size; an enlarged picture counts as blurred.

    Args:
        images: ``(N, H, W, C)`` uint8 with C of 1 (grey) or 3 (red, green, blue); may be
            memory-mapped, and is read once, piece by piece.
        chunk: Most pictures read at once.

    Returns:
        ``(N,)`` each:
        ``brightness``: mean luma, 0 (black) to 1 (white).
        ``contrast``: standard deviation of luma, on the same scale; 0 for a flat picture.
        ``sharpness``: see above; NaN for a flat picture, and for those smaller than 5x5.

    Raises:
        DataError: If the array is not uint8 of that shape.
        UsageError: If ``chunk`` is below 1.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        raise DataError("images", f"{images.dtype} of shape {images.shape}", "uint8 (N, H, W, C) with C of 1 or 3")
    if chunk < 1:
        raise UsageError("chunk", f"is {chunk}", "1 or more")
    step = max(1, min(chunk, _PIXELS // (images.shape[1] * images.shape[2])))
    out = {name: np.full(len(images), np.nan) for name in QUALITIES}
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        grey = luma(images[part])
        mean = grey.mean((1, 2))
        centred = grey - mean[:, None, None]
        out["brightness"][part] = mean / 255
        contrast = np.sqrt(_mean_square(centred)) / 255
        out["contrast"][part] = np.where(contrast < _ROUNDING, 0, contrast)
        out["sharpness"][part] = _sharpness(centred)
    return out


def _sharpness(luma: Floats) -> NDArray[np.float64]:
    """``(n,)``; see :func:`image_quality`."""
    n, height, width = luma.shape
    if min(height, width) <= _MARGIN:
        return np.full(n, np.nan)
    smooth = luma[:, :-2] + 2 * luma[:, 1:-1] + luma[:, 2:]
    smooth = smooth[:, :, :-2] + 2 * smooth[:, :, 1:-1] + smooth[:, :, 2:]
    down, right = np.diff(smooth, axis=1), np.diff(smooth, axis=2)
    laplacian = np.diff(down, axis=1)[:, :, 1:-1] + np.diff(right, axis=2)[:, 1:-1]
    gradient = _mean_square(down) + _mean_square(right)
    return np.asarray(np.divide(_mean_square(laplacian), gradient, out=np.full(n, np.nan), where=gradient > _ROUNDING))


def _mean_square(values: Floats) -> NDArray[np.float64]:
    flat = values.reshape(len(values), -1)
    return np.asarray(np.einsum("ij,ij->i", flat, flat), dtype=np.float64) / flat.shape[1]
