"""What adapters and annotators of other people's tools share: the bounds of their options, reading what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from mien.errors import DataError

LARGEST_SIDE = 4096  # pixels
# What options of adapters and annotators may be.
Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
BatchSize = Annotated[int, Field(ge=1, le=65536)]


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
