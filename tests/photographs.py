"""A photograph of a person that comes with matplotlib (Grace Hopper, US Navy, public domain), and scenes made of it."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

HOPPER = Path(matplotlib.__file__).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
EYES = ((221, 190), (309, 186))  # where they are, looked up by hand
FACE = (175, 120, 355, 335)


def photograph() -> NDArray[np.uint8]:
    """``(600, 512, 3)``."""
    with Image.open(HOPPER) as picture:
        return np.asarray(picture.convert("RGB"))


def group_photograph(sides: tuple[int, ...] = (90, 110, 130, 150, 170)) -> NDArray[np.uint8]:
    """Five people: the photograph at five sizes, beside each other on grey paper."""
    cut = Image.fromarray(photograph()).crop((100, 20, 430, 420))
    pictures = [cut.resize((round(side * 1.8), round(side * 1.8 * 400 / 330))) for side in sides]
    whole = Image.new(
        "RGB", (sum(p.width for p in pictures) + 60, max(p.height for p in pictures) + 20), (90, 110, 120)
    )
    left = 10
    for picture in pictures:
        whole.paste(picture, (left, 10))
        left += picture.width + 10
    return np.asarray(whole)
