"""Runs in processes of their own: killed, told to end, and trained by two of them at once."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import load_file

from commands import Started, start_mien, torchrun
from mien.config import parse_config
from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Batch, Mitigation
from mien.models.weights import Classifier
from mien.runs import Run
from mien.train import train


def same_weights(a: Path, b: Path) -> bool:
    one, two = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def _start(settings: dict[str, Any], folder: Path) -> Started:
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return start_mien(folder, "train", folder / "config.yaml", "--out", folder / "cut")


def _cut_off(settings: dict[str, Any], folder: Path, number: signal.Signals) -> tuple[Path, int, str]:
    """Start a run as a user does and send it a signal once its first epoch has ended."""
    run, out = _start(settings, folder), folder / "cut"
    deadline = time.monotonic() + 90
    while not (out / "checkpoints" / "last.ckpt").is_file():
        assert run.ended() is None, run.stderr
        assert time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.02)
    os.kill(run.pid, number)
    return out, run.wait(), run.stderr


def test_a_killed_run_goes_on_to_the_same_weights(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"epochs": 20, "early_stopping": 15}
    out, code, _ = _cut_off(settings, tmp_path, signal.SIGKILL)
    assert code == -signal.SIGKILL
    done = len(Run.open(out).history)
    assert 1 <= done < 20, "the kill came too late to test anything"
    again = _start(settings, tmp_path)
    assert again.wait() == 0, again.stderr
    assert f"resuming {out} after epoch" in again.stderr
    whole = train(parse_config(settings), tmp_path / "whole")
    assert same_weights(out, whole.path)
    resumed = Run.open(out)
    assert resumed.record.status == "finished"
    assert len(resumed.record.resumed) == 1
    columns = ["epoch", "train_loss", "val_loss", "val_accuracy", "lr"]
    np.testing.assert_array_equal(resumed.history[columns], whole.history[columns])


def test_sigterm_leaves_a_usable_folder(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"epochs": 400}
    out, code, errors = _cut_off(settings, tmp_path, signal.SIGTERM)
    assert code == 130
    assert "interrupted" in errors
    assert Run.open(out).record.status == "stopped"
    images = np.zeros((2, 24, 24, 1), np.uint8)
    assert Classifier.load(out).face_model().probabilities(images).shape == (2, 3)


class Seen(Mitigation):
    """Writes down which faces its process trains on."""

    folder = Path()

    def mix(self, batch: Batch) -> Batch:
        with open(self.folder / f"seen{os.environ['RANK']}", "a") as file:
            print(*batch.rows.tolist(), file=file)
        return batch


def _train(settings: dict[str, Any], folder: Path, out: str) -> None:
    Seen.folder = folder
    MITIGATIONS.register("seen")(Seen)
    train(parse_config(settings | {"mitigation": "seen"}), folder / out, say=print)


def _two_processes(tmp_path: Path, settings: dict[str, Any], out: str) -> str:
    """Train as ``torchrun --nproc-per-node 2`` does; returns what was said."""
    both = torchrun(tmp_path, 2, _train, settings, tmp_path, out)
    assert both.wait() == 0, both.stderr[-2000:]
    return both.stdout


def test_two_processes_see_every_face_once_and_go_on_where_they_stopped(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    settings["train"] |= {"epochs": 1}
    said = _two_processes(tmp_path, settings, "run")
    seen = [[int(n) for n in (tmp_path / f"seen{rank}").read_text().split()] for rank in (0, 1)]
    assert [len(own) for own in seen] == [75, 75]
    assert sorted(seen[0] + seen[1]) == list(range(150))
    run = Run(tmp_path / "run")
    assert run.record.status == "finished"
    assert run.record.device["processes"] == 2
    assert said.count("epoch 1/1") == 1  # said once, not by both
    # Broken off after an epoch and taken up, two processes end where unbroken ones do.
    settings["train"] |= {"epochs": 2}
    _two_processes(tmp_path, settings, "whole")
    settings["train"] |= {"max_minutes": 1e-9}
    for _ in range(2):
        _two_processes(tmp_path, settings, "parts")
    assert same_weights(tmp_path / "parts", tmp_path / "whole")
