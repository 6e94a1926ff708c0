"""A model's own loss terms: they join the loss that is trained, whatever it is, and no other number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from mien.config import parse_config
from mien.models.blocks import Outputs
from mien.models.mienet import MieNet
from mien.runs import HISTORY
from mien.train import train


@pytest.mark.parametrize("rows", [True, False])
def test_terms_are_added_to_the_loss_of_each_face(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: bool
) -> None:
    content = settings | {"train": settings["train"] | {"epochs": 1}}
    before = pd.read_csv(train(parse_config(content), tmp_path / "before").path / HISTORY)

    def own(self: MieNet, outputs: Outputs, targets: Tensor) -> Tensor:
        assert targets.shape == outputs.logits.shape
        return torch.full((len(targets),), 2.0) if rows else torch.tensor(2.0)

    monkeypatch.setattr(MieNet, "auxiliary", own)
    after = pd.read_csv(train(parse_config(content), tmp_path / "after").path / HISTORY)
    # What does not depend on the weights moves none of them.
    assert after["train_loss"][0] == pytest.approx(before["train_loss"][0] + 2, abs=1e-5)
    assert after["val_loss"][0] == before["val_loss"][0]
    assert after["val_accuracy"][0] == before["val_accuracy"][0]


def test_centres_of_dan_are_trained_and_the_run_can_be_loaded(settings: dict[str, Any], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from mien.models.weights import Classifier

    model = {"name": "dan", "options": {"width": 8, "depths": [1, 1, 1, 1], "narrow": 4, "small": True}}
    found = []
    for epochs in (1, 2):
        content = settings | {"model": model, "train": settings["train"] | {"epochs": epochs, "monitor": "last"}}
        run = train(parse_config(content), tmp_path / str(epochs))
        Classifier.load(run.path)
        found.append(load_file(run.path / "model.safetensors")["centres"])
    assert not torch.equal(*found)
