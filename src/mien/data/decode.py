"""Image files to arrays of one size, several at a time, with each unreadable file named."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mien.data.corpus import BadRows
from mien.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


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
            image = ImageOps.exif_transpose(opened).convert("L" if channels == 1 else "RGB")
    except FileNotFoundError:
        raise DataError(str(path), "no such file", "a picture") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(str(path), f"cannot be decoded ({error})", "a whole picture") from None
    if image.size != (size, size):
        if not resize:
            raise DataError(str(path), f"is {image.size[0]}x{image.size[1]} pixels", f"{size}x{size}")
        image = image.resize((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(image, dtype=np.uint8)


def decode_files(
    paths: Sequence[Path], size: int, channels: int, bad: BadRows, resize: bool = True
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Decode many pictures on two threads; those that fail go to ``bad``.

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
                bad.add(result)
                ok[i] = False
            else:
                images[i] = result
    return images, ok


def first_shape(paths: Sequence[Path]) -> tuple[int, int]:
    """Side and channels of the first picture that opens: what a folder is taken to hold.

    Raises:
        DataError: If none opens, or the picture is not square (then ``size`` must be given).
    """
    for path in paths:
        try:
            with Image.open(path) as image:
                width, height = image.size
                channels = 1 if image.mode in ("L", "1", "I;16") else 3
        except (OSError, UnidentifiedImageError):
            continue
        if width != height:
            raise DataError(str(path), f"is {width}x{height} pixels", "a square crop", "Pass size (--size 96).")
        return width, channels
    raise DataError(str(paths[0]) if paths else "the folder", "no picture can be opened", "at least one picture")
