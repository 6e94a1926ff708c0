"""One affine resampling of each picture of a batch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

#: What stands beyond the edge: its nearest pixel, black, or the picture mirrored at the edge.
Padding = Literal["border", "zeros", "reflection"]


def uniform(n: int) -> Tensor:
    """``(n,)`` draws from -1 to 1, on the processor: the same on every device."""
    return torch.rand(n) * 2 - 1


def rotations(angles: Tensor) -> Tensor:
    """``(n, 2, 3)`` of ``(n,)`` angles in radians; a positive one turns the picture counter-clockwise."""
    sine, cosine, none = angles.sin(), angles.cos(), torch.zeros_like(angles)
    return torch.stack([torch.stack([cosine, -sine, none], 1), torch.stack([sine, cosine, none], 1)], 1)


def warped(images: Tensor, theta: Tensor, padding: Padding = "border") -> Tensor:
    """Resample ``(n, C, H, W)`` bilinearly.

    Args:
        images: The pictures.
        theta: ``(n, 2, 3)``: where in the picture, from -1 to 1 a side, each place of the result comes from.
        padding: What stands beyond the edge.
    """
    grid = functional.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)
