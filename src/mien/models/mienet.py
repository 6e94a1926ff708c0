"""MieNet: the small residual network that Mien trains on two cores and ships."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from torch import Tensor, nn

from mien.models import MODELS
from mien.models.blocks import Count, Depth, ExpressionModel, Share, Stages, conv_bn, stage


@MODELS.register("mienet", tiny={"widths": (16, 32), "depths": (1, 1), "stem": 8})
class MieNet(ExpressionModel):
    """Residual network of 3.0 M parameters for aligned grey or colour faces of 40 to 112 pixels.

    The stem works at full size; each stage halves the picture. Channel counts are
    multiples of 32, which bf16 matrix units like.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        widths: Channels of each stage.
        depths: Residual blocks of each stage; as many numbers as widths.
        stem: Channels of the stem.
        stem_stride: 2 halves the picture in the stem already, for pictures of 80 px and more.
        dropout: Share of features dropped before the head.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        widths: Annotated[Sequence[Count], Stages] = (64, 128, 256),
        depths: Annotated[Sequence[Depth], Stages] = (2, 3, 2),
        stem: Count = 16,
        stem_stride: Count = 1,
        dropout: Share = 0.2,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(in_channels, stem, 3, stem_stride), nn.ReLU(inplace=True))
        if len(widths) != len(depths):
            raise ValueError(f"widths has {len(widths)} stages and depths has {len(depths)}")
        stages, inputs = [], stem
        for width, depth in zip(widths, depths, strict=True):
            stages.append(stage(inputs, width, depth, 2))
            inputs = width
        self.stages = nn.Sequential(*stages)
        self.feature_dim = inputs
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, num_classes))

    def parts(self) -> dict[str, nn.Module]:
        """``stem``, then ``stage1`` and so on."""
        return {"stem": self.stem, **{f"stage{i}": stage for i, stage in enumerate(self.stages, 1)}}

    def feature_map(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, D, h, w)``, whose mean are the features."""
        found: Tensor = self.stages(self.stem(x))
        return found
