"""``predict``: aligned face crops in, probabilities out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.data.decode import decode_file
from mien.errors import DataError
from mien.models.weights import Classifier, refuse_attributes


@dataclass(frozen=True)
class Face:
    """What the model says of one picture.

    Attributes:
        path: The picture.
        label: The most probable expression as a person would perceive it; empty on error.
        probs: Class -> probability; empty on error.
        error: Why the picture could not be read; empty otherwise.
    """

    path: str
    label: str
    probs: dict[str, float]
    error: str = ""


class Predictor:
    """Decode, bring to the card's size and normalisation, classify.

    Args:
        classifier: The model with its card.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    @classmethod
    def load(cls, folder: Path | str, device: str = "cpu") -> Predictor:
        """From a run or a weights folder.

        Raises:
            WeightsError: If the weights are not there or do not match their card.
        """
        classifier = Classifier.load(folder, device)
        refuse_attributes(classifier, Path(folder))
        return cls(classifier)

    def predict(self, paths: Sequence[Path | str]) -> list[Face]:
        """Classify aligned crops; a picture that cannot be read gets an error and costs the others nothing."""
        card = self.classifier.card
        images, errors = [], {}
        for path in paths:
            try:
                image = decode_file(Path(path), card.size, card.in_channels)
                images.append(image.reshape(card.size, card.size, card.in_channels))
            except DataError as error:
                errors[str(path)] = str(error)
        probs: Iterator[NDArray[np.float64]] = iter(self.classifier.probabilities(np.stack(images)) if images else [])
        faces = []
        for path in paths:
            if str(path) in errors:
                faces.append(Face(str(path), "", {}, errors[str(path)]))
                continue
            row = next(probs)
            named = {c: float(p) for c, p in zip(card.classes, row, strict=True)}
            faces.append(Face(str(path), card.classes[int(row.argmax())], named))
        return faces
