"""The losses: one file a loss."""

from mien.registry import Registry

LOSSES = Registry("loss", "mien.losses", extra="train")
