"""Blocks of probabilities, target distributions and votes: in the order of the classes, and checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError
from mien.prediction_tables.table import PredictionTable

_CHUNK = 1_000_000  # rows checked at once

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def block_of(
    table: PredictionTable, prefix: str, classes: tuple[str, ...], needed: Bools | None = None
) -> NDArray[Any] | None:
    """``(n, K)`` values of a block in the order of the classes, checked in the rows ``needed``; None if absent.

    Raises:
        DataError: If columns and classes differ, or with the first row that cannot be.
    """
    block = table.blocks.get(prefix)
    if block is None or (prefix == "votes_" and set(block.names) != set(classes)):
        return None
    if set(block.names) != set(classes):
        odd = [f"{prefix}{c}" for c in sorted(set(block.names) ^ set(classes))]
        wanted = ", ".join(f"{prefix}{c}" for c in classes)
        raise DataError(table.source, f"columns {odd} do not match the classes", wanted)
    values = block.values if block.names == classes else block.values[:, [block.names.index(c) for c in classes]]
    distribution = prefix != "votes_"
    bad = _wrong_rows(values, distribution, needed)
    if len(bad):
        row = values[int(bad[0])].astype(np.float64)
        raise DataError(
            table.place(int(bad[0])),
            f"{prefix}* values {row.round(4).tolist()} sum to {row.sum():.4f} ({len(bad)} such rows)",
            "numbers of 0 or more that sum to 1" if distribution else "counts of 0 or more",
            "Pass softmax outputs, not logits." if distribution else "",
        )
    return values


def _wrong_rows(values: NDArray[Any], distribution: bool, needed: Bools | None) -> Ints:
    wrong = []
    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK]
        bad = ~np.isfinite(part).all(1) | (part < 0).any(1)
        if distribution:
            bad |= np.abs(part.sum(1) - 1) > 1e-3
        if needed is not None:
            bad &= needed[start : start + _CHUNK]
        wrong.append(start + np.flatnonzero(bad))
    return np.concatenate(wrong).astype(np.int64)
