"""Weights that a run begins with must not have learnt the faces that it holds out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.config import ExperimentConfig
from mien.data.splits import TEST, TRAIN, VALIDATION
from mien.errors import ConfigError, WeightsError
from mien.models.weights import load_card
from mien.own_files import TEXT, read_parquet
from mien.runs import SPLITS, read_splits
from mien.samples import SampleTable

_ANNOTATOR_HOLDOUT = "holdout.parquet"  # in an annotator's folder: the faces that it did not learn from


def check_start(config: ExperimentConfig, table: SampleTable) -> None:
    """Refuse to begin with weights that learnt faces which this run holds out.

    Args:
        config: The experiment.
        table: Its faces with their split.

    Raises:
        ConfigError: If ``model.weights`` holds no weights, or they come from a run or an annotator that
            learnt, or may have learnt, validation or test faces of this one.
    """
    if config.model.weights is None:
        return
    folder = Path(config.model.weights)
    try:
        load_card(folder)
    except WeightsError as error:
        found = f"{str(folder)!r} {error.found}" if folder.is_dir() else f"no such folder {str(folder)!r}"
        raise ConfigError("model.weights", found, "a run, weights or annotator folder") from error
    learnt, words = _learnt_before(folder, table)
    parts = [(part, (table.frame["split"] == part).to_numpy(dtype=bool)) for part in (VALIDATION, TEST)]
    counts = [f"{(learnt & held).sum():,} of {held.sum():,} {part}" for part, held in parts if (learnt & held).any()]
    if counts:
        raise ConfigError(
            "model.weights",
            f"{' and '.join(counts)} faces {words} {str(folder)!r}",
            "weights that never saw them",
            "Split as those weights did (the same split, options and seed), or begin with others.",
        )


def _learnt_before(folder: Path, table: SampleTable) -> tuple[NDArray[np.bool_], str]:
    """``(n,)`` faces that the weights of a folder learnt, and how the message says so."""
    ids = table.frame["sample_id"]
    if (folder / SPLITS).is_file():
        begun = read_splits(folder)
        learnt = ids.isin(set(begun.loc[begun["split"] == TRAIN, "sample_id"]))
        return learnt.to_numpy(dtype=bool), "were learnt by"
    held = np.zeros(len(table), dtype=bool)
    if (folder / _ANNOTATOR_HOLDOUT).is_file():
        path = folder / _ANNOTATOR_HOLDOUT
        known = set(read_parquet(path, {"sample_id": TEXT}, "an annotator's held-out faces").column(0).to_pylist())
        held = ids.isin(known).to_numpy(dtype=bool)
    # Other faces of the same corpus were learnt, as far as the annotator's folder tells.
    return ~held if held.any() else held, "are not among those held out from"
