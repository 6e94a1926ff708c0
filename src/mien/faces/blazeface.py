"""BlazeFace, full range: quick, for large faces in ordinary light. It needs onnxruntime alone."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np

from mien.faces import DETECTORS
from mien.faces.base import FaceDetector, Faces, Floats, LongerSide, Picture, Score, joined, shrunk
from mien.foreign import Threads, onnx_session

NETWORK = Path(__file__).parent / "networks" / "blazeface.onnx"  # made by benchmarks/blazeface_onnx.py
_STRIDE, _MULTIPLE = 4, 64  # pixels a cell of the answer; what the halvings of the network divide without rest
_OWN = 192  # pixels of the pictures that it learnt from
_POINTS = 6  # eyes, nose, middle of the mouth, ears; we keep the first three
_KEPT = 3


@DETECTORS.register("blazeface", tiny={"side": 128})
def blazeface(*, side: LongerSide = 384, least: Score = 0.6, threads: Threads = 0) -> FaceDetector:
    """MediaPipe's BlazeFace for faces within five metres, at a size of one's own.

    The network knows no size of picture; MediaPipe gives it 192 px. A larger side finds smaller faces, takes longer,
    in proportion to its square, and overlooks faces that fill a large part of the picture: those are looked for at 192
    px besides, for a fifth of the time more at 384. It tells eyes and nose.

    Args:
        side: Longer side in pixels to which larger pictures are shrunk.
        least: Lowest score of a face.
        threads: Threads of one computation; 0: as many as the runtime likes.

    Raises:
        WeightsError: If its file is damaged.
    """
    session = onnx_session(NETWORK, "detector 'blazeface'", threads)

    def look(picture: Picture, longer: int) -> Faces:
        small, scale = shrunk(picture, longer, _MULTIPLE)
        x = small.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(127.5) - 1
        scores, boxes = session.run(["scores", "boxes"], {"pictures": x})
        return decoded(scores[0, 0], boxes[0], least).moved(scale)

    def find(picture: Picture) -> Faces:
        first = look(picture, side)
        if min(side, max(picture.shape[:2])) <= _OWN:
            return first
        second = look(picture, _OWN)
        boxes, scores, points = (np.concatenate(two) for two in zip(astuple(first), astuple(second), strict=True))
        return joined(boxes, scores, points)

    about = "MediaPipe BlazeFace full range (Google), Apache-2.0; learnt from pictures of mobile cameras"
    return FaceDetector("blazeface full range", find, about)


def decoded(scores: Floats, boxes: Floats, least: float) -> Faces:
    """The network's answer as faces of the picture that it was given.

    Args:
        scores: ``(rows, columns)``.
        boxes: ``(16, rows, columns)``: centre from the cell's, width and height, points from the cell's centre.
        least: Lowest score of a face.
    """
    rows, columns = np.nonzero(scores >= least)
    told = boxes[:, rows, columns].T.astype(np.float64)
    cells = np.stack([columns, rows], axis=1) * _STRIDE + _STRIDE / 2
    centres, sizes = told[:, :2] + cells, np.abs(told[:, 2:4])
    points = told[:, 4:].reshape(-1, _POINTS, 2) + cells[:, None]
    landmarks = np.full((len(told), 5, 2), np.nan)
    landmarks[:, :_KEPT] = points[:, :_KEPT]
    corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    return joined(corners, scores[rows, columns].astype(np.float64), landmarks)
