"""What a model gave for each face, checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError


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
