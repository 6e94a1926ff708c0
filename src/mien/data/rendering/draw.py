"""From parameters to pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.data.rendering.canvas import Canvas
from mien.data.rendering.capture import blur, draw_glasses, draw_occlusion, expose, sense
from mien.data.rendering.features import draw_beard, draw_brows, draw_creases, draw_eyes, draw_mouth, draw_nose
from mien.data.rendering.geometry import geometry
from mien.data.rendering.head import (
    draw_background,
    draw_ears,
    draw_hair_behind,
    draw_hair_front,
    draw_head,
    draw_neck,
    hair_outline,
    hair_strands,
    light_head,
)
from mien.data.rendering.parameters import Values

_CACHE_PIXELS = 1 << 15  # a dozen fields of this many float32 fit in a core's second-level cache


def draw(parameters: Values, size: int, channels: int) -> Canvas:
    """Paint a small batch, back to front.

    Args:
        parameters: What :func:`geometry` returns, ``(b,)`` each (colours ``(b, 3)``).
        size: Height and width in pixels.
        channels: 1 or 3.
    """
    canvas = Canvas(parameters, size, channels)
    strands, outline = hair_strands(canvas), hair_outline(canvas)
    draw_background(canvas)
    draw_hair_behind(canvas, strands, outline)
    draw_neck(canvas)
    draw_ears(canvas)
    draw_head(canvas)
    draw_beard(canvas)
    draw_mouth(canvas)
    draw_eyes(canvas)
    draw_nose(canvas)
    light_head(canvas)
    draw_creases(canvas)
    draw_brows(canvas)
    draw_hair_front(canvas, strands, outline)
    draw_glasses(canvas)
    draw_occlusion(canvas)
    return canvas


def render(
    values: Values,
    size: int,
    channels: int,
    rng: np.random.Generator,
    contrast: NDArray[np.float32] | None = None,
    first: int | None = None,
) -> NDArray[np.uint8]:
    """Render ``n`` faces.

    Args:
        values: Identity, action units and capture (see :mod:`mien.data.rendering.parameters`), ``(n,)`` each.
        size: Height and width in pixels.
        channels: 1 (grey) or 3 (colour).
        rng: Source of the sensor noise.
        contrast: ``(n,)`` factor on the contrast of a picture; None for 1.
        first: Return the first so many only; they are the same to the last bit as in all ``n``.

    Returns:
        ``(n, size, size)`` or ``(n, size, size, 3)`` uint8.
    """
    values = geometry(values)
    n = len(values["yaw"])
    wanted = n if first is None else min(first, n)
    contrast = np.ones(n, dtype=np.float32) if contrast is None else contrast
    step = max(1, _CACHE_PIXELS // (size * size))
    parts = []
    # Batches are drawn whole: vector instructions may round the end of an array in another way.
    for start in range(0, wanted, step):
        rows = slice(start, start + step)
        part = {k: v[rows] for k, v in values.items()}
        image = expose(draw(part, size, channels), contrast[rows])
        blur(image, part["blur"])
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        parts.append(sense(image, part["noise"], grain))
    return np.concatenate(parts)[:wanted]


def montage(images: NDArray[np.uint8], columns: int, gap: int = 2) -> NDArray[np.uint8]:
    """Lay pictures out in a grid, row by row, on white.

    Args:
        images: ``(n, H, W)`` or ``(n, H, W, 3)`` uint8.
        columns: Pictures in a row.
        gap: Pixels between pictures.

    Returns:
        One picture of the same kind, uint8.
    """
    n, height, width = images.shape[:3]
    rows = -(-n // columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, *images.shape[3:])
    sheet = np.full(shape, 255, dtype=np.uint8)
    for i, picture in enumerate(images):
        y, x = gap + (i // columns) * (height + gap), gap + (i % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = picture
    return sheet
