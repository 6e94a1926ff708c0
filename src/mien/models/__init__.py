"""The models: one file a family."""

from mien.registry import Registry

# What an older install says of its extras lacks this one, and then 'train' would be named, which brings no timm.
MODELS = Registry("model", "mien.models", extra="train", given=("num_classes", "in_channels"), extras={"timm": "timm"})
