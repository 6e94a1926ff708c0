"""What the head of a cell's model sees of the faces that it was judged on, and what its latent holds of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mien.audit.leakage import load_features
from mien.evaluate import asked_faces, evaluate
from mien.inference import batches
from mien.runs import FEATURES
from mien.studies.cells import Cell
from mien.studies.standing import evaluations_of

_WITH_LATENT = "latent_mbconv"


def features_of(cell: Cell, part: str, faces: NDArray[Any]) -> NDArray[Any]:
    """``(n, D)`` features of some faces of a part; made once for all of it, and kept beside its predictions.

    Args:
        cell: The run.
        part: The part.
        faces: ``(n,)`` their ids, mostly those of its predictions.
    """
    return np.asarray(load_features(features_file(cell, part), faces))


def latents_of(cell: Cell, part: str, faces: NDArray[Any]) -> NDArray[Any] | None:
    """``(n, D)`` of what the latent map of a ``latent_mbconv`` holds of some faces; None for another network.

    Args:
        cell: The run.
        part: The part.
        faces: ``(n,)`` their ids.
    """
    if cell.run.config.model.name != _WITH_LATENT:  # before any weights are read: most networks have none
        return None
    import torch

    from mien.models.latent import LatentMBConv
    from mien.models.weights import Classifier

    classifier = Classifier.load(cell.run.path)
    module = cast(LatentMBConv, classifier.module)
    asked = asked_faces(cell.run, cell.place_of(part), classifier.card.classes)
    place = {str(face): i for i, face in enumerate(asked.faces.table.frame["sample_id"])}
    rows = asked.faces.rows[[place[str(face)] for face in faces]]
    with torch.inference_mode():
        found = [module.latent_summary(classifier.tensor(crops)).float().cpu().numpy()
                 for _, crops in batches(asked.store.images, rows)]  # fmt: skip
    return np.concatenate(found)


def features_file(cell: Cell, part: str) -> Path:
    """Where the features of a part stand; they are made where they are missing."""
    path = cell.run.path / FEATURES / f"{evaluations_of(cell)[part]}.npz"
    if not path.is_file():
        evaluate(cell.run, cell.place_of(part), features=True)
    return path
