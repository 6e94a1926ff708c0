"""Training: configuration in, run folder out."""

from mien.train.build import is_first
from mien.train.components import load_experiment
from mien.train.run import train

__all__ = ["is_first", "load_experiment", "train"]
