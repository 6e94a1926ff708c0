"""Some features are for the group and the others for the expression, which a discriminator must not read it from."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Attributes, Mitigation, Needs, Stage, Step, Turn
from mien.mitigation.faces import Faces
from mien.mitigation.group_loss import asked, group_cross_entropy, group_head
from mien.mitigation.linear_head import linear_head
from mien.mitigation.uniform_confusion import confused
from mien.models.blocks import ExpressionModel


@MITIGATIONS.register("disentangled", tiny={"hidden": 4})
class Disentangled(Mitigation):
    """The expression's head reads one part of the features; heads of the attributes read the rest.

    A share of the features is kept for the attributes, whose heads learn the groups from them and teach the network to
    put them there. The expression's head never sees these. On the other features an adversary learns the groups in a
    turn of its own, and the network is trained to make it say all groups alike, as in ``uniform_confusion``. Where the
    network is used only the expression's features are read: the head's weights of the others are 0. The network must
    have a linear head.

    Source: Xu et al. 2020, "Investigating bias and fairness in facial expression recognition" (the disentangled
    approach: branches for the attributes, and confusion for the expression's). Their branches are layers; here they are
    parts of the features, so that what is saved is the network as it was.

    Args:
        faces: The training faces.
        by: Attributes.
        share: Of the features that are kept for the attributes.
        weight: Factor of the confusion.
        attribute_weight: Factor of the attributes' loss.
        hidden: Units of the adversaries' hidden layer; 0 for none.
        lr: The adversaries' learning rate; that of the network if None.
    """

    needs = Needs(training=True)
    hides = True

    def __init__(
        self,
        faces: Faces,
        *,
        by: Attributes,
        share: Annotated[float, Field(gt=0, lt=1)] = 0.25,
        weight: Annotated[float, Field(ge=0, le=1000)] = 0.1,
        attribute_weight: Annotated[float, Field(ge=0, le=1000)] = 1.0,
        hidden: Annotated[int, Field(ge=0)] = 128,
        lr: Annotated[float | None, Field(gt=0)] = None,
    ) -> None:
        super().__init__(faces)
        self.by, self.share, self.weight, self.attribute_weight = by, share, weight, attribute_weight
        self.hidden, self.lr, self.own = hidden, lr, 0
        self.adversaries, self.branches = nn.ModuleList(), nn.ModuleList()

    def adapt(self, model: ExpressionModel) -> ExpressionModel:
        """Close the expression's head to the attributes' features, and build heads and adversaries.

        Raises:
            ConfigError: If the head is not one linear layer, or there are too few features.
        """
        head = linear_head(model)
        self.own = round(self.share * model.feature_dim)
        if not 0 < self.own < model.feature_dim:
            raise ConfigError("mitigation.options.share", f"leaves {self.own} of {model.feature_dim} features", "some")
        head.weight.data[:, : self.own] = 0
        head.weight.register_hook(self._masked)  # type: ignore[no-untyped-call]
        sizes = [len(self.faces.attributes[name]) for name in self.by]
        self.branches.extend(group_head(self.own, size, 0) for size in sizes)
        rest = model.feature_dim - self.own
        self.adversaries.extend(group_head(rest, size, self.hidden) for size in sizes)
        return model

    def _masked(self, gradient: Tensor) -> Tensor:
        """No gradient opens the head again; weight decay leaves zeros as they are."""
        gradient = gradient.clone()
        gradient[:, : self.own] = 0
        return gradient

    def stages(self) -> tuple[Stage, ...]:
        """One fit of two turns: the adversaries move by their loss alone, then everything else."""
        told = Turn(name="adversary", moves="mitigation", loss=self.adversarial, times=1, lr=self.lr)
        return (Stage(turns=(told, Turn(name="network", moves="all"))),)

    def adversarial(self, step: Step) -> Tensor:
        """What the adversaries minimise, on the expression's features as they stand."""
        features = step.features.detach().float()[:, self.own :]
        return self._cross_entropy(self.adversaries, features, step)

    def loss(self, step: Step) -> Tensor:
        """What network and attribute heads minimise; the adversaries are asked and not moved."""
        features = step.features.float()
        rest = features[:, self.own :]
        confusion = torch.stack([confused(asked(adversary, rest)) for adversary in self.adversaries]).sum()
        told = self._cross_entropy(self.branches, features[:, : self.own], step)
        return step.mean() + self.weight * confusion + self.attribute_weight * told

    def _cross_entropy(self, heads: nn.ModuleList, features: Tensor, step: Step) -> Tensor:
        blocks = self.faces.blocks
        found = [
            group_cross_entropy(head(features), step.batch.groups[:, blocks[name]])
            for name, head in zip(self.by, heads, strict=True)
        ]
        return torch.stack(found).sum()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Adversaries and attribute heads."""
        return [{"params": list(self.parameters())}]
