"""Blocks that several model families share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ExpressionModel(nn.Module):
    """Base of every model: a backbone that gives features, and a linear (or deeper) head on them.

    Attributes:
        feature_dim: D, the length of a feature vector.
        head: Maps ``(B, D)`` features to ``(B, K)`` logits.
    """

    feature_dim: int
    head: nn.Module

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, D)``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, K)`` logits."""
        logits: Tensor = self.head(self.features(x))
        return logits


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, then batch normalisation; the size shrinks by the stride alone."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


class SqueezeExcite(nn.Module):
    """Channel gates from the pooled map (Hu et al. 2018)."""

    def __init__(self, channels: int, ratio: int = 8) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, channels // ratio), nn.ReLU(inplace=True), nn.Linear(channels // ratio, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> the same, scaled by channel."""
        return x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, a channel gate, and the input added back (projected where shapes differ)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, drop_path: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(inputs, outputs, 3, stride),
            nn.ReLU(inplace=True),
            conv_bn(outputs, outputs),
            SqueezeExcite(outputs),
        )
        # A strided projection would look at one pixel in four; pooling first looks at all.
        shortcut: list[nn.Module] = []
        if stride > 1:
            shortcut.append(nn.AvgPool2d(stride, ceil_mode=True))
        if stride > 1 or inputs != outputs:
            shortcut.append(conv_bn(inputs, outputs, 1))
        self.shortcut = nn.Sequential(*shortcut)
        self.drop_path = drop_path
        nn.init.zeros_(self.body[2][1].weight)  # type: ignore[index]  # start as the identity

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` -> ``(B, outputs, H / stride, W / stride)``."""
        body = self.body(x)
        if self.training and self.drop_path > 0:
            keep = 1 - self.drop_path
            body = body * (torch.rand(len(x), 1, 1, 1, device=x.device, dtype=body.dtype) < keep) / keep
        return torch.relu(self.shortcut(x) + body)


def stage(inputs: int, outputs: int, n_blocks: int, stride: int, drop_path: Sequence[float]) -> nn.Sequential:
    """Residual blocks of one resolution; the first one strides."""
    return nn.Sequential(
        *(
            ResidualBlock(inputs if i == 0 else outputs, outputs, stride if i == 0 else 1, drop_path[i])
            for i in range(n_blocks)
        )
    )
