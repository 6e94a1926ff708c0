"""Focal loss, with weights of classes."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mien.losses import LOSSES
from mien.losses.class_weights import Exponent, Given, weights_of

Gamma = Annotated[float, Field(ge=0, le=10)]


@LOSSES.register("focal", least_at_target=False)
def focal(
    logits: Tensor,
    targets: Tensor,
    *,
    class_counts: Tensor | None = None,
    gamma: Gamma = 2.0,
    class_weights: Given = None,
    exponent: Exponent = 0.0,
) -> Tensor:
    """-sum_k w_k p_k (1 - q_k)^gamma log q_k: cross-entropy that turns from what is learnt to what is not.

    Source: Lin et al. 2017, "Focal loss for dense object detection", eq. 5, for a distribution; with one label y,
    -w_y (1 - q_y)^gamma log q_y. With the gamma 0 it is ``cross_entropy``. It is not least at the target's
    distribution: probabilities come out less sure than the faces are.

    Olate 2025 weighs with the product w_class w_group of N / (K n), of mean 1 and held between 0.1 and 10: that is this
    loss without weights of its own, beside the mitigation ``reweighting`` with ``by: [race]``, ``product: true``,
    ``least: 0.1`` and ``clip: 10``.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.
        class_counts: ``(K,)`` training faces of each class.
        gamma: How far a face that is learnt is discounted; 0 for not at all.
        class_weights: A weight for each class, in the order of the classes; brought to a mean of 1 over the faces.
        exponent: In place of given weights, n^-exponent of a class of n training faces; 0 for equal ones.

    Returns:
        ``(B,)``.
    """
    weights = weights_of(logits, class_counts, class_weights, exponent)
    losses = discounted(logits, targets, gamma)
    return (losses if weights is None else weights * losses).sum(1)


def discounted(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """``(B, K)``: -p_k (1 - q_k)^gamma log q_k of each class."""
    log_q = functional.log_softmax(logits, dim=1)
    # 1 - q without cancellation; never 0, where a power below 1 has no slope.
    rest = -torch.expm1(log_q).clamp(max=-torch.finfo(log_q.dtype).eps)
    return -targets * rest**gamma * log_q
