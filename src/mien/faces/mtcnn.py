"""MTCNN: three small networks, each looking closer at what the one before let through. It needs onnxruntime alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from mien.faces import DETECTORS
from mien.faces.base import FaceDetector, Faces, Floats, LongerSide, Picture, Score, brightened, kept, shrunk
from mien.foreign import Threads, onnx_session

NETWORKS = Path(__file__).parent / "networks"  # made by benchmarks/mtcnn_onnx.py
Smallest = Annotated[int, Field(ge=12, le=4096)]

_FIELD, _STRIDE = 12, 2  # pixels that the first network sees of a face, and between two of its answers
_STEP = 0.709  # from one size of the picture to the next: half of its area, as in the authors' code
_PROPOSED, _REFINED = 0.6, 0.7  # scores that pass the first and the second network, theirs too
_CLOSER, _CLOSEST = 24, 48  # pixels that the second and the third network see
_CANDIDATES = 400  # most boxes that are looked at more closely: patterned walls give thousands


@DETECTORS.register("mtcnn", tiny={"side": 128})
def mtcnn(*, side: LongerSide = 640, least: Score = 0.7, smallest: Smallest = 24, threads: Threads = 0) -> FaceDetector:
    """MTCNN (Zhang et al. 2016) with five landmarks.

    Args:
        side: Longer side in pixels to which larger pictures are shrunk.
        least: Lowest score of a face.
        smallest: Side in pixels of the smallest face looked for, in the picture thus shrunk. Most of the time goes
            into small faces: it falls with the square of this.
        threads: Threads of one computation; 0: as many as the runtime likes.

    Raises:
        WeightsError: If one of its files is damaged.
    """
    what = "detector 'mtcnn'"
    first, second, third = (
        onnx_session(NETWORKS / f"{name}.onnx", what, threads) for name in ("proposal", "refinement", "output")
    )

    def find(picture: Picture) -> Faces:
        small, scale = shrunk(picture, side, 1)
        image = Image.fromarray(brightened(small))
        boxes = _squared(_proposals(first, image, smallest))
        if not len(boxes):
            return Faces.none()
        scores, moves = _closer(second, image, boxes, _CLOSER)
        passed = np.flatnonzero(scores >= _REFINED)
        passed = passed[kept(boxes[passed], scores[passed], 0.7)]
        boxes = _squared(_moved(boxes[passed], moves[passed]))
        if not len(boxes):
            return Faces.none()
        scores, moves, points = _closer(third, image, boxes, _CLOSEST)
        passed = np.flatnonzero(scores >= least)
        boxes, scores, moves, points = boxes[passed], scores[passed], moves[passed], points[passed]
        places = points.reshape(-1, 2, 5).transpose(0, 2, 1)
        landmarks = boxes[:, None, :2] + places * (boxes[:, 2:] - boxes[:, :2])[:, None]
        boxes = _moved(boxes, moves)
        last = kept(boxes, scores, 0.7, of_smaller=True)  # also a box within another
        return Faces.of(boxes[last], scores[last], landmarks[last]).moved(scale)

    about = "MTCNN (Zhang et al. 2016), MIT, weights as of facenet-pytorch; learnt from WIDER FACE and CelebA"
    return FaceDetector("mtcnn", find, about, {"side": side, "least": least, "smallest": smallest})


def _levels(width: int, height: int, smallest: int) -> Iterator[tuple[float, tuple[int, int]]]:
    """How many times smaller each picture of the pyramid is, and its size."""
    scale = smallest / _FIELD
    while min(width, height) / scale >= _FIELD:
        yield scale, (max(_FIELD, round(width / scale)), max(_FIELD, round(height / scale)))
        scale /= _STEP


def _proposals(network: Any, image: Image.Image, smallest: int) -> Floats:
    """The first network at every size: boxes that may be faces, the surest first."""
    boxes, scores = [np.empty((0, 4))], [np.empty(0)]
    for scale, size in _levels(*image.size, smallest):
        level = image if size == image.size else image.resize(size, Image.Resampling.BOX)
        told, moves = network.run(["scores", "boxes"], {"pictures": _input(np.asarray(level)[None])})
        rows, columns = np.nonzero(told[0] >= _PROPOSED)
        corners = np.stack([columns, rows], axis=1) * _STRIDE
        found = np.concatenate([corners, corners + _FIELD], axis=1) * scale
        sure = told[0][rows, columns].astype(np.float64)
        best = kept(found, sure, 0.5, most=_CANDIDATES)
        boxes.append(_moved(found[best], moves[0][:, rows[best], columns[best]].T))
        scores.append(sure[best])
    everything = np.concatenate(boxes)
    return everything[kept(everything, np.concatenate(scores), 0.7, most=_CANDIDATES)]


def _closer(network: Any, image: Image.Image, boxes: Floats, size: int) -> list[NDArray[np.float64]]:
    """What the second or third network says of boxes: scores, moves, and the third points."""
    names = [output.name for output in network.get_outputs()]
    views = np.zeros((len(boxes), size, size, 3), dtype=np.uint8)
    for view, box in zip(views, boxes, strict=True):
        view[...] = _view(image, box, size)
    told = network.run(names, {"pictures": _input(views)})
    return [np.asarray(part, dtype=np.float64) for part in told]


def _view(image: Image.Image, box: Floats, size: int) -> NDArray[np.uint8]:
    """A box of the picture at ``size`` pixels a side; what lies beyond the picture is black, as the authors have it."""
    width, height = image.size
    x0, y0, x1, y1 = box.tolist()  # one box at a time: numbers of Python's own are quicker
    if 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height:
        return np.asarray(image.resize((size, size), Image.Resampling.BOX, box=(x0, y0, x1, y1)))
    left, top = math.floor(x0), math.floor(y0)
    whole = image.crop((left, top, max(math.ceil(x1), left + 1), max(math.ceil(y1), top + 1)))  # filled up with black
    x0, x1 = (min(max(x - left, 0.0), whole.width) for x in (x0, x1))
    y0, y1 = (min(max(y - top, 0.0), whole.height) for y in (y0, y1))
    inner = (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else (0, 0, *whole.size)
    return np.asarray(whole.resize((size, size), Image.Resampling.BOX, box=inner))


def _input(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``(n, H, W, 3)`` uint8 -> ``(n, 3, H, W)`` of -1 to 1."""
    return (pictures.transpose(0, 3, 1, 2).astype(np.float32) - np.float32(127.5)) / np.float32(128)


def _moved(boxes: Floats, moves: Floats) -> Floats:
    """Boxes with their edges moved by shares of their width and height."""
    size = boxes[:, 2:] - boxes[:, :2]
    return np.asarray(boxes + np.concatenate([size, size], axis=1) * moves, dtype=np.float64)


def _squared(boxes: Floats) -> Floats:
    """Squares of the longer side around the same middles."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0, keepdims=True) / 2
    return np.concatenate([middle - half, middle + half], axis=1)
