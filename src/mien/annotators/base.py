"""What every annotator gives; the groups are those of :mod:`mien.demographics`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mien.demographics import AGE_GROUP, AGE_STARTS, RACE, RACE4, Head, Merge
from mien.inference import Progress
from mien.pictures.pixels import Images

if TYPE_CHECKING:
    from mien.annotators.holdout import Holdout

Probabilities = NDArray[np.float32]

# Of tools that know one Asian group, such as deepface.
RACE6 = Merge(
    Head("race6", ("White", "Black", "Latino_Hispanic", "Asian", "Indian", "Middle Eastern")),
    RACE,
    {g: "Asian" if g in ("East Asian", "Southeast Asian") else g for g in RACE.groups},
)
_RACE4_OF_SIX = Merge(RACE4.head, RACE6.head, {"Asian": "Asian"} | {g: RACE4.to.get(g, g) for g in RACE6.head.groups})
MERGES = (RACE6, RACE4, _RACE4_OF_SIX, AGE_GROUP)


@dataclass(frozen=True)
class Perceived:
    """What an annotator says of n faces.

    Attributes:
        probs: Head name -> ``(n, G)``, rows sum to 1, columns in the order of the head's groups.
        years: ``(n,)`` expected age in years, or None where the annotator gives none.
        undetected: ``(n,)`` faces that the tool could not find, whose rows of ``probs`` and ``years`` are
            NaN; None where it does not look.
    """

    probs: dict[str, Probabilities]
    years: NDArray[np.float32] | None = None
    undetected: NDArray[np.bool_] | None = None


class Annotator(Protocol):
    """A model or tool that perceives attributes of faces."""

    @property
    def name(self) -> str:
        """As in the registry; it stands in the columns that it fills."""

    @property
    def version(self) -> str:
        """Of the weights, or of the tool that loads them."""

    @property
    def source(self) -> str:
        """One line: whose weights, trained on what."""

    @property
    def terms(self) -> str:
        """One line: under which terms they are given."""

    @property
    def heads(self) -> tuple[Head, ...]:
        """What it perceives."""

    def annotate(self, images: Images, progress: Progress | None = None) -> Perceived:
        """Perceive some faces: ``(n, H, W, C)`` uint8, C = 1 or 3 (RGB)."""

    def holdout(self, images: Images) -> Holdout | None:
        """Faces on which its errors are known, seen as these pictures are; None where nobody counted them."""


def with_merged(probs: Mapping[str, NDArray[np.floating]]) -> dict[str, Probabilities]:
    """Add every coarser head that can be made from the heads there are.

    Args:
        probs: Head name -> ``(n, G)``; rows of NaN stay NaN.
    """
    out = {name: values.astype(np.float32) for name, values in probs.items()}
    probs_of = {name: values.astype(np.float64) for name, values in probs.items()}
    for merge in MERGES:
        if merge.of.name in out and merge.head.name not in out:
            # Summed in single precision they may exceed 1 by a little.
            summed = merge.probabilities(probs_of[merge.of.name]).astype(np.float64)
            probs_of[merge.head.name] = summed
            out[merge.head.name] = np.minimum(summed, 1).astype(np.float32)
    return out


def age_bins(years: NDArray[np.floating]) -> NDArray[np.int64]:
    """``(n,)`` which of the age groups each age in years falls in."""
    return (np.searchsorted(AGE_STARTS, years, side="right") - 1).astype(np.int64)
