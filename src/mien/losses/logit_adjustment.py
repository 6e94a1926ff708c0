"""Cross-entropy of logits that know how common a class is in training."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mien.losses import LOSSES


@LOSSES.register("balanced_softmax", least_at_target=False)
def balanced_softmax(logits: Tensor, targets: Tensor, *, class_counts: Tensor) -> Tensor:
    """Cross-entropy of z_k + log n_k: the network learns what does not follow from how common a class is.

    Validation and prediction take the plain logits, which are then those of a set with as many faces of each class.
    Together with weights of classes, of a loss or of ``reweighting``, or with ``resampling``, whose epochs have other
    counts than these, rare classes would be helped twice.

    Source: Ren et al. 2020, "Balanced meta-softmax for long-tailed visual recognition".

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.
        class_counts: ``(K,)`` training faces of each class; a class of less than one face counts as one of one.

    Returns:
        ``(B,)``.
    """
    return logit_adjusted(logits, targets, class_counts=class_counts, tau=1.0)


@LOSSES.register("logit_adjusted", least_at_target=False)
def logit_adjusted(
    logits: Tensor, targets: Tensor, *, class_counts: Tensor, tau: Annotated[float, Field(ge=0, le=10)] = 1.0
) -> Tensor:
    """Cross-entropy of z_k + tau log pi_k, with pi the shares of the classes in training.

    With the tau 1 it is ``balanced_softmax``, with 0 ``cross_entropy``; a larger one demands a wider margin of
    common classes over rare ones. Validation and prediction take the plain logits. What is said of ``balanced_softmax``
    beside weights and re-sampling holds here too.

    Source: Menon et al. 2021, "Long-tail learning via logit adjustment", eq. 10.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.
        class_counts: ``(K,)`` training faces of each class; a class of less than one face counts as one of one.
        tau: How far the shares count.

    Returns:
        ``(B,)``.
    """
    # What all logits have in common changes nothing, so that counts do as well as shares, and log 0 is avoided.
    adjusted = logits + tau * class_counts.clamp(min=1).log()
    return -(targets * functional.log_softmax(adjusted, dim=1)).sum(1)
