"""The vocabulary of perceived attributes: FairFace's groups, and what is merged from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Head:
    """One attribute that an annotator tells, with its groups.

    Attributes:
        name: The attribute: ``race``, ``gender``, ``age``, or one merged from them.
        groups: Its G groups, in the order of probabilities.
    """

    name: str
    groups: tuple[str, ...]


RACE = Head("race", ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern"))
GENDER = Head("gender", ("Male", "Female"))
AGE = Head("age", ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+"))
PREFIX = "perceived_"  # of the columns in which an annotator says what it perceives
HEADS = {head.name: head for head in (RACE, GENDER, AGE)}


@dataclass(frozen=True)
class Merge:
    """A coarser attribute: each group of a finer one goes to one of its groups.

    Attributes:
        head: The coarser attribute.
        of: The finer one.
        to: Group of the finer attribute -> group of the coarser one.
    """

    head: Head
    of: Head
    to: Mapping[str, str]

    def probabilities(self, probs: NDArray[np.floating]) -> NDArray[np.floating]:
        """``(n, G)`` of the finer attribute -> ``(n, H)`` of the coarser one, by summing."""
        table = np.zeros((len(self.of.groups), len(self.head.groups)), dtype=probs.dtype)
        for i, group in enumerate(self.of.groups):
            table[i, self.head.groups.index(self.to[group])] = 1
        return probs @ table


# FairFace published a network of these four groups but not what became of Latino_Hispanic and Middle
# Eastern in it; that they count as White is Mien's choice.
RACE4 = Merge(
    Head("race4", ("White", "Black", "Asian", "Indian")),
    RACE,
    {
        "White": "White",
        "Latino_Hispanic": "White",
        "Middle Eastern": "White",
        "Black": "Black",
        "East Asian": "Asian",
        "Southeast Asian": "Asian",
        "Indian": "Indian",
    },
)
# The bins allow no boundary at 18.
AGE_GROUP = Merge(
    Head("age_group", ("child", "adult")),
    AGE,
    {group: "child" if group in ("0-2", "3-9", "10-19") else "adult" for group in AGE.groups},
)
AGE_STARTS = (0, 3, 10, 20, 30, 40, 50, 60, 70)
# Middle of each bin in years; the last one is open, and 75 is a convention.
AGE_YEARS = (1.5, 6.5, 15.0, 25.0, 35.0, 45.0, 55.0, 65.0, 75.0)
