"""Folders of results: whole or not at all, whatever was there, wherever the process is killed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mien.errors import OutputError, UsageError
from mien.outputs import Kind, check_place, folders, settle, staging, whole_folder

THING = Kind("a thing", "thing.json", "n", ("a.csv", "b.csv"))
NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(content: str, place: str = "out", **how: bool) -> None:
    with whole_folder(place, THING, **how) as folder:
        for name in ("a.csv", "thing.json"):
            (folder / name).write_text(f'{{"n": {content}}}')


def held(folder: Path | str = "out") -> dict[str, str]:
    return {
        p.name: p.read_text().removeprefix('{"n": ').removesuffix("}") for p in Path(folder).iterdir() if p.is_file()
    }


@pytest.mark.parametrize("place", ["out", "a/b/out", "link", "./x/../out", "out/"])
def test_a_new_or_an_empty_place_is_written(place: str) -> None:
    Path("empty").mkdir()
    Path("link").symlink_to("empty")
    Path("x").mkdir()
    write("1", place)
    assert held(place) == {"a.csv": "1", "thing.json": "1"}
    assert Path("link").is_symlink()
    assert not [p for p in Path().rglob("*") if "partial" in p.name]


def test_an_older_result_is_replaced_with_all_its_files_if_one_says_so() -> None:
    write("1")
    (Path("out") / "b.csv").write_text("1")
    (Path("out") / ".DS_Store").write_text("litter")
    with pytest.raises(UsageError, match=r"out: is not empty: it holds thing\.json.*--force to replace a thing"):
        write("2")
    assert held()["a.csv"] == "1"
    write("2", force=True)
    assert held() == {"a.csv": "2", "thing.json": "2"}  # b.csv was the older result's
    assert os.listdir() == ["out"]


@pytest.mark.parametrize("foreign", ["notes.txt", ".hidden", "A.CSV", "a.csv.bak", "folder"])
def test_what_is_not_mien_s_is_never_replaced(foreign: str) -> None:
    write("1")
    (Path("out") / foreign).mkdir() if foreign == "folder" else (Path("out") / foreign).write_text("mine")
    for force in (False, True):
        with pytest.raises(UsageError, match=f"holds {foreign}"):
            write("2", force=force)
    write("2", force=True, keep=True)
    assert held()["a.csv"] == "2"
    assert (Path("out") / foreign).exists()


@pytest.mark.parametrize("name", ["a.csv", "thing.json"])
def test_files_called_as_mien_s_are_the_user_s_without_its_sign(name: str) -> None:
    Path("out").mkdir()
    (Path("out") / name).write_text("mine")
    for force in (False, True):
        with pytest.raises(UsageError, match=f"holds {name}"):
            write("2", force=force)
    assert held() == {name: "mine"}


def test_an_input_is_not_replaced_with_the_folder_that_it_lies_in(here: Path) -> None:
    write("1")
    for given in ("out/a.csv", here / "out" / "a.csv", "out"):
        with pytest.raises(UsageError, match="an input"):
            check_place("out", THING, "--out", [given], force=True)
    check_place("out", THING, "--out", ["elsewhere.csv"], force=True)


@pytest.mark.parametrize("exchange", [True, False])
def test_a_full_disk_leaves_the_older_result(exchange: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exchange:
        monkeypatch.setattr(folders, "_exchange", lambda *_: False)
    write("1")

    def fill() -> None:
        with whole_folder("out", THING, force=True) as folder:
            (folder / "a.csv").write_text("half")
            raise NO_SPACE

    with pytest.raises(OutputError, match="out: could not be written: the disk is full"):
        fill()
    assert held() == {"a.csv": "1", "thing.json": "1"}
    write("2", force=True)
    assert held() == {"a.csv": "2", "thing.json": "2"}
    assert os.listdir() == ["out"]


def test_what_somebody_puts_there_during_the_work_stays_and_the_result_too() -> None:
    def work() -> None:
        with whole_folder("out", THING) as folder:
            (folder / "thing.json").write_text('{"n": 1}')
            Path("out").mkdir()
            (Path("out") / "notes.txt").write_text("mine")

    with pytest.raises(OutputError, match=r"somebody put something there during the work\. The result lies in .*out-1"):
        work()
    assert held() == {"notes.txt": "mine"}
    assert held("out-1") == {"thing.json": "1"}


def test_a_place_that_cannot_be_moved_is_written_in_place(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a disk is mounted, or a container's volume."""
    Path("out").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "out")
    inode = Path("out").stat().st_ino
    write("1")
    (Path("out") / "b.csv").write_text("1")
    write("2", force=True)
    assert held() == {"a.csv": "2", "thing.json": "2"}
    assert Path("out").stat().st_ino == inode
    # Cut off while the entries were moved: the next writer goes forward.
    moved, rename = [], os.rename

    def stop(one: str, other: str) -> None:
        if moved:
            monkeypatch.setattr(folders.shutil, "rmtree", lambda *_, **__: None)  # a kill takes nothing away
            raise KeyboardInterrupt
        moved.append(rename(one, other))

    monkeypatch.setattr(os, "rename", stop)
    with pytest.raises(KeyboardInterrupt):
        write("3", force=True)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    settle("out")
    assert held() == {"a.csv": "3", "thing.json": "3"}
    assert not [p for p in Path("out").iterdir() if p.is_dir()]


KILLED = """
import os, sys, mien.outputs.folders as folders
from pathlib import Path
from mien.outputs import Kind, whole_folder
THING = Kind("a thing", "thing.json", "n", ("a.csv", "b.csv"))
step, way = int(sys.argv[1]), sys.argv[2]
if way == "moves":
    folders._exchange = lambda *_: False
count = 0
def trace(frame, event, arg):  # a kill at one line after another of the exchange
    global count
    if frame.f_code.co_filename != folders.__file__:
        return None
    if event == "line":
        count += 1
        if count == step:
            os.kill(os.getpid(), 9)
    return trace
sys.settrace(trace)
with whole_folder("out", THING, force=True, keep=True) as folder:
    (folder / "a.csv").write_text('{"n": 2}')
    (folder / "thing.json").write_text('{"n": 2}')
print("whole")
"""


@pytest.mark.parametrize("way", ["exchange", "moves"])
def test_a_kill_at_any_line_leaves_the_older_or_the_new_and_what_is_the_user_s(way: str) -> None:
    if way == "exchange" and sys.platform != "linux":
        pytest.skip("folders are exchanged in one step on Linux only")
    seen, step = set(), 1
    Path("kill.py").write_text(KILLED)
    while True:
        if Path("out").exists():
            with whole_folder("out", THING, force=True, keep=True) as folder:
                (folder / "a.csv").write_text('{"n": 1}')
                (folder / "thing.json").write_text('{"n": 1}')
        else:
            write("1")
        (Path("out") / "notes.txt").write_text("mine")
        done = subprocess.run([sys.executable, "kill.py", str(step), way], capture_output=True, text=True, check=False)
        if way == "moves":
            settle("out")  # between two moves the place is empty: the next command puts the older one back
        now = held()
        assert {now["a.csv"], now["thing.json"]} in ({"1"}, {"2"}), (step, now)
        settle("out")
        assert held()["notes.txt"] == "mine", step
        assert not list(Path().glob(".out*")), step
        seen.add(held()["a.csv"])
        if done.returncode == 0:
            assert done.stdout == "whole\n"
            break
        step += 4
    assert seen == {"1", "2"}


def test_leftovers_of_the_living_stay() -> None:
    alive = staging(Path("out").absolute()).with_name(f".out.partial-{os.getppid()}")
    alive.mkdir()
    dead = alive.with_name(".out.partial-999999999")
    dead.mkdir()
    write("1")
    assert alive.exists()
    assert not dead.exists()
