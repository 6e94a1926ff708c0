"""What a corpus is made of, before any model; never needs torch."""

from mien.composition.composition import (
    MIN_N,
    AttributeComposition,
    Composition,
    Described,
    ThinCell,
    composition,
)
from mien.composition.independence import FEWER, MORE, NOT_SHOWN, Association, Cell, Measure
from mien.composition.numbers import NumberColumn
from mien.composition.perceived import Certainty, CorrectedShares
from mien.composition.shares import Distribution, Representation

__all__ = [
    "FEWER",
    "MIN_N",
    "MORE",
    "NOT_SHOWN",
    "Association",
    "AttributeComposition",
    "Cell",
    "Certainty",
    "Composition",
    "CorrectedShares",
    "Described",
    "Distribution",
    "Measure",
    "NumberColumn",
    "Representation",
    "ThinCell",
    "composition",
]
