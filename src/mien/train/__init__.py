"""Training: configuration in, run folder out."""

from mien.train.components import load_experiment
from mien.train.run import train

__all__ = ["load_experiment", "train"]
