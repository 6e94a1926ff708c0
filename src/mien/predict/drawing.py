"""A picture with what is said of its faces drawn on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mien.predict.rows import FaceRow

#: Blue and orange are told apart by all kinds of colour vision; an abstained face is dashed too.
_ANSWERED, _ABSTAINED = (0, 114, 178), (213, 94, 0)
_BARS = 3  # most probable classes that are drawn


def drawn(pixels: NDArray[np.uint8], rows: Sequence[FaceRow]) -> Image.Image:
    """A copy of the picture with a box a face, the three most probable expressions, and why one is abstained from.

    Args:
        pixels: ``(H, W, 3)``.
        rows: Of this picture.
    """
    picture = Image.fromarray(pixels).convert("RGB")
    pen = ImageDraw.Draw(picture)
    unit = max(1.0, max(picture.size) / 640)
    font = ImageFont.load_default(round(12 * unit))
    for row in rows:
        if row.box is None:
            continue
        colour = _ABSTAINED if row.abstained else _ANSWERED
        _frame(pen, row.box, colour, round(2 * unit), dashed=row.abstained)
        _label(pen, row, colour, font, unit, picture.size)
    return picture


def _frame(
    pen: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    colour: tuple[int, int, int],
    width: int,
    *,
    dashed: bool,
) -> None:
    left, top, right, bottom = box
    if not dashed:
        pen.rectangle([left, top, right, bottom], outline=colour, width=width)
        return
    step = 6 * width
    for (x0, y0), (x1, y1) in (
        ((left, top), (right, top)),
        ((right, top), (right, bottom)),
        ((right, bottom), (left, bottom)),
        ((left, bottom), (left, top)),
    ):
        length = max(abs(x1 - x0), abs(y1 - y0))
        for start in np.arange(0, length, 2 * step):
            a, b = start / length, min(1.0, (start + step) / length)
            ends = [x0 + a * (x1 - x0), y0 + a * (y1 - y0), x0 + b * (x1 - x0), y0 + b * (y1 - y0)]
            pen.line(ends, fill=colour, width=width)


def _label(
    pen: ImageDraw.ImageDraw,
    row: FaceRow,
    colour: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    unit: float,
    size: tuple[int, int],
) -> None:
    """Bars and words below the box, or above where there is no room."""
    assert row.box is not None
    best = sorted(row.probabilities.items(), key=lambda item: -item[1])[:_BARS]
    lines = [f"{name} {100 * p:.0f} %" for name, p in best]
    if row.abstained:
        lines.append(row.reason.split(":")[0])
    gap, height = 3 * unit, 15 * unit
    width = max([80 * unit, *(pen.textlength(line, font=font) + 2 * gap for line in lines)])
    tall = height * len(lines) + gap
    x = min(max(0.0, row.box[0]), max(0.0, size[0] - width))
    y = row.box[3] if row.box[3] + tall <= size[1] else max(0.0, row.box[1] - tall)
    pen.rectangle([x, y, x + width, y + tall], fill=(255, 255, 255), outline=colour, width=max(1, round(unit)))
    for i, line in enumerate(lines):
        top = y + i * height + gap / 2
        if i < len(best):
            pen.rectangle(
                [x + gap, top + 1, x + gap + (width - 2 * gap) * best[i][1], top + height - 1], fill=_pale(colour)
            )
        pen.text((x + 2 * gap, top), line, fill=(0, 0, 0), font=font)


def _pale(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    r, g, b = (round(255 - (255 - part) * 0.35) for part in colour)
    return r, g, b
