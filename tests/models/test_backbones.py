"""Networks of torchvision and timm: their sizes, names of tensors and outputs are the libraries' own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from mien.errors import ConfigError
from mien.models import MODELS
from mien.models.backbones import Backbone, LibraryModel, matching
from mien.models.blocks import AdaptiveMean

# Parameters with ImageNet's 1,000 classes and three channels, as torchvision and timm publish them.
PUBLISHED = {
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "densenet121": 7_978_856,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3_small": 2_542_856,
    "mobilenet_v3_large": 5_483_032,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
    "vit_tiny": 5_717_416,
}
TORCHVISION = [n for n in PUBLISHED if "lite" not in n and n != "vit_tiny"]


def full(model: str, /, classes: int = 1000, channels: int = 3, **options: Any) -> LibraryModel:
    found: LibraryModel = MODELS.get(model)(classes, channels, **options)
    return found


def theirs(name: str, model: LibraryModel) -> nn.Module:
    """The library's own network with the weights of ours, whose names must cover all of it."""
    timm = pytest.importorskip("timm")
    about = model.published
    assert about is not None
    with torch.device("meta"):
        net = timm.create_model(about.name) if about.publisher == "timm" else torchvision.models.get_model(about.name)
    return _with_weights(net, model)


def _with_weights(net: nn.Module, model: LibraryModel) -> nn.Module:
    net.load_state_dict({model.published_keys[k]: t for k, t in model.state_dict().items()}, assign=True)
    return net.eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_published(name: str) -> None:
    with torch.device("meta"):
        model = full(name)
    assert sum(p.numel() for p in model.parameters()) == PUBLISHED[name]
    if name in TORCHVISION:
        weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
        assert weights.meta["num_params"] == PUBLISHED[name]
        assert model.published is not None
        assert model.published.address == weights.url


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "densenet121", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b1",
             "efficientnet_b5", "efficientnet_lite1", "vit_tiny"],
)  # fmt: skip
def test_outputs_are_the_library_s(name: str) -> None:
    torch.manual_seed(0)
    model = full(name).eval()
    x = torch.rand(2, 3, *(2 * [224 if name == "vit_tiny" else 64]))
    with torch.no_grad():
        torch.testing.assert_close(model(x), theirs(name, model)(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_vgg_has_the_library_s_outputs_and_names(batch_norm: bool) -> None:
    model = full("vgg11", batch_norm=batch_norm, hidden=8).eval()
    with torch.device("meta"):
        reference = torchvision.models.get_model("vgg11_bn" if batch_norm else "vgg11")
        reference.classifier = nn.Sequential(
            nn.Linear(25088, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 1000)
        )
    x = torch.rand(2, 3, 64, 64)  # maps of 2 px, which both stretch to 7
    with torch.no_grad():
        torch.testing.assert_close(model(x), _with_weights(reference, model)(x), rtol=1e-4, atol=1e-5)


def test_parts_are_numbered_as_the_published_features() -> None:
    with torch.device("meta"):
        mobile, efficient = full("mobilenet_v2"), full("efficientnet_b1")
        resnet, mine = full("resnet50"), MODELS.get("mienet")(3, 1)
    names = list(mobile.parts())
    assert names[:2] == ["stem", "block1"]
    assert names[17:] == ["block17", "last"]  # features[17:]
    assert list(efficient.parts())[7:] == ["stage7", "last"]
    assert list(resnet.parts()) == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert list(mine.parts()) == ["stem", "stage1", "stage2", "stage3"]
    assert sum(len(stage) for stage in list(efficient.body)[1:8]) == 23  # type: ignore[index, arg-type, union-attr]


@pytest.mark.parametrize("name", [n for n in PUBLISHED if n != "vit_tiny"])
def test_parts_in_order_make_the_features(name: str) -> None:
    model = MODELS.get(name)(3, 1, **MODELS.tiny(name)).eval()
    assert isinstance(model, Backbone)
    x = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        whole = model.features(x)
        for n in range(len(model.parts()) + 1):
            kept = model.lower(x, n)
            model.begins_at = n
            torch.testing.assert_close(model.features(kept), whole)
            model.begins_at = 0


def test_a_small_stem_keeps_the_size_and_takes_the_same_weights() -> None:
    for name in ("resnet18", "densenet121", "mobilenet_v2", "efficientnet_b0", "efficientnet_lite0"):
        options = MODELS.tiny(name)
        small, usual = (MODELS.get(name)(3, 1, small=s, **options) for s in (True, False))
        x = torch.rand(1, 1, 32, 32)
        assert small.lower(x, 1).shape[2:] == (32, 32), name
        assert usual.lower(x, 1).shape[2:] in ((16, 16), (8, 8)), name
        small.load_state_dict(usual.state_dict())


def test_frozen_parts_have_no_gradient_keep_their_statistics_and_drop_nothing() -> None:
    torch.manual_seed(0)
    model = full("mobilenet_v2", 3, 1, **MODELS.tiny("mobilenet_v2"))
    model.train()
    model.freeze(("stem", "block1"))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()  # as every epoch does
    model(torch.rand(4, 1, 32, 32)).sum().backward()
    for name, parameter in model.named_parameters():
        still = name.startswith(("body.stem.", "body.block1."))
        assert (parameter.grad is None) == still, name
    after = model.state_dict()
    moved = {k for k in before if "running" in k and not torch.equal(before[k], after[k])}
    assert moved
    assert not any(k.startswith(("body.stem.", "body.block1.")) for k in moved)
    assert any(k.startswith("body.block2.") for k in moved)
    model.freeze(("stem",))
    assert model.body.block1.training  # type: ignore[union-attr]
    assert all(p.requires_grad == (not n.startswith("body.stem.")) for n, p in model.named_parameters())
    model.freeze(())
    assert all(p.requires_grad for p in model.parameters())


def test_a_class_token_stands_with_the_first_part() -> None:
    model = full("vit_tiny", 3, 1, **MODELS.tiny("vit_tiny"))
    model.freeze(("patch_embed",))
    still = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert still == {"net.cls_token", "net.pos_embed", "net.patch_embed.proj.weight", "net.patch_embed.proj.bias"}


def test_beginnings_of_names_end_at_numbers() -> None:
    names = ("stem", "block1", "block2", "block10", "blocks.1", "blocks.11")
    assert matching(names, ["block1"]) == ("block1",)
    assert matching(names, ["block"]) == ("block1", "block2", "block10", "blocks.1", "blocks.11")
    assert matching(names, ["blocks.1", "stem"]) == ("stem", "blocks.1")
    assert matching(names, ["layer"]) == ()


@pytest.mark.parametrize(("size", "side"), [(1, 7), (2, 7), (6, 4), (7, 7), (10, 7), (8, 2)])
def test_means_over_windows_are_torch_s(size: int, side: int) -> None:
    x = torch.rand(2, 3, size, size + 1)
    torch.testing.assert_close(AdaptiveMean(side)(x), nn.AdaptiveAvgPool2d(side)(x))


def test_timm_builds_by_name_and_never_fetches() -> None:
    pytest.importorskip("timm")
    model = full("timm", 3, 1, name="test_vit", size=64)
    assert model.size == 64
    assert model.published is not None
    assert model.published.address.startswith("https://huggingface.co/timm/test_vit.")
    with pytest.raises(ValueError, match=r"no network 'hf_hub:timm/resnet18'"):
        full("timm", name="hf_hub:timm/resnet18")
    with pytest.raises(ValueError, match="Did you mean 'convnext_atto'"):
        full("timm", name="convnext_ato")
    with pytest.raises(ConfigError, match="name"):
        MODELS.check_options("timm", {"name": ""})


def test_options_that_do_not_go_together_are_told() -> None:
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match="size 33 is no multiple of patch 16"):
        full("vit_tiny", size=33)
    with pytest.raises(ValueError, match="width 100 is no multiple of heads 3"):
        full("vit_tiny", width=100)
