"""RandAugment on batches: some operations of a list, drawn for each face by itself, at one magnitude."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mien.data.augment.warp import warped
from mien.pictures.tensors import equalised, luma

# Largest changes, at magnitude 10.
_DEGREES, _SLOPE, _SHARE, _FACTOR, _BITS = 30.0, 0.3, 0.3, 0.9, 4
_LARGEST = 10.0

# ``(n, C, H, W)`` of 0 to 1, ``(n,)`` strengths from -1 to 1 -> the pictures changed.
Operation = Callable[[Tensor, Tensor], Tensor]


def _identity(x: Tensor, _: Tensor) -> Tensor:
    return x


def _auto_contrast(x: Tensor, _: Tensor) -> Tensor:
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp(min=1e-6), x)


def _equalise(x: Tensor, _: Tensor) -> Tensor:
    return (equalised(x) + 1) / 2


def _affine(x: Tensor, **entries: Tensor) -> Tensor:
    """Where each place comes from: the entries ``xx, xy, xt, yx, yy, yt`` given, the others those of no change."""
    one, none = torch.ones(len(x)), torch.zeros(len(x))
    plain = {"xx": one, "xy": none, "xt": none, "yx": none, "yy": one, "yt": none} | entries
    rows = [torch.stack([plain[f"{row}{column}"] for column in "xyt"], 1) for row in "xy"]
    return warped(x, torch.stack(rows, 1))


def _rotate(x: Tensor, strength: Tensor) -> Tensor:
    angle = strength * math.radians(_DEGREES)
    return _affine(x, xx=angle.cos(), xy=-angle.sin(), yx=angle.sin(), yy=angle.cos())


def _blended(x: Tensor, base: Tensor, strength: Tensor) -> Tensor:
    """Between the picture and what it is without a quality, or beyond the picture: factors from 0.1 to 1.9."""
    factor = (1 + _FACTOR * strength).to(x.device)[:, None, None, None]
    return (base + (x - base) * factor).clamp(0, 1)


def _smooth(x: Tensor) -> Tensor:
    kernel = torch.tensor([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]], device=x.device) / 13
    n, channels, height, width = x.shape
    padded = functional.pad(x.reshape(n * channels, 1, height, width), (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, kernel[None, None]).view_as(x)


def _posterise(x: Tensor, strength: Tensor) -> Tensor:
    levels = (2 ** (8 - (strength.abs() * _BITS).round())).to(x.device)[:, None, None, None]
    return (x * levels).floor().clamp(max=levels - 1) / (levels - 1)


#: Those of the paper but ``solarise``, which turns bright skin dark.
OPERATIONS: dict[str, Operation] = {
    "identity": _identity,
    "auto_contrast": _auto_contrast,
    "equalise": _equalise,
    "rotate": _rotate,
    "posterise": _posterise,
    "contrast": lambda x, s: _blended(x, luma(x).mean((1, 2, 3), keepdim=True), s),
    "brightness": lambda x, s: _blended(x, torch.zeros_like(x), s),
    "sharpness": lambda x, s: _blended(x, _smooth(x), s),
    "shear_x": lambda x, s: _affine(x, xy=_SLOPE * s),
    "shear_y": lambda x, s: _affine(x, yx=_SLOPE * s),
    "translate_x": lambda x, s: _affine(x, xt=2 * _SHARE * s),
    "translate_y": lambda x, s: _affine(x, yt=2 * _SHARE * s),
    "colour": lambda x, s: _blended(x, luma(x).expand_as(x), s),
}
_OF_COLOUR = ("colour",)


@dataclass(frozen=True)
class RandAugment:
    """Cubuk et al. 2020, "RandAugment: practical automated data augmentation with a reduced search space".

    In each of n rounds every face draws one operation of the list, all alike, and a direction where the operation has
    two; how far it goes is the magnitude, of 10, of the largest change: 30 degrees, a slope of 0.3, 0.3 of the side,
    factors of 0.1 and 1.9, 4 of 8 bits. Grey pictures draw among the operations without ``colour``.

    Attributes:
        operations: n, rounds.
        magnitude: M, 0 to 10.
    """

    operations: int = 2
    magnitude: float = 9.0

    def names(self, channels: int) -> tuple[str, ...]:
        """The operations that pictures of so many channels draw from."""
        return tuple(name for name in OPERATIONS if channels == 3 or name not in _OF_COLOUR)

    def __call__(self, images: Tensor) -> Tensor:
        """Change ``(B, C, H, W)`` float images of 0 to 1; draws come from torch's global generator."""
        names = self.names(images.shape[1])
        for _ in range(self.operations):
            drawn = torch.randint(len(names), (len(images),))
            strength = torch.where(torch.rand(len(images)) < 0.5, -1.0, 1.0) * (self.magnitude / _LARGEST)
            images = images.clone()
            for i, name in enumerate(names):
                chosen = (drawn == i).nonzero()[:, 0]
                if len(chosen):
                    place = chosen.to(images.device)
                    images[place] = OPERATIONS[name](images[place], strength[chosen])
        return images
