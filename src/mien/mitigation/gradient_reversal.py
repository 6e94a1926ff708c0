"""An adversary that reads the group from the features, and a network that is trained against it."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Attributes, Mitigation, Needs, Step
from mien.mitigation.faces import Faces
from mien.mitigation.group_loss import group_cross_entropy
from mien.models.blocks import ExpressionModel

Strength = Annotated[float, Field(ge=0, le=1000)]


class _Reversed(torch.autograd.Function):
    """The identity forward; backward, the gradient times minus the strength."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """``x`` itself, whose gradient comes back times ``-strength`` (Ganin and Lempitsky 2015, eq. 7 to 9)."""
    return _Reversed.apply(x, strength)  # type: ignore[no-untyped-call, no-any-return]


@MITIGATIONS.register("gradient_reversal", tiny={"hidden": 4})
class GradientReversal(Mitigation):
    """An adversary learns to tell the group from the features; the network learns to leave it nothing to tell.

    One optimiser moves both: what the adversary minimises, its cross-entropy against the groups, reaches the
    network with the opposite sign, times the strength. The adversary's own gradient keeps its full size, so
    that it stays a good one however weak the reversal is. A face whose group is missing takes no part in the
    adversary's loss and counts for the expression. The adversary's loss is the mean over the faces of known group
    in the whole batch, however they fall to the processes that train together.

    Source: Ganin et al. 2016, "Domain-adversarial training of neural networks", eq. 13 to 15, and their
    schedule of the strength, 2 / (1 + exp(-10 p)) - 1 for the share p of the training that is done.

    Args:
        faces: The training faces.
        by: Attributes that the features should not tell; one adversary each.
        strength: Largest factor of the reversed gradient.
        schedule: ``rising`` as in the source, or ``constant``.
        hidden: Units of the adversary's hidden layer.
        dropout: Share of them that is dropped in training.
        lr: Learning rate of the adversary; that of the network if None.
    """

    needs = Needs(training=True)
    hides = True

    def __init__(
        self,
        faces: Faces,
        *,
        by: Attributes,
        strength: Strength = 1.0,
        schedule: Literal["rising", "constant"] = "rising",
        hidden: Annotated[int, Field(ge=1)] = 128,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3,
        lr: Annotated[float | None, Field(gt=0)] = None,
    ) -> None:
        super().__init__(faces)
        self.by, self.strength, self.schedule, self.lr = by, strength, schedule, lr
        self.hidden, self.dropout = hidden, dropout
        self.adversaries = nn.ModuleList()

    def adapt(self, model: ExpressionModel) -> ExpressionModel:
        """Build an adversary for each attribute on the network's features."""
        self.adversaries.extend(
            nn.Sequential(
                nn.Linear(model.feature_dim, self.hidden),
                nn.ReLU(),
                nn.Dropout(self.dropout),
                nn.Linear(self.hidden, len(self.faces.attributes[name])),
            )
            for name in self.by
        )
        return model

    def strength_at(self, progress: float) -> float:
        """The factor when a share ``progress`` of the training is done."""
        if self.schedule == "constant":
            return self.strength
        return self.strength * (2 / (1 + math.exp(-10 * progress)) - 1)

    def loss(self, step: Step) -> Tensor:
        """The expression's loss plus, for each attribute, the adversary's, which the network sees reversed."""
        reversed_ = reverse_gradient(step.features.float(), self.strength_at(step.progress))
        total = step.mean()
        for name, adversary in zip(self.by, self.adversaries, strict=True):
            total = total + group_cross_entropy(adversary(reversed_), step.batch.groups[:, self.faces.blocks[name]])
        return total

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The adversaries, at a rate of their own if one is given."""
        group: dict[str, Any] = {"params": list(self.parameters())}
        return [group if self.lr is None else group | {"lr": self.lr}]
