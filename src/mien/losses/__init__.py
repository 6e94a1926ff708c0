"""The losses: one file a loss. A loss gives one value a face; what is done with them is the training's business."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mien.registry import Entry, Registry

# What the training gives a loss that asks for it by name; everything else that it takes is an option.
MAPS = ("maps", "mirrored_maps")  # these need a second forward pass, and a model that has them
ASKED = ("class_counts", "features", "rows", "epoch", *MAPS)


class LossRegistry(Registry):
    """Losses by name, and which of them are least where the network gives the target's probabilities."""

    def __init__(self) -> None:
        given = ("logits", "targets", "num_classes", "feature_dim", *ASKED)
        super().__init__("loss", "mien.losses", extra="train", given=given)
        self._elsewhere: set[str] = set()

    def register(
        self, name: str, *, tiny: Mapping[str, Any] | None = None, least_at_target: bool = True
    ) -> Callable[[Entry], Entry]:
        """Register a loss.

        Args:
            name: Its name.
            tiny: As for every registry.
            least_at_target: Whether no other probabilities have a lower loss than those of the target, whatever these
                are: the contract tests hold it to that. Not so on purpose where a loss looks at how common classes
                are, bounds what one face can cost, or does not read the logits.
        """
        if not least_at_target:
            self._elsewhere.add(name)
        return super().register(name, tiny=tiny)

    def least_at_target(self, name: str) -> bool:
        """Whether a loss was registered as least at the target."""
        self.get(name)
        return name not in self._elsewhere


LOSSES = LossRegistry()
