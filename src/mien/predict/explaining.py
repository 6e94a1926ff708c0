"""Which part of a face an answer rests on: what covering it costs (Zeiler and Fergus 2014, section 4.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.inference import FaceModel

_PATCH, _STEP = 6, 12  # the patch is a sixth of the side, and moves by a twelfth
_SHOWN = 240  # pixels of a drawn map
#: From blue over white to orange: what covering takes away from the answer, and what it adds.
_LESS, _MORE = np.array([213, 94, 0], dtype=float), np.array([0, 114, 178], dtype=float)


def occlusion_map(model: FaceModel, crop: NDArray[np.uint8], k: int) -> NDArray[np.float64]:
    """How much the probability of a class falls where a face is covered.

    A grey patch, as light as the crop is on average, covers one place after the other.

    Args:
        model: The model.
        crop: ``(S, S, C)`` uint8 as it wants it.
        k: The class, by its number.

    Returns:
        ``(S, S)``: the mean fall over all patches that cover the pixel; below 0 where covering helps.
    """
    side = len(crop)
    patch, step = max(1, side // _PATCH), max(1, side // _STEP)
    starts = sorted({*range(0, side - patch + 1, step), side - patch})
    level = crop.reshape(-1, crop.shape[2]).mean(0).round().astype(np.uint8)
    places = [(y, x) for y in starts for x in starts]
    covered = np.repeat(crop[None], len(places) + 1, axis=0)
    for i, (y, x) in enumerate(places):
        covered[i, y : y + patch, x : x + patch] = level
    probs = model.probabilities(covered)[:, k]
    falls, times = np.zeros((side, side)), np.zeros((side, side))
    for (y, x), p in zip(places, probs[:-1], strict=True):
        falls[y : y + patch, x : x + patch] += probs[-1] - p
        times[y : y + patch, x : x + patch] += 1
    return falls / times


def drawn_map(crop: NDArray[np.uint8], falls: NDArray[np.float64]) -> Image.Image:
    """The map over its crop: orange where the answer rests, blue where something speaks against it.

    Args:
        crop: ``(S, S, C)``.
        falls: ``(S, S)`` of :func:`occlusion_map`.
    """
    largest = np.abs(falls).max()
    strength = falls / largest if largest > 0 else falls
    colours = np.where(strength[..., None] > 0, _LESS, _MORE)
    grey = np.repeat(crop.mean(axis=2, keepdims=True), 3, axis=2)
    share = 0.7 * np.abs(strength)[..., None]
    mixed = ((1 - share) * grey + share * colours).round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(mixed).resize((_SHOWN, _SHOWN), Image.Resampling.BICUBIC)
