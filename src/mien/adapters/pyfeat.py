"""The expression models of py-feat (Cheong et al. 2023): ResMaskNet, or its newer multi-task network.

Written for py-feat 2.1.5, after its source. Before 2.0 the class ``Detectorv1`` was called ``Detector``
and there was no multi-task network; that name is used where the newer one is missing. The tool downloads
its weights at the first use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mien.adapters import ADAPTERS
from mien.adapters.tools import Side, largest
from mien.errors import UsageError
from mien.foreign import import_tool, versioned
from mien.inference import FaceModel
from mien.pictures.pixels import Images, in_colour, normalised_floats, resized

RESMASKNET_CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
RESMASKNET_INPUT, MULTITASK_INPUT = 224, 256
_BOX = ("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight")

Predict = Callable[[Images], Any]


@ADAPTERS.register("pyfeat")
def pyfeat(
    *,
    detect: bool = False,
    model: Literal["resmasknet", "multitask"] = "resmasknet",
    size: Side = 224,
    device: str = "cpu",
) -> FaceModel:
    """ResMaskNet or the multi-task network of py-feat, seven classes.

    Args:
        detect: Let the tool look for the face in the crop; one in which it finds none has no
            prediction. Without it the network gets the whole crop.
        model: ``resmasknet`` (``Detectorv1``) or ``multitask`` (``Detectorv2``, what py-feat recommends).
        size: Side in pixels of the crops in which the tool looks for the face.
        device: Where it computes: ``cpu``, ``cuda``, ``mps``.

    Raises:
        MissingTool: If py-feat is not installed.
        UsageError: If there is no such model.
    """
    if model not in ("resmasknet", "multitask"):
        raise UsageError("pyfeat.model", repr(model), "'resmasknet' or 'multitask'")
    feat = import_tool("feat", "adapter 'pyfeat'", "py-feat")
    if model == "multitask":
        detector = feat.Detectorv2(device=device, identity_model=None)
        classes = tuple(detector.multitask.emotion_names)
        whole = _multitask(detector)
    else:
        kind = feat.Detectorv1 if hasattr(feat, "Detectorv1") else feat.Detector
        off = dict.fromkeys(("au_model", "identity_model", "gaze_model") if kind.__name__ == "Detectorv1" else ())
        detector = kind(emotion_model="resmasknet", device=device, **off)
        classes = RESMASKNET_CLASSES
        whole = _resmasknet(detector)
    name = f"{versioned('py-feat')} {model}" + (" (own detector)" if detect else "")
    return FaceModel(name, classes, _looking(detector, classes, size) if detect else whole, detects=detect)


def _resmasknet(detector: Any) -> Predict:
    """The network alone, on crops of 0 to 1; py-feat takes the softmax of its outputs."""
    import torch

    def predict(images: Images) -> Any:
        x = normalised_floats(images, RESMASKNET_INPUT, 3, [0.0], [1.0])
        with torch.inference_mode():
            logits = detector.emotion_detector(torch.from_numpy(x).to(detector.device))
            return torch.softmax(logits.double(), 1)

    return predict


def _multitask(detector: Any) -> Predict:
    """The network alone, on chips of 0 to 1; it gives probabilities."""
    import torch

    def predict(images: Images) -> Any:
        x = normalised_floats(images, MULTITASK_INPUT, 3, [0.0], [1.0])
        return detector.multitask(torch.from_numpy(x).to(detector.device)).emotion

    return predict


def _looking(detector: Any, classes: tuple[str, ...], size: int) -> Predict:
    """The tool's whole chain: the largest face of each crop."""
    import torch

    def predict(images: Images) -> NDArray[np.float64]:
        pictures = torch.from_numpy(np.ascontiguousarray(in_colour(resized(images, size)).transpose(0, 3, 1, 2)))
        found = detector.detect(pictures, data_type="tensor", batch_size=len(images), progress_bar=False)
        out = np.full((len(images), len(classes)), np.nan)
        scores = found[list(classes)].to_numpy(np.float64)
        boxes, frames = found[list(_BOX)].to_numpy(np.float64), found["frame"].to_numpy(np.int64)
        known = np.isfinite(scores).all(1)
        for i in np.unique(frames[known]):
            mine = np.flatnonzero((frames == i) & known)
            out[i] = scores[mine[largest(boxes[mine].tolist())]]
        return out

    return predict
