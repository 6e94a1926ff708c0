"""Training: configuration in, run folder out."""

from mien.train.loop import train

__all__ = ["train"]
