"""Distract your attention network (Wen et al. 2023): several attention heads that are told to differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from mien.errors import UsageError
from mien.models import MODELS
from mien.models.blocks import Count, Depth, Outputs
from mien.models.resnet_trunk import OnResNet, ResNetTrunk

Weight = Annotated[float, Field(ge=0, le=1000)]
SMALLEST = 1e-6  # of what is divided by: the variance of heads, or of centres, may vanish


class SpatialAttention(nn.Module):
    """A map of one channel, from convolutions of three shapes, that weighs every place.

    Args:
        channels: Of the input; half of them in between.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.narrow = _conv(channels, half, (1, 1))
        self.shapes = nn.ModuleList(_conv(half, channels, kernel) for kernel in ((3, 3), (1, 3), (3, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> the same, weighed."""
        narrow = self.narrow(x)
        found = torch.stack([shape(narrow) for shape in self.shapes]).sum(0).relu()
        weighed: Tensor = x * found.sum(1, keepdim=True)
        return weighed


class AttentionHead(nn.Module):
    """Places, then channels.

    Args:
        channels: Of the map.
        narrow: Units between the channels (32 as published).
    """

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.places = SpatialAttention(channels)
        self.channels = nn.Sequential(
            nn.Linear(channels, narrow), nn.BatchNorm1d(narrow), nn.ReLU(inplace=True), nn.Linear(narrow, channels)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            elif isinstance(module, nn.Linear):  # as released: every channel begins with half its weight
                nn.init.normal_(module.weight, std=0.001)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> ``(B, C)``."""
        pooled: Tensor = self.places(x).mean((2, 3))
        weights: Tensor = self.channels(pooled).sigmoid()
        return pooled * weights


@MODELS.register("dan", tiny={"width": 8, "depths": (1, 1, 1, 1), "narrow": 4})
class DistractAttention(OnResNet):
    """ResNet-18, four attention heads on its map, and their log-softmax over the heads summed: 19.7 M parameters.

    Two terms of its own join the loss (:meth:`auxiliary`): the affinity loss draws the pooled maps of a class to its
    centre, which is learnt, and the partition loss draws the heads apart. The logits are batch-normalised, so that a
    training batch needs two faces.

    Source: Wen, Lin, Wang and Xu 2023, "Distract your attention: multi-head cross attention network for facial
    expression recognition", Biomimetics 8, as their code has it: 224 px, face-pre-trained weights
    (MS-Celeb-1M), SGD 0.1, batches of 256, the rate divided by 10 every ten epochs, 40 epochs for RAF-DB.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        heads: Attention heads (4 as published); with one there is no partition loss.
        affinity_weight: Factor of the affinity loss (1 as published).
        partition_weight: Factor of the partition loss (1 as published).
        small: A stem at stride 1, for inputs of about 48 px; the published one is for 224.
        width: Channels of the trunk's first stage (64 as published).
        depths: Blocks of its four stages (2, 2, 2, 2 as published).
        narrow: Units between the channels of a head (32 as published).
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        heads: Annotated[int, Field(ge=1, le=64)] = 4,
        affinity_weight: Weight = 1.0,
        partition_weight: Weight = 1.0,
        small: bool = False,
        width: Count = 64,
        depths: Annotated[Sequence[Depth], Field(min_length=4, max_length=4)] = (2, 2, 2, 2),
        narrow: Count = 32,
    ) -> None:
        super().__init__()
        self.affinity_weight, self.partition_weight = affinity_weight, partition_weight
        self.build_on(ResNetTrunk(in_channels, depths=depths, width=width, small=small), "resnet18")
        dim = self.trunk.channels[-1]
        self.attention = nn.ModuleList(AttentionHead(dim, narrow) for _ in range(heads))
        # Saved with the rest: of no use where the weights are used, but 14 kB, and a resumed run needs them.
        self.centres = nn.Parameter(torch.randn(num_classes, dim))
        self.feature_dim = dim
        self.head = nn.Sequential(nn.Linear(dim, num_classes), nn.BatchNorm1d(num_classes))

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, C, H, W)`` -> ``(B, D)`` means over the map, and ``(B, heads, D)``.

        Raises:
            UsageError: On a training batch of one face.
        """
        if self.training and len(x) == 1:
            expected = "two faces or more in each process's batch, for the logits are normalised over it"
            raise UsageError("dan", "a training batch of one face", expected, "Raise train.batch_size.")
        maps = self.trunk(x)
        heads = torch.stack([head(maps) for head in self.attention], dim=1)
        # Over the heads, not the channels: what one head has more of, the others have less of.
        return maps.mean((2, 3)), heads.log_softmax(1) if len(self.attention) > 1 else heads

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, D)``, summed over the heads."""
        return self.attend(x)[1].sum(1)

    def forward_train(self, x: Tensor) -> Outputs:
        """Logits, features, ``pooled``: ``(B, D)`` means over the map, and ``heads``: ``(B, heads, D)``."""
        pooled, heads = self.attend(x)
        features = heads.sum(1)
        return Outputs(self.head(features), features, {"pooled": pooled, "heads": heads})

    def auxiliary(self, outputs: Outputs, targets: Tensor) -> Tensor | None:
        """``(B,)`` affinity and partition loss with their weights."""
        found = self.affinity_weight * self.affinity(outputs.extra["pooled"].float(), targets)
        if len(self.attention) > 1:
            found = found + self.partition_weight * partition(outputs.extra["heads"].float())
        return found

    def affinity(self, pooled: Tensor, targets: Tensor) -> Tensor:
        """``(B,)``: the squared distance to the class's centre over the summed variance of the centres.

        Targets that are shares of classes weigh the distances to all of their centres; for one-hot ones that is the
        published loss.
        """
        centres = self.centres[: targets.shape[1]]  # what it says beside the classes has no centre
        distances = (pooled[:, None] - centres).square().sum(2)
        spread = centres.var(0).sum() if len(centres) > 1 else centres.new_ones(())
        return (targets * distances).sum(1) / spread.clamp(min=SMALLEST)


def partition(heads: Tensor) -> Tensor:
    """``()``: log(1 + K / variance over the K heads), the mean over faces and channels inside, as released.

    Args:
        heads: ``(B, K, D)``, K above 1: one head has no variance.
    """
    return torch.log1p(heads.shape[1] / heads.var(1).mean().clamp(min=SMALLEST))


def _conv(inputs: int, outputs: int, kernel: tuple[int, int]) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs))
