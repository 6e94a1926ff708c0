"""Parts that stand still or begin to move, features that are kept, and runs that begin with weights of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mien.config import config_key, parse_config
from mien.data.images import Store
from mien.errors import ConfigError, WeightsError
from mien.models import MODELS
from mien.models.weights import Classifier, load_card
from mien.runs import CHECKPOINT
from mien.train import train
from mien.train.components import check_components
from mien.train.freezing import Freezing
from mien.train.kept_features import KeptMaps

SMALL = {"name": "mobilenet_v2", "options": {"width": 0.125, "depth": 0.34, "small": True, "dropout": 0.2}}
LEADING = ("body.stem.", "body.block1.", "body.block2.", "body.block3.")


def configured(settings: dict[str, Any], epochs: int = 2, **model: Any) -> dict[str, Any]:
    content = settings | {"model": SMALL | model, "augment": {"enabled": False}}
    content["train"] = content["train"] | {"epochs": epochs, "optimizer": {"name": "adam", "lr": 1e-3}, "ema": None}
    return content


def trained(content: dict[str, Any], out: Path) -> tuple[dict[str, torch.Tensor], str]:
    run = train(parse_config(content), out)
    state: dict[str, torch.Tensor] = torch.load(out / CHECKPOINT, weights_only=True)["network"]
    return {k.removeprefix("model."): t for k, t in state.items()}, (run.path / "train.log").read_text()


def begun(content: dict[str, Any]) -> dict[str, torch.Tensor]:
    torch.manual_seed(content.get("seed", 0))
    state: dict[str, torch.Tensor] = MODELS.get(content["model"]["name"])(3, 1, **SMALL["options"]).state_dict()
    return state


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {k for k in before if not torch.equal(before[k], after[k])}


def test_what_stands_still_follows_from_the_epoch_alone() -> None:
    parts = ("stem", "block1", "block2")
    assert [Freezing(parts).at(e) for e in (0, 99)] == [parts, parts]
    stepwise = Freezing(parts, 2)
    assert [len(stepwise.at(e)) for e in range(8)] == [3, 3, 2, 2, 1, 1, 0, 0]
    assert stepwise.at(4) == ("stem",)


@pytest.mark.parametrize("augmented", [False, True])
def test_frozen_parts_keep_weights_and_statistics(settings: dict[str, Any], tmp_path: Path, augmented: bool) -> None:
    content = configured(settings, freeze=4)
    content["augment"]["enabled"] = augmented
    before = begun(content)
    content["train"] |= {"max_minutes": 1e-9}  # a finished run keeps no optimiser
    after, log = trained(content, tmp_path / "run")
    changed = moved(before, after)
    assert not {k for k in changed if k.startswith(LEADING)}
    own = [k for k in before if not k.startswith(LEADING)]
    assert changed >= {k for k in own if k.endswith(("weight", "running_mean"))}
    optimizer = torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)["optimizers"][0]
    model = MODELS.get("mobilenet_v2")(3, 1, **SMALL["options"])
    wanted = [n for n, _ in model.named_parameters() if not n.startswith(LEADING)]
    assert sum(len(group["params"]) for group in optimizer["param_groups"]) == len(wanted)
    if augmented:
        assert "frozen parts are computed anew in every epoch: pictures are augmented" in log
    else:
        assert "what stem to block3 make of 195 faces is computed once and kept in memory" in log


@pytest.mark.parametrize(("how", "model"), [("adversary", SMALL), ("drawn", SMALL)])
def test_kept_features_change_nothing(settings: dict[str, Any], tmp_path: Path, how: str, model: Any) -> None:
    content = configured(settings, freeze=["stem", "block1", "block2", "block3"])
    content["train"] |= {"ema": 0.9}
    if how == "adversary":
        content["mitigation"] = {"name": "gradient_reversal", "options": {"by": ["gender"], "hidden": 4}}
    else:
        content["labels"] = {"draw": True}
    kept, said = trained(content, tmp_path / "kept")
    content["model"] = content["model"] | {"cache_gib": 0}
    anew, told = trained(content, tmp_path / "anew")
    assert "kept in memory" in said
    assert "computed anew in every epoch: it would take" in told
    for name in kept:
        torch.testing.assert_close(kept[name], anew[name], rtol=1e-5, atol=1e-5, msg=name)
    images = Store.open(content["data"]["store"]).images[:9]
    one, two = (Classifier.load(tmp_path / n).face_model().probabilities(images) for n in ("kept", "anew"))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_large_features_lie_in_a_file_that_vanishes(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = configured(settings, epochs=1, freeze=3)
    memory, _ = trained(content, tmp_path / "memory")
    monkeypatch.setattr("mien.train.kept_features._IN_MEMORY", 0.0)
    file, log = trained(content, tmp_path / "file")
    assert "kept in a file" in log
    assert all(torch.equal(memory[k], file[k]) for k in memory)
    names = {p.name for p in (tmp_path / "file").iterdir()}
    assert names == {p.name for p in (tmp_path / "memory").iterdir()}


def test_16_bits_hold_what_bf16_computes(settings: dict[str, Any], tmp_path: Path) -> None:
    content = configured(settings, epochs=1, freeze=3)
    content["train"] |= {"precision": "bf16"}
    kept, _ = trained(content, tmp_path / "kept")
    anew, _ = trained(content | {"model": content["model"] | {"cache_gib": 0}}, tmp_path / "anew")
    for name in kept:
        torch.testing.assert_close(kept[name], anew[name], rtol=1e-5, atol=1e-5, msg=name)


def test_parts_begin_to_move_from_the_head_down_and_resume_so(settings: dict[str, Any], tmp_path: Path) -> None:
    content = configured(settings, epochs=3, freeze=["stem", "block1", "last"], unfreeze_every=1)
    states = [begun(content)]
    out = tmp_path / "broken"
    content["train"] |= {"max_minutes": 1e-9}
    for _ in range(2):
        states.append(trained(content, out)[0])
    optimizer = torch.load(out / CHECKPOINT, weights_only=True)["optimizers"][0]
    states.append(trained(content, out)[0])
    content["train"].pop("max_minutes")
    whole, log = trained(content, tmp_path / "whole")
    assert all(torch.equal(whole[k], states[-1][k]) for k in whole)
    parts = ["stem", "block1", "last"]
    still = [[p for p in parts if not any(k.startswith(f"body.{p}.") for k in moved(a, b))]
             for a, b in zip(states, states[1:], strict=False)]  # fmt: skip
    assert still == [["stem", "block1", "last"], ["stem", "block1"], ["stem"]]
    assert "what stem to stem" not in log
    assert "what stem makes of" in log  # the stem alone never moves in three epochs
    model = MODELS.get("mobilenet_v2")(3, 1, **SMALL["options"])
    ever = [n for n, _ in model.named_parameters() if not n.startswith("body.stem.")]
    assert sum(len(group["params"]) for group in optimizer["param_groups"]) == len(ever)


def test_parts_that_are_not_there_are_told_before_a_face_is_read() -> None:
    def refused(words: str, **model: Any) -> None:
        content = {"data": {"store": "nowhere"}, "model": SMALL | model}
        with pytest.raises(ConfigError, match=words):
            check_components(parse_config(content))

    refused(r"model.freeze: no part begins with 'layer4', expected the parts are stem, block1", freeze=["layer4"])
    refused(r"model.freeze: 40, expected at most 9. The parts are stem", freeze=40)
    refused(r"unfreeze_every needs freeze", unfreeze_every=2)
    refused(r"model.freeze", freeze=-1)


def test_settings_left_out_keep_the_keys_of_older_runs() -> None:
    def key(**model: Any) -> str:
        return config_key(parse_config({"data": {"store": "s"}, "model": {"name": "mienet", **model}}), "f")

    # As it was before networks could freeze.
    assert key() == key(freeze=0) == key(cache_gib=1) == key(freeze=[])
    assert len({key(), key(freeze=1), key(freeze=["stem"]), key(freeze=1, unfreeze_every=1)}) == 4


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A file of ImageNet's classes under the library's names."""
    torch.manual_seed(3)
    model = MODELS.get("mobilenet_v2")(1000, 3, **SMALL["options"])
    save_file({model.published_keys[k]: t for k, t in model.state_dict().items()}, tmp_path / "foreign.safetensors")
    return tmp_path / "foreign.safetensors"


def test_a_run_begins_with_a_file_and_its_card_says_so(settings: dict[str, Any], foreign: Path, tmp_path: Path) -> None:
    content = configured(settings, epochs=1, weights=str(foreign), freeze=["stem"])
    after, _ = trained(content, tmp_path / "run")
    stem = load_file(foreign)["features.0.0.weight"]
    torch.testing.assert_close(after["body.stem.0.weight"], stem.sum(1, keepdim=True))
    card = load_card(tmp_path / "run")
    assert card.mean == (pytest.approx(0.449, abs=5e-4),)
    assert card.std == (pytest.approx(0.226, abs=5e-4),)
    said = card.data["pretrained"]
    assert (said["file"], said["learnt_on"]) == ("foreign.safetensors", "ImageNet")
    assert "the terms of foreign.safetensors" in card.terms
    second = configured(settings, epochs=1, weights=str(tmp_path / "run"))
    trained(second, tmp_path / "second")
    again = load_card(tmp_path / "second")
    assert (again.mean, again.data["pretrained"]) == (card.mean, said)  # weights of weights want what these wanted


def test_a_run_taken_up_needs_the_file_no_more(settings: dict[str, Any], foreign: Path, tmp_path: Path) -> None:
    content = configured(settings, epochs=2, weights=str(foreign), freeze=2)
    whole, _ = trained(content, tmp_path / "whole")
    content["train"] |= {"max_minutes": 1e-9}
    trained(content, tmp_path / "broken")
    foreign.unlink()
    broken, _ = trained(content, tmp_path / "broken")
    assert all(torch.equal(whole[k], broken[k]) for k in whole)
    assert load_card(tmp_path / "broken").mean == load_card(tmp_path / "whole").mean


def test_files_that_are_not_there_or_of_another_network_are_named(
    settings: dict[str, Any], foreign: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"model.weights: no such file 'none.pth', expected a run, weights or"):
        train(parse_config(configured(settings, weights="none.pth")), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"model.weights: 'imagenet' for 'mienet'"):
        train(parse_config(settings | {"model": {"name": "mienet", "weights": "imagenet"}}), tmp_path / "run")
    other = {"name": "resnet18", "options": {"width": 0.125}, "weights": str(foreign)}
    with pytest.raises(WeightsError, match=r"body.stem.conv1.weight is missing"):
        train(parse_config(settings | {"model": other}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_of_a_run_named_by_their_file_are_held_to_its_faces(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"epochs": 1}
    hashed = settings | {"split": {"name": "hash", "options": {"validation": 60}}}
    train(parse_config(hashed), tmp_path / "first")
    content = settings | {"model": settings["model"] | {"weights": str(tmp_path / "first" / "model.safetensors")}}
    with pytest.raises(ConfigError, match="validation and .* test faces were learnt"):
        train(parse_config(content), tmp_path / "second")


def test_a_head_of_as_many_classes_is_told(settings: dict[str, Any], tmp_path: Path) -> None:
    model = MODELS.get("mobilenet_v2")(3, 1, **SMALL["options"])
    save_file(model.state_dict(), tmp_path / "three.safetensors")
    _, log = trained(configured(settings, epochs=1, weights=str(tmp_path / "three.safetensors")), tmp_path / "run")
    assert "note: the head of three.safetensors has as many classes as this run and was taken too" in log


def test_maps_are_found_by_rows() -> None:
    maps = KeptMaps(np.arange(6.0).reshape(3, 2), np.array([-1, 2, 0, -1, 1]))
    assert maps[np.array([1, 4])].tolist() == [[4.0, 5.0], [2.0, 3.0]]
