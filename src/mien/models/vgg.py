"""VGG (Simonyan and Zisserman 2015) of 11 to 19 layers, as torchvision builds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import nn
from torchvision.models.vgg import make_layers

from mien.models import MODELS
from mien.models.backbones import Backbone, Factor, for_channels, head_of, numbered, scaled
from mien.models.blocks import AdaptiveMean, Count, Share
from mien.models.published import torchvision_weights


class VGG(Backbone):
    """Five blocks of 3x3 convolutions, each closed by pooling, and two hidden layers.

    Parts: block1 to block5, hidden (pooling to 7x7 and the two hidden layers).

    Source: Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", table 1.

    Args:
        num_classes: K.
        in_channels: 1 or 3.
        batch_norm: Normalise after each convolution; not in the source, and weights of their own.
        pool: Side in pixels of the maps that the hidden layers see (7 as published, from 224 px): smaller ones are
            stretched to it, which costs memory and tells nothing new.
        hidden: Units of each hidden layer (4096 as published).
        dropout: Share dropped after each hidden layer.
        width: Factor of the channels; weights of the library fit at 1 only.
    """

    blocks: ClassVar[tuple[int, ...]]  # convolutions of each block

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        *,
        batch_norm: bool = False,
        pool: Annotated[int, Field(ge=1, le=14)] = 7,
        hidden: Annotated[Count, Field(le=8192)] = 4096,
        dropout: Share = 0.5,
        width: Factor = 1.0,
    ) -> None:
        net: Any = nn.Module()
        channels = [scaled(n, width) for n in (64, 128, 256, 512, 512)]
        layout: list[int | str] = []
        for n, outputs in zip(self.blocks, channels, strict=True):
            layout += [*[outputs] * n, "M"]
        net.features = make_layers(layout, batch_norm=batch_norm)
        net.features[0] = for_channels(net.features[0], in_channels)
        net.classifier = nn.Sequential(
            nn.Linear(channels[-1] * pool**2, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(hidden, num_classes),
        )  # fmt: skip
        _initialise(net)
        parts = numbered("block", _cut(net.features))
        parts["hidden"] = nn.Sequential(AdaptiveMean(pool), nn.Flatten(), *net.classifier[:5])
        super().__init__(net, parts, nn.Identity(), head_of(dropout, net.classifier[6]))
        self.published = torchvision_weights(f"vgg{sum(self.blocks) + 3}" + "_bn" * batch_norm)


def _cut(layers: nn.Sequential) -> Iterator[nn.Sequential]:
    """The blocks, each up to and with its pooling."""
    block: list[nn.Module] = []
    for layer in layers:
        block.append(layer)
        if isinstance(layer, nn.MaxPool2d):
            yield nn.Sequential(*block)
            block = []


def _initialise(net: nn.Module) -> None:
    """As torchvision does, without which nineteen layers without normalisation do not learn.

    A layer of fewer units than published begins larger, so that as much comes out of it.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01 * max(1.0, 4096 / module.in_features) ** 0.5)
            nn.init.zeros_(module.bias)


_TINY = {"width": 0.0625, "hidden": 32, "pool": 2}


@MODELS.register("vgg11", tiny=_TINY)
class VGG11(VGG):
    """VGG-11: 132.9 M parameters on ImageNet's classes. Parts: block1 to block5, hidden."""

    blocks = (1, 1, 2, 2, 2)


@MODELS.register("vgg13", tiny=_TINY)
class VGG13(VGG):
    """VGG-13: 133.0 M parameters on ImageNet's classes. Parts: block1 to block5, hidden."""

    blocks = (2, 2, 2, 2, 2)


@MODELS.register("vgg16", tiny=_TINY | {"batch_norm": True})
class VGG16(VGG):
    """VGG-16: 138.4 M parameters on ImageNet's classes. Parts: block1 to block5, hidden."""

    blocks = (2, 2, 3, 3, 3)


@MODELS.register("vgg19", tiny=_TINY)
class VGG19(VGG):
    """VGG-19: 143.7 M parameters on ImageNet's classes. Parts: block1 to block5, hidden."""

    blocks = (2, 2, 4, 4, 4)
