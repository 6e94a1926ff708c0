"""Who works on a folder: alive, dead, on another machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mien.errors import RunError
from mien.studies.hold import HOLD, SILENT_S, holder_of, holding


def test_one_holds_and_leaves_nothing(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    with holding(tmp_path) as held:
        assert held
        found = holder_of(tmp_path)
        assert found is not None
        assert found.alive
        assert found.pid == os.getpid()
        with holding(tmp_path) as again:
            assert not again
        assert holder_of(tmp_path) is not None  # who did not get it takes nothing away
    assert holder_of(tmp_path) is None


def test_a_killed_process_leaves_its_hold_to_others(tmp_path: Path) -> None:
    code = "import sys, time, pathlib\nfrom mien.studies.hold import holding\n"
    code += f"with holding(pathlib.Path({str(tmp_path)!r})) as held:\n    print(held, flush=True)\n    time.sleep(60)\n"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    with holding(tmp_path) as held:
        assert not held
    process.kill()
    # Not waited for: a dead process whose parent has not looked is dead all the same.
    deadline = time.monotonic() + 10
    while (found := holder_of(tmp_path)) is not None and found.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    with holding(tmp_path) as held:
        assert held
    process.wait()
    process.stdout.close()


def test_another_machine_is_believed_while_it_is_heard(tmp_path: Path) -> None:
    path = tmp_path / HOLD
    path.write_text(json.dumps({"host": "elsewhere", "pid": os.getpid(), "born": "1", "token": "t"}))
    with holding(tmp_path) as held:
        assert not held
    silent = time.time() - SILENT_S - 1
    os.utime(path, (silent, silent))
    with holding(tmp_path) as held:
        assert held


def test_a_number_given_again_is_another_process(tmp_path: Path) -> None:
    with holding(tmp_path):
        content = json.loads((tmp_path / HOLD).read_text())
    (tmp_path / HOLD).write_text(json.dumps(content | {"born": "1"}))
    found = holder_of(tmp_path)
    assert found is not None
    assert not found.alive


def test_a_file_of_somebody_else_is_said(tmp_path: Path) -> None:
    (tmp_path / HOLD).write_text("[]")
    with pytest.raises(RunError, match="held.json"):
        holder_of(tmp_path)
