"""Augmentation of whole batches of tensors: every face gets draws of its own, in one affine resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mien.data.augment.rand_augment import RandAugment
from mien.data.augment.warp import Padding, uniform, warped
from mien.pictures.tensors import luma, resized

Fill = Literal["mean", "black", "noise"]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far a training picture may be changed. The defaults suit aligned faces of 48 to 64 px.

    Attributes:
        flip: Probability of mirroring left and right.
        affine: Probability that a picture is turned, moved, scaled or skewed at all; mirroring has its own.
        rotation: Largest rotation, degrees either way.
        scale: Largest relative change of size, each axis by itself.
        stretch: Each axis by itself times, or divided by, a draw from 1 to 1 + stretch (FER+'s scaling).
        zoom: Smallest and largest factor of size, both axes together; above 1 crops tighter.
        skew: Largest slope of what was upright, and of what was level (FER+).
        shift: Largest move, as a share of the side.
        crop: Crop of the old size from the picture with a border of this share of the side: a move by whole pixels.
        padding: What stands beyond the edge: its nearest pixel, black, or the picture mirrored there.
        brightness: Largest change of mean, as a share of full white.
        contrast: Largest relative change of contrast.
        gain: Largest relative change of all pixels together (brightness in percent).
        tint: Largest relative change of each colour channel by itself.
        grey: Probability that a colour picture loses its colour.
        small_grey: Probability that a picture becomes a grey one of 44 to 64 px a side, brought up
            again to its own size: what networks for 48-px corpora are shown.
        rand_augment: Operations of RandAugment, after the others and before erasing.
        erasing: Probability that a rectangle is filled (Zhong et al. 2020, "Random erasing data augmentation").
        erasing_area: Smallest and largest area of the rectangle, as a share of the picture.
        erasing_ratio: Smallest and largest height by width of the rectangle.
        erasing_inside: Whether it lies within the picture, as published. Otherwise its centre lies anywhere, so that
            part of it may fall outside.
        erasing_fill: With what: the picture's mean, black, or a grey of its own for each pixel, as published.
    """

    flip: float = 0.5
    affine: float = 1.0
    rotation: float = 15.0
    scale: float = 0.1
    stretch: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    skew: float = 0.0
    shift: float = 0.08
    crop: float = 0.0
    padding: Padding = "border"
    brightness: float = 0.15
    contrast: float = 0.25
    gain: float = 0.0
    tint: float = 0.0
    grey: float = 0.0
    small_grey: float = 0.0
    rand_augment: RandAugment | None = None
    erasing: float = 0.3
    erasing_area: tuple[float, float] = (0.03, 0.2)
    erasing_ratio: tuple[float, float] = (1 / 3, 3.0)
    erasing_inside: bool = False
    erasing_fill: Fill = "mean"

    def __call__(self, images: Tensor, variants: Tensor | None = None) -> Tensor:
        """Change ``(B, C, H, W)`` float images of 0 to 1; draws come from torch's global generator.

        Args:
            images: The pictures.
            variants: ``(B, 2)`` where copies of a face are learnt: whether it is a mirrored one, and the degrees by
                which it is turned counter-clockwise. What is drawn comes on top, in the same resampling.
        """
        images = self._shrink(self._light(self._move(images, variants)))
        return self._erase(images if self.rand_augment is None else self.rand_augment(images))

    # What follows draws only for what is asked, and new things after older ones: a run of an earlier version that
    # goes on sees the pictures that it would have seen.

    def _move(self, images: Tensor, variants: Tensor | None) -> Tensor:
        n = len(images)
        angle = math.radians(self.rotation) * uniform(n)
        sx, sy = 1 / (1 + self.scale * uniform(n)), 1 / (1 + self.scale * uniform(n))
        if self.zoom != (1.0, 1.0):
            zoom = torch.empty(n).uniform_(*self.zoom)
            sx, sy = sx / zoom, sy / zoom
        mirror = torch.where(torch.rand(n) < self.flip, -1.0, 1.0)
        tx, ty = 2 * self.shift * uniform(n), 2 * self.shift * uniform(n)
        if self.stretch:
            sx, sy = sx / _times_or_by(n, self.stretch), sy / _times_or_by(n, self.stretch)
        skew_x, skew_y = (self.skew * uniform(n), self.skew * uniform(n)) if self.skew else (torch.zeros(n),) * 2
        cx, cy = (_whole_pixels(n, self.crop, side) for side in (images.shape[3], images.shape[2]))
        if self.affine < 1:
            kept = torch.rand(n) >= self.affine
            angle, skew_x, skew_y, tx, ty, cx, cy = (
                v.masked_fill(kept, 0) for v in (angle, skew_x, skew_y, tx, ty, cx, cy)
            )
            sx, sy = sx.masked_fill(kept, 1), sy.masked_fill(kept, 1)
        if variants is not None:
            # Draws go to where the copies are known: fetching these would make the processor wait for the card.
            draws = torch.stack([angle, sx, sy, mirror, tx, ty, skew_x, skew_y, cx, cy]).to(variants.device)
            angle, sx, sy, mirror, tx, ty, skew_x, skew_y, cx, cy = draws
            flipped, turned = variants.unbind(1)
            mirror, angle = torch.where(flipped > 0, -mirror, mirror), angle + turned * (math.pi / 180)
        sx = sx * mirror
        a, b, c, d = angle.cos() * sx, -angle.sin() * sy, angle.sin() * sx, angle.cos() * sy
        if self.skew:
            a, b, c, d = a + b * skew_y, a * skew_x + b, c + d * skew_y, c * skew_x + d
        if self.crop:  # of the picture as it is turned
            tx, ty = tx + a * cx + b * cy, ty + c * cx + d * cy
        theta = torch.stack([torch.stack([a, b, tx], dim=1), torch.stack([c, d, ty], dim=1)], dim=1)
        return warped(images, theta, self.padding)

    def _light(self, images: Tensor) -> Tensor:
        n = len(images)
        mean = images.mean((1, 2, 3), keepdim=True)
        contrast = (1 + self.contrast * uniform(n)).to(images.device)[:, None, None, None]
        lift = (self.brightness * uniform(n)).to(images.device)[:, None, None, None]
        images = ((images - mean) * contrast + mean + lift).clamp_(0, 1)
        if self.tint and images.shape[1] == 3:
            images = images * (1 + self.tint * uniform(n * 3)).to(images.device).view(n, 3, 1, 1)
        if self.gain:
            images = images * (1 + self.gain * uniform(n)).to(images.device)[:, None, None, None]
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
        # Even in the logarithm, so that upright rectangles are as frequent as lying ones.
        low, high = (math.log(r) for r in self.erasing_ratio)
        ratio = torch.exp((low + high) / 2 + (high - low) / 2 * uniform(n))
        half_h, half_w = (area * ratio).sqrt() / 2, (area / ratio).sqrt() / 2
        centre_y, centre_x = torch.rand(n), torch.rand(n)
        if self.erasing_inside:
            half_h, half_w = half_h.clamp(max=0.5), half_w.clamp(max=0.5)
            centre_y, centre_x = half_h + centre_y * (1 - 2 * half_h), half_w + centre_x * (1 - 2 * half_w)
        chosen = torch.rand(n) < self.erasing
        # Five numbers a face go to the device, not a mask as large as the pictures.
        draws = torch.stack([centre_y, centre_x, half_h, half_w, chosen.float()]).to(images.device)
        centre_y, centre_x, half_h, half_w, erased = draws[:, :, None]
        y = ((torch.arange(height, device=images.device) + 0.5) / height)[None, :] - centre_y
        x = ((torch.arange(width, device=images.device) + 0.5) / width)[None, :] - centre_x
        hole = (y.abs() < half_h)[:, :, None] & (x.abs() < half_w)[:, None, :]
        mask = (hole & (erased > 0)[:, None])[:, None]
        return torch.where(mask, self._filling(images), images)

    def _filling(self, images: Tensor) -> Tensor:
        if self.erasing_fill == "mean":
            return images.mean((2, 3), keepdim=True)
        if self.erasing_fill == "black" or not self.erasing:
            return torch.zeros_like(images[:, :1, :1, :1])
        return torch.rand(len(images), 1, *images.shape[2:]).to(images.device)


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


def _times_or_by(n: int, most: float) -> Tensor:
    """``(n,)``: draws from 1 to 1 + most, or one over them, as often."""
    factor = 1 + most * torch.rand(n)
    return torch.where(torch.rand(n) < 0.5, factor, 1 / factor)


def _whole_pixels(n: int, share: float, side: int) -> Tensor:
    """``(n,)``: moves of up to a share of the side by whole pixels, from -2 to 2 a side."""
    most = round(share * side)
    return torch.randint(-most, most + 1, (n,)) * (2 / side) if share else torch.zeros(n)
