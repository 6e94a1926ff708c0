"""Whole pictures, in which faces are still to be found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mien.errors import UsageError
from mien.pictures.decode import has_no_colour, in_eight_bits, is_several
from mien.pictures.opening import MOST_PIXELS, opened


@dataclass(frozen=True)
class WholePicture:
    """A picture as a person would see it: upright by its EXIF mark, on white where it is transparent.

    Attributes:
        name: What it is called.
        pixels: ``(H, W, 3)`` uint8, RGB.
        grey: It had no colour.
        several: It had more frames or pages; this is one of them, of a file the first.
    """

    name: str
    pixels: NDArray[np.uint8]
    grey: bool = False
    several: bool = False


def read_picture(source: Path | bytes, name: str = "", most_pixels: int = MOST_PIXELS) -> WholePicture:
    """Decode a picture at its own size. Inside :func:`mien.pictures.opening.quietly` Pillow does not warn.

    Args:
        source: The file, or the bytes of one.
        name: What it is called; a file's path by default.
        most_pixels: That it may have, looked at before it is decoded.

    Raises:
        DataError: If it cannot be read (see :func:`mien.pictures.opening.opened`).
    """
    called = name or (str(source) if isinstance(source, Path) else "picture")
    with opened(source, called, most_pixels) as picture:
        return picture_of(picture, called)


def picture_of(source: Image.Image | NDArray[Any], name: str = "picture") -> WholePicture:
    """A picture that is decoded already.

    Args:
        source: A Pillow image; or pixels ``(H, W)`` or ``(H, W, 1)`` in grey, ``(H, W, 3)`` in RGB (OpenCV has BGR),
            ``(H, W, 4)`` with an alpha channel, of uint8.
        name: What it is called.

    Raises:
        UsageError: If the pixels have another shape or type.
    """
    if not isinstance(source, Image.Image):
        shape = tuple(source.shape)
        fits = source.ndim == 2 or (source.ndim == 3 and shape[2] in (1, 3, 4))
        if source.dtype != np.uint8 or not fits or 0 in shape:
            expected = "uint8 of (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
            raise UsageError(name, f"is an array of {source.dtype} and shape {shape}", expected)
        source = Image.fromarray(source[..., 0] if source.ndim == 3 and shape[2] == 1 else source)
    grey, several = has_no_colour(source), is_several(source)
    image = on_white(in_eight_bits(ImageOps.exif_transpose(source)))
    return WholePicture(name, np.asarray(image, dtype=np.uint8), grey, several)


def on_white(image: Image.Image) -> Image.Image:
    """As RGB, as on white paper: what lies under transparent pixels is often garbage, or what was cut off."""
    if image.mode in ("P", "L", "RGB") and "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBa"):
        image = image.convert("RGBA")
    if image.mode != "RGBA":
        return image.convert("RGB")
    paper = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(paper, image).convert("RGB")
