"""The faces with the largest losses count alone: robust where no group is known."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Mitigation, Step
from mien.mitigation.faces import Faces


@MITIGATIONS.register("cvar")
class Cvar(Mitigation):
    """The mean over the share ``alpha`` of the batch that has the largest losses; nobody's group is asked for.

    With alpha = 1 it is the usual mean. It bounds the loss of every group that is at least so large, whoever that
    may be; but where labels are wrong, wrong labels have the largest losses.

    Source: conditional value at risk (Rockafellar and Uryasev 2000): min_t t + mean(max(l - t, 0)) / alpha, reached
    by the worst share; Duchi and Namkoong 2021, "Learning models with uniform performance".

    Args:
        faces: The training faces.
        alpha: Share of the batch.
    """

    def __init__(self, faces: Faces, *, alpha: Annotated[float, Field(gt=0, le=1)] = 0.5) -> None:
        super().__init__(faces)
        self.alpha = alpha

    def loss(self, step: Step) -> Tensor:
        """The mean over the worst share; a face on its edge counts in part."""
        losses = step.losses if step.batch.weights is None else step.losses * step.batch.weights
        n = self.alpha * len(losses)
        whole = min(len(losses), math.floor(n + 1e-9))
        worst = losses.sort(descending=True).values
        part = worst[whole] * (n - whole) if whole < len(losses) else torch.zeros_like(worst[0])
        return (worst[:whole].sum() + part) / n
