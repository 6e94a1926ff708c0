"""A run that goes on from another one's network, head and all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mien.config import config_key, parse_config
from mien.errors import ConfigError, WeightsError
from mien.models.weights import Classifier
from mien.train import train
from mien.train.build import build, make_fabric
from mien.train.targets import load_training_data


def test_the_head_goes_on_where_it_was(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"epochs": 1, "ema": None}
    first = train(parse_config(settings), tmp_path / "first")
    content = settings | {"model": {**settings["model"], "weights": str(first.path), "keep_head": True}}

    def begun(content: dict[str, Any]) -> dict[str, torch.Tensor]:
        config = parse_config(content)
        data = load_training_data(config)
        return dict(build(config, data, make_fabric(config), "").base.state_dict())

    learnt, whole = Classifier.load(first.path).module.state_dict(), begun(content)
    assert all(torch.equal(v, whole[k]) for k, v in learnt.items())
    body = begun(content | {"model": {**content["model"], "keep_head": False}})
    heads = [k for k in learnt if k.startswith("head.")]
    assert heads
    assert not all(torch.equal(learnt[k], body[k]) for k in heads)
    assert all(torch.equal(v, body[k]) for k, v in learnt.items() if k not in heads)
    # A setting that is not used changes no key of older runs.
    plain = content | {"model": {**content["model"], "keep_head": False}}
    without = content | {"model": {k: v for k, v in content["model"].items() if k != "keep_head"}}
    keys = [config_key(parse_config(c), "data", "w") for c in (content, plain, without)]
    assert keys[1] == keys[2] != keys[0]
    assert train(parse_config(content), tmp_path / "second").record.status == "finished"

    fewer = {"name": "majority", "options": {"classes": ["bright", "dark"]}}
    with pytest.raises(WeightsError, match="tells bright, dark, split, expected bright, dark"):
        train(parse_config(content | {"labels": {"train": fewer}}), tmp_path / "third")
    wider = {**content["model"], "options": {**settings["model"]["options"], "widths": [8, 24]}}
    with pytest.raises(WeightsError, match="does not fit"):
        train(parse_config(content | {"model": wider}), tmp_path / "fourth")
    with pytest.raises(ConfigError, match="keep_head needs weights"):
        parse_config(settings | {"model": {**settings["model"], "keep_head": True}})
