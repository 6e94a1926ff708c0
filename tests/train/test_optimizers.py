"""A fused step is the step of the plain optimiser, for every network of the catalogue."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from mien.config import OptimizerConfig
from mien.mitigation.base import Turn
from mien.models import MODELS
from mien.train.optimizers import make_optimizer


def trained(module: nn.Module) -> Any:
    """As the trainer holds it: nothing beside the network has weights."""
    nothing = SimpleNamespace(parameters=list, parameter_groups=list)
    return SimpleNamespace(model=module, losses=nothing, mitigation=nothing)


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("name", list(MODELS))
def test_a_fused_step_is_the_plain_one(name: str, kind: Any) -> None:
    torch.manual_seed(0)
    options = dict(MODELS.tiny(name))
    fused = MODELS.get(name)(3, 1, **options).to(memory_format=torch.channels_last).train()
    plain = copy.deepcopy(fused)
    config = OptimizerConfig(name=kind, lr=0.01, weight_decay=0.01)
    ours = make_optimizer(trained(fused), Turn(name="all"), config)
    groups = [{**group, "params": own} for group, own in zip(
        ours.param_groups, _as_in(ours.param_groups, fused, plain), strict=True)]  # fmt: skip
    keys = ("params", "lr", "weight_decay")
    made = [{k: group[k] for k in keys} for group in groups]
    theirs: torch.optim.Optimizer
    if kind == "sgd":
        theirs = torch.optim.SGD(made, momentum=config.momentum, nesterov=config.momentum > 0, foreach=False)
    else:
        theirs = (torch.optim.Adam if kind == "adam" else torch.optim.AdamW)(made, foreach=False)
    for step in range(3):
        # Gradients as a backward pass leaves them: in the order in memory of their weights.
        drawn = torch.Generator().manual_seed(step)
        for a, b in zip(fused.parameters(), plain.parameters(), strict=True):
            gradient = torch.randn(a.shape, generator=drawn)
            a.grad = torch.empty_like(a).copy_(gradient)
            b.grad = torch.empty_like(b).copy_(gradient)
        ours.step()
        theirs.step()
    for (key, a), b in zip(fused.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=lambda said, key=key: f"{key}: {said}")


def _as_in(groups: list[dict[str, Any]], one: nn.Module, other: nn.Module) -> list[list[nn.Parameter]]:
    twin = dict(zip(map(id, one.parameters()), other.parameters(), strict=True))
    return [[twin[id(p)] for p in group["params"]] for group in groups]


def test_gradients_lie_in_memory_as_their_weights() -> None:
    """What the fused kernels take for granted, and a hook or a backend could break without a word."""
    torch.manual_seed(0)
    net = MODELS.get("mienet")(3, 1, **MODELS.tiny("mienet")).to(memory_format=torch.channels_last).train()
    x = torch.randn(4, 1, 24, 24).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        loss = nn.functional.cross_entropy(net(x).float(), torch.tensor([0, 1, 2, 0]))
    loss.backward()
    for key, weight in net.named_parameters():
        if weight.grad is not None and weight.numel() > 1:
            sides = [i for i, n in enumerate(weight.shape) if n > 1]
            assert [weight.stride(i) for i in sides] == [weight.grad.stride(i) for i in sides], key
