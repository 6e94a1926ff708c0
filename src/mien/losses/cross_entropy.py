"""Cross-entropy against a distribution of labels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mien.losses import LOSSES
from mien.losses.class_weights import Exponent, Given, weights_of


@LOSSES.register("cross_entropy")
def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    class_counts: Tensor | None = None,
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    class_weights: Given = None,
    exponent: Exponent = 0.0,
) -> Tensor:
    """-sum_k w_k p_k log q_k: FER+'s CEL; for one-hot targets the usual cross-entropy.

    Weights of classes are brought to a mean of 1 over the training faces and held between 0.1 and 10; they
    multiply with the weights of faces that a mitigation gives, such as ``reweighting``.

    Source: Barsoum et al. 2016 for distributions; weights by hand as in Angioni and Cani, who take 1 for happy and
    1.5 for sad faces, and 2, 1.5, 1 and 1.3 for angry, fear, happy and sad.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.
        class_counts: ``(K,)`` training faces of each class.
        smoothing: Share of each target spread evenly over all classes (Szegedy et al. 2016).
        class_weights: A weight for each class, in the order of the classes.
        exponent: In place of given weights, n^-exponent of a class of n training faces; 0 for equal ones.

    Returns:
        ``(B,)``.
    """
    if smoothing:
        targets = (1 - smoothing) * targets + smoothing / targets.shape[1]
    weights = weights_of(logits, class_counts, class_weights, exponent)
    if weights is not None:
        targets = weights * targets
    return -(targets * functional.log_softmax(logits, dim=1)).sum(1)
