"""Class activation maps: what they are, that mirror images are mirrored back, and who has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mien.config import parse_config
from mien.errors import ConfigError
from mien.losses import LOSSES
from mien.models import MODELS
from mien.models.blocks import ExpressionModel, Outputs
from mien.train import train
from mien.train.maps import check_maps, class_maps, last_linear
from mien.train.network import TrainedNetwork


def tiny() -> ExpressionModel:
    torch.manual_seed(0)
    model: ExpressionModel = MODELS.get("mienet")(3, 1, **MODELS.tiny("mienet"))
    return model.eval()


def test_the_mean_of_a_map_is_the_logit_without_the_bias() -> None:
    model, x = tiny(), torch.randn(4, 1, 24, 24)
    outputs = model.forward_train(x)
    torch.testing.assert_close(outputs.features, model.features(x))
    torch.testing.assert_close(outputs.logits, model(x))
    linear = last_linear(model)
    assert linear is not None
    for block in (slice(0, 3), slice(1, 2)):
        maps = class_maps(outputs, model, block)
        assert maps.shape == (4, block.stop - block.start, *outputs.extra["map"].shape[2:])
        torch.testing.assert_close(maps.mean((2, 3)), (outputs.logits - linear.bias)[:, block])


def test_maps_teach_the_body_and_not_the_linear_layer() -> None:
    model = tiny()
    class_maps(model.forward_train(torch.randn(2, 1, 24, 24)), model, slice(0, 3)).square().sum().backward()
    linear = last_linear(model)
    assert linear is not None
    assert linear.weight.grad is None
    assert all(p.grad is not None for p in model.stages.parameters())  # type: ignore[union-attr]


class Pixels(ExpressionModel):
    """Its map is the picture."""

    def __init__(self, num_classes: int, in_channels: int = 1) -> None:
        super().__init__()
        self.feature_dim = in_channels
        self.head = nn.Linear(in_channels, num_classes)

    def feature_map(self, x: Tensor) -> Tensor:
        return x


class Deep(Pixels):
    """A map, but no linear head on its mean."""

    def __init__(self, num_classes: int, in_channels: int = 1) -> None:
        super().__init__(num_classes, in_channels)
        self.head = nn.Sequential(nn.Linear(in_channels, 4), nn.ReLU(), nn.Linear(4, num_classes))


class Own(Pixels):
    """A map whose mean is not what the head sees."""

    def features(self, x: Tensor) -> Tensor:
        return self.feature_map(x).amax((2, 3))


def test_who_has_no_map_is_refused() -> None:
    faces = torch.zeros(2, 1, 24, 24)
    check_maps(Pixels(3), faces, "eac", "pixels")
    for model in (Deep(3), Own(3), MODELS.get("olate_cnn")(3, 1, size=24, width=2, hidden=4)):
        with pytest.raises(ConfigError, match=r"loss.name: 'eac' asks for class activation maps, and 'm' has none"):
            check_maps(model, faces, "eac", "m")


def test_the_look_for_a_map_moves_no_batch_statistics() -> None:
    model = tiny().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    check_maps(model, torch.ones(2, 1, 24, 24), "eac", "mienet")
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_model_without_a_map_is_refused_before_anything_is_made(settings: dict[str, Any], tmp_path: Path) -> None:
    settings |= {"loss": "eac", "model": {"name": "olate_cnn", "options": {"size": 24, "width": 2, "hidden": 4}}}
    with pytest.raises(ConfigError, match="'olate_cnn' has none"):
        train(parse_config(settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_mirrored_network_of_pixels_is_consistent(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A map that is the picture: mirrored, and mirrored back, it is the same, so that nothing is added; and what the
    # loss is given are the maps of the faces as they were augmented.
    monkeypatch.setitem(MODELS._entries, "pixels", Pixels)
    monkeypatch.setitem(MODELS._tiny, "pixels", {})
    seen: list[tuple[Tensor, Tensor]] = []
    plain = LOSSES.get("eac")

    def spy(logits: Tensor, targets: Tensor, *, maps: Tensor, mirrored_maps: Tensor) -> Tensor:
        if len(logits) > 2:
            seen.append((maps.detach(), mirrored_maps.detach()))
        return plain(logits, targets, maps=maps, mirrored_maps=mirrored_maps)

    monkeypatch.setitem(LOSSES._entries, "spy", spy)
    settings["train"]["epochs"] = 1
    train(parse_config(settings | {"loss": "spy", "model": "pixels"}), tmp_path / "run")
    assert len(seen) == 5
    for own, mirrored in seen:
        assert own.shape == (30, 3, 24, 24)
        assert own.std() > 0
        torch.testing.assert_close(own, mirrored)


def test_eac_draws_the_maps_of_mirror_images_together(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Tensor] = []
    maps = TrainedNetwork._maps

    def spy(self: TrainedNetwork, head: Any, outputs: Outputs, mirrored: Outputs) -> dict[str, Any]:
        about = maps(self, head, outputs, mirrored)
        own, other = about["maps"].detach(), about["mirrored_maps"].detach()  # type: ignore[attr-defined]
        found.append((own - other).square().mean())
        return about

    monkeypatch.setattr(TrainedNetwork, "_maps", spy)
    settings["train"] |= {"epochs": 3, "ema": None}
    apart = []
    for weight in (0.0, 200.0):
        train(parse_config(settings | {"loss": {"name": "eac", "options": {"weight": weight}}}), tmp_path / str(weight))
        apart.append(float(sum(found[-5:])) / 5)
    assert apart[1] < apart[0] / 3
