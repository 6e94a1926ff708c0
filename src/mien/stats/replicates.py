"""Replicates of the same faces for several models, drawn once over independent units: differences are paired."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class UnitReplicates:
    """How often each independent unit of some faces counts in B replicates.

    Attributes:
        unit: ``(n,)`` unit of each face, from 0.
        weights: ``(1 + B, units)``: first the faces as they are, all 1, then what each replicate drew.
    """

    unit: Ints
    weights: Array

    @classmethod
    def draw(cls, n: int, cluster: Ints | None, n_boot: int, rng: np.random.Generator) -> UnitReplicates:
        """Draw units with replacement, as many as there are.

        Args:
            n: Faces, 1 or more.
            cluster: ``(n,)`` independent units (copies of a picture, faces of a person); None where each face is one.
            n_boot: B.
            rng: Source of randomness.
        """
        unit = np.arange(n) if cluster is None else np.unique(cluster, return_inverse=True)[1].ravel()
        units = int(unit.max()) + 1
        drawn = rng.multinomial(units, np.full(units, 1 / units), size=n_boot)
        return cls(unit.astype(np.int64), np.vstack([np.ones(units), drawn]).astype(np.float64))

    def tables(self, group: Ints, labels: Ints, predicted: Ints, shape: tuple[int, int]) -> Array:
        """``(1 + B, G, K, K)`` confusion counts, rows annotated.

        Args:
            group: ``(n,)`` group of each face, 0 to G - 1.
            labels: ``(n,)`` annotated class.
            predicted: ``(n,)`` predicted class.
            shape: G and K.
        """
        g, k = shape
        code = (group * k + labels) * k + predicted
        counts = csr_matrix((np.ones(len(code)), (self.unit, code)), (self.weights.shape[1], g * k * k))
        return np.asarray(counts.T.dot(self.weights.T)).T.reshape(len(self.weights), g, k, k)
