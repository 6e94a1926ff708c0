"""Films and cameras: frames one after the other, each with its time."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import DataError, MissingExtra, UsageError
from mien.inputs import check_regular
from mien.pictures.opening import MOST_PIXELS
from mien.pictures.whole import WholePicture
from mien.predict.predictor import Predictor
from mien.predict.rows import FaceRow
from mien.predict.tracks import Tracks
from mien.wording import plural

_RATE = 25.0  # frames a second of a film that does not say
_JUMP_S = 1.0  # that a film goes back at most within itself
_ENDS_S, _SHORT = 1.0, 0.02  # seconds, and share of its length, by which a film may end before it says
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_HAIR = 1e-6  # a third of a second times three is one
_ASPECT = 8.0  # widest and narrowest pixels that a film is believed to have
# How a camera is called by each system, and the container that reads it.
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
_BY_NAME = "win32"  # knows cameras by their names alone


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        number: From 0, of all of its film, looked at or not.
        time_s: Seconds from the film's first frame.
        picture: Upright.
    """

    number: int
    time_s: float
    picture: WholePicture


def frames_of(path: Path, fps: float | None = None, until: float | None = None) -> Generator[Frame]:
    """The frames of a film, each at the time that the film says, whatever its rate and whether that changes.

    Args:
        path: The film.
        fps: Most frames a second that are decoded to a picture; all by default.
        until: Seconds after which no frame is asked for; to its end by default.

    Raises:
        DataError: If it is missing, no film, breaks off, or has damaged parts; the frames that can be read come first.
        MissingExtra: Without the ``video`` extra.
    """
    with _opened(path) as film:
        yield from _frames(film, str(path), fps, until)


def duration_of(path: Path) -> float | None:
    """Seconds of a film, as it says itself; None where it says nothing.

    Raises:
        DataError: If it is missing or no film.
        MissingExtra: Without the ``video`` extra.
    """
    with _opened(path) as film:
        return None if film.duration is None else film.duration / 1e6


def camera_frames(camera: str) -> Generator[Frame]:
    """The frames of a camera, as fast as it gives them; endless.

    Args:
        camera: Its number, from 0; on Windows its name, which the device manager tells.

    Raises:
        UsageError: If it is a number where cameras have names, or a name where they have numbers.
        DataError: If there is none, or it may not be used.
        MissingExtra: Without the ``video`` extra.
    """
    kind, name = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
    if camera.isdecimal() == (sys.platform == _BY_NAME):
        expected = "the camera's name" if sys.platform == _BY_NAME else "the camera's number, such as 0"
        raise UsageError("--camera", camera, expected)
    with _decoding(f"camera {camera}"), film_library().open(name.format(camera), format=kind) as source:
        yield from _frames(source, "camera")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    check_regular(path, "a film")
    if not path.is_file():
        raise DataError(str(path), "no such file", "a film")
    with _decoding(str(path)), film_library().open(str(path)) as film:
        yield film


def _frames(source: Any, name: str, fps: float | None = None, until: float | None = None) -> Iterator[Frame]:
    if not source.streams.video:
        raise DataError(name, "holds no moving picture", "a film")
    stream = source.streams.video[0]
    # Threads with a frame each lose the frames of others to a damaged part, those with a part of one do not tell of it.
    stream.thread_type = "NONE"
    clock, slot, number = _Clock(float(stream.average_rate or _RATE)), -1, -1
    damaged, whole = _Damaged(), True
    for number, frame in enumerate(damaged.decoded(source, stream)):
        width = _width(frame, stream.sample_aspect_ratio)
        if max(width, frame.width) * frame.height > MOST_PIXELS:
            raise DataError(name, f"has {width:,}x{frame.height:,} pixels", f"at most {MOST_PIXELS:,}")
        seconds = clock.time(frame.time, number)
        if until is not None and round(seconds, 6) > until:  # as frames are told
            whole = False
            break
        if fps is not None:  # one of each slot of 1 / fps seconds, the first
            now = int(seconds * fps + _HAIR)
            if now <= slot:
                continue
            slot = now
        picture = WholePicture(name, _upright(frame, width), False, True)
        yield Frame(number, round(seconds, 6), picture)
    if number < 0:
        raise DataError(name, "holds no frame that can be read", "a whole film")
    length = _length(source, stream) if whole else None
    if length is not None and clock.last + max(clock.gap, damaged.lasts) < length - max(_ENDS_S, _SHORT * length):
        raise DataError(name, f"breaks off at {clock.last:.1f} of {length:.1f} s", "a whole film")
    if damaged.n:
        raise DataError(name, f"has {plural(damaged.n, 'damaged part')}, whose frames are missing", "a whole film")


def _length(source: Any, stream: Any) -> float | None:
    """Seconds of a film's pictures, as it says; None where it says nothing, or may mean its sound."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if said := _CLOCK.fullmatch(stream.metadata.get("DURATION", "")):  # as Matroska's files have it
        hours, minutes, seconds = map(float, said.groups())
        return 3600 * hours + 60 * minutes + seconds
    return None if source.duration is None or len(source.streams) > 1 else source.duration / 1e6


class _Damaged:
    """The frames of a stream without those that cannot be read: one bad packet is no end of a film.

    Attributes:
        n: Packets that could not be read, and the last one if it was cut.
        lasts: Seconds that the last frame is to be seen, as its packet says.
    """

    def __init__(self) -> None:
        self.n, self.lasts = 0, 0.0

    def decoded(self, source: Any, stream: Any) -> Iterator[Any]:
        """Every frame that can be decoded."""
        damage = film_library().error.InvalidDataError
        cut = False
        for packet in source.demux(stream):
            cut = bool(packet.is_corrupt) if packet.size else cut
            if packet.size and packet.duration and packet.time_base:
                self.lasts = float(packet.duration * packet.time_base)
            try:
                frames = packet.decode()
            except damage:
                self.n += 1
                cut = False
                continue
            for frame in frames:
                if frame.is_corrupt:  # of which the decoder made up a part
                    self.n += 1
                    cut = False
                else:
                    yield frame
        self.n += cut


class _Clock:
    """Seconds from a film's first frame, which never go back.

    Films joined from several begin anew in the middle, and some say the times of their frames in the order in which
    they were packed.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.shift: float | None = None
        self.last = self.gap = 0.0  # and how long before it the frame before was

    def time(self, said: float | None, number: int) -> float:
        """Of the next frame: what the film says, or without that at its mean rate."""
        at = number / self.rate if said is None else said
        self.shift = -at if self.shift is None else self.shift
        if at + self.shift < self.last - _JUMP_S:
            self.shift = self.last + 1 / self.rate - at
        now = max(self.last, at + self.shift)
        self.last, self.gap = now, now - self.last
        return now


def _width(frame: Any, aspect: Any) -> int:
    """Square pixels that a frame is wide: those of older cameras' films are none. What no camera says is a fault."""
    said = float(aspect) if aspect else 1.0
    return max(1, round(frame.width * said)) if 1 / _ASPECT <= said <= _ASPECT else int(frame.width)


def _upright(frame: Any, width: int | None = None) -> NDArray[np.uint8]:
    """The pixels of a frame as its film is to be seen: so wide, and turned and mirrored, as telephones film and say."""
    pixels = frame.to_ndarray(format="rgb24")
    if width is not None and width != frame.width:
        pixels = np.asarray(Image.fromarray(pixels).resize((width, frame.height), Image.Resampling.BILINEAR))
    across, down = _axes(frame)
    if abs(across[1]) > abs(across[0]):  # what was down goes across
        pixels = pixels.swapaxes(0, 1)
        across, down = (across[1], 0), (0, down[0])
    return np.ascontiguousarray(pixels[:: -1 if down[1] < 0 else 1, :: -1 if across[0] < 0 else 1])


def _axes(frame: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """What of a frame's columns and rows makes the picture's column, and what its row: its display matrix.

    x' = a x + c y and y' = b x + d y, for pictures whose rows go down.
    """
    for data in getattr(frame, "side_data", ()):
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = np.frombuffer(bytes(data)[:20], np.int32).tolist()
            return (a, c), (b, d)
    return (1, 0), (0, 1)


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    failures = (OSError, ValueError, EOFError, MemoryError, film_library().error.FFmpegError)
    try:
        yield
    except failures as error:
        said = str(error).partition("]")[2].partition(":")[0].strip() or str(error) or type(error).__name__
        raise DataError(name, f"cannot be read ({said})", "a film, or a camera that may be used") from None


def film_library() -> Any:
    """PyAV, silent.

    Raises:
        MissingExtra: Without the ``video`` extra.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingExtra("films and cameras", "video", error.name or "av") from error
    # What is wrong with a film is told once, by us. At any level PyAV would call Python from the threads that decode,
    # which then wait for a thread that waits for them.
    av.logging.set_level(None)
    return av


def follow(predictor: Predictor, frames: Iterable[Frame], *, workers: int = 2) -> Generator[list[FaceRow]]:
    """The rows of one frame after the other, with their time, track and smoothed expressions.

    Args:
        predictor: Finds and classifies.
        frames: Of one film.
        workers: Threads that search.

    Raises:
        UsageError: If perceived attributes are asked for: people are not sorted by them as they go by.
        DataError: If the film breaks off, after the rows before.
    """
    _refuse_perceived(predictor)
    tracks = Tracks()
    known: deque[tuple[int, float]] = deque()

    def pictures() -> Iterator[WholePicture]:
        for frame in frames:
            known.append((frame.number, frame.time_s))
            yield frame.picture

    for rows in predictor.stream(pictures(), workers=workers):
        number, seconds = known.popleft()
        yield [replace(row, frame=number) for row in tracks.add(rows, seconds)]


class Newest:
    """The newest frame of a source that does not wait: those that came in between are dropped, and counted.

    Attributes:
        dropped: Frames that nobody looked at.
    """

    def __init__(self, frames: Generator[Frame]) -> None:
        self.dropped = 0
        self._frames = frames
        self._held: Frame | None = None
        self._failed: Exception | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __iter__(self) -> Generator[Frame]:
        """Each time the newest frame, with the seconds since the first one."""
        self._thread.start()
        began: float | None = None
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._held is not None or self._ended)
                    frame, self._held = self._held, None
                if frame is None:
                    if self._failed is not None:
                        raise self._failed
                    return
                now = time.monotonic()
                began = now if began is None else began
                yield replace(frame, time_s=round(now - began, 3))
        finally:
            self._ended = True

    def _read(self) -> None:
        try:
            for frame in self._frames:
                with self._changed:
                    if self._ended:
                        break
                    self.dropped += self._held is not None
                    self._held = frame
                    self._changed.notify()
        except Exception as error:  # told where the frames are asked for
            self._failed = error
        finally:
            with suppress(Exception):
                self._frames.close()
            with self._changed:
                self._ended = True
                self._changed.notify()


def watch(predictor: Predictor, newest: Iterable[Frame]) -> Iterator[list[FaceRow]]:
    """The rows of a camera: one frame at a time, the newest, for what was seen a second ago is of no use there.

    Raises:
        UsageError: As :func:`follow`.
    """
    _refuse_perceived(predictor)
    tracks = Tracks()
    for frame in newest:
        (rows,) = predictor.told([predictor.look(frame.picture)])
        yield [replace(row, frame=frame.number) for row in tracks.add(rows, frame.time_s)]


def _refuse_perceived(predictor: Predictor) -> None:
    if predictor.perceiver is not None:
        raise UsageError("perceived", "does not go with films and cameras", "pictures of a collection that one may use")
