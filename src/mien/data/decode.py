"""Image files to arrays of one size, several at a time, with each unreadable file named."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mien.data.corpus import BadRows
from mien.errors import ConfigError, DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")

_UNREADABLE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def decode_file(path: Path, size: int, channels: int, resize: bool = True) -> NDArray[np.uint8]:
    """Decode one picture, upright by its EXIF mark.

    Args:
        path: The file.
        size: Side of the square result in pixels.
        channels: 1 for grey, 3 for colour.
        resize: Resize a picture of another size; else it is an error.

    Returns:
        ``(size, size)`` or ``(size, size, 3)`` uint8.

    Raises:
        DataError: If the file is missing, truncated, no picture, or (without ``resize``) of another size.
    """
    try:
        with Image.open(path) as opened:
            image = _eight_bit(ImageOps.exif_transpose(opened)).convert("L" if channels == 1 else "RGB")
    except FileNotFoundError:
        raise DataError(str(path), "no such file", "a picture") from None
    except _UNREADABLE as error:
        raise DataError(str(path), f"cannot be decoded ({error})", "a whole picture") from None
    if image.size != (size, size):
        if not resize:
            raise DataError(str(path), f"is {image.size[0]}x{image.size[1]} pixels", f"{size}x{size}")
        image = image.resize((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(image, dtype=np.uint8)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits, where Pillow would cut everything above 255 to white."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a known range")
    if image.mode not in _SIXTEEN_BIT:
        return image
    return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))


def decode_files(
    paths: Sequence[Path],
    size: int,
    channels: int,
    bad: BadRows,
    resize: bool = True,
    lines: Sequence[str] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Decode many pictures on two threads; those that fail go to ``bad``.

    Args:
        paths: The files.
        size: See :func:`decode_file`.
        channels: See :func:`decode_file`.
        bad: Takes the errors.
        resize: See :func:`decode_file`.
        lines: Where each file is named, e.g. ``list.csv line 7``, for the errors.

    Returns:
        Images ``(n, size, size)`` or ``(n, size, size, 3)`` and ``(n,)`` bool, False where one failed.
    """

    def one(path: Path) -> NDArray[np.uint8] | DataError:
        try:
            return decode_file(path, size, channels, resize)
        except DataError as error:
            return error

    shape = (len(paths), size, size) if channels == 1 else (len(paths), size, size, channels)
    images = np.zeros(shape, dtype=np.uint8)
    ok = np.ones(len(paths), dtype=bool)
    with ThreadPoolExecutor(2) as pool:
        for i, result in enumerate(pool.map(one, paths)):
            if isinstance(result, DataError):
                where = f"{lines[i]}: {result.where}" if lines else result.where
                bad.add(DataError(where, result.found, result.expected, result.fix))
                ok[i] = False
            else:
                images[i] = result
    return images, ok


def picture_shape(paths: Sequence[Path], size: int | None, channels: int | None) -> tuple[int, int]:
    """Side and channels of a corpus: as asked, else those of the first picture that opens.

    Raises:
        ConfigError: If ``size`` or ``channels`` is impossible.
        DataError: If none opens, or the picture is not square (then ``size`` must be given).
    """
    if size is not None and not 8 <= size <= 4096:
        raise ConfigError("option.size", str(size), "8 to 4096 pixels")
    if channels not in (None, 1, 3):
        raise ConfigError("option.channels", str(channels), "1 for grey or 3 for colour")
    if size is not None and channels is not None:
        return size, channels
    found_size, found_channels = _first_shape(paths, square=size is None)
    return size or found_size, channels or found_channels


def _first_shape(paths: Sequence[Path], square: bool) -> tuple[int, int]:
    for path in paths:
        try:
            with Image.open(path) as image:
                width, height = image.size
                channels = 1 if image.mode in ("L", "LA", "1", *_SIXTEEN_BIT) else 3
        except _UNREADABLE:
            continue
        if square and width != height:
            raise DataError(str(path), f"is {width}x{height} pixels", "a square crop", "Pass size (--size 96).")
        return width, channels
    raise DataError(str(paths[0]) if paths else "the folder", "no picture can be opened", "at least one picture")
