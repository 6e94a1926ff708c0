"""A training begins with as many threads as there are idle cores, and goes on with as many."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from mien.config import parse_config
from mien.train import threads, train
from mien.train.threads import free_cores


def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, idle: list[float]) -> int | None:
    """What it says where the system tells of so many ticks of idling, one look after the other."""
    ticks = iter(idle)

    class Stat:
        def read_text(self) -> str:
            return f"cpu  1 2 3 {next(ticks):.0f} 0 7\ncpu0 1 2 3 4\n"

    clock = iter([0.0, 1.0])
    monkeypatch.setattr(threads, "_STAT", Stat())
    monkeypatch.setattr(threads.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(threads.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    return free_cores()


@pytest.mark.parametrize(("share", "cores"), [(2.0, 2), (1.6, 2), (1.1, 1), (0.2, 1), (0.0, 1), (64.0, 8)])
def test_as_many_as_stood_idle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, share: float, cores: int) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    assert told(monkeypatch, tmp_path, [1000, 1000 + share * ticks]) == cores


@pytest.mark.parametrize("text", ["", "cpu", "cpu a b c d e f"])
def test_where_the_system_does_not_tell_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    (tmp_path / "stat").write_text(text)
    monkeypatch.setattr(threads, "_STAT", tmp_path / "stat")
    assert free_cores() is None
    monkeypatch.setattr(threads, "_STAT", tmp_path / "nowhere")
    assert free_cores() is None


def test_a_run_goes_on_with_the_threads_that_it_began_with(settings: dict[str, Any], tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        del settings["train"]["threads"]
        settings["train"]["max_minutes"] = 1e-9
        run = train(parse_config(settings), tmp_path / "run", threads=2)
        assert run.record.device["threads"] == 2
        assert train(parse_config(settings), tmp_path / "run", threads=1).record.device["threads"] == 2
        settings["train"]["threads"] = 1
        assert train(parse_config(settings), tmp_path / "other", threads=2).record.device["threads"] == 1
    finally:
        torch.set_num_threads(before)
