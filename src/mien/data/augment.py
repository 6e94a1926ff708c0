"""Augmentation of whole batches of tensors: every face gets draws of its own, in one affine resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mien.pictures.tensors import luma, resized


@dataclass(frozen=True, kw_only=True)
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
        zoom: Smallest and largest factor of size, both axes together; above 1 crops tighter.
        tint: Largest relative change of each colour channel by itself.
        grey: Probability that a colour picture loses its colour.
        small_grey: Probability that a picture becomes a grey one of 44 to 64 px a side, brought up
            again to its own size: what networks for 48-px corpora are shown.
    """

    flip: float = 0.5
    rotation: float = 15.0
    scale: float = 0.1
    shift: float = 0.08
    brightness: float = 0.15
    contrast: float = 0.25
    erasing: float = 0.3
    erasing_area: tuple[float, float] = (0.03, 0.2)
    zoom: tuple[float, float] = (1.0, 1.0)
    tint: float = 0.0
    grey: float = 0.0
    small_grey: float = 0.0

    def __call__(self, images: Tensor) -> Tensor:
        """Change ``(B, C, H, W)`` float images of 0 to 1; draws come from torch's global generator."""
        return self._erase(self._shrink(self._light(self._move(images))))

    def _move(self, images: Tensor) -> Tensor:
        n = len(images)
        angle = math.radians(self.rotation) * _uniform(n)
        sx, sy = 1 / (1 + self.scale * _uniform(n)), 1 / (1 + self.scale * _uniform(n))
        if self.zoom != (1.0, 1.0):
            zoom = torch.empty(n).uniform_(*self.zoom)
            sx, sy = sx / zoom, sy / zoom
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
        images = ((images - mean) * gain + mean + lift).clamp_(0, 1)
        if self.tint and images.shape[1] == 3:
            images = images * (1 + self.tint * _uniform(n * 3)).to(images.device).view(n, 3, 1, 1)
        return images.clamp_(0, 1)

    def _shrink(self, images: Tensor) -> Tensor:
        n = len(images)
        if self.grey:
            chosen = (torch.rand(n) < self.grey).to(images.device)[:, None, None, None]
            images = torch.where(chosen, greyed(images), images)
        if self.small_grey:
            chosen = (torch.rand(n) < self.small_grey).to(images.device)
            # One size a batch: sizes vary enough over the steps.
            side = int(torch.randint(44, 65, (1,)))
            images = images.clone()
            images[chosen] = small_grey(images[chosen], side)
        return images

    def _erase(self, images: Tensor) -> Tensor:
        n, _, height, width = images.shape
        low, high = self.erasing_area
        area = low + (high - low) * torch.rand(n)
        ratio = torch.exp(_uniform(n) * math.log(3.0))
        half_h, half_w = (area * ratio).sqrt() / 2, (area / ratio).sqrt() / 2
        centre_y, centre_x = torch.rand(n), torch.rand(n)
        chosen = torch.rand(n) < self.erasing
        # Five numbers a face go to the device, not a mask as large as the pictures.
        draws = torch.stack([centre_y, centre_x, half_h, half_w, chosen.float()]).to(images.device)
        centre_y, centre_x, half_h, half_w, erased = draws[:, :, None]
        y = ((torch.arange(height, device=images.device) + 0.5) / height)[None, :] - centre_y
        x = ((torch.arange(width, device=images.device) + 0.5) / width)[None, :] - centre_x
        hole = (y.abs() < half_h)[:, :, None] & (x.abs() < half_w)[:, None, :]
        mask = (hole & (erased > 0)[:, None])[:, None]
        return torch.where(mask, images.mean((2, 3), keepdim=True), images)


def greyed(images: Tensor) -> Tensor:
    """``(B, C, H, W)`` without colour (ITU-R BT.601 luma), C unchanged."""
    if images.shape[1] == 1:
        return images
    return luma(images).expand_as(images)


def small_grey(images: Tensor, side: int = 48) -> Tensor:
    """``(B, C, H, W)`` as a grey picture of ``side`` px would look, brought up to H and W again."""
    if not len(images):
        return images
    return resized(resized(greyed(images), (side, side)), (images.shape[2], images.shape[3]))


def _uniform(n: int) -> Tensor:
    """``(n,)`` draws from -1 to 1, on the processor: the same on every device."""
    return torch.rand(n) * 2 - 1
