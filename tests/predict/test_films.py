"""Films and cameras, from the file to the rows, the plot and the film with boxes."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("av", reason="the video extra is not installed")

import av
from filmed import frame_with, write_film
from PIL import Image

from commands import mien
from mien.errors import DataError
from mien.pictures.whole import WholePicture
from mien.predict import Predictor
from mien.predict.films import Frame, Newest, _Clock, _upright, _width, duration_of, follow, frames_of, watch
from mien.predict.resuming import done_already
from mien.predict.rows import FaceRow, columns
from mien.predict.sources import films_of, is_film
from mien.report.timeline_plot import timeline
from photographs import HOPPER

TIMES = [0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.04, 1.08, 2.0, 2.5]  # of no even rate


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person who moves, and from the fifth frame on a second one."""
    frames = []
    for i, seconds in enumerate(TIMES):
        places = [(10 + 4 * i, 40)] + ([(260, 50)] if i >= 4 else [])
        frames.append((seconds, frame_with(*places)))
    return write_film(tmp_path_factory.mktemp("films") / "people.mp4", frames)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load(threads=1, options={"smallest": 48})


def test_frames_come_at_the_times_of_the_film(film: Path) -> None:
    frames = list(frames_of(film))
    assert [frame.number for frame in frames] == list(range(len(TIMES)))
    assert [frame.time_s for frame in frames] == pytest.approx(TIMES, abs=2e-3)
    assert frames[0].picture.pixels.shape == (320, 480, 3)
    due = np.asarray(frame_with((10, 40)), dtype=np.float64)
    assert np.abs(frames[0].picture.pixels - due).mean() < 6  # as far as a film keeps a picture
    assert duration_of(film) == pytest.approx(2.5, abs=0.1)


@pytest.mark.parametrize(
    ("fps", "numbers"), [(1, [0, 5, 8]), (2, [0, 4, 5, 8, 9]), (10, [0, 1, 2, 3, 4, 5, 8, 9]), (1000, list(range(10)))]
)
def test_of_each_slot_of_time_one_frame_is_looked_at(film: Path, fps: float, numbers: list[int]) -> None:
    assert [frame.number for frame in frames_of(film, fps)] == numbers


def test_a_telephone_held_upright_films_lying(predictor: Predictor) -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)

    def frame(a: int, b: int, c: int, d: int) -> SimpleNamespace:
        """Of a film whose marks say x' = a x + c y and y' = b x + d y."""
        matrix = (np.array([a, b, 0, c, d, 0, 0, 0, 1 << 14]) << 16).astype(np.int32).tobytes()
        data = SideData(SimpleNamespace(name="DISPLAYMATRIX"), matrix)
        return SimpleNamespace(to_ndarray=lambda format: pixels, side_data=[data])

    assert (_upright(SimpleNamespace(to_ndarray=lambda format: pixels)) == pixels).all()
    assert (_upright(frame(1, 0, 0, 1)) == pixels).all()
    assert (_upright(frame(0, -1, 1, 0)) == np.rot90(pixels)).all()  # against the clock
    assert (_upright(frame(0, 1, -1, 0)) == np.rot90(pixels, -1)).all()
    assert (_upright(frame(-1, 0, 0, -1)) == pixels[::-1, ::-1]).all()
    # Mirrored, as front cameras may say; and both.
    assert (_upright(frame(-1, 0, 0, 1)) == pixels[:, ::-1]).all()
    assert (_upright(frame(1, 0, 0, -1)) == pixels[::-1]).all()
    assert (_upright(frame(0, 1, 1, 0)) == pixels.swapaxes(0, 1)).all()


@dataclass
class SideData:
    type: SimpleNamespace
    content: bytes

    def __bytes__(self) -> bytes:
        return self.content


@pytest.mark.parametrize(
    ("matrix", "made"),
    [((-1, 0, 0, 1), lambda p: p[:, ::-1]), ((0, 1, -1, 0), lambda p: np.rot90(p, -1)), ((1, 0, 0, 1), lambda p: p)],
)
def test_a_film_is_turned_and_mirrored_as_its_marks_say(
    matrix: tuple[int, ...], made: Callable[[Any], Any], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 255, (3, 4, 1), np.uint8), np.ones((40, 40, 3), np.uint8))
    write_film(tmp_path / "a.mp4", [(i / 10, Image.fromarray(picture)) for i in range(2)])
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    at = content.index(b"tkhd") + 44
    assert struct.unpack(">9i", content[at : at + 36])[::4] == (1 << 16, 1 << 16, 1 << 30)
    a, b, c, d = (n << 16 for n in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(content)
    first = next(iter(frames_of(tmp_path / "a.mp4"))).picture.pixels.astype(int)
    assert first.shape == made(picture).shape
    assert np.abs(first - made(picture)).mean() < 12


def test_damaged_parts_cost_their_frames_and_hang_nothing(tmp_path: Path) -> None:
    """In a process of its own: a decoder that waits for Python while Python waits for it ends in no exception."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 20, (60, 120, 160, 3), np.uint8)
    noisy = [(i / 20, Image.fromarray(noise[i] + np.uint8(3 * i))) for i in range(60)]
    write_film(tmp_path / "a.mp4", noisy)
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1500] = rng.integers(0, 255, 1500, np.uint8).tobytes()
    (tmp_path / "a.mp4").write_bytes(content)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mien.errors import DataError\n"
        "from mien.predict.films import frames_of\n"
        "times = []\n"
        "try:\n"
        "    for frame in frames_of(Path(sys.argv[1])):\n"
        "        times.append(frame.time_s)\n"
        "except DataError as error:\n"
        "    print(error)\n"
        "print(len(times), max(times))\n"
    )
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.mp4")], capture_output=True, text=True,
                              timeout=60, check=True)  # fmt: skip
        *said, told = done.stdout.splitlines()
        n, last = told.split()
        assert "damaged part" in "".join(said)
        assert 30 < int(n) <= 60
        assert float(last) > 2.5  # what comes after the damage is there
        assert done.stderr == ""
    told = mien("predict", tmp_path / "a.mp4", "--fps", "1", "--seconds", "2", "--json", code=1)
    assert "damaged part" in told.stderr  # also where nobody looks at its end


def test_rows_have_time_track_and_smoothed_expressions(film: Path, predictor: Predictor) -> None:
    told = list(follow(predictor, frames_of(film)))
    assert [rows[0].frame for rows in told] == list(range(len(TIMES)))
    assert [rows[0].time_s for rows in told] == pytest.approx(TIMES, abs=2e-3)
    assert [len(rows) for rows in told] == [1] * 4 + [2] * 6
    for rows in told:
        for row in rows:
            assert row.box is not None
            assert row.track == (1 if row.box[0] < 160 else 2)  # by where they stand
            assert sum(row.smoothed.values()) == pytest.approx(1)
    assert {rows[0].image for rows in told} == {str(film)}


def test_the_command_writes_rows_and_says_who_was_there(film: Path, tmp_path: Path) -> None:
    small = ("--option", "smallest=48")
    mien("predict", film, *small, "--out", tmp_path / "rows.csv")
    with open(tmp_path / "rows.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    classes = [name.removeprefix("p_") for name in rows[0] if name.startswith("p_")]
    assert list(rows[0]) == list(columns(classes, film=True))
    assert len(rows) == 16
    assert [row["track"] for row in rows if row["frame"] == "0"] == ["1"]
    shown = mien("predict", film, *small, "--fps", "2")
    lines = [line.split("\t") for line in shown.stdout.splitlines()]
    assert lines[0][:4] == ["film", "face", "seconds", "frames"]
    assert [line[1:4] for line in lines[1:]] == [["1", "0.0 to 2.5", "5"], ["2", "0.8 to 2.5", "4"]]
    told = mien("predict", str(film), *small, "--seconds", "0.5", "--json")
    assert [row["frame"] for row in json.loads(told.stdout)] == [0, 1, 2, 3]
    mien("predict", film, *small, "--fps", "2", "--out", tmp_path / "rows.parquet")
    found = pq.read_table(tmp_path / "rows.parquet")
    pairs = zip(found.column("frame").to_pylist(), found.column("track").to_pylist(), strict=True)
    assert sorted(pairs) == [(0, 1), *((n, track) for n in (4, 5, 8, 9) for track in (1, 2))]


def test_a_film_is_drawn_with_its_boxes_and_a_plot_over_time(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "drawn"
    mien("predict", film, "--option", "smallest=48", "--fps", "2", "--draw", out, "--json")
    drawn = list(frames_of(out / "people.mp4"))
    assert [frame.time_s for frame in drawn] == pytest.approx(TIMES, abs=2e-3)  # also those not looked at
    assert duration_of(out / "people.mp4") == pytest.approx(2.5, abs=0.1)
    before = list(frames_of(film))
    changed = [
        np.abs(a.picture.pixels.astype(int) - b.picture.pixels).max(2) > 100 for a, b in zip(drawn, before, strict=True)
    ]
    assert all(where.sum() > 200 for where in changed)
    with Image.open(out / "people-timeline.png") as plot:
        assert plot.width > 800
        assert len(plot.convert("RGB").getcolors(1 << 24)) > 20


def test_a_film_that_breaks_off_keeps_its_rows(film: Path, tmp_path: Path) -> None:
    whole = film.read_bytes()
    cut = tmp_path / "cut.ts"
    frames = [(i / 10, frame_with((10, 40))) for i in range(40)]
    write_film(cut, frames)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (tmp_path / "none.mp4").write_bytes(b"no film at all")
    # Without what says where the frames lie, which stands at the end of many.
    (tmp_path / "torn.mp4").write_bytes(whole[: whole.index(b"moov") + 8])
    out = tmp_path / "rows.jsonl"
    names = [str(tmp_path / name) for name in ("none.mp4", "torn.mp4", "cut.ts", "gone.mp4")]
    done = mien("predict", *names, str(film), "--option", "smallest=48", "--fps", "5", "--out", str(out), code=1)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    for name in (*names[:2], names[3]):
        (row,) = [row for row in rows if row["image"] == name]
        assert row["reason"].startswith(name)
        assert row["face"] is None
    assert len([row for row in rows if row["image"] == names[2] and row["face"] is not None]) >= 2
    assert {row["track"] for row in rows if row["image"] == str(film)} == {1, 2}  # the others cost it nothing
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm"])
def test_a_film_that_was_cut_says_where(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"film.{ending}"
    noise = np.random.default_rng(0).integers(0, 20, (60, 120, 160, 3), np.uint8)  # as many bytes for each frame
    write_film(path, [(i / 10, Image.fromarray(picture)) for i, picture in enumerate(noise)])
    whole = list(frames_of(path))
    assert len(whole) == 60  # and no error at its end
    assert len(list(frames_of(path, until=2.0))) == 21
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    frames, said = [], ""
    try:
        for frame in frames_of(path):
            frames.append(frame.time_s)
    except DataError as error:
        said = str(error)
    assert 10 < len(frames) < 50
    assert re.search(r"breaks off at \d\.\d of [56]\.\d s|1 damaged part", said), said
    assert len(list(frames_of(path, until=1.0))) == 11  # whoever asks for its beginning is not told of its end


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("film.mp4", "photo.jpg"), "is a film among pictures"),
        (("film.mp4", "--crops"), "--crops: does not go with this"),
        (("film.mp4", "--fps", "0"), "--fps: 0.0"),
        (("photo.jpg", "--fps", "2"), "--fps: does not go with this"),
        (("photo.jpg", "--seconds", "2"), "--seconds: does not go with this"),
        (("photo.jpg", "--camera", "0"), "--camera: does not go with pictures or films"),
        (("--camera", "0", "--draw", "here"), "--draw: does not go with --camera"),
        ((), "nothing to look at"),
    ],
)
def test_what_cannot_go_together_is_refused(given: tuple[str, ...], said: str) -> None:
    done = mien("predict", *given, code=2)
    assert said in done.stderr


def test_a_camera_that_is_not_there_is_told() -> None:
    done = mien("predict", "--camera", "77", code=1)
    assert "camera 77" in done.stderr
    assert "Art. 50(3)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_camera_is_kept_up_with_by_dropping_frames(predictor: Predictor) -> None:
    made = threading.Event()
    picture = WholePicture("camera", np.asarray(frame_with((10, 40))))

    def camera() -> Iterator[Frame]:
        for i in range(100):
            time.sleep(0.005)
            yield Frame(i, i / 200, picture)
        made.set()

    newest = Newest(camera())
    numbers = []
    for rows in watch(predictor, newest):
        assert rows[0].top
        assert rows[0].track == 1
        numbers.append(rows[0].frame)
        time.sleep(0.05)  # slower than the camera
    assert made.is_set()
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 60
    assert newest.dropped == 100 - len(numbers)  # none is lost without being counted
    assert numbers[-1] == 99  # the newest, not one that waited


def test_what_fails_in_a_camera_is_raised_where_its_frames_are_asked_for() -> None:
    def camera() -> Iterator[Frame]:
        yield Frame(0, 0.0, WholePicture("camera", np.zeros((4, 4, 3), dtype=np.uint8)))
        raise DataError("camera", "was pulled out", "a camera")

    frames = iter(Newest(camera()))
    with pytest.raises(DataError, match="pulled out"):
        list(itertools.islice(frames, 5))


def test_a_camera_is_let_go_when_nobody_looks_any_more() -> None:
    closed = threading.Event()

    def camera() -> Iterator[Frame]:
        try:
            for i in itertools.count():
                time.sleep(0.002)
                yield Frame(i, i / 500, WholePicture("camera", np.zeros((4, 4, 3), dtype=np.uint8)))
        finally:
            closed.set()

    frames = iter(Newest(camera()))
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert closed.wait(5)


def test_films_are_told_from_pictures_by_their_names() -> None:
    assert is_film("a/b.MP4")
    assert not is_film("a/b.gif")
    assert av.__version__


def test_a_folder_or_pattern_of_films_is_all_of_them(film: Path, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    (clips / "more").mkdir(parents=True)
    for name in ("b.mp4", "more/a.MP4", ".hidden.mp4"):
        (clips / name).write_bytes(film.read_bytes())
    words = ["--fps", "1", "--seconds", "1", "--option", "smallest=48", "--out", "-"]
    for given in (clips, f"{clips}/**/*.[mM][pP]4"):
        rows = [json.loads(line) for line in mien("predict", given, *words).stdout.splitlines()]
        assert {row["image"] for row in rows} == {str(clips / "b.mp4"), str(clips / "more" / "a.MP4")}
        assert all(row["time_s"] is not None for row in rows)

    # Beside pictures they are not looked at, and that is said.
    shutil.copy(HOPPER, clips / "more" / "hopper.jpg")
    done = mien("predict", clips, "--out", "-")
    assert {json.loads(line)["image"] for line in done.stdout.splitlines()} == {str(clips / "more" / "hopper.jpg")}
    assert f"2 films beside pictures, not looked at: {clips / 'b.mp4'}" in done.stderr
    assert "1 pictures, 1 faces" in done.stderr
    assert "film among pictures" in mien("predict", clips / "b.mp4", clips, code=2).stderr
    (tmp_path / "list.txt").write_text(f"{clips / 'b.mp4'}\n")
    (row,) = json.loads(mien("predict", tmp_path / "list.txt", "--json", code=1).stdout)
    assert "is a film, which a command looks at by itself" in row["reason"]
    assert films_of(["a.mp4", "-", "x.csv", "no*such"]) == (["a.mp4"], [])


@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm"])
def test_a_film_of_few_frames_is_whole(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"lapse [x].{ending}"  # also where its name could be a pattern
    write_film(path, [(2.5 * i, frame_with((10 + i, 40))) for i in range(10)])
    assert len(list(frames_of(path))) == 10
    assert films_of([str(path)]) == ([str(path)], [])


def test_a_drawing_never_takes_the_place_of_a_film(film: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "clip.mp4").write_bytes(film.read_bytes())
    before = (tmp_path / "a" / "clip.mp4").read_bytes()
    words = ["predict", tmp_path / "a" / "clip.mp4", tmp_path / "b" / "clip.mp4", "--fps", "1", "--json"]
    mien(*words, "--option", "smallest=48", "--draw", tmp_path / "a")
    assert (tmp_path / "a" / "clip.mp4").read_bytes() == before
    made = {path.name for path in (tmp_path / "a").iterdir()}
    assert made == {"clip.mp4"} | {f"clip-{i}{end}" for i in (1, 2) for end in (".mp4", "-timeline.png")}


def test_a_films_time_never_goes_back() -> None:
    clock = _Clock(25)
    said = [3.0, 3.04, 3.08, 3.06, 3.12, 0.0, 0.04, None, 0.12]  # packed out of order, then another film joined
    told = [clock.time(at, i) for i, at in enumerate(said)]
    assert told == sorted(told)
    assert told[:5] == pytest.approx([0, 0.04, 0.08, 0.08, 0.12])
    assert told[5:7] == pytest.approx([0.16, 0.20])


def test_a_film_of_oblong_pixels_is_put_right() -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    frame = SimpleNamespace(to_ndarray=lambda format: pixels, rotation=0, width=6, height=4)
    for aspect, width in ((Fraction(4, 3), 8), (Fraction(1), 6), (None, 6), (Fraction(0), 6)):
        assert _width(frame, aspect) == width
        assert _upright(frame, _width(frame, aspect)).shape == (4, width, 3)
    # What no camera says is not believed: a kilobyte would take gigabytes.
    assert _width(frame, Fraction(30000, 1)) == _width(frame, Fraction(1, 30000)) == 6


def test_whatever_the_library_raises_costs_the_other_films_nothing(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(film.read_bytes())
    true_open = av.open

    def opened(name: str, *words: object, **options: object) -> object:
        if name == str(bad):
            raise av.error.PatchWelcomeError(1, "Not yet implemented in FFmpeg, patches welcome", name)
        return true_open(name, *words, **options)

    monkeypatch.setattr(av, "open", opened)
    out = tmp_path / "rows.csv"
    done = mien("predict", bad, film, "--option", "smallest=48", "--fps", "1", "--out", out, code=1)
    assert "bad.mp4: cannot be read" in done.stderr
    with open(out, encoding="utf-8", newline="") as file:
        assert {Path(row["image"]).name for row in csv.DictReader(file)} == {"bad.mp4", "people.mp4"}


def _pulled_out(seconds: float) -> Iterator[Frame]:
    for i in range(5):
        time.sleep(seconds)
        yield Frame(i, i / 10, WholePicture("camera", np.asarray(frame_with((10, 40)))))
    raise DataError("camera 0", "was pulled out", "a camera")


def test_a_camera_that_is_pulled_out_keeps_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mien.predict import films

    monkeypatch.setattr(films, "camera_frames", lambda camera: _pulled_out(0.1))
    out = tmp_path / "rows.csv"
    done = mien("predict", "--camera", "0", "--out", out, "--option", "smallest=48", code=1)
    assert "was pulled out" in done.stderr
    with open(out, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 2
    assert "was pulled out" in rows[-1]["reason"]


def test_a_film_that_is_stopped_keeps_its_rows(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mien.predict import films

    asked = 0

    def stopped(path: Path, fps: float | None = None, until: float | None = None) -> Iterator[Frame]:
        nonlocal asked
        asked += 1
        first = asked == 1
        for frame in itertools.islice(frames_of(path, fps, until), 7 if first else None):
            yield frame
            time.sleep(0.4 * first)  # rows come within a second or so
        if first:
            raise KeyboardInterrupt

    monkeypatch.setattr(films, "frames_of", stopped)
    out, drawn = tmp_path / "rows.parquet", tmp_path / "drawn"
    done = mien("predict", film, "--out", out, "--option", "smallest=48", "--draw", drawn, code=130)
    assert "stopped at" in done.stderr
    assert out.is_file()
    seen = pq.read_table(out).column("frame").to_pylist()
    assert len(list(frames_of(drawn / "people.mp4"))) == max(seen) + 1 < len(TIMES)  # no box where nobody looked


def test_films_are_gone_on_with_by_whole_ones(film: Path, tmp_path: Path) -> None:
    second, bad, out = tmp_path / "second.mp4", tmp_path / "bad.mp4", tmp_path / "rows.jsonl"
    second.write_bytes(film.read_bytes())
    bad.write_bytes(b"no film at all")
    options = ["--option", "smallest=48", "--fps", "5", "--out", out]
    mien("predict", bad, film, film, second, *options, code=1)
    whole = out.read_text(encoding="utf-8").splitlines(keepends=True)

    def of(path: Path) -> int:
        return sum(json.loads(line)["image"] == str(path) for line in whole)

    # Broken off within the second look at the first film; then within its first row; then not at all.
    assert of(film) == 2 * of(second)
    for lines, rest, before in ((1 + of(second) + 3, b"", 2), (1, whole[1][:40].encode(), 0), (len(whole), b"", 3)):
        out.write_bytes("".join(whole[:lines]).encode() + rest)
        done = mien("predict", bad, film, film, second, *options, "--resume", code=1)
        assert out.read_text(encoding="utf-8").splitlines(keepends=True) == whole
        if before:
            assert f"{4 - before} films ({before} before)" in done.stdout
            assert "1 film that stood there before could not be read to the end" in done.stdout
    # Begun with other frames, or another box.
    for other in (["--fps", "2"], ["--detector", "blazeface", "--fps", "5"]):
        out.write_bytes("".join(whole[: 1 + of(second) + 3]).encode())
        stood = out.read_bytes()
        changed = mien("predict", bad, film, film, second, *other, "--out", out, "--resume", code=1)
        assert f"{film} stood there with other" in changed.stderr
        assert out.read_bytes() == stood
    # The last film was taken away: what was seen of it stays, and a row says so, once.
    out.write_bytes("".join(whole[:-2]).encode())
    second.rename(tmp_path / "away.mp4")
    for _ in range(2):
        mien("predict", bad, film, film, second, *options, "--resume", code=1)
        lines = out.read_text(encoding="utf-8").splitlines(keepends=True)
        assert lines[:-1] == whole[:-2]
        assert "no such file" in json.loads(lines[-1])["reason"]
    (tmp_path / "away.mp4").rename(second)
    mien("predict", bad, film, film, second, *options, "--resume", code=1)
    assert out.read_text(encoding="utf-8").splitlines(keepends=True) == whole
    # The last film of the file is not among those that are named: what stands of it stays.
    again = mien("predict", film, *options, "--resume", code=1)
    assert out.read_text(encoding="utf-8").splitlines(keepends=True) == whole
    assert "0 films (4 before)" in again.stdout
    # Drawn are those that are looked at.
    out.write_bytes("".join(whole[: 1 + of(film) + 3]).encode())
    mien("predict", bad, film, film, second, *options, "--resume", "--draw", tmp_path / "drawn", code=1)
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["second-timeline.png", "second.mp4"]


def test_rows_of_films_and_of_pictures_do_not_go_into_one_file(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    mien("predict", HOPPER, "--out", out)
    rows = out.read_bytes()
    told = mien("predict", film, "--out", out, "--resume", code=1)
    assert "line 1: is of pictures, expected rows of films. Begin another file." in told.stderr
    assert out.read_bytes() == rows
    mien("predict", film, "--out", out, "--force", "--fps", "1")
    assert "is of films, expected rows of pictures" in mien("predict", HOPPER, "--out", out, "--resume", code=1).stderr
    assert "--resume: does not go with" in mien("predict", "--camera", "0", "--out", out, "--resume", code=2).stderr


def test_a_line_over_time_is_drawn_however_seldom_a_film_is_looked_at() -> None:
    def row(seconds: float, abstained: bool = False) -> FaceRow:
        return FaceRow(image="a.mp4", face=0, track=1, time_s=seconds, smoothed={"sad": 0.7}, abstained=abstained)

    def drawn(rows: list[FaceRow]) -> tuple[int, int]:
        line, dots = timeline(rows, ["sad"], "a.mp4").axes[0].lines
        values = np.asarray(line.get_ydata(), dtype=np.float64)
        return int((~np.isnan(values[1:]) & ~np.isnan(values[:-1])).sum()), len(dots.get_xdata())

    assert drawn([row(2.0 * i) for i in range(5)]) == (4, 0)
    assert drawn([row(1.001 * i) for i in range(5)]) == (4, 0)
    assert drawn([row(0.1 * i) for i in range(5)] + [row(9)]) == (4, 1)
    assert drawn([row(0.1), row(0.2, abstained=True), row(0.3), row(0.4, abstained=True)]) == (0, 2)


def test_looks_at_one_film_are_told_apart(tmp_path: Path) -> None:
    def line(image: str, frame: int | None, face: int | None) -> str:
        row = FaceRow(image=image, face=face, frame=frame, time_s=0.0, model="m", model_sha256="s")
        return json.dumps(row.as_json()) + "\n"

    looks = [
        [("a.mp4", 0, 0), ("a.mp4", 0, 1)],  # two faces in the one frame
        [("a.mp4", 0, 0), ("a.mp4", 1, None), ("a.mp4", None, None)],  # and broken off
        [("a.mp4", None, None)],  # broken off at once
        [("a.mp4", None, None)],
        [("b.mp4", 3, None), ("b.mp4", 5, 0)],
        [("b.mp4", 3, None)],
        [("b.mp4", 3, None)],
    ]
    for n in range(1, len(looks) + 1):
        path = tmp_path / f"{n}.jsonl"
        path.write_text("".join(line(*row) for look in looks[:n] for row in look))
        stood = done_already(path, "m", "s", films=True)
        assert stood.pictures.total() == n - 1
        assert path.read_text() == "".join(line(*row) for look in looks[: n - 1] for row in look)
        assert stood.rows.decode() == "".join(line(*row) for row in looks[n - 1])
        assert stood.unread == sum(look[-1][1] is None for look in looks[: n - 1])


def test_a_film_that_breaks_off_early_is_written_once_and_a_stop_loses_no_rows(tmp_path: Path) -> None:
    def rows(frame: int) -> list[FaceRow]:
        return [FaceRow(image="a.mp4", face=0, frame=frame, time_s=0.0, box=(1, 1, 9, 9), model="m", model_sha256="s")]

    def broken() -> Iterator[list[FaceRow]]:
        yield rows(0)
        raise DataError("a.mp4", "breaks off")

    def stopped() -> Iterator[list[FaceRow]]:
        yield rows(0)
        raise KeyboardInterrupt

    def nothing() -> Iterator[list[FaceRow]]:
        raise DataError("a.mp4", "no such file")
        yield []

    path = tmp_path / "rows.jsonl"
    text = "".join(json.dumps(rows(i)[0].as_json()) + "\n" for i in range(3))
    path.write_text(text)
    stood = done_already(path, "m", "s", films=True)
    stood.check_film(broken(), path)
    assert path.read_text() == ""  # it is looked at again from its beginning
    path.write_text(text)
    stood = done_already(path, "m", "s", films=True)
    with pytest.raises(KeyboardInterrupt):
        stood.check_film(stopped(), path)
    assert path.read_text() == text
    done_already(path, "m", "s", films=True).check_film(nothing(), path)
    assert path.read_text() == text
