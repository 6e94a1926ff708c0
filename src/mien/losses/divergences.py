"""Losses that differ from cross-entropy by a constant or a factor, as Duan 2022 compares them (figure 26)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mien.losses import LOSSES

# Where the source's library clips probabilities before it takes their logarithm.
CLIP = 1e-7


@LOSSES.register("kl_divergence")
def kl_divergence(logits: Tensor, targets: Tensor) -> Tensor:
    """sum_k p_k log(p_k / q_k), with q the softmax of the logits (source: Duan 2022, KLD).

    Cross-entropy minus the entropy of the target, which no network can change: the gradient is that of
    ``cross_entropy``, and the least value is 0 for any target. A class without a share adds 0.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.

    Returns:
        ``(B,)``.
    """
    return (torch.xlogy(targets, targets) - targets * functional.log_softmax(logits, dim=1)).sum(1)


@LOSSES.register("poisson")
def poisson(logits: Tensor, targets: Tensor) -> Tensor:
    """(1/K) sum_k (q_k - p_k log q_k), with q the softmax of the logits, 1e-7 or more in the logarithm.

    Probably one of the two losses that figure 26 of Duan 2022 compares without an abbreviation. The q sum to 1, so
    that it is (1 + cross-entropy) / K: cross-entropy at a learning rate K times lower, until a class falls below
    the clip of the source's library, from where on it has no gradient.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.

    Returns:
        ``(B,)``.
    """
    q = logits.softmax(1)
    return (q - targets * q.clamp(min=CLIP).log()).mean(1)
