"""FER-VT (Huang et al. 2021), reconstructed: grid attention on the picture, tokens of three maps, a transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mien.models import MODELS
from mien.models.blocks import Count, Depth, Share
from mien.models.resnet_trunk import OnResNet, ResNetTrunk


class GridAttention(nn.Module):
    """Weighs each channel of each of the fields of a grid by what all fields attend to, and adds the picture back.

    Args:
        channels: Of the picture.
        grid: Fields a side.
        width: Channels between the two convolutions that fuse.
    """

    def __init__(self, channels: int, grid: int, width: int) -> None:
        super().__init__()
        self.grid = grid
        self.query, self.key = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.fuse = nn.Sequential(
            nn.Conv2d(2 * channels, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, channels, 3, padding=1),
        )

    def weights(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> ``(B, C, grid, grid)`` of mean 1 over the grid."""
        query, key = self._fields(self.query(x)), self._fields(self.key(x))
        attention = (query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(3)
        # What a field gets from all others, on average; times their number, so that equal ones change nothing.
        pooled = attention.mean(2) * self.grid**2
        weights: Tensor = pooled.reshape(*pooled.shape[:2], self.grid, self.grid)
        return weights

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> the same shape; H and W are multiples of the grid."""
        side = x.shape[2] // self.grid
        weights = self.weights(x).repeat_interleave(side, 2).repeat_interleave(side, 3)
        fused: Tensor = x + self.fuse(torch.cat([x, x * weights], dim=1))
        return fused

    def _fields(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> ``(B, C, grid * grid, pixels of a field)``."""
        n, (batch, channels, height, width) = self.grid, x.shape
        fields = x.reshape(batch, channels, n, height // n, n, width // n)
        return fields.permute(0, 1, 2, 4, 3, 5).flatten(4).flatten(2, 3)


class Encoder(nn.Module):
    """One layer of a transformer, normalised before each part (Dosovitskiy et al. 2021).

    Args:
        dim: Length of a token.
        heads: Of the attention; dim is a multiple.
        hidden: Units of the hidden layer.
        dropout: Share dropped after each part.
    """

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.joint, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """``(B, T, dim)`` -> ``(B, T, dim)``."""
        joint = self.joint(self.before(tokens)).unflatten(2, (3, self.heads, -1))
        query, key, value = joint.permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.drop(self.out(attended.transpose(1, 2).flatten(2)))
        mixed: Tensor = tokens + self.drop(self.mlp(self.after(tokens)))
        return mixed


@MODELS.register(
    "fer_vt",
    tiny={"size": 32, "width": 8, "depths": (1, 1, 1, 1), "dim": 16, "layers": 1, "attention_heads": 2, "hidden": 16},
)
class FerVT(OnResNet):
    """Grid attention, ResNet-34, and a transformer of 12 layers on tokens of its last three maps: 26.8 M parameters.

    This is a reconstruction: the authors released no code, and the text leaves open how the attention of the grid
    becomes weights, how they are fused, and how maps become tokens. Here the softmax attention between the 16 fields
    of a 4 x 4 grid, of 1x1 convolutions, is averaged to one weight a field and channel; two convolutions fuse the
    weighed picture with the picture, which is added back; each map is averaged to the side of the smallest and
    projected to 192; the class token's last state is the feature. A public attempt at the same falls about ten points
    short of the 90.04 % on FERPlus that the paper reports: do not call results of this network those of FER-VT.

    Source: Huang, Wang and Ying 2021, "Facial expression recognition with grid-wise attention and visual
    transformer", Information Sciences 580. They smooth labels: ``loss.options.smoothing``.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        size: Side of the input in pixels, a multiple of 32 (224 in the source).
        grid: Fields a side of the grid; 4, 2 or 8 divide every size.
        width: Channels of the trunk's first stage (64 as published).
        depths: Blocks of its four stages (3, 4, 6, 3: ResNet-34).
        dim: Length of a token, a multiple of ``attention_heads``.
        layers: Of the transformer.
        attention_heads: Of each layer.
        hidden: Units of each layer's hidden layer.
        dropout: Share dropped in each layer.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        size: Annotated[int, Field(ge=32, le=1024, multiple_of=32)] = 224,
        grid: Annotated[int, Field(ge=1, le=32)] = 4,
        width: Count = 64,
        depths: Annotated[Sequence[Depth], Field(min_length=4, max_length=4)] = (3, 4, 6, 3),
        dim: Count = 192,
        layers: Depth = 12,
        attention_heads: Count = 8,
        hidden: Count = 768,
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        if size % grid or dim % attention_heads:
            raise ValueError(f"grid {grid} must divide size {size}, and attention_heads {attention_heads} dim {dim}")
        self.size = size
        self.attention = GridAttention(in_channels, grid, width)
        self.build_on(ResNetTrunk(in_channels, depths=depths, width=width), "resnet34")
        self.project = nn.ModuleList(nn.Conv2d(channels, dim, 1) for channels in self.trunk.channels[1:])
        self.pools = nn.ModuleList(nn.AvgPool2d(side) for side in (4, 2, 1))
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + 3 * (size // 32) ** 2, dim))
        self.drop = nn.Dropout(dropout)
        self.layers = nn.Sequential(*(Encoder(dim, attention_heads, hidden, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(dim)
        self.feature_dim = dim
        self.head = nn.Linear(dim, num_classes)

    def tokens(self, x: Tensor) -> Tensor:
        """``(B, C, size, size)`` -> ``(B, 1 + 3 (size / 32)^2, dim)``: the class token, then those of each map."""
        maps = self.trunk.maps(self.attention(x))[1:]
        found = [
            project(pool(each)).flatten(2).transpose(1, 2)
            for project, pool, each in zip(self.project, self.pools, maps, strict=True)
        ]
        return torch.cat([self.token.expand(x.shape[0], -1, -1), *found], dim=1) + self.positions

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, size, size)`` normalised images -> ``(B, dim)``."""
        out: Tensor = self.norm(self.layers(self.drop(self.tokens(x)))[:, 0])
        return out
