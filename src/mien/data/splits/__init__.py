"""Splits: one file a way; seeded, stratified, never through a picture's copies or a person's faces unless asked."""

from mien.data.splits.units import assign_units, split_units
from mien.registry import Registry

__all__ = ["GIVEN", "SPLITS", "TEST", "TRAIN", "VALIDATION", "assign_units", "split_units"]

SPLITS = Registry("split", "mien.data.splits")
GIVEN = ("table", "strata")  # what a split is given; everything else that it takes is an option
TRAIN, VALIDATION, TEST = "train", "validation", "test"
