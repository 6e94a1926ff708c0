"""What the head of a cell's model sees of the faces that it was judged on."""

from __future__ import annotations

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
    name = evaluations_of(cell)[part]
    path = cell.run.path / FEATURES / f"{name}.npz"
    if not path.is_file():
        evaluate(cell.run, cell.place_of(part), features=True)
    return np.asarray(load_features(path, Predictions.load(cell.run.path / PREDICTIONS / f"{name}.parquet").sample_id))
