"""Only regular files of a bearable size are read."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mien.errors import ConfigError, DataError
from mien.inputs import check_regular, read_small


def test_a_file_and_a_link_to_it_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "link").symlink_to("a.txt")
    assert read_small(tmp_path / "link") == b"hello"


def test_pipes_devices_sockets_and_folders_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # names of sockets may have 100 letters only
        server.bind("socket")
        (tmp_path / "link").symlink_to("pipe")
        for path, kind in (
            (tmp_path / "pipe", "a pipe"),
            (tmp_path / "link", "a pipe"),
            (Path("/dev/zero"), "a device"),
            (tmp_path / "socket", "a socket"),
            (tmp_path, "a folder"),
        ):
            with pytest.raises(DataError, match=f"is {kind}, expected a table"):
                check_regular(path, "a table")


def test_what_is_missing_is_for_the_reader_to_tell(tmp_path: Path) -> None:
    check_regular(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
        read_small(tmp_path / "none", error=ConfigError)


def test_odd_names_are_one_sentence(tmp_path: Path) -> None:
    for name in ("a\0b", "n" * 5000):
        with pytest.raises(DataError, match="cannot be read"):
            check_regular(tmp_path / name)
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(DataError, match="cannot be read"):
        check_regular(tmp_path / "round")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # a hole: it takes no room
    with pytest.raises(DataError, match="has 1,099,511,627,776 bytes, expected a card of at most 1,000 bytes"):
        read_small(path, "a card", most=1000)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux only")
def test_a_file_that_hides_its_size_is_not_read_whole() -> None:
    with pytest.raises(DataError, match="more than 10 bytes"):
        read_small("/proc/self/maps", most=10)
