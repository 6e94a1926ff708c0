"""Weights by the effective number of a class's faces."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from mien.losses import LOSSES
from mien.losses.focal import Gamma, discounted


@LOSSES.register("class_balanced", least_at_target=False)
def class_balanced(
    logits: Tensor,
    targets: Tensor,
    *,
    class_counts: Tensor,
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.999,
    of: Literal["cross_entropy", "focal"] = "cross_entropy",
    gamma: Gamma = 2.0,
) -> Tensor:
    """sum_k w_k l_k, w_k = (1 - beta) / (1 - beta^n_k), of a cross-entropy or a focal loss l.

    A further face of a class adds the less the more there are: beta 0 weighs all classes alike, towards 1 the
    weights go to 1 / n_k. They are brought to a mean of 1 over the classes (a sum of K, as in the source), and not over
    faces; over those that have a face, for one that has none would else take most of the sum.

    Source: Cui et al. 2019, "Class-balanced loss based on effective number of samples".

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.
        class_counts: ``(K,)`` training faces of each class; a class of less than one face counts as one of one.
        beta: (N - 1) / N for N distinct faces that a class could have; the source tries 0.9 to 0.9999.
        of: The loss that is weighted.
        gamma: That of the focal loss.

    Returns:
        ``(B,)``.
    """
    weights = effective_weights(class_counts, beta).to(logits.dtype)
    return (weights * discounted(logits, targets, gamma if of == "focal" else 0.0)).sum(1)


def effective_weights(counts: Tensor, beta: float) -> Tensor:
    """``(K,)`` of sum K, if each class has a face: one over the effective number of ``(K,)`` faces.

    >>> [round(w, 4) for w in effective_weights(torch.tensor([6.0, 2.0]), 0.5).tolist()]
    [0.8649, 1.1351]
    """
    n = counts.clamp(min=1)
    if beta == 0:
        return torch.ones_like(n)
    # 1 - beta^n without cancellation, for beta close to 1.
    weights = 1 / -torch.expm1(n * math.log(beta))
    there = counts >= counts.max().clamp(max=1)
    return weights / weights[there].mean()
