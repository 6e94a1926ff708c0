"""Pipes and devices where a store, features or stdout are expected: refused at once, and never waited for."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mien.audit import load_features
from mien.data import images
from mien.data.images import IMAGES, TABLE, Store, StoreWriter
from mien.errors import DataError
from whole_tables import faces


@pytest.mark.parametrize("name", [TABLE, IMAGES])
def test_a_part_of_a_store_that_is_a_pipe(name: str, easy_store: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(easy_store, store)
    (store / name).unlink()
    os.mkfifo(store / name)
    with pytest.raises(DataError, match="is a pipe"):
        Store.open(store)


def test_features_in_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f.npz")
    with pytest.raises(DataError, match="is a pipe"):
        load_features(tmp_path / "f.npz", ["a"])


def test_a_closed_stdout_spoils_no_audit(tmp_path: Path) -> None:
    faces().to_csv(tmp_path / "a.csv", index=False)
    command = f"{sys.executable} -m mien.cli audit a.csv --by gender --n-boot 100 --n-perm 100 --out out >&-"
    done = subprocess.run(command, shell=True, cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert (tmp_path / "out" / "audit.html").is_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_leaves_nothing_beside(number: int, tmp_path: Path) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # under nohup it is ignored, and children inherit that
    work = subprocess.Popen(
        [sys.executable, "-m", "mien.cli", "prepare", "synthetic", "--out", str(tmp_path / "store")]
    )
    signal.signal(number, before)
    until = time.monotonic() + 30
    while not list(tmp_path.glob(".store*")) and time.monotonic() < until:
        time.sleep(0.01)
    work.send_signal(number)
    assert work.wait(timeout=30) == 128 + number
    assert not [p.name for p in tmp_path.iterdir() if "store" in p.name]


@pytest.mark.parametrize("after", ["mkdir", "open"])
def test_a_signal_on_the_way_into_a_store_leaves_nothing_beside(
    after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the folder is made and its writer not yet at work, nobody else would take it away."""
    mkdir = Path.mkdir

    def told_to_end(place: Path, *arguments: Any, **options: Any) -> Any:
        if after == "mkdir":
            mkdir(place, *arguments, **options)
        else:
            open(place, *arguments, **options).close()
        if ".partial-" in str(place):
            raise SystemExit(128 + signal.SIGTERM)

    if after == "mkdir":
        monkeypatch.setattr(Path, "mkdir", told_to_end)
    else:
        monkeypatch.setattr(images, "open", told_to_end, raising=False)
    with pytest.raises(SystemExit):
        StoreWriter(tmp_path / "new" / "store").__enter__()
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())
