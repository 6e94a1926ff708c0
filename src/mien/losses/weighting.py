"""The one way in which losses apply sample weights."""

from __future__ import annotations

from torch import Tensor


def weighted_mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Mean of ``(B,)`` losses; with weights, sum of weight times loss over B (weights have mean 1 over the data)."""
    return losses.mean() if weights is None else (losses * weights).mean()
