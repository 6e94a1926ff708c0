"""MobileNetV2 (Sandler et al. 2018) and MobileNetV3 (Howard et al. 2019), as torchvision builds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import nn
from torchvision.models import MobileNetV2 as TorchvisionMobileNetV2
from torchvision.models import mobilenet_v3_large, mobilenet_v3_small

from mien.models import MODELS
from mien.models.backbones import Backbone, Factor, GlobalMean, for_channels, head_of, numbered, scaled
from mien.models.blocks import Share
from mien.models.published import torchvision_weights

# Of each stage: factor of expansion, channels, blocks, stride (Sandler et al. 2018, table 2).
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


@MODELS.register("mobilenet_v2", tiny={"width": 0.125, "depth": 0.34})
class MobileNetV2(Backbone):
    """MobileNetV2: 3.5 M parameters on ImageNet's classes. Parts: stem, block1 to block17, last.

    A number of parts is an index of the published ``features``: ``model.freeze: 17`` trains ``features[17:]`` and the
    head, as Angioni and Cani do.

    Source: Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", table 2.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        small: For pictures of 32 to 96 px: the stem keeps their size (stride 1). Weights fit all the same.
        dropout: Share of features dropped before the head.
        width: Factor of the channels (the source's width multiplier); weights of the library fit at 1 only.
        depth: Factor of the blocks of each stage, of which one stays; weights of the library fit at 1 only.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        small: bool = False,
        dropout: Share = 0.2,
        width: Factor = 1.0,
        depth: Factor = 1.0,
    ) -> None:
        setting = [[t, c, scaled(n, depth), s] for t, c, n, s in _V2]
        net = TorchvisionMobileNetV2(num_classes, width_mult=width, inverted_residual_setting=setting)
        net.features[0][0] = for_channels(net.features[0][0], in_channels, 1 if small else None)
        super().__init__(net, _stem_blocks_last(net.features), GlobalMean(), head_of(dropout, net.classifier[1]))
        self.published = torchvision_weights("mobilenet_v2")


class MobileNetV3(Backbone):
    """Inverted residuals with gates over channels. Parts: stem, block1 and so on, last, hidden.

    Source: Howard et al. 2019, "Searching for MobileNetV3", tables 1 and 2.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        small: For pictures of 32 to 96 px: the stem keeps their size (stride 1). Weights fit all the same.
        dropout: Share of features dropped before the head.
        width: Factor of the channels (the source's width multiplier); weights of the library fit at 1 only.
    """

    build: ClassVar[Callable[..., Any]]
    published_name: ClassVar[str]

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        small: bool = False,
        dropout: Share = 0.2,
        width: Factor = 1.0,
    ) -> None:
        net = type(self).build(num_classes=num_classes, width_mult=width)
        net.features[0][0] = for_channels(net.features[0][0], in_channels, 1 if small else None)
        parts = _stem_blocks_last(net.features)
        parts["hidden"] = nn.Sequential(GlobalMean(), net.classifier[0], net.classifier[1])
        super().__init__(net, parts, nn.Identity(), head_of(dropout, net.classifier[3]))
        self.published = torchvision_weights(self.published_name)


@MODELS.register("mobilenet_v3_small", tiny={"width": 0.125})
class MobileNetV3Small(MobileNetV3):
    """MobileNetV3-Small: 2.5 M parameters on ImageNet's classes. Parts: stem, block1 to block11, last, hidden."""

    build = staticmethod(mobilenet_v3_small)
    published_name = "mobilenet_v3_small"


@MODELS.register("mobilenet_v3_large", tiny={"width": 0.125})
class MobileNetV3Large(MobileNetV3):
    """MobileNetV3-Large: 5.5 M parameters on ImageNet's classes. Parts: stem, block1 to block15, last, hidden."""

    build = staticmethod(mobilenet_v3_large)
    published_name = "mobilenet_v3_large"


def _stem_blocks_last(features: nn.Sequential) -> dict[str, nn.Module]:
    """The published ``features`` by name; their number is their index there."""
    stem, *blocks, last = features
    return {"stem": stem, **numbered("block", blocks), "last": last}
