"""What the head of a cell's model sees of the faces that it was judged on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.audit.leakage import load_features
from mien.evaluate import evaluate
from mien.records import Predictions
from mien.runs import FEATURES, PREDICTIONS
from mien.studies.cells import Cell
from mien.studies.standing import evaluations_of


def features_of(cell: Cell, part: str) -> NDArray[Any]:
    """``(n, D)`` features of the faces of a part, in the order of its predictions; made once, and kept beside them."""
    faces = Predictions.load(predictions_file(cell, part)).sample_id
    return np.asarray(load_features(features_file(cell, part), faces))


def features_file(cell: Cell, part: str) -> Path:
    """Where the features of a part stand; they are made where they are missing."""
    path = cell.run.path / FEATURES / f"{evaluations_of(cell)[part]}.npz"
    if not path.is_file():
        evaluate(cell.run, cell.place_of(part), features=True)
    return path


def predictions_file(cell: Cell, part: str) -> Path:
    """Where the predictions of a part stand."""
    return cell.run.path / PREDICTIONS / f"{evaluations_of(cell)[part]}.parquet"
