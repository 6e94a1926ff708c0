"""What a head that reads groups from features is taught with, whether the network is to help it or to hide them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mien.mitigation.base import mean_over_processes


def group_head(inputs: int, groups: int, hidden: int) -> nn.Module:
    """A head that reads groups from features: linear, or with a hidden layer of so many units."""
    if not hidden:
        return nn.Linear(inputs, groups)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, groups))


def asked(module: nn.Module, x: Tensor) -> Any:
    """What a module says, with a gradient for its input and none for its own parameters: it is asked, and not moved."""
    standing = {name: p.detach() for name, p in module.named_parameters()}
    return torch.func.functional_call(module, standing, (x,))


def group_cross_entropy(logits: Tensor, groups: Tensor) -> Tensor:
    """Cross-entropy of an attribute's groups, the mean over the faces of known group in the whole batch.

    However the faces fall to the processes that train together; every process must call this in the same step. A face
    that is mixed of two counts by how much of it is of known group. Where no face of the batch has a known group it is
    0, with a gradient of 0.

    Args:
        logits: ``(B, G)``, perhaps in bf16.
        groups: ``(B, G)`` memberships: one-hot, a distribution where a group is perceived, zeros where it is missing,
            and less than 1 in sum where faces with and without are mixed.

    Returns:
        ``()`` in float32.

    >>> known = torch.tensor([[1.0, 0.0], [0.25, 0.75], [0.0, 0.0]])
    >>> round(group_cross_entropy(torch.zeros(3, 2), known).item(), 6)
    0.693147
    """
    losses = -(groups * logits.float().log_softmax(1)).sum(1)
    # Of the whole batch, not of this process's share. The sum of memberships, not the number of rows that have any: by
    # that, mixing with faces of unknown group would make the attribute count for less.
    known = mean_over_processes(groups.sum())
    # A batch without any known group adds nothing: 0 over 1, and no NaN.
    return losses.sum() / torch.where(known > 0, known, 1)
