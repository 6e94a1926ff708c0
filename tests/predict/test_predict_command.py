from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from commands import mien
from mien.cli.predicting import predict
from mien.data.picture_files import list_pictures
from mien.errors import DataError, UsageError
from mien.predict import FaceRow
from mien.predict.resuming import Before, done_already
from mien.predict.rows import NO_FACE
from mien.predict.sources import pictures_of
from mien.predict.writers import writer
from photographs import HOPPER, group_photograph


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs, one picture without a face, one that is none."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "trip").mkdir()
    Image.fromarray(group_photograph()).save(folder / "group.png")
    (folder / "trip" / "hopper.jpg").write_bytes(HOPPER.read_bytes())
    Image.new("RGB", (200, 150), "navy").save(folder / "wall.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    return folder


def test_one_command_turns_five_people_into_five_rows_and_a_picture(album: Path, tmp_path: Path) -> None:
    words = ["--draw", tmp_path / "drawn", "--explain", tmp_path / "maps"]
    shown = mien("predict", album / "group.png", *words).stdout.splitlines()
    assert sorted(p.name for p in (tmp_path / "maps").iterdir()) == [f"group-face{i}-neutral.png" for i in range(1, 6)]
    assert len(shown) == 6
    assert shown[0].split("\t") == ["picture", "face", "label", "most probable", "why not"]
    assert [line.split("\t")[1:3] for line in shown[1:]] == [[str(i), "neutral"] for i in range(1, 6)]
    with Image.open(tmp_path / "drawn" / "group.png") as picture, Image.open(album / "group.png") as before:
        assert picture.size == before.size


def test_drawings_of_before_are_replaced_where_asked_and_never_by_chance(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(HOPPER, tmp_path / folder / "photo.jpg")
    drawn, out = tmp_path / "drawn", tmp_path / "rows.jsonl"
    words = ["predict", tmp_path / "a", tmp_path / "b", "--draw", drawn, "--out", out]
    mien(*words)
    names = {"photo.png", "photo-b-1.png"}
    assert {path.name for path in drawn.iterdir()} == names
    before = {path.name: path.stat().st_mtime_ns for path in drawn.iterdir()}
    mien(*words, "--force")
    after = {path.name: path.stat().st_mtime_ns for path in drawn.iterdir()}
    assert set(after) == names
    assert all(after[name] > before[name] for name in names)
    # A command that goes on looks at the last picture again, and draws it once.
    mien(*words, "--resume", "--force")
    assert {path.name: path.stat().st_mtime_ns for path in drawn.iterdir()} == after
    mien(*words[:2], "--draw", drawn)  # without --force what is there stays
    assert {path.name for path in drawn.iterdir()} == names | {"photo-a-1.png"}
    # The last one was told and not drawn when the command was killed.
    (drawn / "photo-b-1.png").unlink()
    mien(*words, "--resume")
    assert {path.name for path in drawn.iterdir()} == names | {"photo-a-1.png"}
    # Nobody's own picture is drawn over, whatever is asked for.
    own = tmp_path / "own"
    own.mkdir()
    Image.open(HOPPER).save(own / "photo.png")
    before = {"photo.png": (own / "photo.png").read_bytes()}
    mien("predict", own / "photo.png", tmp_path / "a", "--draw", own, "--force")
    assert (own / "photo.png").read_bytes() == before["photo.png"]
    assert len(list(own.iterdir())) == 3


def test_rows_as_lines_on_stdout(album: Path) -> None:
    done = mien("predict", album, "--out", "-", code=1)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows == json.loads(mien("predict", album, "--json", code=1).stdout)
    assert "4 pictures, 6 faces" in done.stderr
    assert "needs a file" in mien("predict", album, "--out", "-", "--resume", code=2).stderr
    assert "--json: does not go with --out" in mien("predict", album, "--out", "-", "--json", code=2).stderr


def test_going_on_with_what_is_wrong_loses_no_row(album: Path, tmp_path: Path) -> None:
    out, listed = tmp_path / "rows.jsonl", tmp_path / "list.csv"
    mien("predict", album / "group.png", album / "trip" / "hopper.jpg", "--out", out)
    before = out.read_bytes()
    assert "matches no picture" in mien("predict", f"{tmp_path}/no*.jpg", "--out", out, "--resume", code=2).stderr
    assert out.read_bytes() == before
    listed.write_text("nothing\n")  # no column of paths
    mien("predict", listed, "--out", out, "--resume", code=1)
    assert out.read_bytes() == before


def test_a_model_of_any_name_is_written(tmp_path: Path) -> None:
    row = FaceRow(image="a.jpg", abstained=True, reason="none", model=os.fsdecode(b"caf\xe9"))
    for ending in ("jsonl", "csv", "parquet"):
        with writer(tmp_path / f"rows.{ending}", ("happy",)) as made:
            made.write([row])
    assert json.loads((tmp_path / "rows.jsonl").read_text())["model"] == pd.read_csv(tmp_path / "rows.csv")["model"][0]


def test_a_folder_with_everything_in_it(album: Path) -> None:
    done = mien("predict", album, "--json", code=1)  # one could not be read
    rows = json.loads(done.stdout)
    assert [Path(row["image"]).name for row in rows] == ["broken.jpg", *["group.png"] * 5, "hopper.jpg", "wall.png"]
    assert "4 pictures, 6 faces, 1 pictures without a face, 1 pictures that could not be read" in done.stderr


def test_tables_of_every_kind_say_the_same(album: Path, tmp_path: Path) -> None:
    frames = []
    for ending in ("jsonl", "csv", "parquet"):
        out = tmp_path / f"rows.{ending}"
        mien("predict", album, "--out", out, code=1)
        if ending == "jsonl":
            rows = [json.loads(line) for line in out.read_text().splitlines()]
            frames.append(
                pd.DataFrame(
                    {
                        "image": [r["image"] for r in rows],
                        "p_neutral": [r["probabilities"].get("neutral") for r in rows],
                    }
                )
            )
        else:
            frames.append(pd.read_csv(out) if ending == "csv" else pd.read_parquet(out))
    for frame in frames[1:]:
        assert frame["image"].tolist() == frames[0]["image"].tolist()
        np.testing.assert_allclose(frame["p_neutral"].astype(float), frames[0]["p_neutral"].astype(float), atol=1e-6)
        assert frame["face"].notna().sum() == 6
        assert frame["abstained"].dtype == bool
    assert "exists already" in mien("predict", album, "--out", tmp_path / "rows.csv", code=2).stderr
    assert "ends in .jsonl, .csv, .parquet" in mien("predict", album, "--out", tmp_path / "rows.txt", code=2).stderr


def test_names_that_are_formulas_stay_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "=cmd()"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(HOPPER.read_bytes())
    monkeypatch.chdir(tmp_path)
    mien("predict", "=cmd()/a.jpg", "--out", tmp_path / "rows.csv")
    (row,) = csv.DictReader(io.StringIO((tmp_path / "rows.csv").read_text()))
    assert row["image"] == "'=cmd()/a.jpg"


def test_lists_patterns_and_standard_input(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(pictures_of([str(album / "*.png")])) == [str(album / "group.png"), str(album / "wall.png")]
    (album / "list.txt").write_text("\ufeffgroup.png\n\ntrip/hopper.jpg\n", encoding="utf-8")
    assert list(pictures_of([str(album / "list.txt")])) == [str(album / "group.png"), str(album / "trip/hopper.jpg")]
    (album / "excel.csv").write_text("sep=;\nlabel;Path\nhappy;wall.png\n;\nsad;gone.png\n")
    assert list(pictures_of([str(album / "excel.csv")])) == [str(album / "wall.png"), "gone.png"]
    (album / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"other.csv line 1: columns a, b"):
        list(pictures_of([str(album / "other.csv")]))
    (album / "list.txt").unlink()
    (album / "excel.csv").unlink()
    (album / "other.csv").unlink()
    with pytest.raises(UsageError, match="matches no picture"):
        list(pictures_of([str(album / "*.bmp")]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no picture"):
        list(pictures_of([str(tmp_path / "empty")]))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{HOPPER}\n\n"))
    assert len(json.loads(mien("predict", "-", "--json").stdout)) == 1


def test_names_that_are_no_text_cost_the_others_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in (b"caf\xe9.jpg", b"ok.jpg"):
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            file.write(HOPPER.read_bytes())
    for ending in ("jsonl", "csv", "parquet"):
        mien("predict", folder, "--out", tmp_path / f"rows.{ending}")
    names = [Path(json.loads(line)["image"]).name for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert sorted(names) == ["caf\\udce9.jpg", "ok.jpg"]
    assert "(2 before)" in mien("predict", folder, "--out", tmp_path / "rows.jsonl", "--resume").stdout
    assert mien("predict", "x" * 5000, code=1).stdout.count("cannot be read") == 1


def test_patterns_take_pictures_and_nothing_twice(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    (folder / "below").mkdir(parents=True)
    for name in ("a.jpg", "below/b.jpg", "labels.csv", "README.txt"):
        (folder / name).write_bytes(HOPPER.read_bytes())
    found = list(pictures_of([f"{folder}/**"]))
    assert sorted(found) == [str(folder / "a.jpg"), str(folder / "below/b.jpg")]
    assert list(pictures_of([f"{folder}/*"])) == [str(folder / "a.jpg")]
    assert list(pictures_of([f"{folder}/bel*"])) == [str(folder / "below/b.jpg")]


def test_a_killed_command_goes_on_where_it_stood(album: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "many", tmp_path / "rows.jsonl"
    folder.mkdir()
    for i in range(90):  # more than are classified together
        (folder / f"{i:02}.jpg").write_bytes(HOPPER.read_bytes())
    words = [sys.executable, "-m", "mien.cli", "predict", str(folder), "--out", str(out), "--workers", "1"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None and not (out.is_file() and out.read_text().count("\n") > 2):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with open(out, "a") as file:
        file.write('{"image": "half a li')
    said = mien("predict", folder, "--out", out, "--resume").stdout
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [Path(row["image"]).name for row in rows] == [f"{i:02}.jpg" for i in range(90)]
    found = re.search(r"(\d+) pictures \((\d+) before\)", said)
    assert found, said
    assert int(found[1]) + int(found[2]) == 90
    assert 0 < int(found[2]) < 90  # it was killed on its way
    assert mien("predict", folder, "--out", out, "--resume").stdout.startswith(f"{out}: 0 pictures (90 before)")


def test_only_what_can_be_gone_on_with_is(album: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("image\n")
    with pytest.raises(UsageError, match=r"does not go with .csv"):
        done_already(tmp_path / "rows.csv", "m", "")
    (tmp_path / "notes.jsonl").write_text('{"note": 1}\n')
    with pytest.raises(DataError, match="line 1: is no row of mien predict"):
        done_already(tmp_path / "notes.jsonl", "m", "")
    (tmp_path / "mine.jsonl").write_text('{"model_sha256": "x", "mine": "precious"}')
    with pytest.raises(DataError, match="line 1: is no row of mien predict"):
        done_already(tmp_path / "mine.jsonl", "m", "x")
    assert (tmp_path / "mine.jsonl").stat().st_size
    row = '{"image": "a", "face": null, "model": "m", "model_sha256": "1"}\n'
    (tmp_path / "rows.jsonl").write_text(row)
    for other in (("m", "2"), ("n", "1")):
        with pytest.raises(DataError, match="is of the model m 1"):
            done_already(tmp_path / "rows.jsonl", *other)
    assert (tmp_path / "rows.jsonl").stat().st_size  # nothing was taken from it
    assert not done_already(tmp_path / "new.jsonl", "m", "2").pictures
    (tmp_path / "rows.jsonl").write_text(row + row.replace('"a"', '"b"') + row + row.replace('"a"', '"b"') + row[:30])
    found = done_already(tmp_path / "rows.jsonl", "m", "1")
    assert found.pictures == {"a": 2, "b": 1}  # a picture may be named twice
    assert (found.last, found.unread, found.rows.count(b"\n")) == ("b", 3, 1)
    assert (tmp_path / "rows.jsonl").read_text().count("\n") == 3


def test_going_on_with_other_pictures_loses_none(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "rows.jsonl"  # in a folder that is still to be made
    mien("predict", album / "wall.png", album / "broken.jpg", album / "trip" / "hopper.jpg", "--out", out, code=1)
    first = out.read_text().splitlines()
    # What could not be read before counts, and the last picture, which this command does not name, stays.
    said = mien("predict", album / "group.png", "--out", out, "--resume", code=1)
    assert "1 pictures (3 before)" in said.stdout
    assert "1 picture that stood there before could not be read" in said.stdout
    assert out.read_text().splitlines()[:3] == first
    assert len(out.read_text().splitlines()) == 3 + 5
    assert (
        "0 pictures (4 before)"
        in mien("predict", album / "trip" / "hopper.jpg", "--out", out, "--resume", code=1).stdout
    )
    assert len(out.read_text().splitlines()) == 3 + 5
    assert "--json: does not go with --out" in mien("predict", album, "--json", "--out", out, code=2).stderr


@pytest.mark.parametrize(
    "other", [("--margin", "0.5"), ("--option", "side=160"), ("--option", "least=0.9999"), ("--crops",)]
)
def test_other_options_are_not_gone_on_with(album: Path, tmp_path: Path, other: tuple[str, ...]) -> None:
    out, group = tmp_path / "rows.jsonl", album / "group.png"
    mien("predict", album / "wall.png", group, "--out", out)
    stood = out.read_text()
    words = ("predict", album / "wall.png", group, album / "trip", "--out", out, "--resume")
    said = mien(*words, *other, code=1).stderr
    assert "group.png stood there with other" in said
    assert "Pass the options that it was begun with" in said
    assert out.read_text() == stood  # and nothing is lost by it
    said = mien("predict", album / "wall.png", group, HOPPER, "--out", out, "--resume").stdout
    assert "1 pictures (2 before)" in said


def test_other_options_show_without_naming_the_last_picture(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    mien("predict", album / "wall.png", album / "group.png", "--out", out)
    stood = out.read_text()
    said = mien("predict", HOPPER, "--out", out, "--resume", "--margin", "0.5", code=1).stderr
    assert "group.png stood there with other" in said
    assert out.read_text() == stood
    # What lies there no more tells nothing, and stays.
    (tmp_path / "gone.png").write_bytes((album / "group.png").read_bytes())
    mien("predict", tmp_path / "gone.png", "--out", tmp_path / "b.jsonl")
    stood = (tmp_path / "b.jsonl").read_text()
    (tmp_path / "gone.png").unlink()
    assert "1 pictures (1 before)" in mien("predict", HOPPER, "--out", tmp_path / "b.jsonl", "--resume").stdout
    assert (tmp_path / "b.jsonl").read_text().startswith(stood)


def test_what_cannot_be_written_again_stays(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "rows.jsonl"
    mien("predict", album / "wall.png", album / "group.png", "--out", out)
    stood = out.read_text()

    def full(*asked: object, **more: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("mien.cli.predicting.rows_out", full)
    with pytest.raises(OSError, match="full"):
        predict((str(album / "group.png"),), out=out, resume=True)
    assert out.read_text() == stood


def test_numbers_of_another_machine_are_no_other_options() -> None:
    row = FaceRow(
        image="a", face=0, box=(2.3, 4, 90, 91), probabilities={"x": 0.9, "y": 0.1}, top="x", reason="blurred"
    )
    stood = Before(last="a", rows=(json.dumps(row.as_json()) + "\n").encode())
    near = replace(row, box=(2.9, 4.4, 89, 92), probabilities={"x": 0.89, "y": 0.11}, reason="")
    lines = [json.loads(line) for line in stood.rows.splitlines()]
    stood._check_alike([near], lines, Path("rows.jsonl"))
    for other, what in (
        ([replace(row, box=(9, 4, 90, 91))], "box"),
        ([replace(row, probabilities={"x": 0.8, "y": 0.2})], "probabilities"),
        ([replace(row, probabilities={"z": 0.9, "y": 0.1})], "probabilities"),
        ([FaceRow(image="a", reason=NO_FACE)], "faces"),
    ):
        with pytest.raises(DataError, match=f"stood there with other {what}"):
            stood._check_alike(other, lines, Path("rows.jsonl"))
    stood._check_alike([row, replace(row, face=1)], lines, Path("rows.jsonl"))  # it was stopped before the second face
    stood._check_alike([FaceRow(image="a", reason="no such file")], lines, Path("rows.jsonl"))


def test_going_on_knows_names_of_other_systems_and_what_could_not_be_read_last(album: Path, tmp_path: Path) -> None:
    out, odd = tmp_path / "rows.jsonl", tmp_path / os.fsdecode(b"caf\xe9.png")
    shutil.copy(album / "wall.png", odd)
    mien("predict", album / "group.png", odd, "--out", out)
    n = len(out.read_text().splitlines())
    mien("predict", album / "group.png", odd, "--out", out, "--resume")
    assert len(out.read_text().splitlines()) == n
    mien("predict", album / "wall.png", album / "broken.jpg", "--out", tmp_path / "b.jsonl", code=1)
    said = mien("predict", album / "wall.png", "--out", tmp_path / "b.jsonl", "--resume", code=1)
    assert "1 picture that stood there before could not be read" in said.stdout


def test_pictures_that_cannot_be_opened_here_are_rows_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.data.picture_files._readable_endings", lambda: frozenset({".png", ".jpg"}))
    for name in ("a.jpg", "IMG_1.HEIC", "scan", "notes.doc"):
        (tmp_path / name).write_bytes(HOPPER.read_bytes() if name != "notes.doc" else b"text")
    assert [Path(p).name for p in pictures_of([str(tmp_path)])] == ["IMG_1.HEIC", "a.jpg", "scan"]
    assert [Path(p).name for p in pictures_of([f"{tmp_path}/*"])] == ["IMG_1.HEIC", "a.jpg", "scan"]
    assert [Path(p).name for p in pictures_of([f"{tmp_path}/s*"])] == ["scan"]
    assert [Path(p).name for p in list_pictures(tmp_path).pictures] == [
        "a.jpg",
        "scan",
    ]  # not of a corpus


def test_names_of_lists_are_found_as_they_stand_and_as_they_are_meant(tmp_path: Path) -> None:
    for name in ("+1.png", "b.png", " c.png", "'-d.png"):
        (tmp_path / name).write_bytes(HOPPER.read_bytes())
    (tmp_path / "l.csv").write_text("\n,\nimage,label\n'+1.png,x\n b.png ,x\n\" c.png\",x\n'-d.png,x\n")
    found = [Path(p).name for p in pictures_of([str(tmp_path / "l.csv")])]
    assert found == ["+1.png", "b.png", " c.png", "'-d.png"]
    (tmp_path / "l.txt").write_text(" c.png\n b.png\n")
    assert [Path(p).name for p in pictures_of([str(tmp_path / "l.txt")])] == [" c.png", "b.png"]
    # As Windows writes them: backslashes, and Notepad's "Unicode".
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "d.png").touch()
    (tmp_path / "l.csv").write_text("path\nbelow\\d.png\n")
    (tmp_path / "l.txt").write_text("below\\d.png\n\nb.png\n", encoding="utf-16")
    there = str(tmp_path / "below/d.png")
    assert list(pictures_of([str(tmp_path / "l.csv")])) == [there]
    assert list(pictures_of([str(tmp_path / "l.txt")])) == [there, str(tmp_path / "b.png")]
    (tmp_path / "below\\d.png").touch()  # a name of its own on other systems
    assert list(pictures_of([str(tmp_path / "l.csv")])) == [str(tmp_path / "below\\d.png")]


def test_crops_are_taken_as_they_are(tmp_path: Path) -> None:
    Image.open(HOPPER).crop((160, 110, 370, 320)).resize((48, 48)).save(tmp_path / "crop.png")
    (row,) = json.loads(mien("predict", tmp_path / "crop.png", "--crops", "--json").stdout)
    assert (row["face"], row["box"], row["top"]) == (0, None, "neutral")
    assert "say so: --crops" in mien("predict", tmp_path / "crop.png", "--option", "smallest=200").stderr
    assert "does not go with" in mien("predict", tmp_path / "crop.png", "--crops", "--detector", "mtcnn", code=2).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--detector", "mtcn"], "mtcnn"),
        (["--option", "sides=3"], "side"),
        (["--workers", "0"], "1 or more"),
        (["--resume"], "--out FILE.jsonl"),
        (["--model", "nothing"], "nothing"),
        (["--risk", "2"], "share of wrong answers"),
    ],
)
def test_slips_are_told_before_the_work(words: list[str], said: str) -> None:
    assert said in mien("predict", HOPPER, *words, code=2 if words[0] != "--model" else 1).stderr
