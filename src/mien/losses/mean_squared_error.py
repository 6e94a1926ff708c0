"""Squared distance between two distributions."""

from __future__ import annotations

from torch import Tensor

from mien.losses import LOSSES


@LOSSES.register("mean_squared_error")
def mean_squared_error(logits: Tensor, targets: Tensor) -> Tensor:
    """(1/K) sum_k (p_k - q_k)^2, with q the softmax of the logits (source: Duan 2022, MSE).

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.

    Returns:
        ``(B,)``.
    """
    return (targets - logits.softmax(1)).square().mean(1)
