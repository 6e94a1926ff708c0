"""Latent alignment: its terms by hand, what stands still when, and a run broken off in its second fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from mien.config import parse_config
from mien.data.images import Store
from mien.errors import ConfigError
from mien.mitigation.base import Batch, Step
from mien.mitigation.faces import Faces
from mien.mitigation.latent_alignment import LatentAlignment
from mien.mitigation.style import LearntStyle, gram, style_network
from mien.models import MODELS
from mien.models.card import load_card
from mien.models.latent import BODY, LATENT, LatentMBConv
from mien.models.weights import Classifier
from mien.own_files import sha256_of
from mien.studies.features import latents_of
from mien.train import train
from mien.train.start import beside_of, keyed

SMALL: dict[str, Any] = {"encoder_widths": [8, 8], "latent": 8, "widths": [8, 16]}


def faces(n: int = 6) -> Faces:
    return Faces(
        rows=np.arange(n), targets=np.eye(3, dtype=np.float32)[np.arange(n) % 3],
        classes={"expression": ("a", "b", "c")},
        groups=np.eye(2, dtype=np.float32)[np.arange(n) % 2], attributes={"gender": ("f", "m")},
    )  # fmt: skip


def built(**options: Any) -> tuple[LatentAlignment, LatentMBConv]:
    torch.manual_seed(0)
    model = MODELS.get("latent_mbconv")(3, 1, **SMALL)
    method = LatentAlignment(faces(), by=("gender",), **options)
    method.adapt(model)
    return method, model


def step(method: LatentAlignment, model: LatentMBConv, progress: float = 1.0) -> Step:
    told, x = method.faces, torch.rand(6, 1, 16, 16)
    batch = Batch(x, torch.from_numpy(told.targets), torch.from_numpy(told.groups), torch.arange(6))
    outputs = model.forward_train(x)
    return Step(
        batch=batch, logits=outputs.logits, features=outputs.features, extra=outputs.extra, losses=torch.zeros(6),
        epoch=0, step=round(10 * progress), n_steps=10,
    )  # fmt: skip


def test_gram_is_over_channels_and_places() -> None:
    maps = torch.rand(2, 3, 4, 5)
    by_hand = torch.einsum("bchw,bdhw->bcd", maps, maps) / (3 * 4 * 5)
    torch.testing.assert_close(gram(maps), by_hand)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # what two pictures differ by would be rounded away
        torch.testing.assert_close(gram(maps), by_hand)
        assert gram(maps).dtype == torch.float32


def test_each_term_has_its_factor() -> None:
    off: dict[str, Any] = {"kl": 0.0, "adversary": 0.0, "style": 0.0, "pixel": 0.0}

    def loss(progress: float = 1.0, **options: Any) -> float:
        method, model = built(**{**off, **options})
        torch.manual_seed(1)
        return method.align(step(method, model, progress)).item()

    assert loss() == 0
    for term in off:
        assert loss(**{term: 2.0}) == pytest.approx(2 * loss(**{term: 1.0}), rel=1e-5)
        assert loss(**{term: 1.0}) > 0
    # The divergence's factor rises over the warm-up, and free nats cost nothing.
    assert loss(0.0, kl=1.0) == 0
    assert loss(0.1, kl=1.0, warm_up=0.2) == pytest.approx(0.5 * loss(1.0, kl=1.0), rel=1e-4)
    assert loss(kl=1.0, free=100.0) == 0
    assert loss(kl=1.0, variational=False) == 0


def test_the_divergence_is_the_mean_over_units() -> None:
    method, model = built(kl=1.0, adversary=0.0, style=0.0)
    given = step(method, model)
    mean, log_variance = given.extra[LATENT], method.log_variance(given.extra[BODY])
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    by_hand = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).mean()
    assert method.align(given).item() == pytest.approx(by_hand.item(), rel=1e-4)


def test_who_moves_in_which_turn() -> None:
    method, model = built()
    method.discriminate(step(method, model)).backward()
    assert all(p.grad is not None for p in method.discriminator.parameters())
    assert all(p.grad is None for p in [*model.parameters(), *method.generator.parameters()])
    method.zero_grad(set_to_none=True)
    method.align(step(method, model)).backward()
    assert all(p.grad is None for p in [*method.discriminator.parameters(), *method.looks.parameters()])
    assert all(p.grad is None for p in [*model.classifier.parameters(), *model.head.parameters()])
    assert all(p.grad is not None for p in [*model.encoder.parameters(), *method.generator.parameters()])
    # From the second fit on the encoder stands still, its batch statistics too.
    method.begin(1, lambda: np.zeros((0, 0), np.float32))
    model.train()
    method.mix(step(method, model).batch)
    model.zero_grad(set_to_none=True)
    before = {k: v.clone() for k, v in model.encoder.state_dict().items()}
    model.forward_train(torch.rand(4, 1, 16, 16)).logits.sum().backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.encoder.state_dict().items())
    assert next(iter(model.classifier.parameters())).grad is not None


def test_another_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="latent_mbconv"):
        LatentAlignment(faces(), by=("gender",)).adapt(SimpleNamespace(head=nn.Linear(1, 1)))  # type: ignore[arg-type]


def config(settings: dict[str, Any], **options: Any) -> Any:
    content = settings | {
        "model": {"name": "latent_mbconv", "options": SMALL},
        "mitigation": {"name": "latent_alignment", "options": {"by": ["gender"], "align_epochs": 2, **options}},
    }
    content["train"] |= {"epochs": 2, "optimizer": {"name": "adam", "lr": 0.003}, "monitor": "val_accuracy"}
    return parse_config(content)


def test_channels_are_alive_by_how_far_faces_differ_in_them() -> None:
    told = LatentAlignment.__new__(LatentAlignment)
    torch.nn.Module.__init__(told)
    told.register_buffer("alive", torch.zeros(3))
    told.register_buffer("figures", torch.full((4,), torch.nan))
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        mean = torch.stack([torch.full((64, 2, 2), 3.0), 0.02 * torch.randn(64, 2, 2, generator=generator),
                            torch.randn(64, 2, 2, generator=generator)], 1)  # fmt: skip
        told._note(mean, torch.zeros(4))
    # Far from 0 but the same for all faces, hardly differing, and alive.
    assert (told.alive >= 0.01).tolist() == [False, False, True]
    assert told.told()["alive"] == pytest.approx(1 / 3)
    told._note(mean[:1], torch.zeros(4))  # of one face there is no variance
    assert torch.isfinite(told.alive).all()


def test_a_run_has_two_fits_and_goes_on_in_the_second(settings: dict[str, Any], tmp_path: Path) -> None:
    asked = config(settings, pictures=3)
    whole = train(asked, tmp_path / "whole")
    history = whole.history
    assert history["stage"].tolist() == [0, 0, 1, 1]
    assert {"divergence", "confusion", "style", "pixels", "alive"} <= set(history)
    assert history["alive"].between(0, 1).all()
    assert load_card(whole.path).data["mitigation"]["style_network"] == "drawn"
    with Image.open(tmp_path / "whole" / "reconstructions.png") as sheet:
        assert sheet.size == (3 * 24, 2 * 24)
    plain = train(config(settings), tmp_path / "plain")
    assert not (tmp_path / "plain" / "reconstructions.png").exists()  # nobody asked for faces
    # Broken off after each epoch in turn, it ends with the same weights.
    for _ in range(10):
        part = train(asked.model_copy(update={"train": asked.train.model_copy(update={"max_minutes": 1e-6})}),
                     tmp_path / "parts", finished_ok=True)  # fmt: skip
        if part.record.status == "finished":
            break
    told, other = (Classifier.load(tmp_path / name).module.state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(v, other[k]) for k, v in told.items())
    pd.testing.assert_series_equal(part.history["val_loss"], history["val_loss"])
    again = Classifier.load(plain.path).module.state_dict()
    assert all(torch.equal(v, again[k]) for k, v in told.items())  # the pictures change nothing


def test_style_of_a_trained_network(settings: dict[str, Any], tmp_path: Path) -> None:
    eyes = train(parse_config(settings | {"train": settings["train"] | {"epochs": 1}}), tmp_path / "eyes")
    run = train(config(settings, style_network=str(eyes.path)), tmp_path / "run")
    said = load_card(run.path).data["mitigation"]["style_network"]
    assert (said["model"], said["sha256"]) == ("mienet", load_card(eyes.path).sha256)
    assert run.record.status == "finished"
    # Of other faces held out, the eyes learnt some that this run is to be judged on.
    content = settings | {"split": {"name": "ratio", "options": {"train": 0.5, "validation": 0.25, "test": 0.25}}}
    with pytest.raises(ConfigError, match=r"mitigation\.options\.style_network: .* faces were learnt by"):
        train(config(content, style_network=str(eyes.path)), tmp_path / "other")
    with pytest.raises(ConfigError, match=r"style_network: no such folder"):
        train(config(settings, style_network=str(tmp_path / "nowhere")), tmp_path / "other")
    # The weights count in a key, and where they lie does not.
    named = keyed(config(settings, style_network=str(eyes.path))).mitigation.options["style_network"]
    assert named == load_card(eyes.path).sha256
    assert keyed(config(settings)) == config(settings)


def test_what_the_latent_itself_holds_of_faces_can_be_read(settings: dict[str, Any], tmp_path: Path) -> None:
    run = train(config(settings), tmp_path / "run")
    cell: Any = SimpleNamespace(run=run, place_of=lambda part: f"{settings['data']['store']}:{part}")
    store = Store.open(settings["data"]["store"])
    faces = store.table.in_split("test").frame["sample_id"].to_numpy()
    found = latents_of(cell, "test", faces)
    assert found is not None
    module = Classifier.load(run.path).module
    assert found.shape == (len(faces), 2 * module.latent)  # type: ignore[operator]
    np.testing.assert_array_equal(latents_of(cell, "test", faces[::-1]), found[::-1])
    # Of a map of one place there is no deviation, and the mean is the map.
    x = torch.randn(3, 1, 24, 24)
    with torch.inference_mode():
        mean = module.forward_train(x).extra["latent"]
        told = module.latent_summary(x)  # type: ignore[operator]
    torch.testing.assert_close(told[:, : mean.shape[1]], mean.mean((2, 3)))
    torch.testing.assert_close(told[:, mean.shape[1] :], mean.std((2, 3), correction=0))
    cell.run = train(parse_config(settings | {"train": settings["train"] | {"epochs": 1}}), tmp_path / "plain")
    assert latents_of(cell, "test", faces) is None


def test_the_annotator_in_the_box_tells_style_of_grey_pictures(settings: dict[str, Any], tmp_path: Path) -> None:
    """Its first convolution, learnt in colour, says of a grey picture what it said of three equal channels."""
    run = train(config(settings, style_network="annotator"), tmp_path / "run")
    said = load_card(run.path).data["mitigation"]["style_network"]
    assert (said["model"], said["corpus"]) == ("mienet", "fairface")
    ours = load_card(run.path)
    assert ours.in_channels == 1
    cards = [dataclasses.replace(ours, in_channels=n, mean=ours.mean * n, std=ours.std * n) for n in (1, 3)]
    grey, colour = (style_network("annotator", card.in_channels, card) for card in cards)
    x = torch.randn(2, 1, 24, 24)
    with torch.inference_mode():
        for one, three in zip(grey.eval()(x), colour.eval()(x.expand(-1, 3, -1, -1)), strict=True):
            torch.testing.assert_close(one, three, rtol=1e-3, atol=1e-4)


def test_the_style_network_sees_pictures_as_it_learnt_them(settings: dict[str, Any], tmp_path: Path) -> None:
    eyes = train(parse_config(settings | {"train": settings["train"] | {"epochs": 1}}), tmp_path / "eyes")
    classifier = Classifier.load(eyes.path)
    ours = dataclasses.replace(classifier.card, mean=(0.1,), std=(0.7,))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 1), dtype=np.uint8)
    raw = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    card = classifier.card
    found = LearntStyle(classifier.module, card.mean, card.std, ours, card.preprocess).eval()((raw - 0.1) / 0.7)
    expected = list(classifier.module.eval().parts().values())[0](classifier.tensor(pixels))
    torch.testing.assert_close(found[0], expected, rtol=1e-3, atol=1e-4)
    # Of parts that end in pooling the map before it, as the style loss takes VGG's.
    parts = [nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), nn.Sequential(nn.MaxPool2d(2), nn.ReLU())]
    vgg = SimpleNamespace(parts=lambda: {str(i): part for i, part in enumerate(parts)})
    plain = dataclasses.replace(ours, mean=(0.0,), std=(1.0,))
    first, second = LearntStyle(vgg, (0.0,), (1.0,), plain, before_pooling=True)(raw - 0.5)
    torch.testing.assert_close(first, (raw - 0.5).relu())
    torch.testing.assert_close(second, nn.functional.max_pool2d(first, 4))
    torch.testing.assert_close(
        LearntStyle(vgg, (0.0,), (1.0,), plain)(raw - 0.5)[0], nn.functional.max_pool2d(first, 2)
    )
    # What is brought to steps of levels has no gradient: the generator would learn no style from it.
    with pytest.raises(ConfigError, match="equalise"):
        LearntStyle(classifier.module, card.mean, card.std, ours, ("equalise",))


def test_style_of_a_library_s_network(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    theirs = MODELS.get("mobilenet_v2")(1000, 3)
    tensors = {theirs.published_keys[k]: v for k, v in theirs.state_dict().items()}
    save_file(tensors, tmp_path / "eyes.safetensors")
    published = theirs.published
    kept = tmp_path / "hub" / "checkpoints" / published.file
    kept.parent.mkdir(parents=True)
    torch.save(tensors, kept)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    asked = f"mobilenet_v2={tmp_path / 'eyes.safetensors'}"
    ours = dataclasses.replace(
        load_card(train(config(settings, align_epochs=1), tmp_path / "plain").path), in_channels=3, mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )  # fmt: skip
    x = torch.rand(2, 3, 24, 24)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (published.mean, published.std))
    expected = theirs.eval().parts()[next(iter(theirs.parts()))]((x - mean) / std)
    for name in (asked, "mobilenet_v2"):
        looks = style_network(name, 3, ours).eval()
        torch.testing.assert_close(looks((x - 0.5) / 0.25)[0], expected, rtol=1e-3, atol=1e-4)
    run = train(config(settings, style_network=asked), tmp_path / "run")  # grey pictures
    said = load_card(run.path).data["mitigation"]["style_network"]
    assert (said["model"], said["file"]) == ("mobilenet_v2", "eyes.safetensors")
    assert said["sha256"] == sha256_of(tmp_path / "eyes.safetensors")
    named = keyed(config(settings, style_network=asked)).mitigation.options["style_network"]
    assert named == f"mobilenet_v2={said['sha256']}"
    # Where a library publishes them their terms are told, and they need not be at hand for a key.
    kept.unlink()
    named = keyed(config(settings, style_network="mobilenet_v2")).mitigation.options["style_network"]
    assert named == f"mobilenet_v2 {published.address}"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet18").mkdir()
    with pytest.raises(ConfigError, match="'resnet18' is a network and a folder, expected ./resnet18"):
        keyed(config(settings, style_network="resnet18"))
    assert "non-commercial" in beside_of(config(settings, style_network="mobilenet_v2"))["style_network"]["terms"]
    for strange, said in (
        ("mienet", "no library publishes weights of 'mienet', expected another network"),
        ("conditioned=eyes.safetensors", "no library publishes weights of 'conditioned'"),
        ("vit_tiny", "no library publishes weights of 'vit_tiny'"),  # its parts are no maps
        ("vgg16=nowhere.pth", "'nowhere.pth' is no file of weights"),
    ):
        with pytest.raises(ConfigError, match=rf"mitigation\.options\.style_network: {said}"):
            train(config(settings, style_network=strange), tmp_path / "other")
