"""The emotion model of deepface (Serengil and Ozpinar).

Written for deepface 0.0.103, after its source. The tool downloads its weights at the first use.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.adapters import ADAPTERS
from mien.adapters.tools import Side, by_class, largest
from mien.foreign import import_tool, versioned
from mien.inference import FaceModel
from mien.pictures.pixels import Images, bgr, resized

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@ADAPTERS.register("deepface")
def deepface(*, detect: bool = False, detector: str = "opencv", size: Side = 224) -> FaceModel:
    """The emotion model of deepface, seven classes.

    Args:
        detect: Let the tool look for the face in the crop; one in which it finds none has no
            prediction. Without it the whole crop goes to the network (``detector_backend="skip"``).
        detector: Its ``detector_backend`` where it looks.
        size: Side in pixels to which crops are brought first; the tool brings faces to 224 itself.

    Raises:
        MissingTool: If deepface is not installed.
    """
    tool = import_tool("deepface.DeepFace", "adapter 'deepface'", "deepface")
    name = versioned("deepface") + (f" ({detector} detector)" if detect else "")

    def scores(image: Images) -> list[float]:
        face = largest_face(tool, image, ["emotion"], detector if detect else None)
        return [np.nan] * len(CLASSES) if face is None else by_class(face["emotion"], CLASSES, name)

    def predict(images: Images) -> NDArray[np.float64]:
        return np.array([scores(image) for image in bgr(resized(images, size))])

    return FaceModel(name, CLASSES, predict, detects=detect)


def largest_face(tool: ModuleType, image: Images, actions: list[str], detector: str | None) -> dict[str, Any] | None:
    """What deepface says of the largest face of a picture; None where it finds none.

    Args:
        tool: Its module.
        image: ``(H, W, 3)`` uint8, BGR.
        actions: What to say.
        detector: Its ``detector_backend``; None: the whole crop is the face.
    """
    try:
        found = tool.analyze(
            img_path=image,
            actions=actions,
            enforce_detection=detector is not None,
            detector_backend=detector or "skip",
            silent=True,
        )
    except ValueError as error:
        # Versions before 0.0.99 raise a bare ValueError with this text.
        if detector is not None and "could not be detected" in str(error):
            return None
        raise
    faces: list[dict[str, Any]] = found if isinstance(found, list) else [found]
    return faces[largest([[float(f.get("region", {}).get(side, 0)) for side in "xywh"] for f in faces])]
