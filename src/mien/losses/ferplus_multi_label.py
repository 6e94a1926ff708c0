"""FER+'s multi-label loss: one of several labels suffices."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mien.losses import LOSSES


@LOSSES.register("ferplus_multi_label", least_at_target=False)
def ferplus_multi_label(
    logits: Tensor, targets: Tensor, *, rest: Annotated[float, Field(gt=0, lt=1)] = 0.001
) -> Tensor:
    """-log max_k t_k q_k: FER+'s ML, with t_k 1 for a label that the face has and 0.001 for the others.

    The network is free to choose one of a face's labels; shares do not count. Its scheme is
    ``ferplus_multi_target``, which keeps labels of 30 % of the votes or more.

    Source: Barsoum et al. 2016, "Training deep networks for facial expression recognition with crowd-sourced label
    distribution" (ML); the 0.001 is that of the authors' code.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``; a class with any share is a label of the face.
        rest: t of the other classes.

    Returns:
        ``(B,)``, at most log(K / rest), for the largest q is 1 / K or more.
    """
    log_t = torch.where(targets > 0, 0.0, math.log(rest))
    return -(log_t + functional.log_softmax(logits, dim=1)).amax(1)
