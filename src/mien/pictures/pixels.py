"""Decoded faces: grey or in colour, at one size. What is said here of pixels holds wherever a network is fed.

A face comes to a network in two steps: to the size and colour in which a store holds it (:data:`STORED`), and
from there to the network's input (:data:`SEEN`). A network sees the same face when it learns and when it
serves only if both take both steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Images = NDArray[np.uint8]
Filter = Literal["lanczos", "bicubic", "bilinear"]

#: Red, green and blue of a grey level: ITU-R BT.601, as Pillow has it.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
#: The filters by name. Shrinking, each averages over all pixels that it passes over.
FILTERS: dict[str, Image.Resampling] = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
#: Those that torch has too, for whole batches.
ON_BATCHES = ("bilinear", "bicubic")
#: The filter to a store's size, and that to a network's input, where nothing else is said.
STORED: Filter = "lanczos"
SEEN: Filter = "bilinear"
_GAP = 3.0  # photographs are shrunk by whole factors first, down to so many times the size: half the time


def resampled(picture: Image.Image, size: int, by: str) -> Image.Image:
    """A picture at ``size`` pixels a side; one that is no square is squeezed.

    Args:
        picture: Grey or RGB.
        size: Side in pixels.
        by: One of :data:`FILTERS`.
    """
    if picture.size == (size, size):
        return picture
    return picture.resize((size, size), FILTERS[by], reducing_gap=_GAP if by == STORED else None)


def resized(images: Images, size: int, by: str = SEEN) -> Images:
    """Faces at ``size`` pixels a side: ``(n, H, W, C)`` -> ``(n, size, size, C)``."""
    if images.shape[1:3] == (size, size):
        return images
    out = np.empty((len(images), size, size, images.shape[3]), dtype=np.uint8)
    for target, image in zip(out, images, strict=True):
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        target[...] = np.asarray(resampled(picture, size, by)).reshape(target.shape)
    return out


def as_stored(images: Images, size: int, channels: int, by: str = STORED) -> Images:
    """Faces as a store of that size and colour would hold them, had it been made of these pictures.

    Args:
        images: ``(n, H, W, C)``, C = 1 or 3.
        size: Side in pixels.
        channels: 1 or 3.
        by: The store's filter.

    Returns:
        ``(n, size, size, channels)``.
    """
    n, height, width, found = images.shape
    if not n:
        return np.empty((0, size, size, channels), dtype=np.uint8)
    if channels == 3:
        images = in_colour(images)
    elif found == 3:
        # Pillow's own rounding, as where a file is decoded; one picture of all, for it takes one at a time.
        strip = Image.fromarray(np.ascontiguousarray(images).reshape(n * height, width, 3))
        images = np.asarray(strip.convert("L"))
    return resized(images.reshape(n, height, width, channels), size, by)


def luma(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``(n, H, W, C)``, C = 1 or 3 -> ``(n, H, W)`` grey levels of 0 to 255, not rounded."""
    if images.shape[3] == 1:
        return np.ascontiguousarray(images[..., 0], dtype=np.float32)
    return np.asarray(images.astype(np.float32) @ LUMA)


def in_colour(images: Images) -> Images:
    """Grey faces three times over, colour ones as they are: ``(n, H, W, 3)``, RGB."""
    return np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images


def bgr(images: Images) -> Images:
    """``(n, H, W, 3)`` in OpenCV's order of colours."""
    return np.ascontiguousarray(in_colour(images)[..., ::-1])


def normalised_floats(
    images: Images,
    size: int,
    channels: int,
    mean: Sequence[float],
    std: Sequence[float],
    scale: float = 255.0,
    by: str = SEEN,
) -> NDArray[np.float32]:
    """Faces as a foreign network's input: resampled in floats, divided by ``scale``, mean off, by the deviation.

    Args:
        images: ``(n, H, W, C)`` uint8.
        size: Side of the result in pixels.
        channels: 1 or 3; grey is made from colour by luminance, colour from grey by repetition.
        mean: Of each channel, or one number for all.
        std: Of each channel, or one number for all.
        scale: What 255 is divided by: 255 gives 0 to 1, 1 leaves 0 to 255.
        by: One of :data:`FILTERS`.

    Returns:
        ``(n, channels, size, size)``.
    """
    values = luma(images)[..., None] if channels == 1 else images.astype(np.float32)
    out = np.empty((len(images), values.shape[3], size, size), dtype=np.float32)
    for target, image in zip(out, values, strict=True):
        for c in range(values.shape[3]):
            target[c] = np.asarray(resampled(Image.fromarray(np.ascontiguousarray(image[..., c])), size, by))
    out = np.repeat(out, 3, axis=1) if channels == 3 and out.shape[1] == 1 else out
    centre, spread = (np.asarray(v, dtype=np.float32).reshape(1, -1, 1, 1) for v in (mean, std))
    return np.asarray((out / np.float32(scale) - centre) / spread, dtype=np.float32)
