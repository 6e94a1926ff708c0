"""What predict does with films and with a camera."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli.printing import Printed, rows_out
from mien.errors import DataError, OutputError
from mien.outputs import whole
from mien.shown import tell
from mien.wording import plural

if TYPE_CHECKING:
    from mien.predict import FaceRow, Predictor
    from mien.predict.films import Frame

_STOPPED = 130  # exit code after Ctrl+C, as shells have it
_TOLD_S = 1.0  # seconds between two lines of a camera
_NOTICE = (
    "whoever is seen must know that a machine reads expressions (EU AI Act, Art. 50(3)); no frame is kept; "
    "stop with Ctrl+C"
)


def films_told(
    predictor: Predictor,
    films: Sequence[str],
    *,
    out: Path | None,
    draw: Path | None,
    fps: float | None,
    seconds: float | None,
    workers: int,
    printed: Printed,
    resume: bool = False,
) -> int:
    """The rows of films, one film after the other; 1 where one could not be read to its end.

    A file that is gone on with keeps its films but the last, which is looked at again from its beginning before all
    others; they are not drawn again.
    """
    from mien import terminal
    from mien.pictures.opening import quietly
    from mien.predict.films import duration_of, follow, frames_of
    from mien.predict.resuming import Before, done_already
    from mien.predict.rows import as_text

    watched: list[tuple[str, _Seen]] = []
    broken, stopped = 0, False
    stood = Before()
    if resume and out is not None:
        stood = done_already(out, as_text(predictor.model.name), predictor.sha256, films=True)
    before, broken_before = stood.pictures.total(), stood.unread
    left = stood.in_order(films)
    if out is not None and stood.rows and as_text(next(iter(left), "")) != stood.last:
        stood.put_back(out)
        terminal.say(f"{stood.last} is not named, and stays as it stands there: perhaps not to its end")
        before, broken_before = before + 1, broken_before + stood.last_unread
    elif out is not None and stood.rows:
        with (
            quietly(),
            closing(frames_of(Path(left[0]), fps, seconds)) as frames,
            closing(follow(predictor, frames, workers=1)) as told,
        ):
            stood.check_film(told, out)
    with ExitStack() as stack:
        progress = stack.enter_context(terminal.progress("watching", "seconds"))
        write = stack.enter_context(rows_out(predictor, out, printed, _nowhere, film=True, resume=resume))
        stack.enter_context(quietly())
        for name in left:
            seen = _Seen(keep=draw is not None)
            watched.append((name, seen))
            last = 0.0
            try:
                length = duration_of(Path(name))
                # What follows first: it asks for frames in a thread, and those can be closed when nobody does.
                with (
                    closing(frames_of(Path(name), fps, seconds)) as frames,
                    closing(follow(predictor, frames, workers=workers)) as told,
                ):
                    for rows in told:
                        write(rows)
                        seen.add(rows)
                        last = rows[0].time_s or 0.0
                        progress(int(last), None if length is None else int(length))
            except DataError as error:
                broken += 1
                write([_broken(predictor, name, last, str(error))])
                terminal.say(str(error))
            except KeyboardInterrupt:  # what was seen so far is worth keeping
                stopped = True
                seen.last = last
                terminal.say(f"stopped at {last:.1f} s of {name}")
                break
    # The rows are safe by now, whatever comes of the drawings.
    summary = [line for name, seen in watched for line in seen.lines(name)]
    if out is not None:
        stand = f" ({before} before)" if before else ""
        tell(f"{out}: {len(watched)} films{stand}, {sum(len(seen.tracks) for _, seen in watched)} tracks of faces")
    _summarise(summary, out is None and printed == "table")
    if draw is not None:
        for name, seen in watched:
            # What nobody looked at is not drawn with what was seen before.
            _draw(predictor, name, draw, seen, seconds if seen.last is None else seen.last)
    if broken_before:
        tell(f"{plural(broken_before, 'film')} that stood there before could not be read to the end")
    return _STOPPED if stopped else 1 if broken or broken_before else 0


def camera_told(predictor: Predictor, camera: str, *, out: Path | None, seconds: float | None, printed: Printed) -> int:
    """The rows of a camera, until it is stopped."""
    from mien import terminal
    from mien.pictures.opening import quietly
    from mien.predict.films import Newest, camera_frames, watch

    terminal.say(_NOTICE)
    newest = Newest(camera_frames(camera))
    seen, told, last = _Seen(keep=False), -_TOLD_S, 0.0
    failed = ""
    with ExitStack() as stack:
        # A camera has no end, and a list would have none: an object a line, however JSON was asked for.
        each: Printed = "table" if printed == "table" else "lines"
        write = stack.enter_context(rows_out(predictor, out, each, _nowhere, film=True))
        stack.enter_context(quietly())
        try:
            for rows in watch(predictor, _until(iter(newest), seconds)):
                write(rows)
                seen.add(rows)
                last = rows[0].time_s or 0.0
                if each == "table" and last - told >= _TOLD_S:
                    told = last
                    tell(_line(rows, last))
        except KeyboardInterrupt:
            terminal.say("stopped")
        except DataError as error:  # it was pulled out, say
            failed = str(error)
            write([_broken(predictor, "camera", last, failed)])
            terminal.say(failed)
    rate = seen.frames / last if last else 0.0
    terminal.say(
        f"{seen.frames} frames looked at in {last:.0f} s ({rate:.1f} a second), "
        f"{newest.dropped} dropped to keep up, {len(seen.tracks)} tracks of faces"
    )
    return 1 if failed else 0


def _nowhere(rows: Sequence[FaceRow]) -> None:
    """A table of a film has a line a track, and needs none of its rows."""


class _Seen:
    """What became of one film."""

    def __init__(self, *, keep: bool) -> None:
        self.keep, self.frames = keep, 0
        self.last: float | None = None  # seconds, of a film that was stopped there
        self.rows: list[FaceRow] = []  # as they are drawn
        self.tracks: defaultdict[int, _Track] = defaultdict(_Track)

    def add(self, rows: Sequence[FaceRow]) -> None:
        """The rows of one frame."""
        self.frames += 1
        if self.keep:
            self.rows += map(_as_drawn, rows)
        for row in rows:
            if row.track is not None:
                self.tracks[row.track].add(row)

    def lines(self, name: str) -> list[list[str]]:
        """A line a track; one without a face where there was none."""
        if not self.tracks:
            return [[name, "", "", "0", "", "no face was found" if self.frames else "not read"]]
        return [[name, str(number), *track.line()] for number, track in sorted(self.tracks.items())]


class _Track:
    def __init__(self) -> None:
        self.first = self.last = 0.0
        self.frames = self.abstained = 0
        self.tops: Counter[str] = Counter()

    def add(self, row: FaceRow) -> None:
        time = row.time_s or 0.0
        self.first = time if not self.frames else self.first
        self.last = time
        self.frames += 1
        self.abstained += row.abstained
        if not row.abstained:
            self.tops[row.top] += 1

    def line(self) -> list[str]:
        told = sum(self.tops.values())
        most = "  ".join(f"{name} {n / told:.0%}" for name, n in self.tops.most_common(3)) if told else ""
        return [f"{self.first:.1f} to {self.last:.1f}", str(self.frames), most, f"{self.abstained} abstained"]


def _summarise(lines: list[list[str]], on_stdout: bool) -> None:
    from mien import terminal

    if on_stdout:
        columns = ["film", "face", "seconds", "frames", "perceived in", "why not"]
        terminal.table("perceived expressions", columns, lines)
        terminal.say("a row a face and frame: write them with --out FILE.jsonl, .csv or .parquet")


def _line(rows: Sequence[FaceRow], time: float) -> str:
    """One moment in words."""
    words = []
    for row in rows:
        if row.face is None:
            words.append("no face")
        elif row.abstained:
            words.append(f"face {row.track} no answer ({row.reason.split(':')[0]})")
        else:
            shown = row.smoothed or row.probabilities
            top = max(shown, key=shown.__getitem__)
            words.append(f"face {row.track} {top} {shown[top]:.2f}")
    return f"{time:7.1f} s  {', '.join(words)}"


def _until(frames: Generator[Frame], seconds: float | None) -> Generator[Frame]:
    """Frames up to a time; the source is closed with it."""
    with closing(frames):
        if seconds is None:
            yield from frames
        else:
            yield from itertools.takewhile(lambda frame: frame.time_s <= seconds, frames)


def _broken(predictor: Predictor, name: str, time: float, reason: str) -> FaceRow:
    from mien.predict import FaceRow

    model, sha256 = predictor.model.name, predictor.sha256
    return FaceRow(image=name, abstained=True, reason=reason, time_s=time, model=model, model_sha256=sha256)


def _draw(predictor: Predictor, name: str, folder: Path, seen: _Seen, seconds: float | None) -> None:
    """The film with its boxes, and its expressions over time."""
    from mien import terminal
    from mien.predict.film_drawing import draw_film
    from mien.predict.films import frames_of
    from mien.report.timeline_plot import timeline

    if not seen.rows:
        return
    told: defaultdict[int, list[FaceRow]] = defaultdict(list)
    for row in seen.rows:
        if row.frame is not None:
            told[row.frame].append(row)
    film, plot = _free_places(folder, Path(name).stem)
    with (
        terminal.waiting(f"drawing {name}"),
        closing(frames_of(Path(name), until=seconds)) as frames,
    ):
        draw_film(frames, told, film)
    figure = timeline(seen.rows, predictor.model.classes, Path(name).name)
    with whole(plot) as partial:
        figure.savefig(partial, format="png", dpi=120)


def _free_places(folder: Path, stem: str) -> tuple[Path, Path]:
    """For a drawn film and its plot: films of several folders may be called alike, and one may lie here."""
    for i in range(10_000):
        called = f"{stem}-{i}" if i else stem
        places = folder / f"{called}.mp4", folder / f"{called}-timeline.png"
        if not any(place.exists() for place in places):
            return places
    raise OutputError(str(folder), f"holds too many films called {stem}", "", "Give an empty folder.")


def _as_drawn(row: FaceRow) -> FaceRow:
    """A row with the smoothed probabilities in place of its own, for bars that jump cannot be read; and no more than
    is drawn, for a film has many.
    """
    return replace(row, probabilities=row.smoothed or row.probabilities, landmarks={}, numbers={})
