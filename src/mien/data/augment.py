"""Augmentation of whole batches of tensors: every face gets draws of its own, in one affine resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """How far a training picture may be changed. The defaults suit aligned faces of 48 to 64 px.

    Attributes:
        flip: Probability of mirroring left and right.
        rotation: Largest rotation, degrees either way.
        scale: Largest relative change of size, each axis by itself.
        shift: Largest move, as a share of the side.
        brightness: Largest change of mean, as a share of full white.
        contrast: Largest relative change of contrast.
        erasing: Probability that a rectangle is filled with the picture's mean.
        erasing_area: Smallest and largest area of the rectangle, as a share of the picture; its
            centre lies anywhere, so that part of it may fall outside.
    """

    flip: float = 0.5
    rotation: float = 15.0
    scale: float = 0.1
    shift: float = 0.08
    brightness: float = 0.15
    contrast: float = 0.25
    erasing: float = 0.3
    erasing_area: tuple[float, float] = (0.03, 0.2)

    def __call__(self, images: Tensor) -> Tensor:
        """Change ``(B, C, H, W)`` float images of 0 to 1; draws come from torch's global generator."""
        return self._erase(self._light(self._move(images)))

    def _move(self, images: Tensor) -> Tensor:
        n = len(images)
        angle = math.radians(self.rotation) * _uniform(n)
        sx, sy = 1 / (1 + self.scale * _uniform(n)), 1 / (1 + self.scale * _uniform(n))
        sx = torch.where(torch.rand(n) < self.flip, -sx, sx)
        theta = torch.stack(
            [
                torch.stack([angle.cos() * sx, -angle.sin() * sy, 2 * self.shift * _uniform(n)], dim=1),
                torch.stack([angle.sin() * sx, angle.cos() * sy, 2 * self.shift * _uniform(n)], dim=1),
            ],
            dim=1,
        )
        grid = functional.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _light(self, images: Tensor) -> Tensor:
        n = len(images)
        mean = images.mean((1, 2, 3), keepdim=True)
        gain = (1 + self.contrast * _uniform(n)).to(images.device)[:, None, None, None]
        lift = (self.brightness * _uniform(n)).to(images.device)[:, None, None, None]
        return ((images - mean) * gain + mean + lift).clamp_(0, 1)

    def _erase(self, images: Tensor) -> Tensor:
        n, _, height, width = images.shape
        low, high = self.erasing_area
        area = low + (high - low) * torch.rand(n)
        ratio = torch.exp(_uniform(n) * math.log(3.0))
        half_h, half_w = (area * ratio).sqrt() / 2, (area / ratio).sqrt() / 2
        centre_y, centre_x = torch.rand(n), torch.rand(n)
        y = ((torch.arange(height) + 0.5) / height)[None, :] - centre_y[:, None]
        x = ((torch.arange(width) + 0.5) / width)[None, :] - centre_x[:, None]
        chosen = torch.rand(n) < self.erasing
        hole = (y.abs() < half_h[:, None])[:, :, None] & (x.abs() < half_w[:, None])[:, None, :]
        mask = (hole & chosen[:, None, None])[:, None].to(images.device)
        return torch.where(mask, images.mean((2, 3), keepdim=True), images)


def _uniform(n: int) -> Tensor:
    """``(n,)`` draws from -1 to 1, on the processor: the same on every device."""
    return torch.rand(n) * 2 - 1
