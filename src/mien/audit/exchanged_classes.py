"""Classes whose names are exchanged in a ring: fear for surprise and surprise for fear, each by most of its faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

from mien.stats.cells import Ints

LEAST = 10  # faces of a class that tell where it goes on their own
Z = 3.29  # one in two thousand: said first, a false alarm would cost trust
_BY_CHANCE = 1e-6  # that a ring's faces are so much oftener right when exchanged back


def exchanged(table: Ints, units: Ints | None = None) -> list[int]:
    """Classes that are taken for each other in a ring, each of them for the next one by most of its faces.

    A ring counts where each of its classes tells on its own, or where all of them together do: more than half of
    their faces are right when exchanged back, and oftener so than as they stand beyond what a coin does to the faces
    that are right in one way or the other (exact binomial test). Two classes that a model confuses are none: as
    many faces are right as they stand.

    Args:
        table: ``(K, K)`` counts, annotated class by predicted class.
        units: ``(K,)`` independent units of each annotated class; by default its faces.

    Returns:
        The classes of all rings. A model that confuses disgust with anger is none: anger would have to be
        taken for disgust as well.

    >>> exchanged(np.array([[1, 30, 0], [28, 2, 0], [0, 1, 40]]))
    [0, 1]
    """
    n = table.sum(1)
    weight = np.ones(len(table)) if units is None else units / np.maximum(n, 1)
    most, size = table.max(1) * weight, n * weight
    target = np.where(most > size / 2, table.argmax(1), np.arange(len(table)))
    # More than half, beyond what chance does to a coin.
    sure = (size >= LEAST) & (most > size / 2 + Z * np.sqrt(size) / 2)
    found: list[int] = []
    for ring in _rings(target):
        back, stands = most[ring].sum(), (table[ring, ring] * weight[ring]).sum()
        if sure[ring].all() or bdtrc(np.floor(back) - 1, int(np.ceil(back + stands)), 0.5) < _BY_CHANCE:
            found += ring
    return sorted(found)


def _rings(target: NDArray[np.int64]) -> list[list[int]]:
    """Rings of two or more classes, each of which goes to the next one."""
    rings: dict[int, list[int]] = {}
    for start in range(len(target)):
        at, path = start, []
        while at not in path:
            path.append(at)
            at = int(target[at])
        if at == start and len(path) > 1:
            rings.setdefault(min(path), path)
    return list(rings.values())
