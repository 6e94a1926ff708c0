"""Distances between the distribution that is learnt and the predicted one, in probability space.

They are those that Duan 2022 compares on FER+ (figure 26) beside squared error and cross-entropy. All are
bounded, for probabilities are: a face that is given up costs little, and has next to no gradient.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mien.losses import LOSSES


@LOSSES.register("log_cosh")
def log_cosh(logits: Tensor, targets: Tensor) -> Tensor:
    """(1/K) sum_k log cosh(q_k - p_k), with q the softmax of the logits (source: Duan 2022, LC).

    Near half of ``mean_squared_error``, for no difference of probabilities is above 1: at most 0.434 against 0.5.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.

    Returns:
        ``(B,)``.
    """
    return (logits.softmax(1) - targets).cosh().log().mean(1)


@LOSSES.register("mean_absolute_error")
def mean_absolute_error(logits: Tensor, targets: Tensor) -> Tensor:
    """(1/K) sum_k |p_k - q_k|, with q the softmax of the logits (source: Duan 2022, MAE).

    For one label y it is (2/K)(1 - q_y).

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.

    Returns:
        ``(B,)``.
    """
    return (targets - logits.softmax(1)).abs().mean(1)


@LOSSES.register("huber")
def huber(logits: Tensor, targets: Tensor, *, delta: Annotated[float, Field(gt=0)] = 1.0) -> Tensor:
    """(1/K) sum_k h(p_k - q_k), h(e) = e^2 / 2 up to delta, then delta (|e| - delta / 2) (Huber 1964).

    Probably one of the two losses that figure 26 of Duan 2022 compares without an abbreviation. With the delta of
    1 it is half of ``mean_squared_error``, for no difference of probabilities is above 1.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.
        delta: Difference of probabilities from which on the loss is a line; below 1, or it is squared error.

    Returns:
        ``(B,)``.
    """
    return functional.huber_loss(logits.softmax(1), targets, reduction="none", delta=delta).mean(1)


@LOSSES.register("cosine")
def cosine(logits: Tensor, targets: Tensor) -> Tensor:
    """-sum_k p_k q_k / (|p| |q|), with q the softmax of the logits: from -1 to 0 (source: Duan 2022, CS).

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1, so that none is all zero.

    Returns:
        ``(B,)``.
    """
    return -functional.cosine_similarity(logits.softmax(1), targets, dim=1)
