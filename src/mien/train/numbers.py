"""Numbers that are learnt beside the expression: which columns of a store, and what the network makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.config import ExperimentConfig
from mien.errors import ConfigError, DataError
from mien.losses.numbers import NumberHead
from mien.mitigation.base import Mitigation
from mien.models.blocks import ExpressionModel
from mien.registry import nearest
from mien.samples import CORE_COLUMNS, SampleTable
from mien.spellings import canonical

INTENSITY = "intensity_"  # and the class: how strong it is, from 0 to 5, as labelling asks for it


def number_heads(config: ExperimentConfig, table: SampleTable, classes: Sequence[str]) -> tuple[NumberHead, ...]:
    """The numbers that a configuration asks for, in the order of the network's outputs.

    Args:
        config: The experiment.
        table: The faces of its store.
        classes: The classes that are learnt; intensities are of those of them that have a column.

    Raises:
        ConfigError: If the store has no such column, one is asked for twice, or the mitigation cannot go with numbers.
    """
    numbers, intensity = config.labels.numbers, config.labels.intensity
    heads: list[NumberHead] = []
    if numbers is not None:
        there = _number_columns(table)
        for name in numbers.columns:
            if name not in there:
                found, known = f"the store has no column of numbers {name!r}", nearest(name, there) if there else ""
                raise ConfigError("labels.numbers", found, "", known)
        heads.append(_head(numbers.columns, 0, "any", numbers))
    if intensity is not None:
        own = _intensities(table, classes)
        if not own:
            expected = "columns such as " + INTENSITY + classes[0] + ", which a labelling task with --intensity gives"
            raise ConfigError("labels.intensity", "the store has no intensities of these classes", expected)
        heads.append(_head(own, sum(len(h.columns) for h in heads), "positive", intensity))
    asked = [column for head in heads for column in head.columns]
    twice = [column for column in asked if asked.count(column) > 1]
    if twice:
        raise ConfigError("labels.numbers", f"{twice[0]!r} is asked for twice", "each number once")
    return tuple(heads)


def check_mitigation(mitigation: Mitigation, name: str) -> None:
    """Refuse to mix faces whose numbers would not be mixed.

    Raises:
        ConfigError: If the method mixes batches.
    """
    if type(mitigation).mix is not Mitigation.mix:
        found = f"{name!r} mixes pictures and targets, but not numbers"
        raise ConfigError("mitigation.name", found, "a method that mixes nothing, or no labels.numbers and intensity")


@torch.no_grad()
def check_outputs(model: ExpressionModel, faces: Tensor, outputs: int, name: str) -> None:
    """Refuse a network of a mitigation's own that has no outputs for numbers.

    Args:
        model: The adapted network.
        faces: ``(B, C, size, size)`` of any content, where the network is.
        outputs: How many it must have.
        name: The mitigation, for the message.

    Raises:
        ConfigError: If it has another number of outputs.
    """
    trained = model.training
    found = model.eval()(faces).shape[1]  # in eval, so that batch statistics stand still
    model.train(trained)
    if found != outputs:
        told = f"{name!r} makes a network of {found} outputs, which hold no numbers"
        raise ConfigError("mitigation.name", told, "another method, or no labels.numbers and intensity")


def numbers_of(table: SampleTable, heads: Sequence[NumberHead]) -> NDArray[np.float32] | None:
    """``(n, M)``, NaN where not known; None where none is asked for.

    Raises:
        DataError: If a value of a column is no number.
    """
    columns = [column for head in heads for column in head.columns]
    return np.stack([_numbers(table, c) for c in columns], axis=1).astype(np.float32) if columns else None


def check_known(numbers: NDArray[np.float32] | None, heads: Sequence[NumberHead]) -> None:
    """Refuse numbers that no training face has.

    Raises:
        DataError: With the column.
    """
    columns = [column for head in heads for column in head.columns]
    for column, values in zip(columns, () if numbers is None else numbers.T, strict=True):
        if np.isnan(values).all():
            raise DataError(f"column {column!r}", "is missing for all training faces", "a number for some")


def _head(columns: Sequence[str], start: int, scale: str, settings: object) -> NumberHead:
    about = {key: getattr(settings, key) for key in ("loss", "delta", "weight")}
    return NumberHead(columns=tuple(columns), block=slice(start, start + len(columns)), scale=scale, **about)  # type: ignore[arg-type]


def _intensities(table: SampleTable, classes: Sequence[str]) -> list[str]:
    there = {canonical(c.removeprefix(INTENSITY)): c for c in table.frame.columns if c.startswith(INTENSITY)}
    return [there[canonical(c)] for c in classes if canonical(c) in there]


def _number_columns(table: SampleTable) -> list[str]:
    """Columns that hold numbers, also those that a manifest gave as text; no votes, and no numbers of Mien's own."""
    own = {*CORE_COLUMNS, "hash", "phash", *(f"votes_{word}" for word in table.vocabulary)}
    return [c for c in table.frame.columns if c not in own and _as_numbers(table.frame[c]).notna().any()]


def _numbers(table: SampleTable, column: str) -> NDArray[np.float64]:
    given, values = table.frame[column], _as_numbers(table.frame[column])
    wrong = given.notna() & ~np.isfinite(values)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        where = f"column {column!r} of {table.frame['sample_id'].iloc[row]}"
        raise DataError(where, f"holds {given.iloc[row]!r}", "a finite number, or nothing where it is not known")
    return values.to_numpy(np.float64)


def _as_numbers(values: pd.Series) -> pd.Series:
    # A dictionary of Parquet is a category to pandas, of which no numbers are made.
    return pd.to_numeric(values.astype(object), errors="coerce").astype(np.float64)
