"""A film with what is said of its faces drawn on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien.errors import DataError
from mien.outputs import whole
from mien.predict.drawing import drawn
from mien.predict.films import Frame, film_library
from mien.predict.rows import FaceRow

_CODECS = ("libx264", "mpeg4")  # the first that PyAV was built with
_CLOCK = Fraction(1, 1000)  # seconds of a tick; MPEG-4 counts no finer than 1/65535
_BITS = 4  # a second and pixel


def draw_film(frames: Iterable[Frame], told: Mapping[int, Sequence[FaceRow]], out: Path) -> int:
    """An MP4 without sound: every frame of a film at its time; one that was not looked at has the boxes before.

    Args:
        frames: All of the film, from its first.
        told: Number of a frame -> its rows.
        out: The file.

    Returns:
        Frames written.

    A film that breaks off is drawn as far as it goes.

    Raises:
        MissingExtra: Without the ``video`` extra.
    """
    av = film_library()
    written, rows, stream, before = 0, list[FaceRow](), None, -1
    with whole(out) as partial, av.open(str(partial), "w", format="mp4") as file:
        for frame in _whole_ones(frames):
            rows = list(told.get(frame.number, rows))
            picture = drawn(frame.picture.pixels, rows)
            if stream is None:
                stream = _stream(file, av, picture.size)
            if picture.size != (stream.width, stream.height):
                picture = picture.resize((stream.width, stream.height), Image.Resampling.BILINEAR)
            made = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            made.time_base = _CLOCK
            before = made.pts = max(before + 1, round(frame.time_s / _CLOCK))
            file.mux(stream.encode(made))
            written += 1
        if stream is not None:
            file.mux(stream.encode(None))
    return written


def _whole_ones(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Up to where a film breaks off, as was told when it was looked at."""
    with suppress(DataError):
        yield from frames


def _stream(file: Any, av: Any, size: tuple[int, int]) -> Any:
    codec = next(name for name in _CODECS if name in av.codecs_available)
    stream = file.add_stream(codec)
    # Of colour a film holds a quarter, so that its sides are even.
    stream.width, stream.height = (max(2, 2 * (side // 2)) for side in size)
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = _CLOCK
    stream.codec_context.max_b_frames = 0  # with them an MP4 of uneven times ends before its last frame
    stream.bit_rate = max(400_000, _BITS * stream.width * stream.height)
    return stream
