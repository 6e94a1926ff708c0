"""Arrays of probabilities, as Keras' ``predict`` and numpy save them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.prediction_tables.table import Block, PredictionTable

_CLASSES = ("classes", "class_names", "labels_names", "names")
_LABELS = ("labels", "label", "y_true", "y", "targets")
_FILES = ("filenames", "files", "paths", "image_paths")


def read_arrays(path: Path, classes: Sequence[str] | None = None) -> PredictionTable:
    """Read ``probs.npy``, or an ``.npz`` with probabilities and perhaps ``classes``, ``labels`` and ``filenames``.

    Args:
        path: The file; nothing in it is unpickled.
        classes: The classes in the order of the columns; an ``.npz`` may hold them itself.

    Raises:
        DataError: If there is no ``(n, K)`` array of numbers, or the classes are not known or are not K.
    """
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = {"probs": loaded} if isinstance(loaded, np.ndarray) else {k: loaded[k] for k in loaded.files}
    except Exception as error:  # a damaged header fails in as many ways as Python has of reading one
        fix = "Save names as text: np.array(names, dtype=str)."
        raise DataError(str(path), f"cannot be read ({error})", "arrays of numbers and text", fix) from error
    tables = {k: a for k, a in arrays.items() if a.ndim == 2 and a.dtype.kind in "fiu"}
    if len(tables) != 1:
        found = f"holds {len(tables)} arrays of two dimensions ({', '.join(arrays) or 'none'})"
        raise DataError(str(path), found, "one, with a row a face and a column a class")
    values = next(iter(tables.values()))
    names = tuple(classes or _words(arrays, _CLASSES) or ())
    if not names:
        # No list of names: people would copy it, and models have their classes in orders of their own.
        fix = "Give them in the order of the model's outputs: --classes CLASS1,CLASS2,..."
        raise DataError(str(path), f"has {values.shape[1]} columns and does not say of which classes", "", fix)
    if len(names) != values.shape[1]:
        found = f"has {values.shape[1]} columns, and {len(names)} classes are given ({', '.join(names)})"
        raise DataError(str(path), found, "one class a column")
    columns: dict[str, pd.Series[Any]] = {}
    labels, files = _column(arrays, _LABELS, len(values)), _words(arrays, _FILES)
    if labels is not None:
        columns["label"] = pd.Series(pd.Categorical(_named(labels, names)))
    if files and len(files) == len(values):
        columns["filename"] = pd.Series(files)
    floats = np.array(values, dtype=np.float32 if values.dtype in (np.float16, np.float32) else np.float64)
    table = PredictionTable(columns=columns, blocks={"prob_": Block(names, floats)}, n=len(values), source=str(path))
    return replace(table, notes=(f"The columns of {path.name} were read as {', '.join(names)}.",))


def _words(arrays: dict[str, NDArray[Any]], names: Sequence[str]) -> list[str] | None:
    found = next((arrays[k] for k in names if k in arrays and arrays[k].ndim == 1), None)
    return None if found is None or found.dtype.kind not in "US" else [str(w) for w in found.astype(str)]


def _column(arrays: dict[str, NDArray[Any]], names: Sequence[str], n: int) -> NDArray[Any] | None:
    return next((arrays[k] for k in names if k in arrays and arrays[k].shape == (n,)), None)


def _named(labels: NDArray[Any], classes: Sequence[str]) -> list[str]:
    """Labels as words; whole numbers count the classes from 0."""
    if labels.dtype.kind in "iu":
        return [classes[k] if 0 <= k < len(classes) else str(k) for k in labels.tolist()]
    return [str(w) for w in labels.astype(str)]
