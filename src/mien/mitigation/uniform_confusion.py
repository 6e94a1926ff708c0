"""An adversary learns the group from the features; in its turn the network makes it say all groups alike."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Attributes, Mitigation, Needs, Stage, Step, Turn
from mien.mitigation.faces import Faces
from mien.mitigation.group_loss import group_cross_entropy, group_head
from mien.models.blocks import ExpressionModel


@MITIGATIONS.register("uniform_confusion", tiny={"hidden": 4})
class UniformConfusion(Mitigation):
    """Two turns a step: the adversary learns to tell the group; the network learns its labels and to confuse it.

    The adversary moves ``steps`` times with an optimiser of its own, on the cross-entropy of the groups. Then the
    network minimises the expression's loss plus ``weight`` times -(1/G) sum_g log d_g, the cross-entropy between
    equal shares and what the adversary says, ln G where it says all alike. Unlike a reversed gradient it has no reward
    for making the adversary wrong on purpose, which tells the group just as well. Faces of unknown group teach the
    adversary nothing and are confused like all others.

    Source: Tzeng et al. 2015, "Simultaneous deep transfer across domains and tasks", eq. 3; on faces Alvi,
    Zisserman and Nellaker 2018, "Turning a blind eye". Of Xu et al. 2020's disentangled network it is the
    adversarial part.

    Args:
        faces: The training faces.
        by: Attributes that the features should not tell; one adversary each.
        weight: Factor of the confusion.
        steps: How often the adversary moves in each step.
        hidden: Units of its hidden layer; 0 for none.
        lr: Its learning rate; that of the network if None.
    """

    needs = Needs(training=True)
    hides = True

    def __init__(
        self,
        faces: Faces,
        *,
        by: Attributes,
        weight: Annotated[float, Field(ge=0, le=1000)] = 1.0,
        steps: Annotated[int, Field(ge=1, le=20)] = 1,
        hidden: Annotated[int, Field(ge=0)] = 128,
        lr: Annotated[float | None, Field(gt=0)] = None,
    ) -> None:
        super().__init__(faces)
        self.by, self.weight, self.steps, self.hidden, self.lr = by, weight, steps, hidden, lr
        self.adversaries = nn.ModuleList()

    def adapt(self, model: ExpressionModel) -> ExpressionModel:
        """Build an adversary for each attribute on the network's features."""
        sizes = (len(self.faces.attributes[name]) for name in self.by)
        self.adversaries.extend(group_head(model.feature_dim, size, self.hidden) for size in sizes)
        return model

    def stages(self) -> tuple[Stage, ...]:
        """One fit of two turns."""
        told = Turn(name="adversary", moves="mitigation", loss=self.adversarial, times=self.steps, lr=self.lr)
        return (Stage(turns=(told, Turn(name="network", moves="model"))),)

    def adversarial(self, step: Step) -> Tensor:
        """What the adversaries minimise, on features as they stand."""
        features, blocks = step.features.detach().float(), self.faces.blocks
        losses = [
            group_cross_entropy(adversary(features), step.batch.groups[:, blocks[name]])
            for name, adversary in zip(self.by, self.adversaries, strict=True)
        ]
        return torch.stack(losses).sum()

    def loss(self, step: Step) -> Tensor:
        """What the network minimises."""
        features = step.features.float()
        confusion = [confused(adversary(features)) for adversary in self.adversaries]
        return step.mean() + self.weight * torch.stack(confusion).sum()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The adversaries."""
        return [{"params": list(self.parameters())}]


def confused(logits: Tensor) -> Tensor:
    """``()``: the cross-entropy between equal shares of G groups and what ``(B, G)`` logits say, the mean over faces.

    >>> round(confused(torch.zeros(1, 4)).item(), 6)
    1.386294
    """
    return -logits.float().log_softmax(1).mean()
