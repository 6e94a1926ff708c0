"""What :mod:`mien.pictures.pixels` does, on whole batches where the network computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mien.errors import WeightsError
from mien.pictures.pixels import LUMA, SEEN


def images_to_tensor(images: NDArray[np.uint8], channels: int, device: torch.device) -> Tensor:
    """``(B, H, W, C)`` uint8 -> ``(B, channels, H, W)`` float of 0 to 1, channels last in memory.

    Raises:
        WeightsError: If grey cannot be made from the channels there are, or the reverse.
    """
    tensor = torch.from_numpy(np.array(images, copy=True)).to(device).permute(0, 3, 1, 2).float().div_(255)
    if tensor.shape[1] == channels:
        return tensor
    if channels == 1 and tensor.shape[1] == 3:
        return luma(tensor)
    if channels == 3 and tensor.shape[1] == 1:
        return tensor.repeat(1, 3, 1, 1)
    raise WeightsError("images", f"{tensor.shape[1]} channels", f"{channels}, 1 or 3")


def luma(x: Tensor) -> Tensor:
    """``(B, 3, H, W)`` -> ``(B, 1, H, W)`` grey levels."""
    weights = torch.tensor(LUMA.tolist(), device=x.device).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def resized(x: Tensor, size: tuple[int, int], by: str = SEEN) -> Tensor:
    """``(B, C, H, W)`` at ``size``, height and width in pixels, by one of :data:`mien.pictures.pixels.ON_BATCHES`."""
    if x.shape[-2:] == size:
        return x
    return functional.interpolate(x, size, mode=by, antialias=True, align_corners=False)


def normalised(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """``(B, C, H, W)`` less the mean of each channel, by its deviation; channels last in memory."""
    # Numbers go to the device with the command; an array would go by itself, and a graphics card be waited for.
    if len(set(mean)) == len(set(std)) == 1:
        x = (x - mean[0]) / std[0]
    else:
        planes = zip(x.unbind(1), mean, std, strict=True)
        x = torch.stack([(plane - centre) / spread for plane, centre, spread in planes], dim=1)
    return x.contiguous(memory_format=torch.channels_last)
