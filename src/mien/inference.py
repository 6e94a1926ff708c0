"""The one protocol of everything that classifies faces: crops in, probabilities out, in batches, checked.

Own weights, ONNX files, Python functions and other people's tools all become a :class:`FaceModel`; annotators, who
answer several questions at once, share its batches and its softmax.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, UsageError
from mien.inputs import rows_at_once
from mien.pictures.pixels import STORED, Filter, Images

Progress = Callable[[int, int | None], None]  # faces done, faces in all
_TOLERANCE = 1e-2  # float16 outputs and percentages do not sum to 1 exactly


@dataclass(frozen=True)
class Wants:
    """The pictures that a model is best given; it takes others too, and brings them there itself.

    Attributes:
        size: Side in pixels.
        channels: 1 or 3.
        by: The filter by which others come to that size.
    """

    size: int
    channels: int
    by: Filter = STORED


@dataclass(frozen=True)
class FaceModel:
    """A model or tool that classifies face crops.

    Attributes:
        name: For messages and reports: the tool and its version.
        classes: The K classes in the order of the outputs, as the model spells them.
        predict: ``(B, H, W, C)`` uint8 (RGB or grey, C = 3 or 1) -> ``(B, K + M)``: the classes, then the numbers.
        logits: The outputs are logits: softmax is still to be taken.
        detects: The model looks for the face itself; the row of a face that it does not find is NaN.
        embed: The same pictures -> ``(B, D)`` features; None where the model tells none.
        wants: The pictures that it is best given; None where that is not known.
        batch_size: Most crops handed over at a time.
        numbers: The M numbers that it tells beside the classes (valence, intensities); mostly none.
    """

    name: str
    classes: tuple[str, ...]
    predict: Callable[[Images], Any]
    logits: bool = False
    detects: bool = False
    _: KW_ONLY
    embed: Callable[[Images], Any] | None = None
    wants: Wants | None = None
    batch_size: int = 64
    numbers: tuple[str, ...] = ()

    def probabilities(
        self,
        images: Images,
        rows: NDArray[np.int64] | None = None,
        names: Sequence[Any] | NDArray[Any] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """Classify some crops: the first part of :meth:`answers`, with its arguments and errors.

        Returns:
            ``(n, K)`` that sum to 1; NaN rows where no face was found.
        """
        return self.answers(images, rows, names, batch_size, progress)[0]

    def answers(
        self,
        images: Images,
        rows: NDArray[np.int64] | None = None,
        names: Sequence[Any] | NDArray[Any] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Classify some crops, and tell their numbers.

        Args:
            images: ``(N, H, W, C)`` uint8; may be memory-mapped.
            rows: ``(n,)`` rows of ``images`` to classify; all by default.
            names: ``(n,)`` what the faces are called, for messages; their numbers by default.
            batch_size: Most crops handed over at a time; the model's own by default.
            progress: Called with faces done and in all.

        Returns:
            ``(n, K)`` probabilities that sum to 1, and ``(n, M)`` numbers; NaN rows where no face was found.

        Raises:
            DataError: If the model returns another shape, no probabilities, or what is not finite.
            UsageError: If ``batch_size`` is below 1.
        """
        n = len(images) if rows is None else len(rows)
        called = np.asarray(range(n) if names is None else names, dtype=object)
        out = np.empty((n, len(self.classes) + len(self.numbers)))
        for part, crops in batches(images, rows, self.batch_size if batch_size is None else batch_size, progress):
            out[part] = self._checked(_plain_array(self.predict(crops)), called[part])
        return out[:, : len(self.classes)], out[:, len(self.classes) :]

    def features(
        self, images: Images, rows: NDArray[np.int64] | None = None, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """What the model's head sees of each face: arguments as of :meth:`probabilities`.

        Returns:
            ``(n, D)`` float32.

        Raises:
            UsageError: If the model tells none.
        """
        if self.embed is None:
            raise UsageError(self.name, "tells no features", "a run, or weights of Mien's own")
        parts = [_plain_array(self.embed(crops)) for _, crops in batches(images, rows, self.batch_size, progress)]
        return np.concatenate(parts).astype(np.float32) if parts else np.empty((0, 0), dtype=np.float32)

    def _checked(self, found: NDArray[np.float64], names: NDArray[Any]) -> NDArray[np.float64]:
        """``(B, K + M)``: probabilities, then numbers."""
        k = len(self.classes)
        shape = (len(names), k + len(self.numbers))
        if found.shape != shape:
            expected = f"{shape}, one row an image and one column a class ({', '.join(self.classes)})"
            expected += f", then one a number ({', '.join(self.numbers)})" if self.numbers else ""
            raise DataError(self.name, f"returned an array of shape {found.shape}", expected)
        lost = np.isnan(found).all(1) if self.detects else np.zeros(len(found), dtype=bool)
        refuse_not_finite(found[~lost], names[~lost], self.name)
        found, numbers = found[:, :k], found[:, k:]
        if self.logits:
            found = softmax(found)
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
        return np.concatenate([found / found.sum(1, keepdims=True), numbers], axis=1)


def batches(
    images: Images, rows: NDArray[np.int64] | None = None, batch_size: int = 64, progress: Progress | None = None
) -> Iterator[tuple[slice, Images]]:
    """Crops a batch at a time, fewer of large ones, with their place among all.

    Args:
        images: ``(N, H, W, C)`` uint8; may be memory-mapped.
        rows: ``(n,)`` rows of ``images``; all by default.
        batch_size: Most at a time.
        progress: Called after each batch with faces done and in all.

    Raises:
        UsageError: If ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise UsageError("batch_size", f"is {batch_size}", "1 or more")
    n = len(images) if rows is None else len(rows)
    step = rows_at_once(images[0].nbytes, batch_size) if n else batch_size
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        yield part, np.array(images[part] if rows is None else images[rows[part]])
        if progress:
            progress(part.stop, n)


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """``(n, K)`` logits -> probabilities, of the same kind of number; rows of NaN stay NaN.

    >>> softmax(np.array([[1000.0, 1000.0]])).tolist()
    [[0.5, 0.5]]
    """
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(exponents / exponents.sum(1, keepdims=True))


def on_scales(outputs: NDArray[np.float64], scales: Sequence[str]) -> NDArray[np.float64]:
    """``(n, M)`` outputs of a network -> numbers: as they are (``any``), or softplus of them (``positive``).

    >>> on_scales(np.array([[-2.0, 0.0]]), ("any", "positive")).round(4).tolist()
    [[-2.0, 0.6931]]
    """
    positive = np.array([scale == "positive" for scale in scales], dtype=bool)
    return np.where(positive, np.logaddexp(0, outputs), outputs)


def refuse_not_finite(outputs: NDArray[np.floating], faces: Sequence[Any] | NDArray[Any], model: str) -> None:
    """Refuse outputs with an infinite value or one that is no number: the largest of them would mean nothing.

    Args:
        outputs: ``(n, K)`` logits or probabilities.
        faces: ``(n,)`` what the faces are called.
        model: Which model gave them, for the message.

    Raises:
        DataError: With the first such face.
    """
    bad = ~np.isfinite(outputs).all(1)
    if not bad.any():
        return
    first = int(bad.argmax())
    row = outputs[first].round(4).tolist()
    many = f"{int(bad.sum())} such rows of {len(outputs)}"
    raise DataError(
        model,
        f"returned {row} for the face {str(faces[first])!r} ({many})",
        "finite numbers",
        "Its weights may be damaged, or its training may have diverged.",
    )


def _plain_array(values: Any) -> NDArray[np.float64]:
    """Arrays of numpy and torch (also on a device, with a gradient) as float64."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)
