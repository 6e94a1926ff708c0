"""Splits: one file a way; seeded, stratified, never through a picture's copies or a person's faces unless asked."""

from mien.data.splits.units import assign_units, split_units
from mien.registry import Registry

__all__ = ["FIT", "SPLITS", "TEST", "TRAIN", "VALIDATION", "assign_units", "split_units"]

SPLITS = Registry("split", "mien.data.splits", given=("table", "strata"))
TRAIN, VALIDATION, TEST = "train", "validation", "test"
#: Faces that neither train nor choose: for what is fitted after training.
FIT = "fit"
