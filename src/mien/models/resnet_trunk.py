"""The body of a ResNet, of torchvision's blocks under torchvision's names, for networks that are built on one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

Block = type[BasicBlock] | type[Bottleneck]


class ResNetTrunk(nn.Module):
    """He et al. 2016 without pool and classifier; weights of torchvision's ResNets fit by name.

    Args:
        in_channels: 1 or 3.
        depths: Blocks of each of the four stages: ``(2, 2, 2, 2)`` is ResNet-18, ``(3, 4, 6, 3)`` 34 and 50.
        width: Channels of the first stage's 3x3 convolutions (64 as published); they double with each stage.
        block: torchvision's ``BasicBlock`` (18, 34) or ``Bottleneck`` (50).
        small: A stem of 3x3 at stride 1 without pool, for faces of about 48 px: 6x6 is left of them, not 2x2.

    Attributes:
        channels: Channels after each stage.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        depths: Sequence[int] = (2, 2, 2, 2),
        width: int = 64,
        block: Block = BasicBlock,
        small: bool = False,
    ) -> None:
        super().__init__()
        kernel, stride = (3, 1) if small else (7, 2)
        self.conv1 = nn.Conv2d(in_channels, width, kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool: nn.Module = nn.Identity() if small else nn.MaxPool2d(3, 2, padding=1)
        stages, inputs = [], width
        for number, depth in enumerate(depths):
            planes = width * 2**number
            stages.append(residual_stage(block, inputs, planes, depth, 1 if number == 0 else 2))
            inputs = planes * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels = tuple(width * 2**number * block.expansion for number in range(len(stages)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``(B, C, H, W)`` -> the maps after each stage, each half as large as the one before."""
        first = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        second = self.layer2(first)
        third = self.layer3(second)
        return first, second, third, self.layer4(third)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> ``(B, channels[-1], h, w)``, of 1/32 of the side (1/8 with ``small``)."""
        return self.maps(x)[-1]


def residual_stage(block: Block, inputs: int, planes: int, depth: int, stride: int) -> nn.Sequential:
    """Blocks of one resolution; the first one strides, and projects its input where the shapes differ."""
    outputs = planes * block.expansion
    shortcut = None
    if stride > 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    first = block(inputs, planes, stride, shortcut)
    return nn.Sequential(first, *(block(outputs, planes) for _ in range(depth - 1)))
