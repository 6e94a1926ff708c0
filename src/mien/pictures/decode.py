"""Image files to arrays of one size, several at a time, with each unreadable file named."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mien.errors import ConfigError, DataError
from mien.pictures.opening import opened, plain_name, quietly
from mien.pictures.pixels import STORED, resampled

_SEVERAL = ("GIF", "TIFF", "WEBP", "PNG", "AVIF")  # a phone's JPEG (MPO) holds previews beside its picture
_LOOKED_AT = 4000  # under half a second on a warm disk; the commonest shape shows long before
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass
class Changes:
    """What was done to pictures so that all have one size and colour; each picture is counted where it applies.

    Attributes:
        resized: Square pictures of another size.
        squeezed: Names of pictures that were no square.
        greyed: Colour pictures made grey.
        coloured: Grey pictures made colour.
        first_frames: Moving pictures or pages, of which the first was read.
    """

    resized: int = 0
    squeezed: list[str] = field(default_factory=list)
    greyed: int = 0
    coloured: int = 0
    first_frames: int = 0

    def facts(self, size: int) -> dict[str, Any]:
        """What was changed, for people to read; empty where nothing was."""
        named = f"{len(self.squeezed)} ({', '.join(self.squeezed[:3])}{', ...' if len(self.squeezed) > 3 else ''})"
        found: dict[str, Any] = {
            f"brought to {size}x{size} pixels": self.resized,
            f"no square crop, squeezed to {size}x{size} pixels": named if self.squeezed else 0,
            "colour pictures made grey": self.greyed,
            "grey pictures stored as colour": self.coloured,
            "first frame or page of several": self.first_frames,
        }
        return {what: n for what, n in found.items() if n}


@dataclass(frozen=True)
class Region:
    """A square of a picture, where a corpus says which part of it is the face.

    What of the square lies beyond the picture is black.

    Attributes:
        path: The picture.
        left: Column of its left edge in pixels of the upright picture; negative where it begins outside.
        top: Row of its upper edge.
        side: Its side.
    """

    path: Path
    left: int
    top: int
    side: int

    @classmethod
    def around(cls, path: Path, box: tuple[float, float, float, float], margin: float = 0.0) -> Region:
        """The square around the middle of a box, as long as its longer side and ``margin`` of it on each end.

        Args:
            path: The picture.
            box: Left, top, right, bottom in pixels.
            margin: Share of the longer side.

        >>> cut = Region.around(Path("a.png"), (10, 20, 30, 60), 0.25)
        >>> cut.left, cut.top, cut.side
        (-10, 10, 60)
        """
        left, top, right, bottom = box
        side = max(1, round(max(right - left, bottom - top) * (1 + 2 * margin)))
        return cls(path, round((left + right - side) / 2), round((top + bottom - side) / 2), side)


@dataclass(frozen=True)
class _Decoded:
    """One picture, and how its file differed from it."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    grey: bool
    several: bool


def decode_file(path: Path, size: int, channels: int, resize: bool = True, by: str = STORED) -> NDArray[np.uint8]:
    """Decode one picture, upright by its EXIF mark; of several frames or pages, the first.

    Args:
        path: The file.
        size: Side of the square result in pixels.
        channels: 1 for grey, 3 for colour.
        resize: Resize a picture of another size; else it is an error.
        by: The filter, one of :data:`mien.pictures.pixels.FILTERS`.

    Returns:
        ``(size, size)`` or ``(size, size, 3)`` uint8.

    Raises:
        DataError: If the file is missing, truncated, no picture, or (without ``resize``) of another size.
    """
    with quietly():
        return _decode(path, size, channels, resize, by).pixels


def _decode(source: Path | Region, size: int, channels: int, resize: bool, by: str) -> _Decoded:
    path = source.path if isinstance(source, Region) else source
    with opened(path) as picture:
        grey = has_no_colour(picture)
        several = is_several(picture)
        image = _without_palette(in_eight_bits(ImageOps.exif_transpose(picture)))
        image = image.convert("L" if channels == 1 else "RGB")
        if isinstance(source, Region):
            image = _cut(image, source)
    found = image.size
    if found != (size, size):
        if not resize:
            raise DataError(str(path), f"is {found[0]}x{found[1]} pixels", f"{size}x{size}")
        image = resampled(image, size, by)
    return _Decoded(np.asarray(image, dtype=np.uint8), found, grey, several)


def _cut(image: Image.Image, region: Region) -> Image.Image:
    """The region of a picture.

    Raises:
        DataError: If it misses the picture, or is so large that hardly anything but black would be left.
    """
    right, bottom = region.left + region.side, region.top + region.side
    inside = right > 0 and bottom > 0 and region.left < image.width and region.top < image.height
    # A slip in a label file must not ask for a square of a million pixels a side.
    if not inside or region.side > 4 * max(image.size):
        found = f"the face's square from ({region.left}, {region.top}) to ({right}, {bottom})"
        raise DataError(str(region.path), found, f"one that lies in its {image.width}x{image.height} pixels")
    return image.crop((region.left, region.top, right, bottom))


def is_several(picture: Image.Image) -> bool:
    """Whether a picture has several frames or pages; it stands at the same one afterwards."""
    at = picture.tell()
    several = picture.format in _SEVERAL and bool(getattr(picture, "is_animated", False))
    if several:
        picture.seek(at)  # to count the frames it went through them
    return several


def has_no_colour(image: Image.Image) -> bool:
    """Whether a picture has no colour by its mode, or by a palette of greys (as GIF files of grey pictures have)."""
    if image.mode not in ("P", "PA") or image.palette is None:
        return image.mode in ("L", "LA", "La", "1", *_SIXTEEN_BIT)
    order, entries = image.palette.getdata()  # not getpalette(), which would decode the whole picture
    colours = np.frombuffer(bytes(entries), dtype=np.uint8)
    colours = colours[: len(colours) // len(order) * len(order)].reshape(-1, len(order))[:, :3]
    return bool((colours == colours[:, :1]).all())


def _without_palette(image: Image.Image) -> Image.Image:
    """Resolve a palette whose colours carry transparency: Pillow warns where it has to drop it."""
    return image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image


def in_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits, where Pillow would cut everything above 255 to white.

    Pictures without a value above 255 were written from 8 bits without scaling, and are taken as they are. A value that
    stands for nothing (``tRNS`` of a PNG) becomes transparent.

    Raises:
        ValueError: If its pixels are no numbers of 16 bits, so that nobody can say which of them is white.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a known range")
    if image.mode not in _SIXTEEN_BIT:
        return image
    pixels = np.asarray(image)
    if pixels.min(initial=0) < 0 or pixels.max(initial=0) >= 1 << 16:
        raise ValueError("its pixels are numbers of 32 bits without a known range")
    grey = Image.fromarray((pixels >> (8 * (pixels.max(initial=0) > 255))).astype(np.uint8))
    if isinstance(nothing := image.info.get("transparency"), int):
        grey.putalpha(Image.fromarray(np.where(pixels == nothing, 0, 255).astype(np.uint8)))
    return grey


def decode_files(
    paths: Sequence[Path | Region],
    size: int,
    channels: int,
    bad: Callable[[DataError], object],
    lines: Sequence[str] | None = None,
    changes: Changes | None = None,
    by: str = STORED,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Decode many pictures on two threads; ``bad`` gets the error of each that fails.

    Args:
        paths: The files, or regions of them.
        size: See :func:`decode_file`.
        channels: See :func:`decode_file`.
        bad: Called with each error.
        lines: Where each file is named, e.g. ``list.csv line 7``, for the errors.
        changes: Counts what had to be changed; without it, a picture of another size is an error.
        by: See :func:`decode_file`.

    Returns:
        Images ``(n, size, size)`` or ``(n, size, size, 3)`` and ``(n,)`` bool, False where one failed.
    """

    def one(source: Path | Region) -> _Decoded | DataError:
        try:
            return _decode(source, size, channels, changes is not None, by)
        except DataError as error:
            return error

    shape = (len(paths), size, size) if channels == 1 else (len(paths), size, size, channels)
    images = np.zeros(shape, dtype=np.uint8)
    ok = np.ones(len(paths), dtype=bool)
    with quietly(), ThreadPoolExecutor(2) as pool:
        for i, result in enumerate(pool.map(one, paths)):
            if isinstance(result, DataError):
                where = f"{lines[i]}: {result.where}" if lines else result.where
                bad(DataError(where, result.found, result.expected, result.fix))
                ok[i] = False
            else:
                images[i] = result.pixels
                if changes is not None:
                    source = paths[i]
                    name = source.path if isinstance(source, Region) else source
                    _count(changes, name, result, size, channels)
    return images, ok


def _count(changes: Changes, path: Path, found: _Decoded, size: int, channels: int) -> None:
    if found.size[0] != found.size[1]:
        changes.squeezed.append(plain_name(Path(*path.parts[-2:])))
    elif found.size != (size, size):
        changes.resized += 1
    changes.greyed += channels == 1 and not found.grey
    changes.coloured += channels == 3 and found.grey
    changes.first_frames += found.several


def picture_shape(paths: Sequence[Path], size: int | None, channels: int | None) -> tuple[int, int]:
    """Side and channels of a corpus: as asked, else those that most of its pictures have.

    Up to 4,000 pictures, all are looked at; beyond, 4,000 drawn evenly (seeded). Of equally common sizes
    or colours that of the earlier picture counts.

    Args:
        paths: The pictures.
        size: Side in pixels, if it was asked for.
        channels: 1 or 3, if they were asked for.

    Raises:
        ConfigError: If ``size`` or ``channels`` is impossible.
        DataError: If no picture opens, or most are not square (then ``size`` must be given).
    """
    if size is not None and not 8 <= size <= 4096:
        raise ConfigError("option.size", str(size), "8 to 4096 pixels")
    if channels not in (None, 1, 3):
        raise ConfigError("option.channels", str(channels), "1 for grey or 3 for colour")
    if size is not None and channels is not None:
        return size, channels
    shapes = count_shapes(paths)
    if not shapes:
        where, fix = (str(paths[0]) if paths else "the folder"), ""
        if paths and not os.path.exists(paths[0]):
            fix = f"{'Its link leads nowhere' if paths[0].is_symlink() else 'It is not there'}, nor can others be read."
        raise DataError(where, "no picture can be opened", "at least one picture", fix)
    colours: Counter[int] = Counter()
    squares: Counter[int] = Counter()
    others: Counter[tuple[int, int]] = Counter()
    for (width, height, planes), n in shapes.items():
        colours[planes] += n
        if width == height:
            squares[width] += n
        else:
            others[width, height] += n
    if size is None and others.total() > squares.total():
        path, width, height = _first_oblong(paths)
        fix = f"Pass size (--size 96) to squeeze them: {others.total()} of {shapes.total()} pictures are no squares."
        raise DataError(str(path), f"is {width}x{height} pixels", "a square crop", fix)
    # Where two are equally common, the one that came first: max keeps the order of a Counter.
    return size or max(squares, key=lambda s: squares[s]), channels or max(colours, key=lambda c: colours[c])


def _first_oblong(paths: Sequence[Path]) -> tuple[Path, int, int]:
    for path in paths:
        with suppress(DataError), quietly(), opened(path) as image:
            if image.width != image.height:
                return path, image.width, image.height
    raise DataError(str(paths[0].parent), "changes while it is read", "files that stay as they are")


def count_shapes(paths: Sequence[Path]) -> Counter[tuple[int, int, int]]:
    """Width, height and channels (1 or 3) of pictures, counted; see :func:`picture_shape`. Unreadable ones are not."""
    if len(paths) > _LOOKED_AT:
        # Drawn, not every k-th: files often come in a regular order of classes or persons.
        chosen = np.random.default_rng(0).choice(len(paths), _LOOKED_AT, replace=False)
        paths = [paths[i] for i in sorted(chosen.tolist())]
    found: Counter[tuple[int, int, int]] = Counter()
    with quietly():
        for path in paths:
            with suppress(DataError), opened(path) as image:
                found[(*image.size, 1 if has_no_colour(image) else 3)] += 1
    return found
