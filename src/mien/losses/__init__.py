"""The losses: one file a loss. A loss gives one value a face; what is done with them is the training's business."""

from mien.registry import Registry

# What the training gives a loss that asks for it by name; everything else that it takes is an option.
MAPS = ("maps", "mirrored_maps")  # these need a second forward pass, and a model that has them
ASKED = ("class_counts", "features", "rows", "epoch", *MAPS)
LOSSES = Registry(
    "loss", "mien.losses", extra="train", given=("logits", "targets", "num_classes", "feature_dim", *ASKED)
)
