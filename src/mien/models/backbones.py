"""What networks of a library have in common here: parts that follow each other, a head, and names of the library's."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from mien.models.blocks import ExpressionModel

Factor = Annotated[float, Field(gt=0, le=4)]  # of channels or blocks; a card is believed before its weights are seen

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Published:
    """Weights that a library publishes for a network.

    Attributes:
        publisher: The library.
        name: What it calls the network.
        address: Where the file lies.
        terms: Licence of the weights, and what binds whoever learns on their pictures.
        mean: What is subtracted from the red, green and blue of a pixel of 0 to 1.
        std: What they are then divided by.
    """

    publisher: str
    name: str
    address: str
    terms: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @property
    def file(self) -> str:
        """What the file is called where it is kept."""
        last = self.address.rsplit("/", 1)[1]
        return last if last != "model.safetensors" else f"timm_{self.name}.safetensors"


Rename = Callable[[str], str]  # a file's name of a tensor -> the library's


class LibraryModel(ExpressionModel):
    """A network of a library with a head of ours.

    Attributes:
        published: The weights on ImageNet that the library has for it; None where it has none.
        published_keys: Our name of each tensor -> the library's. What a body of ours has beside the library's is not
            among them, and stays as drawn where weights have it not.
        dialects: How files of other origins name their tensors, each brought to the library's names.
    """

    published: Published | None = None
    published_keys: dict[str, str]
    dialects: tuple[Rename, ...] = ()

    def learn_names(self, tensors: Mapping[str, Tensor]) -> None:
        """Note what the library calls the tensors of this network.

        Args:
            tensors: ``state_dict(keep_vars=True)`` of the library's network: the same tensors.
        """
        theirs = {id(t): name for name, t in tensors.items()}
        ours = self.state_dict(keep_vars=True)
        self.published_keys = {name: theirs[id(t)] for name, t in ours.items() if id(t) in theirs}


class Backbone(LibraryModel):
    """Parts that follow each other, pooled to a vector; what leading parts give can be kept and gone on from.

    Args:
        net: The library's network, whose modules are taken.
        parts: Its parts in order.
        pool: From the maps of the last part to ``(B, D)``.
        head: From that to logits.

    Attributes:
        begins_at: How many parts are left out: then :meth:`features` takes what they would have given. For
            training with kept features only; 0 everywhere else.
    """

    def __init__(self, net: nn.Module, parts: Mapping[str, nn.Module], pool: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(OrderedDict(parts))
        self.pool = pool
        self.head = head
        self.begins_at = 0
        self.feature_dim = _inputs(head)
        self.learn_names(net.state_dict(keep_vars=True))

    def parts(self) -> dict[str, nn.Module]:
        """The parts by name, in order."""
        return dict(self.body.named_children())

    def lower(self, x: Tensor, n: int) -> Tensor:
        """What the first ``n`` parts make of ``(B, C, H, W)`` normalised images."""
        for part in list(self.body)[:n]:
            x = part(x)
        return x

    def features(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` normalised images -> ``(B, D)``."""
        for part in list(self.body)[self.begins_at :]:
            x = part(x)
        pooled: Tensor = self.pool(x)
        return pooled


class GlobalMean(nn.Module):
    """``(B, D, H, W)`` -> ``(B, D)``: the mean of each map."""

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        return x.mean((2, 3))


def head_of(dropout: float, linear: nn.Linear) -> nn.Sequential:
    """Dropout, then the last layer; the same names whatever the share is, so that weights fit."""
    return nn.Sequential(nn.Dropout(dropout), linear)


def for_channels(conv: nn.Conv2d, in_channels: int, stride: int | None = None) -> nn.Conv2d:
    """A first convolution for pictures of ``in_channels``, perhaps of another stride; new where either differs."""
    if conv.in_channels == in_channels and stride in (None, conv.stride[0]):
        return conv
    made = type(conv)(
        in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        stride or conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    if made.bias is not None:
        nn.init.zeros_(made.bias)
    return made


def scaled(n: int, factor: float, to: int = 1) -> int:
    """``n`` times a factor, a multiple of ``to``, at least that; ``n`` itself where the factor is 1."""
    return n if factor == 1 else max(to, round(n * factor / to) * to)


def numbered(name: str, modules: Iterable[nn.Module], first: int = 1) -> dict[str, nn.Module]:
    """``name1``, ``name2`` and so on."""
    return {f"{name}{i}": module for i, module in enumerate(modules, first)}


def matching(names: Iterable[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """Those names that begin with one of the wanted; ``block1`` does not begin ``block10``."""
    patterns = [re.compile(re.escape(w) + (r"(?!\d)" if w[-1:].isdigit() else "")) for w in wanted]
    return tuple(name for name in names if any(p.match(name) for p in patterns))


def _inputs(head: nn.Module) -> int:
    return next(m.in_features for m in head.modules() if isinstance(m, nn.Linear))
