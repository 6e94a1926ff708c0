"""Scenes with faces whose place is known, for the benchmarks of detectors and of the whole chain.

A scene is 640 x 480 pixels: a part of one of two photographs without people that scikit-learn carries, or drawn
shapes, and in it one picture of a face with a soft edge, at a place, size, light and blur that are drawn from a seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from sklearn.datasets import load_sample_images

Picture = NDArray[np.uint8]
SIZE = (640, 480)
_EDGE = 0.06  # of the pasted picture's side, over which it fades into the scene


@dataclass(frozen=True)
class Condition:
    """How faces come into scenes.

    Attributes:
        name: For tables.
        side: Pixels from the pasted face's forehead to its chin.
        light: Factor of all levels of the scene.
        blur: Deviation of a Gaussian blur of the scene, as a share of ``side``.
    """

    name: str
    side: int
    light: float = 1.0
    blur: float = 0.0


CONDITIONS = tuple(Condition(f"{side} px", side) for side in (24, 32, 48, 72, 100, 150, 200)) + (
    Condition("100 px, dark", 100, light=0.2),
    Condition("100 px, blurred", 100, blur=0.05),
)


def background(generator: np.random.Generator) -> Image.Image:
    """A scene without a face."""
    photographs = [Image.fromarray(picture) for picture in load_sample_images().images]
    kind = generator.integers(0, len(photographs) + 1)
    if kind < len(photographs):
        photograph = photographs[kind]
        share = generator.uniform(0.4, 1.0)
        width, height = (round(side * share) for side in photograph.size)
        left, top = (
            int(generator.integers(0, whole - part + 1))
            for whole, part in zip(photograph.size, (width, height), strict=True)
        )
        found = photograph.crop((left, top, left + width, top + height)).resize(SIZE, Image.Resampling.BICUBIC)
        return found.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if generator.random() < 0.5 else found
    noise = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    drawn = Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(drawn)
    for _ in range(int(generator.integers(5, 30))):
        x, y = generator.integers(0, SIZE[0]), generator.integers(0, SIZE[1])
        w, h = generator.integers(10, 160, 2)
        colour = tuple(int(v) for v in generator.integers(0, 256, 3))
        shape = pen.ellipse if generator.random() < 0.5 else pen.rectangle
        shape([int(x), int(y), int(x + w), int(y + h)], fill=colour)
    return drawn


@dataclass(frozen=True)
class Scene:
    """One scene.

    Attributes:
        pixels: ``(480, 640, 3)``.
        box: Where the pasted picture lies: left, top, right, bottom.
    """

    pixels: Picture
    box: tuple[float, float, float, float]


def scene(face: Picture, side: int, condition: Condition, generator: np.random.Generator) -> Scene:
    """A picture of a face in a scene.

    Args:
        face: ``(S, S)`` or ``(S, S, C)``.
        side: Pixels that the whole picture takes there.
        condition: Light and blur.
        generator: Of place and background.
    """
    picture = Image.fromarray(face.squeeze()).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    mask = Image.new("L", (side, side), 0)
    edge = max(1, round(side * _EDGE))
    ImageDraw.Draw(mask).rectangle([edge, edge, side - 1 - edge, side - 1 - edge], fill=255)
    whole = background(generator)
    left, top = (int(generator.integers(0, max(1, room - side + 1))) for room in SIZE)
    whole.paste(picture, (left, top), mask.filter(ImageFilter.GaussianBlur(edge / 2)))
    if condition.blur:
        whole = whole.filter(ImageFilter.GaussianBlur(condition.blur * condition.side))
    pixels = np.asarray(whole)
    if condition.light != 1:
        pixels = (pixels * condition.light).astype(np.uint8)
    return Scene(pixels, (left, top, left + side, top + side))
