"""What a fit and its mitigation know of the faces that are learnt: rows, targets, and whose faces they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Faces:
    """Faces of one part of a run, in the order of their numbers 0 to n-1.

    Attributes:
        rows: ``(n,)`` rows of the store.
        targets: ``(n, K)`` float32, the blocks of all heads side by side.
        classes: Head -> its classes, in the order of the targets' columns.
        groups: ``(n, G)`` float32: how far a face belongs to each group, the blocks of all attributes side
            by side. A row of a block is one-hot where the group is known, a distribution where a model
            perceived it, and all zero where it is missing.
        attributes: Attribute -> its groups, in the order of the columns.
        numbers: ``(n, M)`` float32 numbers that are learnt beside the heads, NaN where not known; None without.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.float32]
    classes: Mapping[str, tuple[str, ...]]
    groups: NDArray[np.float32]
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def heads(self) -> dict[str, slice]:
        """Where each head's targets, and logits, stand among the K."""
        return blocks(self.classes)

    @property
    def blocks(self) -> dict[str, slice]:
        """Where each attribute's groups stand among the G."""
        return blocks(self.attributes)

    def first_classes(self) -> NDArray[np.int64]:
        """``(K,)`` faces by their first class, head after head."""
        counts = [np.bincount(self.targets[:, b].argmax(1), minlength=b.stop - b.start) for b in self.heads.values()]
        return np.concatenate(counts)


def blocks(named: Mapping[str, tuple[str, ...]]) -> dict[str, slice]:
    """Where the columns of each name stand, side by side in the order of the names."""
    ends = np.cumsum([len(columns) for columns in named.values()]).tolist()
    return {name: slice(end - len(columns), end) for (name, columns), end in zip(named.items(), ends, strict=True)}
