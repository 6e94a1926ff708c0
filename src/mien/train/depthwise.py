"""Depthwise convolutions learn in single precision on a processor, where bf16 makes them slower and not faster.

Going back through one of stride 2, or of 5x5 pixels, takes PyTorch many times as long in bf16: the library that
computes it there takes the channels of a group by the sixteen, and a depthwise group has one. How many times, and what
whole networks gain, ``benchmarks/depthwise.py`` prints (docs/results/benchmarks.txt).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn


def single_precision_depthwise(model: nn.Module) -> int:
    """Let a network's strided or wide depthwise convolutions learn in single precision on a processor.

    Nothing changes on other devices, where no gradient goes back through them (a frozen part, a face that is judged),
    or without autocast; the parameters stay as they are.

    Args:
        model: Any network; it is changed.

    Returns:
        How many convolutions it found.
    """
    found = [m for m in model.modules() if isinstance(m, nn.Conv2d) and _slow_in_bf16(m)]
    for layer in found:
        layer.forward = partial(_in_single_precision, layer)  # type: ignore[method-assign]
    return len(found)


def _slow_in_bf16(layer: nn.Conv2d) -> bool:
    depthwise = layer.groups == layer.in_channels > 1
    return depthwise and (max(layer.stride) > 1 or max(layer.kernel_size) > 3)


def _in_single_precision(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """The layer's own forward, out of autocast's reach while it learns on a processor."""
    own = type(layer).forward
    learns = torch.is_grad_enabled() and (x.requires_grad or layer.weight.requires_grad)
    if x.device.type != "cpu" or not learns or not torch.is_autocast_enabled("cpu"):
        return own(layer, x)
    with torch.autocast("cpu", enabled=False):
        return own(layer, x.float())
