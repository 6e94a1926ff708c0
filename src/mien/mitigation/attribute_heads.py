"""Heads that learn the groups beside the expression: a multi-task network."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Attributes, Mitigation, Needs, Step
from mien.mitigation.faces import Faces
from mien.mitigation.group_loss import group_cross_entropy, group_head
from mien.models.blocks import ExpressionModel
from mien.models.conditioned import ATTRIBUTE, ConditionedModel
from mien.spellings import attribute_name


@MITIGATIONS.register("attribute_heads", tiny={"hidden": 4})
class AttributeHeads(Mitigation):
    """Heads learn the groups from the features beside the expression, and the network learns to tell them.

    The loss is the expression's plus ``weight`` times the sum over attributes of the cross-entropy of their groups. It
    is the opposite of ``gradient_reversal``, whose adversary the network works against: the features come to hold more
    of who is in the picture, not less, so that it may help expressions and must not be taken for a way to equality. A
    face whose group is missing takes no part in the loss of that attribute and counts for the expression; perceived
    groups may be distributions. The mean is that over the faces of known group in the whole batch.

    A network that has heads for attributes of its own (model ``conditioned``) is taught through these, which stay in
    the weights; heads made here are not saved.

    Source: auxiliary attribute heads beside the expression, as in Savchenko 2021, "Facial expression and attributes
    recognition based on multi-task learning of lightweight neural networks" (MTEN: ``efficientnet_b2``); there age,
    gender and ethnicity are learnt on features that stand still, here together with the expression.

    Args:
        faces: The training faces.
        by: Attributes to learn; one head each.
        weight: Factor of their losses; 0 teaches nothing.
        epochs_share: Share of the stage's epochs after which the heads are silent: they add no loss any more; 1 for
            all of them.
        hidden: Units of each head's hidden layer; 0 for none, a linear head. Not for heads that the network has.
        lr: Learning rate of the heads made here; that of the network if None.
    """

    needs = Needs(training=True)

    def __init__(
        self,
        faces: Faces,
        *,
        by: Attributes,
        weight: Annotated[float, Field(ge=0, le=1000)] = 1.0,
        epochs_share: Annotated[float, Field(gt=0, le=1)] = 1.0,
        hidden: Annotated[int, Field(ge=0)] = 0,
        lr: Annotated[float | None, Field(gt=0)] = None,
    ) -> None:
        super().__init__(faces)
        self.by, self.weight, self.epochs_share = by, weight, epochs_share
        self.hidden, self.lr = hidden, lr
        self.made: tuple[str, ...] = ()  # attributes for which the network has no head of its own
        self.heads = nn.ModuleList()

    def adapt(self, model: ExpressionModel) -> ExpressionModel:
        """Build a head on the features for each attribute that the network does not tell itself.

        Raises:
            ConfigError: If the network tells an attribute in another number of groups than the faces have.
        """
        theirs = model.attributes if isinstance(model, ConditionedModel) else {}
        for name in self.by:
            groups = self.faces.attributes[name]
            told = attribute_name(name)
            if theirs.get(told, len(groups)) != len(groups):
                found = f"tells {theirs[told]} groups of {name!r}, and the training faces have {', '.join(groups)}"
                expected = f"model.options.attributes.{told} = {len(groups)}"
                raise ConfigError("mitigation.options.by", f"the network {found}", expected)
        self.made = tuple(name for name in self.by if attribute_name(name) not in theirs)
        sizes = (len(self.faces.attributes[name]) for name in self.made)
        self.heads.extend(group_head(model.feature_dim, size, self.hidden) for size in sizes)
        return model

    def logits(self, step: Step) -> dict[str, Tensor]:
        """Attribute -> ``(B, G)``, of the network's own head where it has one."""
        made = {name: head(step.features) for name, head in zip(self.made, self.heads, strict=True)}
        extra = step.extra
        return {name: made[name] if name in made else extra[ATTRIBUTE + attribute_name(name)] for name in self.by}

    def teaches_in(self, epoch: int, epochs: int) -> bool:
        """Whether the heads are taught in an epoch, from 0, of a stage of so many."""
        return self.weight > 0 and epoch / epochs < self.epochs_share

    def loss(self, step: Step) -> Tensor:
        """The expression's loss, and ``weight`` times that of the heads as long as they are not silent."""
        if step.progress >= self.epochs_share:
            return step.mean()  # heads have no gradient now, so that no momentum or decay moves them either
        blocks, groups = self.faces.blocks, step.batch.groups
        found = [group_cross_entropy(logits, groups[:, blocks[name]]) for name, logits in self.logits(step).items()]
        return step.mean() + self.weight * torch.stack(found).sum()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The heads made here, at a rate of their own if one is given."""
        group: dict[str, Any] = {"params": list(self.parameters())}
        if not group["params"]:
            return []
        return [group if self.lr is None else group | {"lr": self.lr}]
