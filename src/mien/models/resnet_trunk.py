"""The body of a ResNet, of torchvision's blocks under torchvision's names, and what networks built on one share."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from mien.models.backbones import LibraryModel
from mien.models.published import torchvision_weights

Block = type[BasicBlock] | type[Bottleneck]


class ResNetTrunk(nn.Module):
    """He et al. 2016 without pool and classifier; weights of torchvision's ResNets fit by name.

    Args:
        in_channels: 1 or 3.
        depths: Blocks of each of the four stages: ``(2, 2, 2, 2)`` is ResNet-18, ``(3, 4, 6, 3)`` 34 and 50.
        width: Channels of the first stage's 3x3 convolutions (64 as published); they double with each stage.
        block: torchvision's ``BasicBlock`` (18, 34) or ``Bottleneck`` (50).
        small: A stem at stride 1 without pool, for faces of about 48 px: 6x6 is left of them, not 2x2. Weights fit
            all the same.

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
        self.conv1 = nn.Conv2d(in_channels, width, 7, 1 if small else 2, padding=3, bias=False)
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


class OnResNet(LibraryModel):
    """A network built on the trunk of a ResNet, which may begin with a ResNet's weights: ImageNet's, or those of a run.

    Parts: the trunk's stem and four stages one by one, ``trunk.stem`` to ``trunk.layer4``, among the others.

    Attributes:
        trunk: The trunk; see :meth:`build_on`.
    """

    trunk: ResNetTrunk

    def build_on(self, trunk: ResNetTrunk, library: str) -> None:
        """Take a trunk; called once, where it shall stand among the parts.

        Args:
            trunk: The trunk.
            library: What torchvision calls the network whose weights it takes: ``resnet18``.
        """
        self.trunk = trunk
        self.published = torchvision_weights(library)
        # The library's head reads the trunk, and ours something else: it has a name, and no place.
        self.published_keys = {f"head.{library}.{kind}": f"fc.{kind}" for kind in ("weight", "bias")}
        self.published_keys |= {f"trunk.{name}": name for name in trunk.state_dict()}

    def parts(self) -> dict[str, nn.Module]:
        """Name -> part of the body in order, the trunk in five."""
        found: dict[str, nn.Module] = {}
        for name, part in super().parts().items():
            found |= _parts_of(self.trunk) if part is self.trunk else {name: part}
        return found


def _parts_of(trunk: ResNetTrunk) -> dict[str, nn.Module]:
    stem: nn.Module = nn.Sequential(trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool)  # the same modules, together
    stages = (trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4)
    return {"trunk.stem": stem} | {f"trunk.layer{i}": stage for i, stage in enumerate(stages, 1)}
