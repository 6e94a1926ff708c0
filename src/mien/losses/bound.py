"""A loss of the catalogue as the training calls it: with its options, and with what it asks for by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mien.losses import ASKED, LOSSES, MAPS
from mien.registry import unfit_options


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

    Raises:
        ConfigError: If the options of a function cannot be used, or do not fit the number of classes, now and not in
            the first step.
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
        if not inspect.isclass(entry):  # a module has been told the number of classes, and may have a state to move
            try:
                self._try(num_classes, feature_dim)
            except (TypeError, ValueError) as error:
                if not options:  # then it is a mistake of the loss
                    raise
                raise unfit_options(entry, options, error, repr(name), "loss.options") from error

    @property
    def asks_maps(self) -> bool:
        """Whether it asks for class activation maps, which not every model has."""
        return any(k in MAPS for k in self.asks)

    @torch.no_grad()
    def _try(self, k: int, d: int) -> None:
        about = {"class_counts": torch.ones(k), "features": torch.zeros(2, d), "rows": torch.arange(2), "epoch": 0}
        self(torch.zeros(2, k), torch.full((2, k), 1 / k), about | dict.fromkeys(MAPS, torch.zeros(2, k, 1, 1)))

    def forward(self, logits: Tensor, targets: Tensor, about: Mapping[str, Any]) -> Tensor:
        """One value a face.

        Args:
            logits: ``(B, K)``.
            targets: ``(B, K)``, each row sums to 1.
            about: What a loss may ask for: ``class_counts`` (``(K,)``, training faces of each class),
                ``features`` (``(B, D)``), ``rows`` (``(B,)`` numbers of the faces), ``epoch`` (from 0), ``maps``
                (``(B, K, h, w)`` class activation maps), ``mirrored_maps`` (those of the mirror images, mirrored back).

        Returns:
            ``(B,)``.
        """
        losses: Tensor = self.call(logits, targets, **{k: about[k] for k in self.asks})
        return losses
