"""Two plain CNNs from the literature, as their texts describe them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from mien.models import MODELS
from mien.models.blocks import Count, ExpressionModel, Share


@MODELS.register("angioni_cnn", tiny={"size": 32, "width": 4, "hidden": 16})
class AngioniCNN(ExpressionModel):
    """The custom CNN of Angioni and Cani: three convolutions (32, 64, 128), one hidden layer of 512.

    Their text pools once, "after the block", which gives 37.8 M parameters at 48 px; ``pool_each``
    pools after every convolution instead (2.5 M). A ReLU after each convolution is ours: they name one for the hidden
    layer alone.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        size: Side of the input in pixels, 8 or more.
        pool_each: Pool after every convolution.
        width: Channels of the first convolution (32 as published).
        hidden: Units of the hidden layer (512 as published).
        dropout: Share dropped before the hidden layer.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        size: Annotated[int, Field(ge=8, le=1024)] = 48,
        pool_each: bool = False,
        width: Count = 32,
        hidden: Count = 512,
        dropout: Share = 0.5,
    ) -> None:
        super().__init__()
        self.size = size
        layers: list[nn.Module] = []
        inputs = in_channels
        for outputs in (width, 2 * width, 4 * width):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            if pool_each:
                layers.append(nn.MaxPool2d(2))
            inputs = outputs
        if not pool_each:
            layers.append(nn.MaxPool2d(2))
        side = size // 8 if pool_each else size // 2
        layers += [nn.Dropout(dropout), nn.Flatten(), nn.Linear(inputs * side * side, hidden), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers)
        self.feature_dim = hidden
        self.head = nn.Linear(hidden, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, size, size)`` normalised images -> ``(B, hidden)``."""
        out: Tensor = self.body(x)
        return out


@MODELS.register("olate_cnn", tiny={"size": 32, "width": 4, "hidden": 16})
class OlateCNN(ExpressionModel):
    """The CNN of Olate 2025: three unpadded convolutions with pooling, then 128 units; 0.36 M at 48 px.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        size: Side of the input in pixels, 22 or more.
        width: Channels of the first convolution (32 as published).
        hidden: Units of the hidden layer (128 as published).
        dropout: Share dropped before the head.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        size: Annotated[int, Field(ge=22, le=1024)] = 48,
        width: Count = 32,
        hidden: Count = 128,
        dropout: Share = 0.5,
    ) -> None:
        super().__init__()
        self.size = size
        layers: list[nn.Module] = []
        inputs, side = in_channels, size
        for outputs in (width, 2 * width, 4 * width):
            layers += [nn.Conv2d(inputs, outputs, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            inputs, side = outputs, (side - 2) // 2
        layers += [nn.Flatten(), nn.Linear(inputs * side * side, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers)
        self.feature_dim = hidden
        self.head = nn.Linear(hidden, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, size, size)`` normalised images -> ``(B, hidden)``."""
        out: Tensor = self.body(x)
        return out
