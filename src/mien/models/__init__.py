"""The models: one file a family."""

from mien.registry import Registry

MODELS = Registry("model", "mien.models", extra="train", given=("num_classes", "in_channels"))
