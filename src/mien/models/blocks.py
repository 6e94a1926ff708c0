"""Blocks that several model families share."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor, nn

Count = Annotated[int, Field(ge=1)]  # of channels or units
Depth = Annotated[int, Field(ge=1, le=100)]  # of blocks of one stage; a card is believed before its weights are seen
Stages = Field(min_length=1, max_length=10)  # each halves the picture
Share = Annotated[float, Field(ge=0, lt=1)]  # of features that are dropped


@dataclass(frozen=True)
class Outputs:
    """What a network tells in training.

    Attributes:
        logits: ``(B, K)``.
        features: ``(B, D)`` what the head sees.
        extra: Whatever only training needs: attention maps, auxiliary logits; as ``map`` the ``(B, D, h, w)``
            whose mean over its places the features are, where a model ends so.
    """

    logits: Tensor
    features: Tensor
    extra: dict[str, Tensor] = field(default_factory=dict)


class ExpressionModel(nn.Module):
    """Base of every model: a backbone that gives features, and a linear (or deeper) head on them.

    Attributes:
        feature_dim: D, the length of a feature vector.
        head: Maps ``(B, D)`` features to ``(B, K)`` logits.
        size: Side of the input in pixels, for models that take one size only; else None.
        frozen: Names of the parts that stand still; see :meth:`freeze`.
    """

    feature_dim: int
    head: nn.Module
    size: int | None = None
    frozen: tuple[str, ...] = ()

    def feature_map(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, D, h, w)``; for models whose features are its mean."""
        raise NotImplementedError

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, D)``: the mean of the feature map, or a model's own way."""
        return self.feature_map(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, K)`` logits."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def forward_train(self, x: Tensor) -> Outputs:
        """What :meth:`forward` gives, its features, and what else a loss or a mitigation may want."""
        own = type(self)
        if own.feature_map is not ExpressionModel.feature_map and own.features is ExpressionModel.features:
            found = self.feature_map(x)
            features = found.mean((2, 3))
            return Outputs(self.head(features), features, {"map": found})  # a loss may ask for it
        features = self.features(x)
        return Outputs(self.head(features), features)

    def auxiliary(self, outputs: Outputs, targets: Tensor) -> Tensor | None:
        """The network's own loss terms, weighted, beside whatever loss it is trained with; None for none.

        They are added to the loss of each face and take no part in validation. A term of a face stands in its own
        row. One of the whole batch is a scalar: added to every row, it keeps its size in the mean over the faces,
        whose weights have mean 1.

        Args:
            outputs: What :meth:`forward_train` gave, perhaps in bf16.
            targets: ``(B, K)`` as the loss sees them: drawn, mixed.

        Returns:
            ``(B,)`` or ``()``, in float32.
        """
        return None

    @property
    def pretrainable(self) -> ExpressionModel:
        """The network that weights of others are for: this one, or the trunk of one that is built around a trunk."""
        return self

    def parts(self) -> dict[str, nn.Module]:
        """Name -> part of the body, in the order in which a picture passes through them, the head left out."""
        return {name: child for name, child in self.named_children() if name != "head"}

    def freeze(self, names: Collection[str]) -> None:
        """Let parts stand still, and those that stood still before and are not named now move again.

        A part that stands still gets no gradient, keeps its batch statistics and drops nothing: it is a fixed
        function of the picture. Parameters that lie in no part (a class token, say) stand with the first one.

        Args:
            names: Names of :meth:`parts`.
        """
        before, self.frozen = self.frozen, tuple(name for name in self.parts() if name in names)
        for parameter in self.parameters_of([name for name in before if name not in self.frozen]):
            parameter.requires_grad_(True)
        for parameter in self.parameters_of(self.frozen):
            parameter.requires_grad_(False)
        self.train(self.training)

    def parameters_of(self, names: Collection[str]) -> list[nn.Parameter]:
        """The parameters of parts; with the first part, those that lie in none and not in the head."""
        parts = self.parts()
        found = [p for name, part in parts.items() if name in names for p in part.parameters()]
        if next(iter(parts), None) in names:
            inside = {id(p) for part in (*parts.values(), self.head) for p in part.parameters()}
            found += [p for p in self.parameters() if id(p) not in inside]
        return found

    def train(self, mode: bool = True) -> Self:
        """As any module, but what stands still stays in evaluation."""
        super().train(mode)
        if self.frozen:
            parts = self.parts()
            for name in self.frozen:
                parts[name].eval()
        return self


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, then batch normalisation; the size shrinks by the stride alone."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, and the input added back (pooled and projected where shapes differ)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(inputs, outputs, 3, stride), nn.ReLU(inplace=True), conv_bn(outputs, outputs))
        # A strided projection would look at one pixel in four; pooling first looks at all.
        shortcut: list[nn.Module] = []
        if stride > 1:
            shortcut.append(nn.AvgPool2d(stride, ceil_mode=True))
        if stride > 1 or inputs != outputs:
            shortcut.append(conv_bn(inputs, outputs, 1))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` -> ``(B, outputs, H / stride, W / stride)``."""
        return torch.relu(self.shortcut(x) + self.body(x))


def stage(inputs: int, outputs: int, n_blocks: int, stride: int) -> nn.Sequential:
    """Residual blocks of one resolution; the first one strides."""
    first = ResidualBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(ResidualBlock(outputs, outputs) for _ in range(n_blocks - 1)))


class AdaptiveMean(nn.Module):
    """``(B, D, H, W)`` -> ``(B, D, side, side)``: means over windows, as ``nn.AdaptiveAvgPool2d`` has them.

    Written as two products of matrices, for ONNX knows windows of different sizes only where one size divides the
    other, and 48 is not 20 n.

    Args:
        side: Rows and columns of the result.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        if x.shape[-2:] == (self.side, self.side):
            return x
        rows, columns = (self._windows(n, x) for n in x.shape[-2:])
        return rows @ x @ columns.T

    def _windows(self, n: int, like: Tensor) -> Tensor:
        """``(side, n)``: row i holds the weights of the window from floor(i n / side) to ceil((i + 1) n / side).

        Reckoned on the device: nothing is copied to it, so that the network's kernels can be recorded.
        """
        windows = torch.arange(self.side, device=like.device)
        # Floor and ceiling, of numbers above 0: ONNX rounds the division of others towards 0.
        first, last = windows * n // self.side, ((windows + 1) * n + self.side - 1) // self.side
        at = torch.arange(n, device=like.device)
        inside = ((at >= first[:, None]) & (at < last[:, None])).to(like.dtype)
        return inside / inside.sum(1, keepdim=True)


def only_linear(head: nn.Module) -> nn.Linear | None:
    """The one linear layer of a head, beside which it may drop features; None where it is more than that."""
    learnt = [m for m in head.modules() if any(True for _ in m.parameters(recurse=False))]
    others = [m for m in head.modules() if any(True for _ in m.buffers(recurse=False))]
    found = learnt[0] if len(learnt) == 1 and not others else None
    return found if isinstance(found, nn.Linear) else None
