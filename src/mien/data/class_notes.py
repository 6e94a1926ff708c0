"""Classes that some faces lack, or of which there are hardly any: said before a model is trained or judged on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

FEW = 10  # as few as an audit leaves out of a class's gaps by default: recall moves in steps of a tenth


def present_classes(targets: NDArray[np.floating], classes: Sequence[str]) -> dict[str, int]:
    """Faces by the class that is largest in their targets.

    Args:
        targets: ``(n, K)``, each row a distribution over the classes.
        classes: The K classes.
    """
    counts = np.bincount(targets.argmax(1), minlength=len(classes))
    return {c: int(n) for c, n in zip(classes, counts, strict=True)}


def class_notes(counts: Mapping[str, int], faces: str, lacking: str) -> list[str]:
    """What must be said of classes without faces, or with few.

    Args:
        counts: Class -> faces, of all classes that a model is to know.
        faces: What the faces are called: ``training face``.
        lacking: What follows for a class without any.

    Returns:
        One sentence for all faces in one class, for classes without faces, and for those with fewer than ten.

    >>> class_notes({"happy": 90, "sad": 0, "fear": 3}, "training face", "it cannot be learnt")
    ['No training face is sad: it cannot be learnt.', 'Few training faces: fear 3.']
    """
    there = [c for c, n in counts.items() if n]
    if len(there) == 1 and len(counts) > 1:
        return [f"All {counts[there[0]]:,} {faces}s are {there[0]}: nothing else can be told by them."]
    notes = []
    if none := [c for c, n in counts.items() if not n]:
        notes.append(f"No {faces} is {' or '.join(none)}: {lacking}.")
    if few := [f"{c} {n}" for c, n in counts.items() if 0 < n < FEW]:
        notes.append(f"Few {faces}s: {', '.join(few)}.")
    return notes
