"""Weights of a network that knows attributes, told who is in the picture in place of what it tells itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mien.errors import UsageError, WeightsError
from mien.models.card import CARD
from mien.models.conditioned import ConditionedModel
from mien.models.weights import Classifier, refuse_attributes
from mien.pictures.pixels import Images
from mien.registry import nearest
from mien.spellings import attribute_name
from mien.values import shown


@dataclass(frozen=True)
class GivenModel:
    """A network of the model ``conditioned``, with its card.

    Attributes:
        classifier: The network and its card.
        module: The network.
        groups: Each attribute that it was taught, with its groups in the order of their probabilities.
        batch_size: Most crops at a time.
        untaught: Of each attribute the groups that no training face had, so that their probabilities mean nothing.
    """

    classifier: Classifier
    module: ConditionedModel
    groups: Mapping[str, tuple[str, ...]]
    batch_size: int = 256
    untaught: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path | str, device: torch.device | str = "cpu") -> GivenModel:
        """Load from a run or weights folder.

        Raises:
            UsageError: If the weights are of another model, tell attributes alone, or were taught none.
            WeightsError: As :meth:`mien.models.weights.Classifier.load`; or if the card names other groups.
        """
        classifier = Classifier.load(folder, device)
        refuse_attributes(classifier, Path(folder))
        module, said = classifier.module, classifier.card.data.get("attributes")
        if not isinstance(module, ConditionedModel):
            expected = "a network that knows attributes (the model 'conditioned')"
            raise UsageError(str(folder), f"holds a {classifier.card.model}", expected)
        if not said:
            fix = "Train it with the mitigation attribute_heads."
            raise UsageError(str(folder), "was taught no attribute", "a network that was", fix)
        said = {attribute_name(k): v for k, v in said.items()} if isinstance(said, dict) else said
        counts = {k: len(v) for k, v in said.items() if isinstance(v, list)} if isinstance(said, dict) else {}
        if len(counts) < len(said) or any(module.attributes.get(name) != n for name, n in counts.items()):
            expected = "the groups of " + ", ".join(f"{k} ({n})" for k, n in module.attributes.items())
            raise WeightsError(f"{Path(folder) / CARD}: data.attributes", shown(said), expected)
        groups = {name: tuple(map(str, found)) for name, found in said.items()}
        untaught = classifier.card.data.get("untaught_groups", {})  # cards of before do not say
        if not isinstance(untaught, dict) or any(not set(v) <= set(groups.get(k, ())) for k, v in untaught.items()):
            raise WeightsError(f"{Path(folder) / CARD}: data.untaught_groups", shown(untaught), f"some of {groups}")
        return cls(classifier, module, groups, untaught={name: tuple(found) for name, found in untaught.items()})

    @property
    def classes(self) -> tuple[str, ...]:
        """The K classes in the order of the logits."""
        return self.classifier.card.classes

    def groups_of(self, attribute: str) -> tuple[str, ...]:
        """The groups of an attribute.

        Raises:
            UsageError: If the network was not taught it.
        """
        name = attribute_name(attribute)
        if name not in self.groups:
            raise UsageError(
                "attributes", f"the network knows no {attribute!r}", "", nearest(attribute, [*self.groups])
            )
        return self.groups[name]

    @torch.inference_mode()
    def logits(self, images: Images, given: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
        """``(B, H, W, C)`` uint8 and attribute -> ``(B, G)`` memberships -> ``(B, K)``; see ``conditioned_on``."""
        device = self.classifier.device
        groups = {name: torch.from_numpy(rows).to(device) for name, rows in given.items()}
        found = self.module.conditioned_on(self.classifier.tensor(images), groups)
        logits: NDArray[np.float64] = found[:, : len(self.classes)].double().cpu().numpy()
        return logits
