"""Cross-entropy and its reverse, for labels that may be wrong."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mien.losses import LOSSES

Factor = Annotated[float, Field(ge=0, le=1000)]


@LOSSES.register("symmetric_cross_entropy", least_at_target=False)
def symmetric_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    alpha: Factor = 0.1,
    beta: Factor = 1.0,
    cap: Annotated[float, Field(gt=0, le=100)] = 4.0,
) -> Tensor:
    """-alpha sum_k p_k log q_k - beta sum_k q_k log p_k, where log 0 is a number A.

    The second part is bounded, so that a face whose label is wrong cannot pull without end: with one label it is
    -A (1 - q_y). A share below exp(A) counts as exp(A), for it must not cost more than none.

    Source: Wang et al. 2019, "Symmetric cross entropy for robust learning with noisy labels"; alpha 0.1 and
    beta 1 are its values for CIFAR-10, A -4 the paper's; its code has log 1e-4 = -9.21.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.
        alpha: Factor of the cross-entropy.
        beta: Factor of the reverse cross-entropy.
        cap: -A, minus what stands for the logarithm of 0; the reverse cross-entropy is never above it.

    Returns:
        ``(B,)``.
    """
    log_q = functional.log_softmax(logits, dim=1)
    log_p = targets.clamp(min=math.exp(-cap)).log()
    return -(alpha * targets * log_q + beta * log_q.exp() * log_p).sum(1)
