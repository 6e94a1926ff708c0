"""ResNet (He et al. 2016) of 18, 34 and 50 layers, as torchvision builds it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, ClassVar

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from mien.models import MODELS
from mien.models.backbones import Backbone, Factor, GlobalMean, head_of, scaled
from mien.models.blocks import Share
from mien.models.published import torchvision_weights
from mien.models.resnet_trunk import residual_stage


class ResNet(Backbone):
    """Four stages of residual blocks. Parts: stem, layer1, layer2, layer3, layer4.

    Source: He et al. 2016, "Deep residual learning for image recognition", table 1; the stride of a bottleneck
    lies in its 3x3 convolution, as torchvision has it.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        small: For pictures of 32 to 96 px: the stem keeps their size (stride 1, no pooling). Weights fit all the same.
        dropout: Share of features dropped before the head; none as published.
        width: Factor of the channels; weights of the library fit at 1 only.
        depth: Factor of the blocks of each stage, of which one stays; weights of the library fit at 1 only.
    """

    block: ClassVar[type[BasicBlock] | type[Bottleneck]] = BasicBlock
    blocks: ClassVar[tuple[int, ...]]

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
        net: Any = nn.Module()
        inputs = scaled(64, width)
        net.conv1 = nn.Conv2d(in_channels, inputs, 7, 1 if small else 2, padding=3, bias=False)
        net.bn1 = nn.BatchNorm2d(inputs)
        pool = nn.Identity() if small else nn.MaxPool2d(3, 2, padding=1)
        stem: Any = OrderedDict(conv1=net.conv1, bn1=net.bn1, relu=nn.ReLU(inplace=True), maxpool=pool)
        parts: dict[str, nn.Module] = {"stem": nn.Sequential(stem)}
        for i, n in enumerate(self.blocks):
            planes = scaled(64, width) * 2**i
            parts[f"layer{i + 1}"] = residual_stage(self.block, inputs, planes, scaled(n, depth), min(i + 1, 2))
            inputs = planes * self.block.expansion
            net.add_module(f"layer{i + 1}", parts[f"layer{i + 1}"])
        net.fc = nn.Linear(inputs, num_classes)
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(net, parts, GlobalMean(), head_of(dropout, net.fc))
        self.published = torchvision_weights(f"resnet{sum(self.blocks) * (2 if self.block is BasicBlock else 3) + 2}")


@MODELS.register("resnet18", tiny={"width": 0.125, "depth": 0.5})
class ResNet18(ResNet):
    """ResNet-18: 11.7 M parameters on ImageNet's classes. Parts: stem, layer1 to layer4."""

    blocks = (2, 2, 2, 2)


@MODELS.register("resnet34", tiny={"width": 0.125, "depth": 0.34})
class ResNet34(ResNet):
    """ResNet-34: 21.8 M parameters on ImageNet's classes. Parts: stem, layer1 to layer4."""

    blocks = (3, 4, 6, 3)


@MODELS.register("resnet50", tiny={"width": 0.125, "depth": 0.25})
class ResNet50(ResNet):
    """ResNet-50: 25.6 M parameters on ImageNet's classes, in bottlenecks. Parts: stem, layer1 to layer4."""

    block = Bottleneck
    blocks = (3, 4, 6, 3)
