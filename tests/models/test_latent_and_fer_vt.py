"""Latent alignment's networks, FER-VT's grid, Olate's ResNet-50 and FER+'s VGG13, as their sources count them."""

from __future__ import annotations

import math

import torch
from torch import nn

from mien.models import MODELS
from mien.models.fer_vt import GridAttention
from mien.models.latent import (
    LatentAutoencoder,
    LatentDiscriminator,
    LatentEncoder,
    LatentGenerator,
    LatentMBConv,
    MBConvClassifier,
    divergence,
    sampled,
)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_latent_shapes_and_counts() -> None:
    with torch.device("meta"):
        encoder, generator, classifier = LatentEncoder(), LatentGenerator(), MBConvClassifier()
        reader = LatentDiscriminator({"gender": 2, "race": 3})
        mean, log_variance = encoder(torch.empty(2, 3, 128, 128))
        assert mean.shape == log_variance.shape == (2, 64, 16, 16)
        assert generator(mean).shape == (2, 3, 128, 128)
        assert classifier(mean).shape == (2, 256)
        assert {k: tuple(v.shape) for k, v in reader(mean).items()} == {"gender": (2, 2), "race": (2, 3)}
    assert [count(m) for m in (encoder, generator, reader, classifier)] == [692_224, 675_715, 402_565, 752_976]


def test_divergence_and_draw_by_hand() -> None:
    mean, log_variance = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, math.log(2)], [0.0, 0.0]])
    expected = torch.tensor([0.5 * (1 + 2 - 1 - math.log(2)), 0.0])
    torch.testing.assert_close(divergence(mean, log_variance), expected)
    torch.manual_seed(0)
    draws = sampled(torch.full((20_000,), 3.0), torch.full((20_000,), math.log(4)))
    assert abs(draws.mean().item() - 3) < 0.06
    assert abs(draws.std().item() - 2) < 0.04


def test_the_autoencoder_draws_in_training_only() -> None:
    model, x = LatentAutoencoder(1, widths=(4, 4), latent=2), torch.rand(3, 1, 16, 16)
    assert not torch.equal(model(x)[0], model(x)[0])
    model.eval()
    again, _, log_variance = model(x)
    assert torch.equal(again, model(x)[0])
    assert again.min() >= 0
    assert again.max() <= 1
    assert log_variance.abs().max() <= 10


def test_a_frozen_encoder_stands_still() -> None:
    model = LatentMBConv(3, **{**MODELS.tiny("latent_mbconv"), "freeze_encoder": True}).train()
    before = {k: v.clone() for k, v in model.encoder.state_dict().items()}
    model(torch.rand(4, 1, 32, 32)).sum().backward()
    assert all(torch.equal(v, before[k]) for k, v in model.encoder.state_dict().items())
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.classifier.parameters())


def test_equal_fields_get_equal_weights() -> None:
    torch.manual_seed(0)
    grid = GridAttention(1, 4, 3)
    weights = grid.weights(torch.full((2, 1, 16, 16), 0.7))
    torch.testing.assert_close(weights, torch.ones(2, 1, 4, 4))
    weights = grid.weights(torch.randn(2, 1, 16, 16))
    torch.testing.assert_close(weights.mean((2, 3)), torch.ones(2, 1))


def test_fields_are_the_squares_of_the_grid() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert GridAttention(1, 2, 3)._fields(x)[0, 0].tolist() == [
        [0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]
    ]  # fmt: skip


def test_an_adversary_reads_the_256_numbers_of_olates_resnet() -> None:
    with torch.device("meta"):
        model = MODELS.get("olate_resnet50")(7, 3)
    assert model.feature_dim == 256
    assert count(model.trunk) == 23_508_032  # torchvision's resnet50 without its classifier
    assert count(model) == 23_508_032 + 2 * 2048 + (2048 * 256 + 256) + (256 * 7 + 7)


def test_dropout_of_the_vgg13_stands_where_the_source_has_it() -> None:
    model = MODELS.get("ferplus_vgg13")(8, 1, width=4, hidden=16)
    kinds = "".join(
        {"Conv2d": "C", "MaxPool2d": "P", "Dropout": "D", "Linear": "L"}.get(type(m).__name__, "") for m in model.body
    )
    assert kinds == "CCPD" + "CCPD" + "CCCPD" + "CCCPD" + "LD" + "LD"
    assert [m.p for m in model.body if isinstance(m, nn.Dropout)] == [0.25] * 4 + [0.5] * 2
