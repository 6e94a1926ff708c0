"""Weights of others: renamed, none left over or missing, nothing unpickled; real ones see what is there."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mien.errors import ConfigError, WeightsError
from mien.models import MODELS
from mien.models.backbones import LibraryModel
from mien.models.pretrained import described, load_pretrained, published_file, read_tensors
from mien.models.weights import WeightCard, load_body, save_weights
from mien.pictures.tensors import luma, normalised

FAMILIES = ["vgg11", "resnet18", "densenet121", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0",
            "efficientnet_lite0", "vit_tiny", "timm"]  # fmt: skip


def tiny(model: str, classes: int = 3, channels: int = 3) -> LibraryModel:
    found: LibraryModel = MODELS.get(model)(classes, channels, **MODELS.tiny(model))
    return found.eval()


def library_tensors(model: LibraryModel) -> dict[str, Tensor]:
    return {model.published_keys[name]: tensor for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_library_s_names_are_ours_and_grey_is_the_sum_of_colours(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, colour, grey = tiny(name, 5), tiny(name, 3), tiny(name, 3, 1)
    save_file(library_tensors(source), tmp_path / "w.safetensors")
    torch.save({"state_dict": {f"module.{k}": t for k, t in library_tensors(source).items()}}, tmp_path / "w.pth")
    one = load_pretrained(colour, tmp_path / "w.safetensors")
    two = load_pretrained(grey, tmp_path / "w.pth")
    assert one == two
    assert (one.head, one.classes) == (False, 5)
    x = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(colour.features(x.repeat(1, 3, 1, 1)), source.features(x.repeat(1, 3, 1, 1)))
        torch.testing.assert_close(grey.features(x), source.features(x.repeat(1, 3, 1, 1)), rtol=1e-4, atol=1e-5)


def test_a_head_of_as_many_classes_is_taken(tmp_path: Path) -> None:
    source, other = tiny("resnet18"), tiny("resnet18")
    save_file(library_tensors(source), tmp_path / "w.safetensors")
    assert load_pretrained(other, tmp_path / "w.safetensors").head
    assert torch.equal(other.head[1].weight, source.head[1].weight)  # type: ignore[index]


def test_what_a_body_has_beside_the_library_s_begins_as_drawn(tmp_path: Path) -> None:
    """Olate's ResNet-50: torchvision's trunk and classifier in a file, normalisation and hidden layer ours."""
    torch.manual_seed(0)
    source, other = tiny("olate_resnet50", 5), tiny("olate_resnet50", 7)
    theirs = {key: source.state_dict()[name] for name, key in source.published_keys.items() if key[:2] != "fc"}
    save_file(theirs | {"fc.weight": torch.zeros(1000, 128), "fc.bias": torch.zeros(1000)}, tmp_path / "w.safetensors")
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    found = load_pretrained(other, tmp_path / "w.safetensors")
    assert (found.tensors, found.head, found.classes) == (len(theirs), False, 1000)
    after, trunk = other.state_dict(), source.state_dict()
    for name in after:
        assert torch.equal(after[name], trunk[name] if name.startswith("trunk.") else before[name])
    # A file of ours has them all, and must.
    ours = {name: tensor for name, tensor in source.state_dict().items() if name != "hidden.0.bias"}
    save_file(ours, tmp_path / "ours.safetensors")
    with pytest.raises(WeightsError, match=r"hidden\.0\.bias is missing"):
        load_pretrained(other, tmp_path / "ours.safetensors")


def saved(name: str, options: dict[str, Any], folder: Path) -> dict[str, Tensor]:
    """Weights and card of a network as a run leaves them; its tensors."""
    module = MODELS.get(name)(3, 1, **options)
    card = WeightCard(model=name, options=options, classes=("a", "b", "c"), size=48, mean=(0.5,), std=(0.5,),
                      in_channels=1)  # fmt: skip
    folder.mkdir()
    save_weights(module, card, folder)
    found: dict[str, Tensor] = module.state_dict()
    return found


@pytest.mark.parametrize(("name", "source"), [("dan", "resnet18"), ("ran", "resnet18"), ("fer_vt", "resnet34")])
def test_a_network_on_a_trunk_begins_with_that_network_s_run_or_its_library_s_file(
    name: str, source: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    depths = {"resnet18": [2, 2, 2, 2], "resnet34": [3, 4, 6, 3]}[source]
    learnt = saved(source, {"width": 0.0625}, tmp_path / "run")
    by_library = {MODELS.get(source)(3, 1, width=0.0625).published_keys[k]: t for k, t in learnt.items()}
    save_file(by_library, tmp_path / "w.safetensors")
    for load, start in ((load_body, tmp_path / "run"), (load_pretrained, tmp_path / "w.safetensors")):
        module = MODELS.get(name)(3, 1, **MODELS.tiny(name) | {"width": 4, "depths": depths})
        before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
        load(module, start)
        for key, tensor in module.state_dict().items():
            own = key.removeprefix("trunk.")
            assert torch.equal(tensor, by_library[own] if own != key else before[key]), key
    assert "trunk.layer4" in module.parts()


def test_a_trunk_of_other_depth_width_or_kind_is_refused(tmp_path: Path) -> None:
    saved("resnet34", {"width": 0.0625}, tmp_path / "deep")
    saved("resnet18", {"width": 0.125}, tmp_path / "wide")
    saved("densenet121", MODELS.tiny("densenet121"), tmp_path / "other")
    saved("mienet", {"widths": [4, 8], "depths": [2, 2], "stem": 4}, tmp_path / "mienet")
    module = MODELS.get("dan")(3, 1, width=4)
    with pytest.raises(WeightsError, match=r"layer1\.2\..* is no tensor of this network.*resnet34"):
        load_body(module, tmp_path / "deep")
    with pytest.raises(WeightsError, match=r"of shape \(8, 1, 7, 7\).*or with those of the one it is built on"):
        load_body(module, tmp_path / "wide")
    with pytest.raises(WeightsError, match=r"trunk\.\S+ is missing.*densenet121"):
        load_body(module, tmp_path / "other")
    with pytest.raises(WeightsError, match=r"centres is missing.*mienet.*or with those of"):
        load_body(module, tmp_path / "mienet")
    # Fewer blocks of the same network: what is left over would be lost without a word.
    with pytest.raises(WeightsError, match=r"is no tensor of this network.*depths.*give the model these options"):
        load_body(MODELS.get("mienet")(3, 1, widths=[4, 8], depths=[1, 1], stem=4), tmp_path / "mienet")


def test_what_is_missing_left_over_or_of_another_size_is_named(tmp_path: Path) -> None:
    source, path = library_tensors(tiny("resnet18")), tmp_path / "w.safetensors"
    old = {k: t for k, t in source.items() if not k.endswith("num_batches_tracked")}  # as old files are
    save_file(old, path)
    load_pretrained(tiny("resnet18"), path)
    save_file({k: t for k, t in old.items() if k != "layer2.0.conv1.weight"}, path)
    with pytest.raises(WeightsError, match=r"body.layer2.0.conv1.weight is missing"):
        load_pretrained(tiny("resnet18"), path)
    save_file(old | {"layer9.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"layer9.weight is no tensor of this network"):
        load_pretrained(tiny("resnet18"), path)
    save_file(old, path)
    with pytest.raises(WeightsError, match=r"of shape \(8, 3, 7, 7\).*expected \(64, 3, 7, 7\)"):
        load_pretrained(MODELS.get("resnet18")(3, 3), path)


def test_dotted_names_of_published_densenets_are_read(tmp_path: Path) -> None:
    source, path = tiny("densenet121"), tmp_path / "w.pth"
    dotted = {}
    for key, tensor in library_tensors(source).items():
        for kind in ("norm", "conv"):
            key = key.replace(f".{kind}1.", f".{kind}.1.").replace(f".{kind}2.", f".{kind}.2.")
        dotted[key] = tensor
    assert "features.denseblock1.denselayer1.norm.1.weight" in dotted
    torch.save(dotted, path)
    other = tiny("densenet121")
    load_pretrained(other, path)
    assert torch.equal(other.body.block1.denselayer1.conv2.weight, source.body.block1.denselayer1.conv2.weight)  # type: ignore[union-attr, index]


def test_files_that_are_none_are_one_sentence(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "text.safetensors").write_text("no weights")
    torch.save({"a": 1}, tmp_path / "numbers.pth")
    told = {
        "evil.pth": "cannot be read",
        "text.safetensors": "cannot be read",
        "numbers.pth": "holds something else than tensors",
        "none.pth": "no such file",
    }
    for name, words in told.items():
        with pytest.raises(WeightsError, match=words):
            read_tensors(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_without_network_the_message_names_the_file_and_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any, **kwargs: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refused)
    told = r"https://download.pytorch.org/models/mobilenet_v2-b0353104.pth: cannot be downloaded \(no route to host\)"
    with pytest.raises(WeightsError, match=told + ".*put it at .*, or name it in place of the published one"):
        published_file(tiny("mobilenet_v2"), "mobilenet_v2")
    assert not list(tmp_path.rglob("*.pth*"))
    kept = tmp_path / "checkpoints" / "mobilenet_v2-b0353104.pth"
    kept.write_bytes(b"brought by hand")
    assert published_file(tiny("mobilenet_v2"), "mobilenet_v2") == kept
    with pytest.raises(ConfigError, match=r"'imagenet' for 'mienet', expected a file or folder"):
        published_file(MODELS.get("mienet")(3, 1), "mienet")


def test_a_download_is_kept_whole_and_only_with_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "served").write_bytes(b"other bytes")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: (tmp_path / "served").open("rb"))
    with pytest.raises(WeightsError, match=r"checksum .*expected b0353104"):
        published_file(tiny("mobilenet_v2"), "mobilenet_v2")
    assert not list((tmp_path / "checkpoints").glob("*"))
    kept = published_file(tiny("vit_tiny"), "vit_tiny")  # timm's names hold no checksum
    assert kept.read_bytes() == b"other bytes"
    assert kept.name == "timm_vit_tiny_patch16_224.safetensors"


def test_what_a_card_will_say(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"x")
    said = described(tiny("mobilenet_v2"), path, str(path), 1000, 3)
    assert (said["mean"], said["std"]) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert said["data"] == {"learnt_on": "ImageNet"}
    assert said["file"] == "w.safetensors"
    grey = described(tiny("mobilenet_v2"), path, "imagenet", 1000, 1)
    assert grey["mean"] == [pytest.approx((0.485 + 0.456 + 0.406) / 3)]
    assert grey["terms"].startswith("BSD-3-Clause (torchvision); learnt on ImageNet-1k")
    assert grey["file"] == "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth"
    assert described(tiny("efficientnet_lite0"), path, str(path), 1000, 3)["mean"] == [0.5] * 3
    assert described(tiny("mobilenet_v2"), path, str(path), 8, 3)["data"] == {"learnt_on": "not known"}
    assert "mean" not in described(MODELS.get("mienet")(3, 1), path, str(path), 0, 1)  # type: ignore[arg-type]


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_lite0"])
def test_real_weights_see_a_palace_and_a_flower(name: str, real_data: Path) -> None:
    from sklearn.datasets import load_sample_images

    path = real_data / "pretrained" / f"{name}_imagenet.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {path.parent}")
    colour, grey = MODELS.get(name)(1000, 3).eval(), MODELS.get(name)(1000, 1).eval()
    loaded = load_pretrained(colour, path)
    assert (loaded.head, loaded.tensors) == (True, len(colour.state_dict()))
    load_pretrained(grey, path)
    pictures = np.stack(load_sample_images().images)[:, :, 106:533]  # 427 px, the middle
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    x = torch.nn.functional.interpolate(x, (224, 224), mode="bilinear", antialias=True)
    said = described(colour, path, str(path), loaded.classes, 3)
    with torch.no_grad():
        seen = colour(normalised(x, said["mean"], said["std"])).argsort(1, descending=True)[:, :5].tolist()
        one = normalised(luma(x), said["mean"][:1], said["std"][:1])
        torch.testing.assert_close(grey(one), colour(one.repeat(1, 3, 1, 1)), rtol=1e-3, atol=1e-3)
    # A Chinese palace is a palace, a monastery, a bell cote; a dahlia is a daisy, has a bee, looks like a honeycomb.
    assert set(seen[0][:2]) & {698, 663, 442}
    assert set(seen[1]) & {985, 309, 599}
