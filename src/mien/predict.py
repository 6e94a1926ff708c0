"""``predict``: aligned face crops in, probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.data.model_outputs import refuse_not_finite
from mien.errors import DataError
from mien.inputs import rows_at_once
from mien.models.weights import Classifier, refuse_attributes
from mien.pictures.decode import Changes, decode_files

_CHUNK = 512


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
    """Decode to the size of the faces that the model learnt from, then all that its card says; classify.

    Args:
        classifier: The model with its card.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self._size = classifier.card.store_size or classifier.card.size

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
        """Classify aligned crops; a picture that cannot be read gets an error and costs the others nothing.

        Args:
            paths: The pictures.

        Raises:
            DataError: If the model's outputs are not finite.
        """
        card = self.classifier.card
        step = rows_at_once(self._size**2 * card.in_channels, _CHUNK)
        faces: list[Face] = []
        for start in range(0, len(paths), step):
            faces += self._some([Path(p) for p in paths[start : start + step]])
        return faces

    def _some(self, paths: Sequence[Path]) -> list[Face]:
        """As many as are held in memory at once."""
        card = self.classifier.card
        failed: list[DataError] = []
        images, ok = decode_files(
            paths, self._size, card.in_channels, failed.append, changes=Changes(), by=card.resampling[0]
        )
        good = [path for path, read in zip(paths, ok, strict=True) if read]
        probs = self.classifier.probabilities(images[ok].reshape(-1, self._size, self._size, card.in_channels))
        refuse_not_finite(probs, [str(p) for p in good], f"the model {card.model!r}")
        rows, errors = iter(probs), iter(failed)
        faces = []
        for path, read in zip(paths, ok, strict=True):
            if not read:
                faces.append(Face(str(path), "", {}, str(next(errors))))
                continue
            row = next(rows)
            named = {c: float(p) for c, p in zip(card.classes, row, strict=True)}
            faces.append(Face(str(path), card.classes[int(row.argmax())], named))
        return faces
