"""Cross-entropy on a label drawn from the distribution each time a face is seen."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mien.losses import LOSSES
from mien.losses.weighting import weighted_mean


@LOSSES.register("drawn_label")
def drawn_label(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Probabilistic label drawing (FER+'s PLD): one label drawn from each row, then cross-entropy.

    The draw uses torch's global generator, which the trainer seeds from (seed, epoch, step); its
    expectation is :func:`cross_entropy` of the distribution.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.
        weights: ``(B,)`` sample weights; None for equal ones.

    Returns:
        A scalar.
    """
    # Drawn on the processor, so that the same seed draws the same labels on every device.
    drawn = torch.multinomial(targets.detach().float().cpu(), 1).squeeze(1).to(logits.device)
    return weighted_mean(functional.cross_entropy(logits, drawn, reduction="none"), weights)
