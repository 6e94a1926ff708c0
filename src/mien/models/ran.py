"""Region attention network (Wang et al. 2020): a face and five parts of it, weighed against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mien.models import MODELS
from mien.models.blocks import Count, Depth, Outputs
from mien.models.resnet_trunk import OnResNet, ResNetTrunk

Box = tuple[float, float, float, float]

# Left, top, right, bottom as shares of the side.
PARTS: tuple[Box, ...] = (
    (0.125, 0.25, 0.875, 1.0),  # centre, low
    (0.0, 0.0, 0.75, 0.75),  # top left
    (0.25, 0.0, 1.0, 0.75),  # top right
    (0.05, 0.05, 0.95, 0.95),  # centre
    (0.075, 0.075, 0.925, 0.925),  # centre, a second one
)
SMALLEST, LARGEST = 0.7, 0.95  # sides of random parts, as shares


def cut(x: Tensor, box: Box) -> Tensor:
    """A part of ``(B, C, H, W)`` pictures at the size of the whole."""
    height, width = int(x.shape[2]), int(x.shape[3])  # numbers, also where the network is traced for ONNX
    left, right = round(box[0] * width), round(box[2] * width)
    top, bottom = round(box[1] * height), round(box[3] * height)
    part = x[:, :, top:bottom, left:right]
    return functional.interpolate(part, size=(height, width), mode="bilinear", align_corners=False)


def drawn_boxes(n: int = len(PARTS)) -> tuple[Box, ...]:
    """Squares of 0.7 to 0.95 of the side anywhere in the picture, from torch's generator."""
    # Of the processor's generator, so that one seed draws the same on every device.
    side, left, top = torch.rand(3, n).tolist()
    found = []
    for s, x, y in zip(side, left, top, strict=True):
        share = SMALLEST + (LARGEST - SMALLEST) * s
        found.append((x * (1 - share), y * (1 - share), x * (1 - share) + share, y * (1 - share) + share))
    return tuple(found)


@MODELS.register("ran", tiny={"width": 8, "depths": (1, 1, 1, 1), "small": True})
class RegionAttention(OnResNet):
    """A shared ResNet-18 sees five parts of a face and the whole, which attention joins to one feature: 11.2 M.

    Of the six features F_i, self-attention alpha_i = sigmoid(w F_i) makes v = sum alpha_i F_i / sum alpha_i, relation
    attention beta_i = sigmoid(u [F_i, v]), and the feature is sum alpha_i beta_i [F_i, v] / sum alpha_i beta_i, of
    1,024 numbers. In training a rank loss (:meth:`auxiliary`) asks that some part weighs more than the whole face.

    The six pictures are one batch of 6 B: the network takes six times the memory and time of its trunk, and
    batch statistics are those of all parts together (the authors' code normalises each part by itself in training).

    Source: Wang et al. 2020, "Region attention networks for pose and occlusion robust facial expression recognition",
    IEEE TIP 29, as their equations have it; 88.55 % there from face-pre-trained weights. A public
    reimplementation puts the whole face first while its loss expects it last: here it is last, :attr:`WHOLE`.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        small: A stem at stride 1, for inputs of about 48 px; the published one is for 224.
        softmax: Pass alpha and beta through a softmax over the six, as the code released for FERPlus does after the
            sigmoid; no part can then lead the whole face by more than (e - 1) / (e + 5) = 0.22.
        crops: ``fixed`` parts, or ``random`` ones of 0.7 to 0.95 of the side in training, the same for all faces of a
            batch; validation and use always see the fixed ones.
        margin: m of the rank loss (0.1 in the code).
        rank_weight: Factor of the rank loss (1 as published); 0 for none.
        width: Channels of the trunk's first stage (64 as published).
        depths: Blocks of its four stages (2, 2, 2, 2 as published).
    """

    WHOLE = len(PARTS)  # where the whole face stands among the six: last

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        small: bool = False,
        softmax: bool = False,
        crops: Literal["fixed", "random"] = "fixed",
        margin: Annotated[float, Field(ge=0, le=1)] = 0.1,
        rank_weight: Annotated[float, Field(ge=0, le=1000)] = 1.0,
        width: Count = 64,
        depths: Annotated[Sequence[Depth], Field(min_length=4, max_length=4)] = (2, 2, 2, 2),
    ) -> None:
        super().__init__()
        self.softmax, self.crops, self.margin, self.rank_weight = softmax, crops, margin, rank_weight
        self.build_on(ResNetTrunk(in_channels, depths=depths, width=width, small=small), "resnet18")
        dim = self.trunk.channels[-1]
        self.alpha, self.beta = nn.Linear(dim, 1), nn.Linear(2 * dim, 1)
        self.feature_dim = 2 * dim
        self.head = nn.Linear(2 * dim, num_classes)

    def pieces(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> ``(B, 6, C, H, W)``: the parts, and the whole face last."""
        boxes = drawn_boxes() if self.crops == "random" and self.training else PARTS
        return torch.stack([*(cut(x, box) for box in boxes), x], dim=1)

    def attend(self, parts: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, 6, C, H, W)`` parts -> ``(B, 2 D)`` feature and ``(B, 6)`` self-attention."""
        one = self.trunk(parts.flatten(0, 1)).mean((2, 3))
        each = one.unflatten(0, (-1, len(PARTS) + 1))
        alpha = self._weights(self.alpha(each))
        whole = (alpha * each).sum(1, keepdim=True) / alpha.sum(1, keepdim=True)
        related = torch.cat([each, whole.expand_as(each)], dim=2)
        weights = alpha * self._weights(self.beta(related))
        return (weights * related).sum(1) / weights.sum(1), alpha.squeeze(2)

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, 2 D)``."""
        return self.attend(self.pieces(x))[0]

    def forward_train(self, x: Tensor) -> Outputs:
        """Logits, features, and ``alpha``: ``(B, 6)`` self-attention."""
        features, alpha = self.attend(self.pieces(x))
        return Outputs(self.head(features), features, {"alpha": alpha})

    def auxiliary(self, outputs: Outputs, targets: Tensor) -> Tensor | None:
        """``(B,)`` region-biased loss, max(0, m - (max of the parts' alpha - alpha of the whole))."""
        alpha = outputs.extra["alpha"].float()
        lead = alpha[:, : self.WHOLE].amax(1) - alpha[:, self.WHOLE]
        return self.rank_weight * (self.margin - lead).clamp(min=0)

    def _weights(self, scores: Tensor) -> Tensor:
        """``(B, 6, 1)`` scores -> weights."""
        weights = scores.sigmoid()
        return weights.softmax(1) if self.softmax else weights
