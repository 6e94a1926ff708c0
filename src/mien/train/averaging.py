"""Averages: of weights over steps, and of batch statistics over processes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from itertools import chain, compress

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel


def batch_statistics(network: nn.Module) -> dict[str, Tensor]:
    """Name -> running mean or variance, of each layer that keeps them."""
    layers = [(name, m) for name, m in network.named_modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    return {
        f"{name}.{what}": getattr(m, what)
        for name, m in layers
        for what in ("running_mean", "running_var")
        if getattr(m, what) is not None
    }


def keep_own_statistics(network: nn.Module) -> None:
    """Let each process gather batch statistics of its own share, for :func:`average_statistics`.

    Left alone, the first process's statistics are sent to the others before every step, and theirs are lost.
    """
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(  # type: ignore[no-untyped-call]
        network, list(batch_statistics(network))
    )


@torch.no_grad()
def average_statistics(networks: Sequence[nn.Module], fabric: Fabric) -> None:
    """Give all processes the mean of their running batch statistics.

    All begin an epoch with the same ones, and a running statistic is linear in those of the batches, so the mean of
    the processes' is what one would have run up from the mean of the shares' in every step. A share's variance is an
    unbiased one, and its mean over the shares is too. SyncBatchNorm would give every step the statistics of the
    whole batch instead; it waits for all processes in every layer, and processors do not have it.

    Args:
        networks: The networks, the same on each process.
        fabric: The processes. With one, nothing is done.
    """
    found = [t for network in networks for t in batch_statistics(network).values()]
    if fabric.world_size == 1 or not found:
        return
    total = fabric.all_reduce(torch.cat(found), reduce_op="sum")
    means = torch.split(total / fabric.world_size, [len(t) for t in found])  # type: ignore[arg-type, operator]
    for own, mean in zip(found, means, strict=True):
        own.copy_(mean)


class AveragedWeights:
    """Exponential moving average of weights and batch statistics, short at first.

    It is of the network that is saved, never of what only helps to train it.

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
