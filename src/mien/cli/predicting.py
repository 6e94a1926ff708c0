"""The verb that people try first: predict."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mien.cli.app import Json, app, options_of
from mien.cli.filming import camera_told, films_told
from mien.cli.many import told_on_ray
from mien.cli.printing import STDOUT, Printed, Write, rows_out
from mien.errors import DataError, OutputError, UsageError
from mien.outputs import check_file, check_folder, whole
from mien.shown import tell
from mien.wording import plural

if TYPE_CHECKING:
    from PIL.Image import Image

    from mien.predict import FaceRow, Predictor

_DRAWING = "mien drawing of"  # key of a PNG's text
_SHOWN = 200  # rows that are printed as a table; more belong into a file


@app.command
def predict(
    pictures: Annotated[tuple[str, ...], Parameter(allow_leading_hyphen=True)] = (),
    /,
    *,
    model: Path | None = None,
    out: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    draw: Path | None = None,
    explain: Path | None = None,
    crops: Annotated[bool, Parameter(negative=())] = False,
    detector: str | None = None,
    option: tuple[str, ...] = (),
    margin: float = 0.0,
    risk: float | None = None,
    perceived: Annotated[bool, Parameter(negative=())] = False,
    camera: str | None = None,
    fps: float | None = None,
    seconds: float | None = None,
    workers: int | None = None,
    ray: str | None = None,
    device: str = "cpu",
    resume: Annotated[bool, Parameter(negative=())] = False,
    force: Annotated[
        bool, Parameter(negative=(), help="Replace what is there, drawings of the same pictures too.")
    ] = False,
    json: Json = False,
) -> int:
    """Find the faces of pictures, and what expressions people would perceive in them.

    An expression is what people perceive in a face, not what a person feels. Inferring emotions of people at work or
    in education is forbidden in the EU (AI Act, Art. 5(1)(f)), and people elsewhere must be told (Art. 50(3)).

    Parameters
    ----------
    pictures
        Pictures, folders, patterns, a .csv or .txt of paths, or - for paths from standard input; or films.
    model
        A run or weights folder, or an ONNX file; by default the model in the box.
    out
        A table, one row a face: FILE.jsonl (rows stand there as they come), .csv or .parquet; - prints JSON lines.
    draw
        Folder for copies of the pictures or films with boxes and expressions on them; for a plot over a film's time.
    explain
        Folder for maps of each face: what covering a part of it takes away from the answer.
    crops
        The pictures are aligned crops of faces: look for none.
    detector
        What finds faces ('mien list detectors').
    option
        Options of the detector, key=value.
    margin
        Wider crops: shares of the side to add on every side.
    risk
        Abstain where needed for at most this share of wrong answers, such as 0.1.
    perceived
        Tell perceived gender, race and age too, which is for annotating a collection of pictures that one may use, such
        as before an audit. Sorting people one by one by what is taken for their race is forbidden in the EU (AI Act,
        Art. 5(1)(g)); not of films or cameras.
    camera
        Look through a camera instead, by its number: 0 is the first; on Windows by its name. Frames are dropped to
        keep up.
    fps
        Frames of a film that are looked at, a second; all by default.
    seconds
        Stop after so many seconds of a film or camera.
    workers
        Threads that read and search pictures: 2, or on a cluster all cores.
    ray
        Look at millions of pictures on a cluster: 'local', or its address ('auto', 'ray://...'); --out is a folder.
    device
        Where a run's network computes: cpu, cuda.
    resume
        Go on with a .jsonl, or a cluster's folder, that an earlier command did not finish; of films with whole ones.
    """
    from mien import terminal
    from mien.faces import DEFAULT
    from mien.pictures.opening import quietly
    from mien.predict import Predictor
    from mien.predict.resuming import Before, done_already
    from mien.predict.rows import as_text
    from mien.predict.sources import pictures_of
    from mien.predict.writers import ENDINGS

    if crops and (detector is not None or option or margin or draw is not None):
        raise UsageError(
            "--crops", "does not go with --detector, --option, --margin or --draw", "whole pictures or crops"
        )
    if workers is not None and workers < 1:
        raise UsageError("--workers", str(workers), "1 or more")
    if resume and out in (None, STDOUT):
        raise UsageError("--resume", "needs a file", "--out FILE.jsonl")
    load: dict[str, Any] = {
        "spec": model if model is None else model.absolute(),
        "device": device,
        "detector": None if crops else detector or DEFAULT,
        "options": options_of(option),
        "margin": margin,
        "risk": risk,
        "perceived": perceived,
    }
    if ray is not None:
        others = {"--draw": draw is not None, "--explain": explain is not None, "--camera": camera is not None}
        others |= {"--fps": fps is not None, "--seconds": seconds is not None, "--json": json, "--force": force}
        return told_on_ray(pictures, out, load, address=ray, workers=workers, resume=resume, refused=others)
    if json and out is not None:
        raise UsageError("--json", "does not go with --out", "one of them")
    printed: Printed = "list" if json else "lines" if out == STDOUT else "table"
    out = None if out == STDOUT else out
    if out is not None and out.suffix not in ENDINGS:
        raise UsageError("--out", repr(str(out)), f"a name that ends in {', '.join(ENDINGS)}")
    films = _films(pictures, camera, fps, seconds, explain, crops, resume, perceived)
    if camera is not None and draw is not None:
        raise UsageError("--draw", "does not go with --camera", "--out FILE.jsonl: no frame of a camera is kept")
    given = [name for name in pictures if name != "-"]
    if out is not None:
        check_file(out, "--out", given, force=force or resume, sign=b"model_sha256")
    if draw is not None:
        check_folder(draw, "--draw", [name for name in given if Path(name).is_dir()])
    if explain is not None:
        check_folder(explain, "--explain", [name for name in given if Path(name).is_dir()])
    predictor, threads = Predictor.load(**load), workers or 2
    for note in predictor.notes:
        terminal.say(note)
    if camera is not None:
        return camera_told(predictor, camera, out=out, seconds=seconds, printed=printed)
    if films:
        return films_told(
            predictor,
            films,
            out=out,
            draw=draw,
            fps=fps,
            seconds=seconds,
            workers=threads,
            printed=printed,
            resume=resume,
        )
    # Counting them takes longer than the first answer, where there are many; and a name that is wrong is told before
    # a file that is gone on with is touched.
    names = list(pictures_of(pictures)) if "-" not in pictures else None
    name = as_text(predictor.model.name)
    stood = done_already(out, name, predictor.sha256, predictor.annotator) if resume and out is not None else Before()
    with quietly():
        again = stood.look_again(predictor, out, names or ()) if out is not None else []
    before, unread = stood.pictures.total(), stood.unread + (stood.last_unread and not again)
    left = (each for each in (pictures_of(pictures) if names is None else names) if not stood.take(each))
    counted, made = _Counted(), set[Path]()
    shown: list[FaceRow] = []
    with ExitStack() as stack:
        cut = bool(again)  # until they are written again, whatever ends this command
        stack.callback(lambda: stood.put_back(out) if out is not None and cut else None)
        progress = stack.enter_context(terminal.progress("looking", "pictures"))
        write = stack.enter_context(rows_out(predictor, out, printed, _first(shown), resume=resume))
        stack.enter_context(quietly())

        def drawn(rows: Sequence[FaceRow], once: bool = False) -> None:
            if draw is not None:
                _draw(Drawings(draw, rows[0].image, made, force, once), rows)
            if explain is not None:
                _explain(Drawings(explain, rows[0].image, made, force, once), predictor, rows)

        if again:
            write(again)
            cut = False
            if names is None or stood.last in map(as_text, names):
                drawn(again, once=True)  # mostly an earlier command drew it
        for rows in predictor.stream(left, workers=threads):
            write(rows)
            counted.add(rows)
            drawn(rows)
            progress(counted.pictures + before, None if names is None else len(names))
    if out is None and printed == "table":
        _print(predictor, shown, counted)
    _say(counted, out, before)
    if unread:
        tell(f"{plural(unread, 'picture')} that stood there before could not be read")
    return 1 if counted.unread or unread or not counted.pictures + before else 0


def _films(
    given: Sequence[str],
    camera: str | None,
    fps: float | None,
    seconds: float | None,
    explain: Path | None,
    crops: bool,
    resume: bool,
    perceived: bool,
) -> tuple[str, ...]:
    """The films among what was given, which must then be all of it."""
    from mien import terminal
    from mien.predict.sources import films_of

    named, over = films_of(given) if camera is None else ([], [])
    films = tuple(named)
    if camera is not None and given:
        raise UsageError("--camera", "does not go with pictures or films", "one of them")
    if camera is None and not given:
        raise UsageError("mien predict", "nothing to look at", "pictures, films or --camera 0")
    if over:
        terminal.say(f"{plural(len(over), 'film')} beside pictures, not looked at: {over[0]}; name them by themselves")
    if films and not all(films_of([name])[0] for name in given):
        raise UsageError(films[0], "is a film among pictures", "one kind a command, for their rows differ")
    moving = bool(films) or camera is not None
    for option, wanted, fits, due in (
        ("--fps", fps is not None, bool(films), "pictures" if moving else "films"),
        ("--seconds", seconds is not None, moving, "films"),
        ("--explain", explain is not None, not moving, "pictures"),
        ("--crops", crops, not moving, "pictures"),
        ("--perceived", perceived, not moving, "pictures"),
        ("--resume", resume, camera is None, "pictures or films"),
    ):
        if wanted and not fits:
            raise UsageError(option, "does not go with this", due)
    for option, value in (("--fps", fps), ("--seconds", seconds)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(option, str(value), "a number above 0")
    return films


def _first(shown: list[FaceRow]) -> Write:
    """Keeps as many rows as are printed."""
    return lambda rows: shown.extend(rows[: max(0, _SHOWN - len(shown))])


class _Counted:
    """What became of the pictures."""

    def __init__(self) -> None:
        self.pictures = self.rows = self.faces = self.empty = self.unread = self.abstained = 0

    def add(self, rows: Sequence[FaceRow]) -> None:
        """The rows of one picture."""
        self.pictures += 1
        self.rows += len(rows)
        self.unread += rows[0].unread
        if rows[0].face is None:
            self.empty += not rows[0].unread
            return
        self.faces += len(rows)
        self.abstained += sum(row.abstained for row in rows)


def _print(predictor: Predictor, rows: Sequence[FaceRow], counted: _Counted) -> None:
    from mien import terminal

    numbers = predictor.model.numbers
    seen = [] if predictor.perceiver is None else [head.name for head in predictor.perceiver.annotator.trained]
    lines = []
    for row in rows:
        top = sorted(row.probabilities.items(), key=lambda item: -item[1])[:3]
        told = "  ".join(f"{name} {p:.2f}" for name, p in top)
        lines.append([row.image, "" if row.face is None else str(row.face + 1), row.top, told, row.reason])
        lines[-1] += [f"{row.numbers[name]:.3f}" if row.numbers else "" for name in numbers]
        lines[-1] += [_surest(row.perceived.get(name, {})) for name in seen]
    columns = ["picture", "face", "label", "most probable", "why not", *(f"number_{name}" for name in numbers)]
    columns += [f"perceived {name}" for name in seen]
    terminal.table("perceived expressions", columns, lines)
    if counted.rows > len(rows):
        terminal.say(f"{counted.rows - len(rows)} more rows: write them with --out FILE.jsonl, .csv or .parquet")


def _surest(groups: Mapping[str, float]) -> str:
    top = max(groups, key=groups.__getitem__, default="")
    return f"{top} {groups[top]:.2f}" if top else ""


def _say(counted: _Counted, out: Path | None, done: int) -> None:
    from mien import terminal

    before = f" ({done} before)" if done else ""
    line = f"{counted.pictures} pictures{before}, {counted.faces} faces"
    for n, what in (
        (counted.abstained, "with an answer that had better not be used"),
        (counted.empty, "pictures without a face"),
        (counted.unread, "pictures that could not be read"),
    ):
        line += f", {n} {what}" if n else ""
    if out is not None:
        tell(f"{out}: {line}")
    else:
        terminal.say(line)
    if counted.empty and not counted.faces:
        terminal.say("if these are aligned crops of faces, say so: --crops")


def _draw(into: Drawings, rows: Sequence[FaceRow]) -> None:
    """A copy of one picture with what was said of it."""
    from mien.pictures.whole import read_picture
    from mien.predict.drawing import drawn

    if rows[0].unread:
        return
    name = Path(rows[0].image)
    try:
        pixels = read_picture(name).pixels
    except DataError:
        return  # it was there a moment ago, and its row stands
    into.save(drawn(pixels, rows), name)


def _explain(into: Drawings, predictor: Predictor, rows: Sequence[FaceRow]) -> None:
    """What each answer for one picture rests on."""
    from mien.predict.explaining import drawn_map, occlusion_map

    name = Path(rows[0].image)
    looked = predictor.look(name)
    if looked.crops is None:
        return
    for row, crop in zip(rows, looked.crops, strict=False):
        k = predictor.model.classes.index(row.top)
        picture = drawn_map(crop, occlusion_map(predictor.model, crop, k))
        top = re.sub(r"[/\\\0]", "-", row.top)  # a class may be called neutral/calm
        into.save(picture, name.with_name(f"{name.stem}-face{(row.face or 0) + 1}-{top}.png"))


@dataclass(frozen=True)
class Drawings:
    """A folder of drawn pictures.

    A drawing says in its file which picture it is of, as a checksum of that one's name: only what is known to be a
    drawing of the same picture is ever drawn over.

    Attributes:
        folder: The folder.
        of: The picture.
        made: What this command has drawn.
        replace: Draw over what an earlier command drew of it; without it that stays, and names get a number.
        once: Draw nothing where an earlier command drew it.
    """

    folder: Path
    of: str
    made: set[Path]
    replace: bool = False
    once: bool = False

    def save(self, picture: Image, name: Path) -> None:
        """Save a drawing under a free name.

        Raises:
            OutputError: If there is none.
        """
        from PIL.PngImagePlugin import PngInfo

        sign = hashlib.sha256(self.of.encode("utf-8", "surrogateescape")).hexdigest()
        for place in _names(self.folder, name):
            there = place.exists() or place.is_symlink()
            own = there and place not in self.made and _sign_of(place) == sign
            if own and self.once:
                return
            if not there or (own and self.replace):
                told = PngInfo()
                told.add_text(_DRAWING, sign)
                with whole(place) as partial:
                    picture.save(partial, "PNG", pnginfo=told)
                self.made.add(place)
                return
        found = f"holds too many pictures called {name.stem}"
        raise OutputError(str(self.folder), found, "", "Give an empty folder.")


def _sign_of(place: Path) -> str:
    """Of which picture a drawing is; empty for what is none."""
    from PIL import Image

    try:
        with Image.open(place, formats=("PNG",)) as drawing:
            return str(drawing.info.get(_DRAWING, ""))
    except Exception:  # whatever stands there, it is no drawing of ours
        return ""


def _names(folder: Path, name: Path) -> Iterator[Path]:
    """Names for a drawn picture: pictures of several folders may be called alike."""
    yield folder / f"{name.stem}.png"
    parents = [part for part in reversed(name.parts[:-1]) if part not in ("/", "..")]
    for i in range(1, 10_000):
        yield folder / f"{name.stem}-{parents[0] + '-' if parents and i == 1 else ''}{i}.png"
