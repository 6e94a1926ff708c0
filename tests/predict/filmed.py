"""Films made of a photograph, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from photographs import photograph

PAPER = (90, 110, 120)


def frame_with(*places: tuple[int, int], size: tuple[int, int] = (480, 320), height: int = 240) -> Image.Image:
    """A frame with the photograph at each place."""
    frame = Image.new("RGB", size, PAPER)
    face = Image.fromarray(photograph())
    face = face.resize((round(face.width * height / face.height), height))
    for place in places:
        frame.paste(face, place)
    return frame


def write_film(path: Path, frames: Sequence[tuple[float, Image.Image]]) -> Path:
    """A film of pictures at their times in seconds; what says how long it is stands first."""
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    codec = "libvpx" if path.suffix == ".webm" else "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(path), "w", options=options) as file:
        stream = file.add_stream(codec)
        stream.width, stream.height = frames[0][1].size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.max_b_frames = 0
        for seconds, picture in frames:
            made = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            made.time_base = Fraction(1, 1000)
            made.pts = round(1000 * seconds)
            file.mux(stream.encode(made))
        file.mux(stream.encode(None))
    return path
