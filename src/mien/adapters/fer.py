"""The ``fer`` package (Shenk): its small network, quantised or not.

Written for fer 25.10.3, after its source: ``FER`` is imported from ``fer.fer``, since the package itself
no longer exports it. Weights come with the package.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.adapters import ADAPTERS
from mien.adapters.tools import Side, by_class, largest
from mien.foreign import import_tool, versioned
from mien.inference import FaceModel
from mien.pictures.pixels import Images, bgr, resized

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
INPUT = 64  # pixels of its network


@ADAPTERS.register("fer")
def fer(*, detect: bool = False, mtcnn: bool = False, tflite: bool = True, size: Side | None = None) -> FaceModel:
    """The network of the package fer, seven classes.

    The tool rounds its scores to two decimals. They are brought back to sum 1; where two classes
    share the highest score, the earlier one counts as predicted.

    Args:
        detect: Let the tool look for the face in the crop; one in which it finds none has no
            prediction. Without it the network sees the whole crop and nothing around it.
        mtcnn: Look with MTCNN rather than with the Haar cascade.
        tflite: Use its quantised network, as the tool does by default.
        size: Side in pixels to which crops are brought first; by default 64, the network's own, and
            224 where the tool looks for the face (its cascade finds none below 50 pixels).

    Raises:
        MissingTool: If fer, or something that it needs, is not installed.
    """
    tool = import_tool("fer.fer", "adapter 'fer'", "fer 'setuptools<81'")
    # Margins of 0: by default the tool adds ten pixels around a face, which a crop does not have.
    margins = {} if detect else {"offsets": (0, 0)}
    model = tool.FER(mtcnn=mtcnn, use_tflite=tflite, **margins)
    side = size or (224 if detect else INPUT)
    name = versioned("fer") + (f" ({'mtcnn' if mtcnn else 'haar'} detector)" if detect else "")

    def scores(image: Images) -> list[float]:
        faces = model.detect_emotions(image, face_rectangles=None if detect else [(0, 0, side, side)])
        if not faces:
            return [np.nan] * len(CLASSES)
        return by_class(faces[largest([f["box"] for f in faces])]["emotions"], CLASSES, name)

    def predict(images: Images) -> NDArray[np.float64]:
        return np.array([scores(image) for image in bgr(resized(images, side))])

    return FaceModel(name, CLASSES, predict, detects=detect)
