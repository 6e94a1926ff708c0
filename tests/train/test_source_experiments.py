"""Experiments of the sources begin, small, on drawn faces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mien.models import MODELS
from mien.models.weights import Classifier, load_card
from mien.prepare import prepare
from mien.train import load_experiment, train

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
SMALL = ["model.weights=null", "model.size=32", "train.epochs=1", "train.batch_size=32", "train.threads=1"]
ATTRIBUTES = "{gender: 2, skin: 3}"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "store"
    prepare("synthetic", folder, n=160, size=32)
    return folder


def test_olate_s_recipe() -> None:
    config = load_experiment(EXPERIMENTS / "olate_resnet50.yaml")
    train_, schedule = config.train, config.train.schedule
    assert (train_.epochs, train_.batch_size, train_.early_stopping, train_.monitor) == (30, 64, 5, "val_loss")
    assert (train_.optimizer.name, train_.optimizer.lr) == ("adam", 1e-5)
    assert (schedule.name, schedule.factor, schedule.patience) == ("plateau", 0.2, 3)
    assert config.loss.options == {"gamma": 2.0}  # its weights are of the class and the race together
    weighs = {"by": ["perceived_race6"], "product": True, "exponent": 1.0, "least": 0.1, "clip": 10.0}
    assert (config.mitigation.name, config.mitigation.options) == ("reweighting", weighs)
    with torch.device("meta"):
        model = MODELS.get("olate_resnet50")(7, 3)
    model.freeze(tuple(model.parts())[: config.model.freeze])  # type: ignore[misc]
    still = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    # ResNet-50: its stem (7 * 7 * 3 * 64 and normalisation), and its first two stages.
    assert still == (9408 + 128) + 215_808 + 1_219_584
    assert model.frozen == ("trunk.stem", "trunk.layer1", "trunk.layer2")
    model.freeze(("trunk.layer1",))
    assert model.train().trunk.bn1.training
    assert not model.trunk.layer1[0].bn1.training


def test_olate_s_resnet_trains_with_its_first_half_still(drawn: Path, tmp_path: Path) -> None:
    small = "model.options={width: 4, depths: [1, 1, 1, 1], hidden: 16}"
    overrides = [*SMALL, small, f"data.store={drawn}", "mitigation.options.by=[skin]", "audit.by=[skin]"]
    config = load_experiment(EXPERIMENTS / "olate_resnet50.yaml", overrides)
    run = train(config, tmp_path / "run")
    card = load_card(run.path)
    assert card.classes == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert card.data["mitigation"] == {"name": "reweighting", "groups": {"skin": "annotated"}}
    torch.manual_seed(0)
    before = MODELS.get("olate_resnet50")(7, card.in_channels, **card.options).state_dict()
    after = Classifier.load(run.path).module.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    still = ("trunk.conv1", "trunk.bn1", "trunk.layer1", "trunk.layer2")
    assert not [name for name in moved if name.startswith(still)]
    assert {"trunk.layer3.0.conv1.weight", "norm.running_mean", "hidden.0.weight", "head.1.weight"} <= moved


@pytest.mark.parametrize("conditioned", [False, True])
def test_the_multi_task_network_trains(drawn: Path, tmp_path: Path, conditioned: bool) -> None:
    overrides = [*SMALL, f"data.store={drawn}", "mitigation.options.by=[gender, skin]", "audit.by=[skin]"]
    overrides += ["labels={train: distribution}", "model.options={width: 0.125, depth: 0.25}"]
    if conditioned:
        trunk = "{name: efficientnet_b2, options: {width: 0.125, depth: 0.25}}"
        overrides += ["model.name=conditioned", f"model.options={{trunk: {trunk}, attributes: {ATTRIBUTES}}}"]
    run = train(load_experiment(EXPERIMENTS / "multitask_efficientnet.yaml", overrides), tmp_path / "run")
    card = load_card(run.path)
    assert card.data["mitigation"]["groups"] == {"gender": "annotated", "skin": "annotated"}
    assert ("attributes" in card.data) == conditioned
    assert not [name for name in Classifier.load(run.path).module.state_dict() if name.startswith("heads.")]
