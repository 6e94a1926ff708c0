"""Places for results: refused before the work, never left half-written, and every reason in one sentence."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mien.errors import OutputError, UsageError
from mien.outputs import Kind, begin_in, check_file, check_folder, whole, whole_folder, write_text, writing


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file, a folder and links of all kinds; it must not change by being looked at."""
    monkeypatch.chdir(tmp_path)
    Path("file.csv").write_text("kept")
    Path("folder").mkdir()
    for name, target in {
        "nowhere": "missing/x.csv",
        "no_folder": "missing",
        "to_file": "file.csv",
        "to_folder": "folder",
        "round": "round",
    }.items():
        Path(name).symlink_to(target)
    return tmp_path


def fail_in(context: AbstractContextManager[Path], error: BaseException, name: str | None = None) -> None:
    """Write half of a file, and fail."""
    with context as place:
        (place / name if name else place).write_text("half")
        raise error


def listing(folder: Path | str = ".") -> list[str]:
    return sorted(str(p) for p in Path(folder).rglob("*"))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "is a folder, expected the name of a file"),
        ("folder", "is a folder"),
        ("to_folder", "is a folder"),
        ("file.csv/x.csv", "file.csv is a file, not a folder"),
        ("file.csv/a/b/x.csv", "file.csv is a file, not a folder"),
        ("nowhere", "a link that leads nowhere"),
        ("no_folder/x.csv", "a link that leads nowhere"),
        ("round/x.csv", "a link that leads nowhere"),
        ("x" * 250, "the name is too long"),
        ("x" * 300, "the name is too long"),
        ("a/" + "x" * 300 + "/y.csv", "the name is too long"),
        ("ä" * 130, "the name is too long"),
        ("bad\0name", "null byte"),
        ("no\udcffutf8", "the name is no UTF-8. Use another name"),
        ("/proc/x.csv", "no folder can be made there"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_in_one_sentence(path: str, message: str) -> None:
    before = listing()
    with pytest.raises(UsageError, match=message) as caught:
        check_file(path, "--out")
    assert str(caught.value).startswith("--out")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert listing() == before


@pytest.mark.parametrize("path", ["new.csv", "a/b/new.csv", "file.csv", "to_file", "to_folder/x", "/dev/null"])
def test_a_file_that_can_be_written_is_left_as_it_was(path: str) -> None:
    before = listing()
    assert check_file(path) == Path(path)
    assert listing() == before
    assert Path("file.csv").read_text() == "kept"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("file.csv", "file.csv is a file, not a folder"),
        ("file.csv/x", "file.csv is a file, not a folder"),
        ("to_file", "to_file is a file, not a folder"),
        ("nowhere", "a link that leads nowhere"),
        ("no_folder", "a link that leads nowhere"),
        ("/dev/full", "/dev/full is a file, not a folder"),
        ("x" * 300, "the name is too long"),
    ],
)
def test_a_folder_that_cannot_be_written_is_refused(path: str, message: str) -> None:
    before = listing()
    with pytest.raises(UsageError, match=message):
        check_folder(path, "--out")
    assert listing() == before


@pytest.mark.parametrize("path", ["new", "a/b/c", "folder", "to_folder", "."])
def test_a_folder_that_can_be_written_is_left_as_it_was(path: str) -> None:
    before = listing()
    assert check_folder(path) == Path(path)
    assert listing() == before


@pytest.mark.parametrize("path", ["file.csv", "./file.csv", "folder/../file.csv", "to_file"])
def test_an_input_is_no_output(path: str, here: Path) -> None:
    with pytest.raises(UsageError, match="is an input, which would be overwritten"):
        check_file(path, "--junit", [here / "file.csv"])
    os.link("file.csv", "hard.csv")
    with pytest.raises(UsageError, match="is an input"):
        check_file("hard.csv", inputs=["file.csv"])


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "share of the disk is used up"),
        (errno.EROFS, "nothing can be written on that disk"),
        (errno.EACCES, "not permitted"),
        (errno.EPERM, "not permitted"),
        (errno.EFBIG, "may not grow so large"),
        (errno.EBUSY, "busy"),
    ],
)
def test_whatever_prevents_writing_is_one_sentence(number: int, words: str) -> None:
    before = listing()
    for name in ("file.csv", "a/b/new.csv"):
        with pytest.raises(OutputError, match=words):
            fail_in(whole(name), OSError(number, os.strerror(number)))
    with pytest.raises(OutputError, match=f"^results: could not be written: .*{words}"), writing("results"):
        raise OSError(number, os.strerror(number))
    assert listing() == before
    assert Path("file.csv").read_text() == "kept"


def test_a_folder_that_another_takes_away_while_it_is_empty_is_made_anew(tmp_path: Path) -> None:
    folder, tries = tmp_path / "runs" / "one", []

    def begin() -> None:
        tries.append(1)
        if len(tries) < 3:  # another tried the same place and removes what it made
            folder.rmdir()
            folder.parent.rmdir()
        (folder / "first").touch()

    assert begin_in(folder, begin) == [folder, folder.parent]
    assert len(tries) == 3
    assert (folder / "first").is_file()


def test_a_place_that_never_takes_a_file_is_said_and_left_clean(tmp_path: Path) -> None:
    def begin() -> None:
        raise FileNotFoundError(errno.ENOENT, "never")

    with pytest.raises(FileNotFoundError, match="never"):
        begin_in(tmp_path / "runs" / "one", begin)
    assert not (tmp_path / "runs").exists()


def test_processes_that_try_the_same_place_do_not_refuse_each_other(tmp_path: Path) -> None:
    place = tmp_path / "runs" / "one"
    loop = f"from mien.outputs import check_folder\nfor _ in range(1000):\n    check_folder({str(place)!r})"
    both = [subprocess.Popen([sys.executable, "-c", loop], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == ["", ""]
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]


def test_a_full_disk_is_seen_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(UsageError, match="^new: cannot be written: the disk is full. Free some space"):
        check_folder("new")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_device_that_is_full_is_one_sentence() -> None:
    check_file("/dev/full")
    with pytest.raises(OutputError, match="/dev/full: could not be written: the disk is full"):
        write_text("/dev/full", "x")
    assert Path("/dev/full").is_char_device()


def test_links_and_pipes_stay_what_they_are() -> None:
    write_text("to_file", "new")
    assert Path("to_file").is_symlink()
    assert Path("file.csv").read_text() == "new"
    os.mkfifo("pipe")
    with pytest.raises(UsageError, match="pipe: is a pipe or a device, and no file"):
        check_file("pipe")
    reading = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text("pipe", "through")
    assert os.read(reading, 100) == b"through"
    os.close(reading)
    assert Path("pipe").is_fifo()


def test_a_file_that_is_there_is_replaced_only_if_one_says_so() -> None:
    with pytest.raises(UsageError, match="file.csv: exists already, expected a new file. Pass --force"):
        check_file("file.csv", force=False)
    Path("empty.csv").touch()  # as mktemp leaves one
    for name in ("empty.csv", "new.csv", "/dev/null"):
        check_file(name, force=False)
    check_file("file.csv", force=True)


def test_force_replaces_no_file_of_somebody_elses() -> None:
    sign = b'content="Mien '
    Path("page.html").write_bytes(b"<html>" + sign + b'0.1">')
    Path("long.html").write_bytes(b"x" * 200_000 + sign)
    for name in ("page.html", "long.html", "new.html", "/dev/null"):
        check_file(name, force=True, sign=sign)
    with pytest.raises(UsageError, match=r"file\.csv: is a file that Mien did not write, expected a new file"):
        check_file("file.csv", force=True, sign=sign)


def test_other_errors_pass_through_and_leave_nothing() -> None:
    before = listing()
    with pytest.raises(KeyboardInterrupt):
        fail_in(whole("a/new.csv"), KeyboardInterrupt())
    with pytest.raises(ZeroDivisionError):
        fail_in(whole_folder("a/b", Kind("a thing", "x", "n")), ZeroDivisionError(), "x")
    assert listing() == before
