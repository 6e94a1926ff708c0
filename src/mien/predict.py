"""``predict``: aligned face crops in, probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mien.adapters.loading import load_model, run_model
from mien.errors import DataError, UsageError
from mien.inference import FaceModel
from mien.inputs import rows_at_once
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
        numbers: Number that the model tells beside the classes -> value; empty on error, and where it tells none.
    """

    path: str
    label: str
    probs: dict[str, float]
    error: str = ""
    numbers: dict[str, float] = field(default_factory=dict)


class Predictor:
    """Decode to the size of the faces that the model learnt from, then all that its card says; classify.

    Args:
        model: The model; it must say which pictures it wants.

    Raises:
        UsageError: If it does not.
    """

    def __init__(self, model: FaceModel) -> None:
        if model.wants is None:
            expected = "a model that does: a run, a weights folder or an ONNX file"
            raise UsageError(model.name, "does not say which size and colour of pictures it wants", expected)
        self.model, self.wants = model, model.wants

    @classmethod
    def load(cls, spec: Path | str, device: str = "cpu") -> Predictor:
        """From a run or a weights folder, or an ONNX file.

        Raises:
            WeightsError: If the weights are not there or do not match their card.
        """
        onnx = Path(spec).suffix == ".onnx" and not Path(spec).is_dir()
        return cls(load_model(spec) if onnx else run_model(Path(spec), device=device))

    def predict(self, paths: Sequence[Path | str]) -> list[Face]:
        """Classify aligned crops; a picture that cannot be read gets an error and costs the others nothing.

        Args:
            paths: The pictures.

        Raises:
            DataError: If the model's outputs are not finite.
        """
        step = rows_at_once(self.wants.size**2 * self.wants.channels, _CHUNK)
        faces: list[Face] = []
        for start in range(0, len(paths), step):
            faces += self._some([Path(p) for p in paths[start : start + step]])
        return faces

    def _some(self, paths: Sequence[Path]) -> list[Face]:
        """As many as are held in memory at once."""
        wants, failed = self.wants, list[DataError]()
        images, ok = decode_files(paths, wants.size, wants.channels, failed.append, changes=Changes(), by=wants.by)
        good = [str(path) for path, read in zip(paths, ok, strict=True) if read]
        crops = images[ok].reshape(-1, wants.size, wants.size, wants.channels)
        rows, errors = iter(zip(*self.model.answers(crops, names=good), strict=True)), iter(failed)
        faces = []
        for path, read in zip(paths, ok, strict=True):
            if not read:
                faces.append(Face(str(path), "", {}, str(next(errors))))
                continue
            row, told = next(rows)
            named = {c: float(p) for c, p in zip(self.model.classes, row, strict=True)}
            numbers = {name: float(v) for name, v in zip(self.model.numbers, told, strict=True)}
            faces.append(Face(str(path), self.model.classes[int(row.argmax())], named, numbers=numbers))
        return faces
