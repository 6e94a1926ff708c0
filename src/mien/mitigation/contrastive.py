"""Faces of one expression are drawn together whoever they are of, and apart from those of others."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Mitigation, Needs, Step
from mien.mitigation.faces import Faces


@MITIGATIONS.register("contrastive")
class Contrastive(Mitigation):
    """The expression's loss plus ``weight`` times a supervised contrastive loss of the features.

    For a face i with features f_i of length 1 it is the mean over its partners p of

        -log exp(f_i f_p / t) / sum_{a != i} exp(f_i f_a / t),

    and the mean over faces that have a partner. Partners are the other faces of its class, or with ``partners: across``
    those of its class and of another group: then what makes a group alike does not help. With ``rivals: same`` the sum
    runs over partners and faces of other classes in the face's own group alone, so that telling groups apart does not
    help either; else over partners and all faces of other classes. Faces of its own class are never pushed away. A face
    of unknown group is partner of all of its class, and rival of all others. Targets that are spread over classes count
    by their first class.

    Source: Khosla et al. 2020, "Supervised contrastive learning", eq. 2 (L_out); rivals of the same group as in Park et
    al. 2022, "Fair contrastive learning for facial attribute classification" (FSCL).

    Args:
        faces: The training faces.
        by: One attribute, or an intersection.
        partners: ``class``, or ``across`` groups.
        rivals: Faces of other classes: ``all`` of them, or those of the ``same`` group.
        weight: Factor of the contrastive loss.
        temperature: t.
    """

    needs = Needs(training=True)

    def __init__(
        self,
        faces: Faces,
        *,
        by: Annotated[tuple[str, ...], Field(min_length=1, max_length=1)],
        partners: Literal["class", "across"] = "across",
        rivals: Literal["all", "same"] = "same",
        weight: Annotated[float, Field(ge=0, le=1000)] = 0.1,
        temperature: Annotated[float, Field(gt=0, le=100)] = 0.1,
    ) -> None:
        super().__init__(faces)
        self.by, self.partners, self.rivals = by, partners, rivals
        self.weight, self.temperature = weight, temperature

    def loss(self, step: Step) -> Tensor:
        """The expression's loss and the contrastive one."""
        targets = step.batch.targets[:, next(iter(self.faces.heads.values()))]
        groups = step.batch.groups[:, self.faces.blocks[self.by[0]]]
        return step.mean() + self.weight * self.contrast(step.features.float(), targets.argmax(1), groups)

    def contrast(self, features: Tensor, classes: Tensor, groups: Tensor) -> Tensor:
        """``()``: of ``(B, D)`` features, ``(B,)`` classes, ``(B, G)`` memberships; 0 where nobody has a partner."""
        f = torch.nn.functional.normalize(features, dim=1)
        alike = f @ f.T / self.temperature
        known = groups.sum(1) > 0
        both = known[:, None] & known[None]
        same_group = groups.argmax(1)[:, None] == groups.argmax(1)[None]
        same_class = classes[:, None] == classes[None]
        others = ~torch.eye(len(f), dtype=torch.bool, device=f.device)
        partner = same_class & others
        if self.partners == "across":
            partner &= ~(both & same_group)
        rival = others & ~same_class
        if self.rivals == "same":
            rival &= ~(both & ~same_group)
        # What stands in no sum is -inf, whose exponential and gradient are 0.
        total = torch.where(partner | rival, alike, -torch.inf).logsumexp(1, keepdim=True)
        told = torch.where(partner, alike - total, 0.0).sum(1)
        n = partner.sum(1)
        has = n > 0
        if not has.any():
            return features.sum() * 0
        return -(told[has] / n[has]).mean()
