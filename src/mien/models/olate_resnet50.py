"""The ResNet-50 of Olate 2025, whose 256 features an adversary may read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from mien.models import MODELS
from mien.models.blocks import Count, Depth, Share
from mien.models.resnet_trunk import OnResNet, ResNetTrunk


@MODELS.register("olate_resnet50", tiny={"width": 4, "depths": (1, 1, 1, 1), "hidden": 16})
class OlateResNet50(OnResNet):
    """ResNet-50, mean over its map, batch normalisation, 256 units, and the expression: 24.0 M parameters.

    The features are the 256 units: in the source the adversary against perceived race reads them, as
    ``gradient_reversal`` does here (its hidden layer of 128 and dropout of 0.3 are that method's defaults).

    Parts: trunk.stem, trunk.layer1 to trunk.layer4, norm, hidden. The source begins with ImageNet weights at 224 px
    and holds the first half still (87 of the 175 layers that Keras counts), read here as stem, layer1 and layer2:
    ``model: {weights: imagenet, size: 224, freeze: 3}``. The weights are torchvision's for ResNet-50; norm and hidden
    begin as drawn.

    Source: Olate 2025, section on models: GAP, BN(2048), 256 ReLU, dropout 0.5, K.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        width: Channels of the trunk's first stage (64 as published).
        depths: Blocks of its four stages (3, 4, 6, 3 as published).
        hidden: Units of the embedding (256 as published).
        dropout: Share of them dropped before the head.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        width: Count = 64,
        depths: Annotated[Sequence[Depth], Field(min_length=4, max_length=4)] = (3, 4, 6, 3),
        hidden: Count = 256,
        dropout: Share = 0.5,
    ) -> None:
        super().__init__()
        self.build_on(ResNetTrunk(in_channels, depths=depths, width=width, block=Bottleneck), "resnet50")
        pooled = self.trunk.channels[-1]
        self.norm = nn.BatchNorm1d(pooled)
        self.hidden = nn.Sequential(nn.Linear(pooled, hidden), nn.ReLU(inplace=True))
        self.feature_dim = hidden
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, num_classes))

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, hidden)``."""
        out: Tensor = self.hidden(self.norm(self.trunk(x).mean((2, 3))))
        return out
