"""Weights and checkpoints that take long are written seldom; nothing of a run depends on when."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mien.config import parse_config
from mien.models.weights import load_card
from mien.train import train
from mien.train.checkpoints import Sparing, load_checkpoint
from mien.train.stopping import TrainingStopped


def same(a: Path, b: Path) -> bool:
    one, two = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_what_took_two_seconds_waits_eighteen(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    sparing = Sparing()
    assert sparing.due()  # the first epoch is always written
    with sparing.written():
        now += 2
    now += 17.9
    assert not sparing.due()
    now += 0.1
    assert sparing.due()
    with sparing.written():
        now += 0.5
    assert sparing.due()  # what takes half a second is written every time


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every writing is too soon."""
    monkeypatch.setattr(Sparing, "due", lambda self: False)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_run_ends_alike_however_seldom_it_is_written(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema: float | None
) -> None:
    settings["train"] |= {"epochs": 4, "ema": ema, "optimizer": {"lr": 0.3}}
    seldom = train(parse_config(settings), tmp_path / "seldom")
    monkeypatch.setattr(Sparing, "due", lambda self: True)
    always = train(parse_config(settings), tmp_path / "always")
    assert same(seldom.path, always.path)
    assert seldom.record.best == always.record.best
    assert load_card(seldom.path).results["validation"] == always.record.best
    assert load_checkpoint(seldom.path / "checkpoints" / "last.ckpt")["epoch"] == 4


@pytest.mark.usefixtures("slow")
def test_a_run_that_is_stopped_between_two_writings_keeps_its_best_and_goes_on_from_the_last(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings["train"] |= {"epochs": 4, "monitor": "last"}
    whole = train(parse_config(settings), tmp_path / "whole")
    written = iter([True, False])  # the first epoch is written, the second is not
    monkeypatch.setattr(Sparing, "due", lambda self: next(written))

    def stop(done: int, of: int | None) -> None:
        if of and done > of // 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingStopped):
        train(parse_config(settings), tmp_path / "run", progress=stop)
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert load_checkpoint(checkpoint)["epoch"] == 1
    card = load_card(tmp_path / "run")  # its weights are whole, and of the second epoch
    assert card.results["validation"]["epoch"] == 1
    monkeypatch.setattr(Sparing, "due", lambda self: True)
    run = train(parse_config(settings), tmp_path / "run")
    assert run.record.resumed[0]["after_epoch"] == 1
    assert same(run.path, whole.path)
    assert len(run.history) == 4
