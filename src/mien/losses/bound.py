"""A loss of the catalogue as the training calls it: with its options, and with what it asks for by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from mien.losses import ASKED, LOSSES


class RowLoss(nn.Module):
    """``(logits, targets, about) -> (B,)``.

    A loss is a function ``(logits, targets, *, what it asks for, options)``, or, where it has a state or
    parameters of its own, an ``nn.Module`` whose constructor takes the options (and ``num_classes`` and
    ``feature_dim`` if it names them) and whose ``forward`` takes the rest. Its parameters join the optimiser.

    Args:
        name: Its name in the catalogue.
        options: Its options.
        num_classes: K.
        feature_dim: D.
    """

    def __init__(self, name: str, options: Mapping[str, Any], *, num_classes: int, feature_dim: int) -> None:
        super().__init__()
        entry: Any = LOSSES.get(name)
        self.call: Any  # a module, which is then one of this one's, or a function
        if inspect.isclass(entry):
            takes = inspect.signature(entry).parameters
            given = {"num_classes": num_classes, "feature_dim": feature_dim}
            self.call = entry(**options, **{k: v for k, v in given.items() if k in takes})
            asked = inspect.signature(self.call.forward).parameters
        else:
            self.call, asked = partial(entry, **options), inspect.signature(entry).parameters
        self.asks = tuple(k for k in ASKED if k in asked)

    def forward(self, logits: Tensor, targets: Tensor, about: Mapping[str, Any]) -> Tensor:
        """One value a face.

        Args:
            logits: ``(B, K)``.
            targets: ``(B, K)``, each row sums to 1.
            about: What a loss may ask for: ``class_counts`` (``(K,)``, training faces of each class),
                ``features`` (``(B, D)``), ``rows`` (``(B,)`` numbers of the faces), ``epoch`` (from 0).

        Returns:
            ``(B,)``.
        """
        losses: Tensor = self.call(logits, targets, **{k: about[k] for k in self.asks})
        return losses
