"""Cross-entropy against a distribution of labels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mien.losses import LOSSES


@LOSSES.register("cross_entropy")
def cross_entropy(logits: Tensor, targets: Tensor, *, smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0) -> Tensor:
    """-sum_k p_k log q_k: FER+'s CEL; for one-hot targets the usual cross-entropy.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.
        smoothing: Share of each target spread evenly over all classes (Szegedy et al. 2016).

    Returns:
        ``(B,)``.
    """
    if smoothing:
        targets = (1 - smoothing) * targets + smoothing / targets.shape[1]
    return -(targets * functional.log_softmax(logits, dim=1)).sum(1)
