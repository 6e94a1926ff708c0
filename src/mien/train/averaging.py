"""Averaged weights: of the network that is saved, never of what only helps to train it."""

from __future__ import annotations

from copy import deepcopy
from itertools import chain, compress

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Exponential moving average of weights and batch statistics, short at first.

    The decay at step t is min(decay, (1 + t) / (10 + t)), so that a run of a hundred steps is
    averaged over its own end and not over its random start.

    The average lies where the network lies, and the count of its steps with the processor: no step
    waits for a graphics card, or walks through all modules.

    Args:
        model: The network, on its device.
        decay: 0 to 1.

    Attributes:
        model: The averaged network.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.n = decay, 0
        self.model = deepcopy(model).requires_grad_(False)
        averages, current = ([t.detach() for t in chain(m.parameters(), m.buffers())] for m in (self.model, model))
        real = [t.is_floating_point() for t in averages]
        self._real: tuple[list[Tensor], ...] = tuple(list(compress(side, real)) for side in (averages, current))
        counts = [not r for r in real]
        self._counts: tuple[list[Tensor], ...] = tuple(list(compress(side, counts)) for side in (averages, current))

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the weights after a step; at the first one the average is the weights."""
        n = self.n
        averages, current = self._real
        torch._foreach_lerp_(averages, current, 1 - min(self.decay, (1 + n) / (10 + n)) if n else 1.0)
        if self._counts[0]:
            torch._foreach_copy_(self._counts[0], self._counts[1])
        self.n += 1

    def state_dict(self) -> dict[str, object]:
        """What a resumed run must know."""
        return {"n": self.n, "model": self.model.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Take up what :meth:`state_dict` left."""
        self.n = int(state["n"])  # type: ignore[call-overload]
        self.model.load_state_dict(state["model"])  # type: ignore[arg-type]
