"""The VGG13 of FER+ (Barsoum et al. 2016)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from mien.models import MODELS
from mien.models.blocks import Count, ExpressionModel


@MODELS.register("ferplus_vgg13", tiny={"size": 32, "width": 4, "hidden": 16})
class FerPlusVGG13(ExpressionModel):
    """Ten convolutions in four groups, each closed by pooling and dropout, then two hidden layers.

    8.76 M parameters at 64x64 grey. No batch normalisation; Glorot weights, as published.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        size: Side of the input in pixels, a multiple of 16.
        width: Channels of the first group (64 as published).
        hidden: Units of each hidden layer (1024 as published).
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        size: Annotated[int, Field(ge=16, le=1024, multiple_of=16)] = 64,
        width: Count = 64,
        hidden: Count = 1024,
    ) -> None:
        super().__init__()
        self.size = size
        layers: list[nn.Module] = []
        inputs = in_channels
        for outputs, n in ((width, 2), (2 * width, 2), (4 * width, 3), (4 * width, 3)):
            for _ in range(n):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = outputs
            layers += [nn.MaxPool2d(2), nn.Dropout(0.25)]
        flat = inputs * (size // 16) ** 2
        layers += [nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(inplace=True), nn.Dropout(0.5)]
        layers += [nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(0.5)]
        self.body = nn.Sequential(*layers)
        self.feature_dim = hidden
        self.head = nn.Linear(hidden, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, size, size)`` normalised images -> ``(B, hidden)``."""
        out: Tensor = self.body(x)
        return out
