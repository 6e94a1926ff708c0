"""Weights and checkpoints that take long are written seldom; nothing of a run depends on when."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mien.config import parse_config
from mien.models.weights import load_card
from mien.runs import Run
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


def _after(share: float, call: Callable[[], None]) -> Callable[[int, int | None], None]:
    """Progress that calls once, in the first step after a share of the run."""
    called = []

    def progress(done: int, of: int | None) -> None:
        if of and done > of * share and not called:
            called.append(done)
            call()

    return progress


def _at_first_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first epoch is written, later ones are too soon."""
    written = iter([True])
    monkeypatch.setattr(Sparing, "due", lambda self: next(written, False))


def _state(run: Path) -> tuple[int, float]:
    """Epochs of the checkpoint, and the epoch (from 0) of the weights."""
    found = load_checkpoint(run / "checkpoints" / "last.ckpt")["epoch"]
    return found, load_card(run).results["validation"]["epoch"]


def test_a_stop_between_two_writings_waits_for_the_epoch_and_writes_it(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings["train"] |= {"epochs": 4, "monitor": "last"}
    whole = train(parse_config(settings), tmp_path / "whole")
    _at_first_only(monkeypatch)
    stop = _after(1 / 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(TrainingStopped):
        train(parse_config(settings), tmp_path / "run", progress=stop)
    assert _state(tmp_path / "run") == (3, 2)  # epochs two and three were not written when the signal came
    run = train(parse_config(settings), tmp_path / "run")
    assert [r["after_epoch"] for r in run.record.resumed] == [3]
    assert same(run.path, whole.path)
    assert run.record.best == whole.record.best


def test_a_failure_between_two_writings_keeps_the_best_weights_until_better_ones_come(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings["train"] |= {"epochs": 6, "monitor": "last"}
    whole = train(parse_config(settings), tmp_path / "whole")
    _at_first_only(monkeypatch)

    def fail() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        train(parse_config(settings), tmp_path / "run", progress=_after(4 / 6, fail))
    assert _state(tmp_path / "run") == (1, 3)
    assert Run.open(tmp_path / "run").record.best["epoch"] == 3
    # The run goes on from its first epoch; broken off anew before it is where it was, its weights stay.
    kept = (tmp_path / "run" / "model.safetensors").read_bytes()
    short = settings | {"train": settings["train"] | {"max_minutes": 1e-9}}
    train(parse_config(short), tmp_path / "run")
    assert _state(tmp_path / "run") == (2, 3)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == kept
    assert Run.open(tmp_path / "run").record.best["epoch"] == 3
    run = train(parse_config(settings), tmp_path / "run")
    assert same(run.path, whole.path)
    assert run.record.best == whole.record.best == load_card(run.path).results["validation"]


def test_a_record_that_was_not_written_any_more_follows_the_weights(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"epochs": 4, "monitor": "val_loss", "optimizer": {"lr": 1e-12}, "max_minutes": 1e-9}
    run = train(parse_config(settings), tmp_path / "run")
    record = run.record
    best, record.best = dict(record.best), {}  # as a kill between weights and record leaves it
    run.save_record(record)
    settings["train"].pop("max_minutes")
    done = train(parse_config(settings), tmp_path / "run")
    assert done.record.best == load_card(done.path).results["validation"]
    assert set(done.record.best) == set(best)


@pytest.mark.parametrize("damage", [b"{", None])
def test_a_damaged_or_missing_card_keeps_no_run_from_going_on(
    settings: dict[str, Any], tmp_path: Path, damage: bytes | None
) -> None:
    settings["train"] |= {"epochs": 2, "monitor": "last", "max_minutes": 1e-9}
    run = train(parse_config(settings), tmp_path / "run")
    card = run.path / "model.json"
    card.unlink() if damage is None else card.write_bytes(damage)
    settings["train"].pop("max_minutes")
    done = train(parse_config(settings), tmp_path / "run")
    assert load_card(done.path).results["validation"] == done.record.best
