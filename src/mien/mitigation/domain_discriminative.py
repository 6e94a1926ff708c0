"""One head learns class and group together, so that how they go together can be taken out again."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mien.errors import ConfigError
from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Mitigation, Needs, Step
from mien.mitigation.faces import Faces
from mien.models.blocks import ExpressionModel
from mien.models.joint_head import JointHead
from mien.stats.memberships import cell_sizes


@MITIGATIONS.register("domain_discriminative")
class DomainDiscriminative(Mitigation):
    """Cross-entropy of class and group together, K G classes; used, probabilities are added up over groups.

    With ``even`` the logits of (class, group) are moved in training by the logarithm of their share among the training
    faces, as logit adjustment does: what is learnt is then as if every class were as common in every group, and the sum
    over groups does not repeat how they go together. Faces of unknown group count there as the known ones of their
    class do, and teach their class alone; perceived groups may be distributions. It asks for the model ``joint_head``.

    The configured loss is not used where the group is known: the joint cross-entropy takes its place.

    Source: Wang et al. 2020, "Towards fairness in visual recognition: effective strategies for bias mitigation",
    section 4.3; the prior shift there is taken out after training, by dividing by the training shares.

    Args:
        faces: The training faces.
        by: One attribute, or an intersection.
        even: Whether the shares of class and group are taken out.
    """

    needs = Needs(training=True)
    log_prior: Tensor

    def __init__(
        self, faces: Faces, *, by: Annotated[tuple[str, ...], Field(min_length=1, max_length=1)], even: bool = True
    ) -> None:
        super().__init__(faces)
        self.by, self.even = by, even
        self.heads: list[JointHead] = []  # the network's, not this module's
        expression = next(iter(faces.heads.values()))
        cells = cell_sizes(faces.targets[:, expression], faces.groups[:, faces.blocks[by[0]]])
        counts = torch.from_numpy(cells.T).float().clamp(min=1.0)  # (G, K); an empty cell counts as one face
        self.register_buffer("log_prior", (counts / counts.sum()).log() if even else torch.zeros_like(counts))

    def adapt(self, model: ExpressionModel) -> ExpressionModel:
        """Find the head.

        Raises:
            ConfigError: If the network has none for class and group together, or for another number of groups.
        """
        groups = len(self.faces.attributes[self.by[0]])
        if not isinstance(model.head, JointHead):
            found = f"{type(model).__name__} tells classes alone"
            expected = f"model: {{name: joint_head, options: {{trunk: ..., groups: {groups}}}}}"
            raise ConfigError("mitigation.name", found, expected)
        if model.head.groups != groups:
            found = f"the network has {model.head.groups} groups, and {self.by[0]!r} has {groups}"
            raise ConfigError("model.options.groups", found, f"{groups}")
        self.heads = [model.head]
        return model

    def loss(self, step: Step) -> Tensor:
        """The joint cross-entropy of faces of known group, and the configured loss of the others."""
        groups = step.batch.groups[:, self.faces.blocks[self.by[0]]]
        targets = step.batch.targets[:, next(iter(self.faces.heads.values()))]
        logits = self.heads[0].each(step.features).float() + self.log_prior
        log_p = logits.flatten(1).log_softmax(1).reshape(logits.shape)  # (B, G, K)
        joint = -(groups[:, :, None] * targets[:, None, :] * log_p).sum((1, 2))
        known = groups.sum(1)
        # A face of unknown group teaches its class by the same moved logits; by others it would teach the prior again.
        alone = step.loss_of(logits.logsumexp(1))
        # The network's own terms stay.
        own = step.losses - step.loss_of(step.logits)
        return replace(step, losses=own + joint + (1 - known) * alone).mean()
