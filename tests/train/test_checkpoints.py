"""Checkpoints that are damaged, packed, or of another run: one sentence, and nothing in them runs."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from mien.config import parse_config
from mien.errors import RunError
from mien.runs import CHECKPOINT
from mien.train import train
from mien.train.checkpoints import load_checkpoint

GOOD: dict[str, Any] = {
    "stage": 0,
    "epoch": 5,
    "stage_epoch": 5,
    "step": 20,
    "network": {"w": torch.zeros(3)},
    "average": {},
    "optimizers": [],
    "schedules": [],
    "best": {},
    "rows": [],
    "state": {},
}


def saved(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "last.ckpt")
    return folder / "last.ckpt"


def test_a_checkpoint_says_how_many_epochs_are_done(tmp_path: Path) -> None:
    assert load_checkpoint(saved(tmp_path, GOOD))["epoch"] == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "last.ckpt: holds 'list', expected a checkpoint"),
        ({k: v for k, v in GOOD.items() if k != "epoch"}, "last.ckpt: epoch: is missing, expected a whole number"),
        (GOOD | {"epoch": "4"}, "epoch: '4', expected a whole number"),
        (GOOD | {"epoch": True}, "epoch: true"),
        (GOOD | {"epoch": -2}, "epoch: -2, expected 0 or more"),
        (GOOD | {"epoch": 10**30}, "epoch: 1000"),
        (GOOD | {"epoch": torch.tensor(4)}, "epoch: tensor"),
        (GOOD | {"network": []}, r"network: \[\], expected the network's weights"),
        (GOOD | {"optimizers": None}, "optimizers: nothing"),
        (GOOD | {"stage": 10**30}, "stage: 1000"),
        ({}, "stage: is missing"),
        ({"pytorch-lightning_version": "2.6.6", "epoch": 3}, "was written by an earlier version of Mien"),
    ],
)
def test_a_checkpoint_without_what_a_run_needs_is_refused_with_the_key(
    tmp_path: Path, content: Any, message: str
) -> None:
    with pytest.raises(RunError, match=rf"{message}.*Begin anew with --force") as caught:
        load_checkpoint(saved(tmp_path, content))
    assert "\n" not in str(caught.value)


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code of a checkpoint ran",)


def test_bytes_that_are_no_checkpoint_are_refused_and_nothing_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = saved(tmp_path, GOOD).read_bytes()
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 255
    path = tmp_path / "other.ckpt"
    for content in (b"", b"PK", whole[:-1], whole[: len(whole) // 2], b"\0" * 500, pickle.dumps(_Runs())):
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"other\.ckpt: cannot be read \(.*Begin anew") as caught:
            load_checkpoint(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(RunError, match=r"cannot be read \(Weights only load failed"):
        load_checkpoint(saved(tmp_path, GOOD | {"epoch": _Runs()}))
    assert "code of a checkpoint ran" not in capsys.readouterr().out


def test_a_packed_checkpoint_is_refused_by_its_directory(tmp_path: Path) -> None:
    path = saved(tmp_path, GOOD)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "p", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(RunError, match="p: is packed, expected a checkpoint as Mien writes it"):
        load_checkpoint(tmp_path / "p")


@pytest.fixture
def begun(settings: dict[str, Any], tmp_path: Path) -> Path:
    """A run that was stopped after its first epoch."""
    settings["train"]["max_minutes"] = 1e-9
    return train(parse_config(settings), tmp_path / "run").path


def test_a_checkpoint_of_another_network_optimizer_or_shape_is_one_sentence(
    settings: dict[str, Any], begun: Path, tmp_path: Path
) -> None:
    del settings["train"]["max_minutes"]
    good = torch.load(begun / CHECKPOINT, weights_only=True)
    first = next(iter(good["network"]))
    average = good["average"]
    for i, change in enumerate(
        (
            {"network": {first: good["network"][first]}},
            {"network": good["network"] | {first: torch.zeros(7)}},
            {"network": good["network"] | {first: 5}},
            {"average": {}},
            {"average": average | {"model": {}}},
            {"optimizers": [{"state": {}, "param_groups": []}]},
            {"optimizers": [5]},
            {"optimizers": good["optimizers"] * 2},
            {"stage": 7},
            {"step": 10**9},
            {"rows": [5]},
        )
    ):
        run = Path(shutil.copytree(begun, tmp_path / f"run{i}"))
        torch.save(good | change, run / CHECKPOINT)
        with pytest.raises(RunError, match=r"last\.ckpt: cannot be taken up \(.*Begin anew with --force") as caught:
            train(parse_config(settings), run)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600
