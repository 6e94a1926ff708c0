"""EfficientNet (Tan and Le 2019) B0 to B7, as torchvision builds it."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar

from pydantic import Field
from torch import nn
from torchvision.models import efficientnet

from mien.models import MODELS
from mien.models.backbones import Backbone, Factor, GlobalMean, for_channels, head_of, numbered
from mien.models.blocks import Share
from mien.models.published import torchvision_weights

# Of each stage of B0: expansion, kernel, stride, channels before and after, blocks (Tan and Le 2019, table 1).
_B0 = (
    (1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3), (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1),
)  # fmt: skip
# B5 to B7 are published with the normalisation of the first port, in which their weights were learnt.
_FIRST_PORT = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)


class EfficientNet(Backbone):
    """Seven stages of inverted residuals with gates over channels. Parts: stem, stage1 to stage7, last.

    A number of parts is an index of the published ``features``: ``model.freeze: 7`` trains ``features[7:]`` and the
    head, as Angioni and Cani do with B1.

    Source: Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks", table 1,
    scaled by their factors of width and depth. B1 has 23 blocks; the 16 that Angioni and Cani give it are those of B0.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        small: For pictures of 32 to 96 px: the stem keeps their size (stride 1). Weights fit all the same.
        dropout: Share of features dropped before the head; the published one of each size if absent (0.2 to 0.5).
        drop_path: Largest probability that a block is left out of a training step; rises with depth.
        width: Factor of the size's channels; weights of the library fit at 1 only.
        depth: Factor of the size's blocks, of which one a stage stays; weights of the library fit at 1 only.
    """

    size_name: ClassVar[str]
    scale: ClassVar[tuple[float, float]]  # of width and depth, over B0
    own_dropout: ClassVar[float]
    norm: ClassVar[partial[nn.BatchNorm2d] | None] = None

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        small: bool = False,
        dropout: Annotated[float | None, Field(ge=0, lt=1)] = None,
        drop_path: Share = 0.2,
        width: Factor = 1.0,
        depth: Factor = 1.0,
    ) -> None:
        wide, deep = self.scale[0] * width, self.scale[1] * depth
        setting = [efficientnet.MBConvConfig(*row, wide, deep) for row in _B0]
        net = efficientnet.EfficientNet(
            setting, self.own_dropout, stochastic_depth_prob=drop_path, num_classes=num_classes, norm_layer=self.norm
        )
        net.features[0][0] = for_channels(net.features[0][0], in_channels, 1 if small else None)
        stem, *stages, last = net.features
        parts = {"stem": stem, **numbered("stage", stages), "last": last}
        share: Share = self.own_dropout if dropout is None else dropout
        super().__init__(net, parts, GlobalMean(), head_of(share, net.classifier[1]))
        self.published = torchvision_weights(f"efficientnet_{self.size_name}")


_TINY = {"width": 0.125, "depth": 0.25}


@MODELS.register("efficientnet_b0", tiny=_TINY)
class EfficientNetB0(EfficientNet):
    """EfficientNet-B0: 5.3 M parameters on ImageNet's classes at 224 px. Parts: stem, stage1 to stage7, last."""

    size_name, scale, own_dropout = "b0", (1.0, 1.0), 0.2


@MODELS.register("efficientnet_b1", tiny=_TINY)
class EfficientNetB1(EfficientNet):
    """EfficientNet-B1: 7.8 M parameters on ImageNet's classes at 240 px. Parts: stem, stage1 to stage7, last."""

    size_name, scale, own_dropout = "b1", (1.0, 1.1), 0.2


@MODELS.register("efficientnet_b2", tiny=_TINY)
class EfficientNetB2(EfficientNet):
    """EfficientNet-B2: 9.1 M parameters on ImageNet's classes at 288 px. Parts: stem, stage1 to stage7, last."""

    size_name, scale, own_dropout = "b2", (1.1, 1.2), 0.3


@MODELS.register("efficientnet_b3", tiny=_TINY)
class EfficientNetB3(EfficientNet):
    """EfficientNet-B3: 12.2 M parameters on ImageNet's classes at 300 px. Parts: stem, stage1 to stage7, last."""

    size_name, scale, own_dropout = "b3", (1.2, 1.4), 0.3


@MODELS.register("efficientnet_b4", tiny=_TINY)
class EfficientNetB4(EfficientNet):
    """EfficientNet-B4: 19.3 M parameters on ImageNet's classes at 380 px. Parts: stem, stage1 to stage7, last."""

    size_name, scale, own_dropout = "b4", (1.4, 1.8), 0.4


@MODELS.register("efficientnet_b5", tiny=_TINY)
class EfficientNetB5(EfficientNet):
    """EfficientNet-B5: 30.4 M parameters on ImageNet's classes at 456 px. Parts: stem, stage1 to stage7, last."""

    size_name, scale, own_dropout = "b5", (1.6, 2.2), 0.4
    norm = _FIRST_PORT


@MODELS.register("efficientnet_b6", tiny=_TINY)
class EfficientNetB6(EfficientNet):
    """EfficientNet-B6: 43.0 M parameters on ImageNet's classes at 528 px. Parts: stem, stage1 to stage7, last."""

    size_name, scale, own_dropout = "b6", (1.8, 2.6), 0.5
    norm = _FIRST_PORT


@MODELS.register("efficientnet_b7", tiny=_TINY)
class EfficientNetB7(EfficientNet):
    """EfficientNet-B7: 66.3 M parameters on ImageNet's classes at 600 px. Parts: stem, stage1 to stage7, last."""

    size_name, scale, own_dropout = "b7", (2.0, 3.1), 0.5
    norm = _FIRST_PORT
