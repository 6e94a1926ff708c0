"""What the style of a picture is told by: maps of four layers of a network that stands still."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.errors import ConfigError
from mien.models import MODELS
from mien.models.blocks import ExpressionModel
from mien.models.card import WEIGHTS, WeightCard
from mien.models.pretrained import load_pretrained
from mien.models.published_network import LibraryNetwork
from mien.models.weights import Classifier
from mien.pictures.preprocessing import OF_OWN_RANGE
from mien.pictures.tensors import normalised, preprocessed

_STYLE_WIDTHS = (16, 32, 64, 64)
DRAWN = "drawn"
ANNOTATOR = "annotator"
_IN_THE_BOX = Path(__file__).parents[1] / "annotators" / "fairface_mienet"  # a folder of weights as any other
KEY = "mitigation.options.style_network"


class DrawnStyle(nn.Module):
    """Four convolutions whose weights stay as they were drawn, each after the first at half the size.

    Args:
        in_channels: 1 or 3.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        channels = (in_channels, *_STYLE_WIDTHS)
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip(channels[:-1], channels[1:], strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """``(B, C, H, W)`` -> the maps of the four layers."""
        found = []
        for number, layer in enumerate(self.layers):
            x = layer(x if number == 0 else functional.avg_pool2d(x, 2)).relu()
            found.append(x)
        return found


class LearntStyle(nn.Module):
    """The first four parts of a trained network, which stand still and see pictures as it learnt them, in our size.

    Args:
        network: The network.
        mean: What it wants subtracted from pixels of 0 to 1, a number a channel.
        std: What they are then divided by.
        ours: The card of the network that learns, in whose range pictures come.
        preprocess: Steps that it wants taken on pictures before.
        before_pooling: Whether the map of a part that ends in pooling is that before it, as the style loss takes VGG's.

    Raises:
        ConfigError: If no gradient comes through its steps.
    """

    def __init__(
        self,
        network: ExpressionModel,
        mean: Sequence[float],
        std: Sequence[float],
        ours: WeightCard,
        preprocess: Sequence[str] = (),
        *,
        before_pooling: bool = False,
    ) -> None:
        super().__init__()
        if "equalise" in preprocess:
            found = "its network sees pictures after 'equalise', through which no gradient comes"
            raise ConfigError(KEY, found, f"{DRAWN}, or a network without that step")
        parts = list(network.parts().values())[:4]
        halves = [_halves(part) if before_pooling else (part, nn.Identity()) for part in parts]
        self.layers, self.pools = (nn.ModuleList(each) for each in zip(*halves, strict=True))
        self.ours, self.mean, self.std, self.preprocess = ours, tuple(mean), tuple(std), tuple(preprocess)

    def forward(self, x: Tensor) -> list[Tensor]:
        """``(B, C, H, W)`` -> the maps of the parts."""
        levels = normalised(x, [-m / s for m, s in zip(self.ours.mean, self.ours.std, strict=True)],
                            [1 / s for s in self.ours.std])  # fmt: skip
        x = normalised(preprocessed(levels, self.preprocess), self.mean, self.std)
        found = []
        for layer, pool in zip(self.layers, self.pools, strict=True):
            found.append(layer(x))
            x = pool(found[-1])
        return found


def _halves(part: nn.Module) -> tuple[nn.Module, nn.Module]:
    """A part up to the pooling that it ends in, as those of VGG do, and that pooling; else all of it, and nothing."""
    if isinstance(part, nn.Sequential) and isinstance(part[-1], nn.MaxPool2d):
        return part[:-1], part[-1]
    return part, nn.Identity()


def style_network(asked: str, channels: int, ours: WeightCard | None) -> nn.Module:
    """The network that tells style.

    Args:
        asked: ``drawn``, ``annotator``, a network of a library (``vgg16``, ``vgg16=FILE``), or the folder of a run or
            of weights.
        channels: 1 or 3.
        ours: The card of the network that learns, which all but ``drawn`` need.

    Raises:
        ConfigError: If it does not take such pictures.
        WeightsError: If a library's weights are neither here nor can be downloaded.
    """
    if asked == DRAWN:
        return DrawnStyle(channels)
    if ours is None:
        raise ValueError("a network that has learnt wants pictures as it learnt them: pictures_are is told first")
    if away := set(ours.preprocess) & set(OF_OWN_RANGE):
        found = f"pictures after {sorted(away)[0]!r} cannot be brought back to those that it learnt"
        raise ConfigError(KEY, found, f"{DRAWN}, or no such step in preprocess")
    if (library := LibraryNetwork.read(asked, KEY)) is not None:
        network, about = library.load(channels)
        return LearntStyle(network, about["mean"], about["std"], ours, before_pooling=True)
    classifier = Classifier.load(weights_folder(asked))
    card, network = classifier.card, classifier.module
    mean, std = card.mean, card.std
    alike = len(set(mean)) == len(set(std)) == 1
    if card.in_channels == 3 and channels == 1 and alike:  # what it says of a grey picture's three equal channels
        network = MODELS.get(card.model)(len(card.classes), channels, **card.options)
        load_pretrained(network, weights_folder(asked) / WEIGHTS)
        mean, std = mean[:1], std[:1]
    elif card.in_channels != channels:
        raise ConfigError(KEY, f"takes {card.in_channels} channels", f"{channels}, as the store has")
    return LearntStyle(network, mean, std, ours, card.preprocess)


def weights_folder(asked: str) -> Path:
    """The folder of weights that is meant: ``annotator`` is the network of the annotator in the box."""
    return _IN_THE_BOX if asked == ANNOTATOR else Path(asked)


def gram(maps: Tensor) -> Tensor:
    """``(B, C, H, W)`` -> ``(B, C, C)``: sums over places of products of channels, over C H W (Johnson et al. 2016).

    In single precision, whatever the network computes in: what two pictures differ by is small beside them.

    >>> gram(torch.tensor([[[[1.0, 2.0]], [[0.0, 1.0]]]])).tolist()
    [[[1.25, 0.5], [0.5, 0.25]]]
    """
    b, c, h, w = maps.shape
    with torch.autocast(maps.device.type, enabled=False):
        flat = maps.float().reshape(b, c, h * w)
        return flat @ flat.mT / (c * h * w)
