"""How far faces lean, in degrees: by their eyes, or by the turn that makes them most like their mirror image."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.data.augment.warp import rotations, warped
from mien.pictures.landmarks import COLUMNS
from mien.pictures.tensors import images_to_tensor, luma, resized

EYES = COLUMNS[:4]
_SIDE = 32  # pixels at which symmetry is compared: the face's outline and its parts, not its noise
_WIDEST, _STEP = 30, 3  # degrees that are tried
_AT_ONCE = 512


def by_eyes(frame: pd.DataFrame) -> NDArray[np.float64]:
    """``(n,)`` degrees from the landmarks of both eyes: 0 and 1 of ``landmark_<i>_x`` and ``_y``.

    Args:
        frame: Rows of a store's table.

    Returns:
        atan2 of the line between the eyes; positive where the face leans counter-clockwise, as one sees it. NaN where
        an eye is not known, or both stand in one place.
    """
    if not set(EYES) <= set(frame.columns):
        return np.full(len(frame), np.nan)
    left_x, left_y, right_x, right_y = (frame[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in EYES)
    # Whichever eye is called the left one, the line goes to the right: no face stands on its head.
    right, down = right_x - left_x, right_y - left_y
    sign = np.where(right < 0, -1.0, 1.0)
    found = np.degrees(np.arctan2(-down * sign, right * sign))
    return np.where((right == 0) & (down == 0), np.nan, found)


def by_symmetry(images: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """``(n,)`` degrees by which a face must be turned clockwise to be most like its mirror image.

    The measure is the normalised cross-correlation with the mirror image, within the circle that turns with the face,
    tried every 3 degrees up to 30 either way; a parabola through the best three gives what lies between.

    Args:
        images: ``(N, H, W, C)`` uint8, as of a store.
        rows: ``(n,)`` those to look at.

    Returns:
        Positive where the face leans counter-clockwise; NaN where a picture is flat, or the best turn is the widest
        tried: then it is no lean that was found.
    """
    angles = torch.arange(-_WIDEST, _WIDEST + 1, _STEP)
    found = [
        _leaning(torch.stack([_symmetry(faces, float(-a)) for a in angles]), angles)
        for faces in (_small(images[rows[i : i + _AT_ONCE]]) for i in range(0, len(rows), _AT_ONCE))
    ]
    return torch.cat(found).double().numpy() if found else np.empty(0)


def _small(images: NDArray[np.uint8]) -> Tensor:
    x = images_to_tensor(images, images.shape[3], torch.device("cpu"))
    return resized(luma(x) if x.shape[1] == 3 else x, (_SIDE, _SIDE))


def _symmetry(faces: Tensor, degrees: float) -> Tensor:
    """``(n,)`` correlation of each face, turned counter-clockwise, with its mirror image; NaN where it is flat."""
    theta = rotations(torch.full((len(faces),), math.radians(degrees)))
    turned = warped(faces, theta)[:, 0]
    place = (torch.arange(_SIDE) + 0.5) / _SIDE * 2 - 1
    inside = (place[:, None] ** 2 + place[None, :] ** 2 <= 1).float()
    centred = (turned - (turned * inside).sum((1, 2), keepdim=True) / inside.sum()) * inside
    energy = centred.square().sum((1, 2))
    return torch.where(energy > 1e-3, (centred * centred.flip(2)).sum((1, 2)) / energy, torch.nan)


def _leaning(symmetry: Tensor, angles: Tensor) -> Tensor:
    """``(n,)`` degrees of the best of ``(A, n)`` correlations; NaN at either end."""
    best = symmetry.nan_to_num(-2.0).argmax(0)
    inner = (best > 0) & (best < len(angles) - 1) & ~symmetry.isnan().any(0)
    at = best.clamp(1, len(angles) - 2)
    before, here, after = (symmetry.gather(0, (at + k)[None])[0] for k in (-1, 0, 1))
    bend = before - 2 * here + after
    between = torch.where(bend < 0, (before - after) / (2 * bend), torch.zeros_like(bend))
    return torch.where(inner, angles[at] + _STEP * between, torch.nan)
