"""Squared distance between two distributions."""

from __future__ import annotations

from torch import Tensor

from mien.losses import LOSSES
from mien.losses.weighting import weighted_mean


@LOSSES.register("mean_squared_error")
def mean_squared_error(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of (1/K) sum_k (p_k - q_k)^2, with q the softmax of the logits (source: Duan 2022, MSE).

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.
        weights: ``(B,)`` sample weights; None for equal ones.

    Returns:
        A scalar.
    """
    return weighted_mean((targets - logits.softmax(1)).square().mean(1), weights)
