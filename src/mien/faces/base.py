"""What a detector says of a picture, and what detectors share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

#: Landmarks, by the onlooker's left and right: those of :data:`mien.pictures.alignment.TEMPLATE`.
LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
# What options of detectors may be.
Score = Annotated[float, Field(gt=0, lt=1)]
LongerSide = Annotated[int, Field(ge=64, le=4096)]
_BRIGHT = 128  # level that the brightest hundredth of a picture in ordinary light surpasses
_OVERLAP = 0.4  # of two boxes over their union, from which they are one face


@dataclass(frozen=True)
class Faces:
    """The faces of one picture, the surest first. Places are in pixels from its upper left corner, whose pixel's
    centre is (0.5, 0.5).

    Attributes:
        boxes: ``(n, 4)``: left, top, right, bottom; may reach beyond the picture.
        scores: ``(n,)`` of 0 to 1: how sure the detector is. Scores of two detectors do not compare.
        landmarks: ``(n, 5, 2)`` of :data:`LANDMARKS`; NaN where the detector tells none.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def none(cls) -> Faces:
        """No face."""
        return cls(np.empty((0, 4)), np.empty(0), np.empty((0, 5, 2)))

    @classmethod
    def of(cls, boxes: Floats, scores: Floats, landmarks: Floats | None = None) -> Faces:
        """The surest first, without landmarks unless there are some."""
        if not len(boxes):
            return cls.none()
        points = np.full((len(boxes), 5, 2), np.nan) if landmarks is None else landmarks
        order = np.argsort(-scores, kind="stable")
        return cls(np.asarray(boxes, np.float64)[order], np.asarray(scores, np.float64)[order], points[order])

    def moved(self, scale: float) -> Faces:
        """Where they are in a picture ``scale`` times as large."""
        return Faces(self.boxes * scale, self.scores, self.landmarks * scale)


@dataclass(frozen=True)
class FaceDetector:
    """A detector, ready to be used.

    Attributes:
        name: It and its version, for the rows that it fills.
        find: ``(H, W, 3)`` uint8, RGB, upright -> its faces.
        about: One line for cards: who learnt what from which faces, and under which licence.
        options: What it was told, for whoever runs the same one elsewhere; empty where nobody does.
    """

    name: str
    find: Callable[[Picture], Faces]
    about: str = ""
    options: dict[str, float] = field(default_factory=dict)


def shrunk(picture: Picture, longer: int, multiple: int) -> tuple[Picture, float]:
    """A picture whose longer side is at most ``longer``, filled up with black to a multiple right and below.

    Args:
        picture: ``(H, W, 3)``.
        longer: Pixels; a smaller picture stays as it is.
        multiple: Of both sides of the result.

    Returns:
        The picture, and how many times smaller it is than it was.
    """
    height, width = picture.shape[:2]
    scale = max(1.0, max(height, width) / longer)
    h, w = max(1, round(height / scale)), max(1, round(width / scale))
    out = np.zeros((-(-h // multiple) * multiple, -(-w // multiple) * multiple, 3), dtype=np.uint8)
    if scale > 1:
        # Shrunk by whole factors first: a third of the time for a photograph, and nobody sees the difference.
        small = Image.fromarray(picture).resize((w, h), Image.Resampling.BILINEAR, reducing_gap=2.0)
        out[:h, :w] = np.asarray(small)
    else:
        out[:h, :w] = picture
    return out, scale


def brightened(picture: Picture) -> Picture:
    """A dark picture with all levels multiplied so that its brightest hundredth reaches half; others as they are."""
    top = int(np.percentile(picture[::4, ::4].max(axis=2), 99)) if picture.size else _BRIGHT
    if top >= _BRIGHT:
        return picture
    levels = np.minimum(np.arange(256) * (_BRIGHT / max(1, top)), 255).round().astype(np.uint8)
    return np.asarray(levels[picture])


def joined(boxes: Floats, scores: Floats, landmarks: Floats, overlap: float = _OVERLAP) -> Faces:
    """One face of each heap of boxes: their mean weighted by score, which stands stiller than the surest of them.

    The surest box takes all that overlap it (intersection over union), then the surest of those left, as
    BlazeFace has it (Bazarevsky et al. 2019, section 3.3).

    Args:
        boxes: ``(n, 4)``.
        scores: ``(n,)``.
        landmarks: ``(n, 5, 2)``.
        overlap: From which two boxes are one face.
    """
    left = np.argsort(-scores, kind="stable")
    found: list[tuple[Floats, float, Floats]] = []
    while len(left):
        same = overlaps(boxes[left[0]], boxes[left]) >= overlap
        same[0] = True  # also a box of no area
        heap = left[same]
        weights = scores[heap] / scores[heap].sum()
        found.append((weights @ boxes[heap], float(scores[heap[0]]), np.einsum("n,nij->ij", weights, landmarks[heap])))
        left = left[~same]
    if not found:
        return Faces.none()
    return Faces(*(np.array(part) for part in zip(*found, strict=True)))


def kept(
    boxes: Floats, scores: Floats, overlap: float, *, of_smaller: bool = False, most: int | None = None
) -> NDArray[np.int64]:
    """Which boxes remain when the surest removes all that overlap it, then the surest of those left.

    Args:
        boxes: ``(n, 4)``.
        scores: ``(n,)``.
        overlap: From which a box is removed.
        of_smaller: Measured by the area of the smaller box, not of both.
        most: Boxes to keep at most, the surest.

    Returns:
        Their rows, the surest first.
    """
    left = np.argsort(-scores, kind="stable")
    found: list[int] = []
    while len(left) and (most is None or len(found) < most):
        found.append(int(left[0]))
        left = left[1:][overlaps(boxes[left[0]], boxes[left[1:]], of_smaller) < overlap]
    return np.array(found, dtype=np.int64)


def overlaps(box: Floats, boxes: Floats, of_smaller: bool = False) -> Floats:
    """Intersection over union of one box with each of ``(n, 4)``, or over the smaller of the two.

    >>> overlaps(np.array([0.0, 0, 2, 2]), np.array([[0.0, 0, 2, 1], [5.0, 5, 6, 6]])).tolist()
    [0.5, 0.0]
    """
    # Edge by edge: asked a hundred times a picture, for a few boxes each time, reductions cost five times as much.
    left, top, right, bottom = boxes.T
    x0, y0, x1, y1 = box.tolist()
    wide = np.minimum(right, x1) - np.maximum(left, x0)
    tall = np.minimum(bottom, y1) - np.maximum(top, y0)
    both = np.maximum(wide, 0) * np.maximum(tall, 0)
    theirs, its = (right - left) * (bottom - top), (x1 - x0) * (y1 - y0)
    areas = np.minimum(theirs, its) if of_smaller else theirs + its - both
    return np.asarray(both / np.where(areas > 0, areas, 1))
