"""The one place where a picture file is opened: a regular file of a known format and a bearable size.

What a file is called says nothing of what it is: Pillow looks at its first bytes, and for PostScript it
would start another program. A few hundred bytes can name a picture of a billion pixels. And decoders of
damaged files raise almost anything. So every picture goes through :func:`opened`, and whatever is wrong
with one is a DataError that names it.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from mien.errors import DataError
from mien.inputs import SMALL, check_regular

#: Most pixels of a picture, 8,192 x 8,192: a fifth of a gigabyte once it is decoded, and no face needs more.
MOST_PIXELS = 1 << 26
#: Most scans of a JPEG. Each goes over all its pixels again, and takes a few bytes: a small file could ask for hours.
MOST_SCANS = 100
#: And of the segments that are looked through for them: a hundred times what the most scans need.
_MOST_SEGMENTS = 100 * MOST_SCANS
#: What a decoder takes for the begin of a segment, of a scan, or for the end; from 0xff with anything else behind it it
#: goes on byte by byte.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_SCAN, _END = 0xDA, 0xD9
_WHOLE = "a whole picture"
_HEIF = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1")
#: The formats that are opened, by content, and the endings that are pictures by their name alone. Formats of which
#: Pillow leaves the work to another program (PostScript: Ghostscript) or that name other files are not among them.
FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PPM": (".pgm", ".ppm", ".pbm", ".pnm"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2",),
    "HEIF": (".heic", ".heif"),  # of telephones; with the extra
    "TGA": (".tga",),  # last: its files have no mark of their own
}


@cache
def readable_formats() -> tuple[str, ...]:
    """Those of :data:`FORMATS` that can be opened here: AVIF and WebP if Pillow was built so, HEIF with the extra."""
    Image.init()
    with suppress(ImportError):
        import pi_heif

        pi_heif.register_heif_opener(thumbnails=False)
    return tuple(f for f in FORMATS if f in Image.OPEN)


@contextmanager
def opened(source: Path | bytes, name: str = "", most: int = MOST_PIXELS) -> Iterator[Image.Image]:
    """Open a picture; decode it inside, so that what its decoder raises is turned as well.

    Args:
        source: The file, or the bytes of one.
        name: What bytes are called in messages; a file is called by its path.
        most: Pixels that it may have.

    Raises:
        DataError: If it is missing, no regular file, too large, of another format, or damaged.
    """
    called = name if isinstance(source, bytes) else str(source)
    if not isinstance(source, bytes):
        check_regular(source, "a picture", most=SMALL)
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=readable_formats()) as image:
            width, height = image.size
            if width * height > most:
                fix = "Make it smaller, or cut the face out."
                raise DataError(called, f"has {width:,}x{height:,} pixels", f"at most {most:,} in all", fix)
            if image.format in ("JPEG", "MPO"):
                _check_scans(source if isinstance(source, bytes) else source.read_bytes(), called)
            yield image
    except DataError:
        raise
    except FileNotFoundError:
        gone = isinstance(source, Path) and source.is_symlink()
        raise (dead_link(Path(called)) if gone else DataError(called, "no such file", "a picture")) from None
    except Image.DecompressionBombError as error:
        raise DataError(called, f"has too many pixels ({error})", f"at most {most:,}") from None
    except Exception as error:  # decoders of damaged files raise almost anything; none of it may end a corpus
        found, fix = _in_its_place(source)
        # What Pillow says of bytes names an object of Python's.
        unknown = "it is no picture of a known format" if isinstance(error, UnidentifiedImageError) else ""
        reason = found or (unknown if isinstance(source, bytes) else "") or str(error) or type(error).__name__
        raise DataError(called, f"cannot be decoded ({reason})", _WHOLE, fix) from None


def _check_scans(content: bytes, called: str) -> None:
    """Refuse a JPEG of too many scans. Telephones append films to pictures: what follows its end is none of it."""
    at, scans = 2, 0
    for _ in range(_MOST_SEGMENTS):
        marker = _MARKER.search(content, at)
        if marker is None or content[marker.end() - 1] == _END:
            return
        at = marker.end()
        if content[at - 1] == _SCAN:
            scans += 1
        else:
            at += int.from_bytes(content[at : at + 2], "big")
        if scans > MOST_SCANS:
            break
    raise DataError(called, f"is coded in more than {MOST_SCANS} scans", f"at most {MOST_SCANS}", "Save it anew.")


@contextmanager
def quietly() -> Iterator[None]:
    """Keep Pillow's warnings from the user: what they say of a file is either refused or does not matter.

    Warnings are filtered for the whole process: threads that decode are started inside, not the reverse.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _in_its_place(source: Path | bytes) -> tuple[str, str]:
    """What stands in a file that is no picture, where that is known, and what to do; else two empty words."""
    if isinstance(source, bytes):
        start = source[:100]
    else:
        try:
            with open(source, "rb") as file:
                start = file.read(100)
        except OSError:
            return "", ""
    if start.startswith((b"version https://git-lfs", b"/annex/objects", b"../.git/annex")):
        return "it only says where its picture is stored", "Fetch the pictures (git lfs pull, git annex get)."
    if start.lstrip()[:14].lower().startswith((b"<html", b"<!doctype html")):
        return "it is a web page under a picture's name", "Download the picture again."
    if start.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6", b"%PDF")):
        return "it is PostScript or PDF, which another program would have to run", "Save it as PNG."
    if start[4:12] in _HEIF and "HEIF" not in readable_formats():
        return "it is a HEIC picture", "Install what reads them: pip install 'mien[heic]'."
    return ("it is empty", "Copy or download the picture again.") if not start else ("", "")


def dead_link(path: Path) -> DataError:
    """The error for a link whose file is not there."""
    fix = "Fetch what it names (git annex get, datalad get), or see to the disk that it lies on."
    return DataError(str(path), f"is a link to {os.readlink(path)}, which is not there", "a picture or a folder", fix)


def plain_name(path: Path | str) -> str:
    """A path as text that any file can hold, with ``/`` between folders; bytes that are no UTF-8 become ``\\xNN``."""
    return os.fsencode(Path(path).as_posix()).decode("utf-8", "backslashreplace")
