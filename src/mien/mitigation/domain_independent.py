"""A head for each group on shared features; where the network is used their logits are averaged."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Mitigation, Needs, Step
from mien.mitigation.faces import Faces
from mien.mitigation.linear_head import linear_head
from mien.models.blocks import ExpressionModel


class GroupHeads(nn.Module):
    """A head for each group, whose logits are averaged.

    Args:
        head: What each of them begins as.
        n: Groups.
    """

    def __init__(self, head: nn.Module, n: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(deepcopy(head) for _ in range(n))

    def forward(self, features: Tensor) -> Tensor:
        """``(B, D)`` -> ``(B, K)``."""
        return self.each(features).mean(1)

    def each(self, features: Tensor) -> Tensor:
        """``(B, D)`` -> ``(B, G, K)``."""
        return torch.stack([head(features) for head in self.heads], 1)

    def merged(self) -> nn.Module:
        """One head that gives the mean of theirs: of linear layers that of their weights."""
        found = deepcopy(self.heads[0])
        with torch.no_grad():
            for name, parameter in found.named_parameters():
                parameter.copy_(torch.stack([dict(head.named_parameters())[name] for head in self.heads]).mean(0))
        return found


@MITIGATIONS.register("domain_independent")
class DomainIndependent(Mitigation):
    """A face's loss is that of its group's head; no head has to know how classes go with groups.

    A face whose group is perceived counts for each head by how far it belongs to the group, one of unknown group for
    the mean of all heads. Where the network is used nobody's group is asked for: the mean of the heads' logits decides
    as the product of their probabilities does, and as the sum over domains in the source. It is one head again, for
    the mean of linear layers is a linear layer; a head that is more than one (of ``dan``, say) is refused.

    Source: Wang et al. 2020, "Towards fairness in visual recognition: effective strategies for bias mitigation",
    section 4.4 (domain-independent training, inference by the sum over domains).

    Args:
        faces: The training faces.
        by: One attribute, or an intersection.
    """

    needs = Needs(training=True)

    def __init__(self, faces: Faces, *, by: Annotated[tuple[str, ...], Field(min_length=1, max_length=1)]) -> None:
        super().__init__(faces)
        self.by = by
        self.heads: list[GroupHeads] = []  # the network's, not this module's: it moves with the network

    def adapt(self, model: ExpressionModel) -> ExpressionModel:
        """Give the network a head for each group.

        Raises:
            ConfigError: If its head is more than one linear layer.
        """
        linear_head(model)  # the mean of other heads is no head
        model.head = GroupHeads(model.head, len(self.faces.attributes[self.by[0]]))
        self.heads = [model.head]
        return model

    def plain(self, model: ExpressionModel) -> ExpressionModel:
        """The network with one head, the mean of all."""
        if not isinstance(model.head, GroupHeads):
            return model
        found = copy(model)
        found._modules = dict(model._modules)
        found.head = model.head.merged()
        return found

    def loss(self, step: Step) -> Tensor:
        """The mean loss of the faces, each under its group's head."""
        groups = step.batch.groups[:, self.faces.blocks[self.by[0]]]
        logits = self.heads[0].each(step.features).float()[:, :, : step.logits.shape[1]]
        # The network's own terms and those of numbers stay; what the mean of the heads lost goes.
        together = step.loss_of(step.logits)
        each = torch.stack([step.loss_of(logits[:, g]) for g in range(groups.shape[1])], 1)
        known = groups.sum(1)
        losses = step.losses - together + (groups * each).sum(1) + (1 - known) * together
        return replace(step, losses=losses).mean()
