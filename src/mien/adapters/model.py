"""What every adapter gives: a model that takes crops and returns probabilities, checked."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.model_outputs import refuse_not_finite
from mien.errors import DataError, MienError
from mien.pictures.pixels import Images

_TOLERANCE = 1e-2  # float16 outputs and percentages do not sum to 1 exactly


class MissingTool(MienError):
    """A tool's package is not installed, or cannot be imported."""


@dataclass(frozen=True)
class FaceModel:
    """A model or tool that classifies face crops.

    Attributes:
        name: For messages and reports: the tool and its version.
        classes: The K classes in the order of the outputs, as the model spells them.
        predict: ``(B, H, W, C)`` uint8 (RGB or grey, C = 3 or 1) -> ``(B, K)``.
        logits: The outputs are logits: softmax is still to be taken.
        detects: The model looks for the face itself; the row of a face that it does not find is NaN.
    """

    name: str
    classes: tuple[str, ...]
    predict: Callable[[Images], Any]
    logits: bool = False
    detects: bool = False

    def probabilities(self, images: Images, faces: Sequence[Any] | NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Classify some crops.

        Args:
            images: ``(B, H, W, C)`` uint8.
            faces: ``(B,)`` what they are called, for messages; their numbers by default.

        Returns:
            ``(B, K)`` that sum to 1; NaN rows where no face was found.

        Raises:
            DataError: If the model returns another shape, or no probabilities.
        """
        found = _plain_array(self.predict(images))
        shape = (len(images), len(self.classes))
        if found.shape != shape:
            expected = f"{shape}, one row an image and one column a class ({', '.join(self.classes)})"
            raise DataError(self.name, f"returned an array of shape {found.shape}", expected)
        lost = np.isnan(found).all(1) if self.detects else np.zeros(len(found), dtype=bool)
        names = np.asarray(range(len(found)) if faces is None else faces, dtype=object)
        refuse_not_finite(found[~lost], names[~lost], self.name)
        if self.logits:
            found = np.exp(found - found.max(1, keepdims=True))
            found /= found.sum(1, keepdims=True)
        bad = (found < 0).any(1) | ~(np.abs(found.sum(1) - 1) <= _TOLERANCE)
        bad &= ~lost
        if bad.any():
            first = int(bad.argmax())
            row, n = found[first], int(bad.sum())
            raise DataError(
                self.name,
                f"returned {row.round(4).tolist()} for the face {str(names[first])!r} ({n} such rows of {len(found)})",
                "probabilities of 0 or more that sum to 1",
                "" if self.logits else "If these are logits, pass logits=True.",
            )
        return np.asarray(found / found.sum(1, keepdims=True))


def _plain_array(values: Any) -> NDArray[np.float64]:
    """Arrays of numpy and torch (also on a device, with a gradient) as float64."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def import_tool(module: str, adapter: str, install: str) -> ModuleType:
    """Import a tool's module.

    Args:
        module: The module to import.
        adapter: The adapter that needs it, for the message.
        install: What to give to ``pip install``.

    Raises:
        MissingTool: If it, or something that it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingTool(
            f"adapter {adapter!r}", f"cannot import {module!r} ({error})", "", f"Install it: pip install {install}"
        ) from error


def versioned(package: str) -> str:
    """``deepface 0.0.103``; the bare name where the version is not known."""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package


def by_class(found: dict[str, Any], classes: Sequence[str], where: str) -> list[float]:
    """A tool's dictionary of scores in the order of ``classes``, brought to sum 1.

    Raises:
        DataError: If the tool's classes are others, as in a version that the adapter does not know.
    """
    if set(found) != set(classes):
        raise DataError(
            where,
            f"returned the classes {', '.join(found)}",
            ", ".join(classes),
            "The adapter was written for another version: see docs/adapters.md.",
        )
    scores = np.array([float(found[c]) for c in classes])
    return list(scores / scores.sum())


def largest(boxes: Sequence[Sequence[float]]) -> int:
    """Index of the box ``(x, y, width, height)`` of the largest area."""
    return int(np.argmax([float(b[2]) * float(b[3]) for b in boxes]))
