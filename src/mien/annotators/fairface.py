"""FairFace's own network (Karkkainen and Joo 2021), where the user has its weights: torch or ONNX."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.adapters.onnx import onnx_model
from mien.adapters.tools import BatchSize
from mien.annotators import ANNOTATORS
from mien.annotators.base import RACE6, Perceived, with_merged
from mien.demographics import AGE, AGE_GROUP, AGE_YEARS, GENDER, RACE, RACE4, Head
from mien.errors import MissingExtra, WeightsError, reason
from mien.foreign import Threads
from mien.inference import Progress, batches, softmax
from mien.inputs import check_regular
from mien.pictures.pixels import Images, normalised_floats

_OUTPUTS: tuple[Head, ...] = (RACE, GENDER, AGE)  # the order of the 18 logits
_N_OUTPUTS = sum(len(head.groups) for head in _OUTPUTS)
_SIZE = 224
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, on which it was trained first

Logits = Callable[[Images], NDArray[Any]]


class FairFace:
    """FairFace's network as an annotator; see :func:`fairface`.

    Args:
        logits: ``(B, H, W, C)`` uint8 -> ``(B, 18)``.
        version: Of the weights.
        batch_size: Faces at a time.
    """

    name = "fairface"
    source = "FairFace's own ResNet-34 (Karkkainen and Joo 2021), trained on FairFace"
    terms = "as its authors give the weights; their data is CC BY 4.0"
    heads = (RACE, RACE6.head, RACE4.head, GENDER, AGE, AGE_GROUP.head)

    def __init__(self, logits: Logits, version: str, batch_size: int = 64) -> None:
        self.logits, self.version, self.batch_size = logits, version, batch_size

    def holdout(self, images: Images) -> None:
        """None: nobody has counted its errors here."""

    def annotate(self, images: Images, progress: Progress | None = None) -> Perceived:
        """Perceive some faces.

        Years are the mean of the age groups' middles (75 for the open one), weighted by their probabilities.

        Args:
            images: ``(n, H, W, C)`` uint8, C = 1 or 3 (RGB).
            progress: Called with faces done and in all.

        Raises:
            WeightsError: If the network has other outputs.
        """
        out = np.empty((len(images), _N_OUTPUTS))
        for part, crops in batches(images, batch_size=self.batch_size, progress=progress):
            found = np.asarray(self.logits(crops), dtype=np.float64)
            if found.shape != (len(crops), _N_OUTPUTS):
                expected = f"{_N_OUTPUTS} logits a face, race, gender and age in one output"
                raise WeightsError(self.version, f"its output has the shape {found.shape}", expected)
            out[part] = found
        ends = np.cumsum([len(head.groups) for head in _OUTPUTS])
        parts = np.split(out, ends[:-1], axis=1)
        probs = {head.name: softmax(values) for head, values in zip(_OUTPUTS, parts, strict=True)}
        years = (probs[AGE.name] @ np.asarray(AGE_YEARS)).astype(np.float32)
        return Perceived(with_merged(probs), years)


@ANNOTATORS.register("fairface")
def fairface(weights: str | Path, *, device: str = "cpu", batch_size: BatchSize = 64, threads: Threads = 0) -> FairFace:
    """FairFace's own ResNet-34, from weights that you have.

    It was trained on aligned crops of 224 pixels with a quarter of the face's side around it; crops cut
    otherwise are further from what it knows.

    Args:
        weights: ``res34_fair_align_multi_7_20190809.pt`` (or another of its networks of seven races), or its
            export to ONNX, ``*.onnx``: 18 logits, a batch of 224 x 224 RGB normalised as for ImageNet.
        device: Where torch computes; ONNX runs on the processor.
        batch_size: Faces at a time.
        threads: Threads of ONNX; 0: as many as the runtime likes.

    Raises:
        WeightsError: If the file is missing, or is not of this network.
        MissingExtra: If a ``.pt`` is given and torch is not installed.
        UsageError: If the device is not there.
    """
    path = Path(weights)
    if not path.is_file():
        raise WeightsError(str(path), "no such file", "FairFace's weights, .pt or .onnx")
    if "multi_4" in path.name:
        # Its outputs have the same shape, and would be read as other groups.
        raise WeightsError(str(path), "is FairFace's network of four races", "that of seven, ..._multi_7_...")
    logits = _onnx(path, threads) if path.suffix == ".onnx" else _torch(path, device)
    with open(path, "rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return FairFace(logits, f"{path.stem} {checksum[:8]}", batch_size)


def _onnx(path: Path, threads: int) -> Logits:
    classes = [f"{head.name}={group}" for head in _OUTPUTS for group in head.groups]
    model = onnx_model(path, classes=classes, size=_SIZE, channels=3, mean=_MEAN, std=_STD, scale=255, threads=threads)
    return model.predict


def _torch(path: Path, device: str) -> Logits:
    try:
        import torch
        from torchvision.models import resnet34
    except ModuleNotFoundError as error:
        raise MissingExtra("FairFace's torch weights", "train", error.name or "torch") from error
    try:
        check_regular(path, "FairFace's weights", error=WeightsError)
        state = torch.load(path, map_location="cpu", weights_only=True)
        with torch.device("meta"):
            network = resnet34(weights=None, num_classes=_N_OUTPUTS)
        network.load_state_dict(state, assign=True)
    except WeightsError:
        raise
    except Exception as error:  # torch raises many kinds on files that are not its own
        expected = f"the state of a ResNet-34 with {_N_OUTPUTS} outputs"
        raise WeightsError(str(path), f"cannot be loaded ({reason(error)})", expected) from error
    from mien.models.weights import device_of

    network = network.to(device_of(device)).eval()

    def logits(images: Images) -> NDArray[Any]:
        x = torch.from_numpy(normalised_floats(images, _SIZE, 3, _MEAN, _STD))
        with torch.inference_mode():
            return np.asarray(network(x.to(device)).cpu())

    return logits
