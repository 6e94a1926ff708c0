"""What :mod:`mien.pictures.pixels` and :mod:`mien.pictures.preprocessing` do, on batches where the network computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mien.errors import WeightsError
from mien.pictures.pixels import LUMA, SEEN
from mien.pictures.preprocessing import FLAT, LEVELS, MEDIAN_OF_NINE


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


def preprocessed(x: Tensor, steps: Sequence[str]) -> Tensor:
    """Take the steps of :data:`mien.pictures.preprocessing.STEPS` on ``(B, C, H, W)`` of 0 to 1, in order."""
    for step in steps:
        x = _TAKEN[step](x)
    return x


def median(x: Tensor) -> Tensor:
    """The median of 3x3 pixels; beyond the edge stands the nearest pixel."""
    height, width = x.shape[2:]
    padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    near = [padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    for low, high in MEDIAN_OF_NINE:
        near[low], near[high] = torch.minimum(near[low], near[high]), torch.maximum(near[low], near[high])
    return near[4]


_PARTS = 1 << 20  # of a pixel: counts are whole numbers, whose sums on a graphics card know no order


def equalised(x: Tensor) -> Tensor:
    """Histogram equalisation of each channel; see :func:`mien.pictures.preprocessing.equalised`."""
    values = x.clamp(0, 1).flatten(2).flatten(0, 1).double() * (LEVELS - 1)
    lower = values.long().clamp(max=LEVELS - 2)
    part = ((values - lower) * _PARTS).round().long()
    counts = torch.zeros(len(values), LEVELS, dtype=torch.long, device=x.device)
    counts.scatter_add_(1, lower, _PARTS - part).scatter_add_(1, lower + 1, part)
    cdf = counts.cumsum(1) * (2 / (values.shape[1] * _PARTS)) - 1
    found = cdf.gather(1, lower) * (_PARTS - part) + cdf.gather(1, lower + 1) * part
    return (found / _PARTS).float().view(x.shape)


def without_plane(x: Tensor) -> Tensor:
    """Each channel less its least-squares plane, the picture by the deviation of what is left."""
    height, width = x.shape[2:]
    down, right = (torch.arange(n, device=x.device) - (n - 1) / 2 for n in (height, width))
    left = x - x.mean((2, 3), keepdim=True)
    slope_y = (left * down[:, None]).sum((2, 3), keepdim=True) / max(width * (height**3 - height) / 12, 1.0)
    slope_x = (left * right).sum((2, 3), keepdim=True) / max(height * (width**3 - width) / 12, 1.0)
    return _by_deviation(left - slope_y * down[:, None] - slope_x * right)


def standardised(x: Tensor) -> Tensor:
    """The picture less its mean, by its deviation, over all channels together."""
    return _by_deviation(x - x.mean((1, 2, 3), keepdim=True))


def _by_deviation(left: Tensor) -> Tensor:
    deviation = left.square().mean((1, 2, 3), keepdim=True).sqrt()
    return left / torch.where(deviation > FLAT, deviation, torch.ones_like(deviation))


_TAKEN = {"median": median, "equalise": equalised, "plane": without_plane, "standardise": standardised}
