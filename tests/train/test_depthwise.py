"""Depthwise convolutions that learn in single precision: the same numbers, only where bf16 is slow."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from mien.config import parse_config
from mien.models import MODELS
from mien.train.build import build, make_fabric
from mien.train.depthwise import single_precision_depthwise
from mien.train.targets import load_training_data


def convolution(**options: int) -> nn.Sequential:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 8, **{"kernel_size": 3, "stride": 2, "padding": 1, "groups": 8, **options})
    return nn.Sequential(layer)


def learnt(network: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Output and gradient of the weights under autocast."""
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        out = network(x)
    out.float().square().sum().backward()
    return out.detach(), next(network.parameters()).grad.clone()


def test_learns_as_in_single_precision() -> None:
    network, x = convolution(), torch.randn(4, 8, 9, 9)
    plain = copy.deepcopy(network)
    assert single_precision_depthwise(network) == 1
    out, gradient = learnt(network, x)
    expected = plain(x)
    expected.square().sum().backward()
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected.detach())
    torch.testing.assert_close(gradient, next(plain.parameters()).grad)
    assert learnt(plain, x)[0].dtype == torch.bfloat16


def test_judges_in_bf16_as_before() -> None:
    network = convolution()
    single_precision_depthwise(network)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert network(torch.randn(4, 8, 9, 9)).dtype == torch.bfloat16
    network.requires_grad_(False)  # a frozen part in training computes what is kept of it in evaluation
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.randn(4, 8, 9, 9)).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.randn(4, 8, 9, 9, requires_grad=True)).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, 1),
        ({"stride": 1}, 0),
        ({"stride": 1, "kernel_size": 5}, 1),
        ({"groups": 4}, 0),
        ({"groups": 1}, 0),
        ({"out_channels": 16}, 1),  # two outputs a channel
    ],
)
def test_only_those_that_are_slow(options: dict[str, int], found: int) -> None:
    sizes = {"in_channels": 8, "out_channels": 8, "kernel_size": 3, "stride": 2, "padding": 1, "groups": 8}
    assert single_precision_depthwise(nn.Conv2d(**{**sizes, **options})) == found


def test_a_copy_has_its_own_weights() -> None:
    network = convolution()
    single_precision_depthwise(network)
    twin = copy.deepcopy(network)
    with torch.no_grad():
        twin[0].weight.zero_()
        twin[0].bias.zero_()
    x = torch.randn(2, 8, 9, 9)
    assert twin(x).abs().sum() == 0
    assert network(x).abs().sum() > 0
    assert list(twin.state_dict()) == ["0.weight", "0.bias"]


def test_a_library_s_padded_convolution_keeps_its_padding() -> None:
    network = MODELS.get("efficientnet_lite0")(7, 1)
    padded = [m for m in network.modules() if type(m).__name__ == "Conv2dSame" and m.groups > 1]
    assert padded  # else this tests nothing
    x = torch.randn(2, padded[0].in_channels, 24, 24)
    before = padded[0](x).detach()
    assert single_precision_depthwise(network) >= len(padded)
    torch.testing.assert_close(padded[0](x).detach(), before)


def test_training_has_it(settings: dict[str, Any]) -> None:
    config = parse_config(settings | {"model": {"name": "mobilenet_v2"}})
    data = load_training_data(config)
    network = build(config, data, make_fabric(config), terms="").network
    assert sum("forward" in vars(m) for m in network.model.modules()) == 4
