"""DenseNet (Huang et al. 2017) of 121, 169 and 201 layers, as torchvision builds it."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import ClassVar

from torch import nn
from torchvision.models import densenet

from mien.models import MODELS
from mien.models.backbones import Backbone, Factor, GlobalMean, for_channels, head_of, scaled
from mien.models.blocks import Share
from mien.models.published import torchvision_weights


def _new_names(key: str) -> str:
    """Names of the published files, in which the two layers of a kind were numbered by a dot."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])", r"\1\2", key)


class DenseNet(Backbone):
    """Four blocks whose layers see all maps before them. Parts: stem, block1, transition1, ..., block4, last.

    Source: Huang et al. 2017, "Densely connected convolutional networks", table 1 (DenseNet-BC, growth 32).

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        small: For pictures of 32 to 96 px: the stem keeps their size (stride 1, no pooling). Weights fit all the same.
        dropout: Share of features dropped before the head; none as published.
        width: Factor of the channels; weights of the library fit at 1 only.
        depth: Factor of the layers of each block, of which one stays; weights of the library fit at 1 only.
    """

    layers: ClassVar[tuple[int, int, int, int]]
    dialects = (_new_names,)

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        small: bool = False,
        dropout: Share = 0.0,
        width: Factor = 1.0,
        depth: Factor = 1.0,
    ) -> None:
        growth, first = scaled(32, width), scaled(64, width, 2)
        net = densenet.DenseNet(
            growth, tuple(scaled(n, depth) for n in self.layers), first, num_classes=num_classes  # type: ignore[arg-type]
        )  # fmt: skip
        body = net.features
        body.conv0 = for_channels(body.conv0, in_channels, 1 if small else None)
        stem = OrderedDict((name, getattr(body, name)) for name in ("conv0", "norm0", "relu0", "pool0"))
        if small:
            stem["pool0"] = nn.Identity()
        parts: dict[str, nn.Module] = {"stem": nn.Sequential(stem)}
        for i in range(1, 5):
            parts[f"block{i}"] = getattr(body, f"denseblock{i}")
            if i < 4:
                parts[f"transition{i}"] = getattr(body, f"transition{i}")
        parts["last"] = nn.Sequential(OrderedDict(norm5=body.norm5, relu=nn.ReLU(inplace=True)))
        super().__init__(net, parts, GlobalMean(), head_of(dropout, net.classifier))
        self.published = torchvision_weights(f"densenet{2 * sum(self.layers) + 5}")


@MODELS.register("densenet121", tiny={"width": 0.125, "depth": 0.125})
class DenseNet121(DenseNet):
    """DenseNet-121: 8.0 M parameters on ImageNet's classes. Parts: stem, block1, transition1, ..., block4, last."""

    layers = (6, 12, 24, 16)


@MODELS.register("densenet169", tiny={"width": 0.125, "depth": 0.0625})
class DenseNet169(DenseNet):
    """DenseNet-169: 14.1 M parameters on ImageNet's classes. Parts: stem, block1, transition1, ..., block4, last."""

    layers = (6, 12, 32, 32)


@MODELS.register("densenet201", tiny={"width": 0.125, "depth": 0.0625})
class DenseNet201(DenseNet):
    """DenseNet-201: 20.0 M parameters on ImageNet's classes. Parts: stem, block1, transition1, ..., block4, last."""

    layers = (6, 12, 48, 32)
