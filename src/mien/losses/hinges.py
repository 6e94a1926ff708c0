"""Margins between probabilities, as Duan 2022 compares them (figure 26)."""

from __future__ import annotations

from torch import Tensor

from mien.losses import LOSSES


@LOSSES.register("categorical_hinge", least_at_target=False)
def categorical_hinge(logits: Tensor, targets: Tensor) -> Tensor:
    """max(0, 1 + max_k (1 - p_k) q_k - sum_k p_k q_k), with q the softmax of the logits (source: Duan 2022, CH).

    Made for one label; for shares it is least at a distribution of its own, and not at the target's.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.

    Returns:
        ``(B,)``, from 0 to 2.
    """
    q = logits.softmax(1)
    wrong = ((1 - targets) * q).amax(1)
    return (1 + wrong - (targets * q).sum(1)).clamp(min=0)


@LOSSES.register("hinge", least_at_target=False)
def hinge(logits: Tensor, targets: Tensor) -> Tensor:
    """(1/K) sum_k max(0, 1 - t_k q_k), with t = 2p - 1 from -1 to 1 and q the softmax of the logits.

    It may be one of the two losses that figure 26 of Duan 2022 compares without an abbreviation. No product exceeds
    1, so that nothing is ever cut: it is 1 + 1/K - (2/K) sum_k p_k q_k, for one label ``mean_absolute_error`` and a
    constant, and for shares least where the whole prediction is on the largest.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.

    Returns:
        ``(B,)``.
    """
    return (1 - (2 * targets - 1) * logits.softmax(1)).clamp(min=0).mean(1)
