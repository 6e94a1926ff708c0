"""Faces are mixed with faces of the same class and another group, or of another class and the same group."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Batch, Mitigation, Needs
from mien.mitigation.faces import Faces


@MITIGATIONS.register("group_mixup")
class GroupMixup(Mitigation):
    """x' = m x + (1 - m) x_j, with m from Beta(alpha, alpha), and a partner j of the batch.

    With the probability ``same_class``, drawn once a batch, partners have the same class and another group, so that
    between groups nothing but the group changes; otherwise another class and the same group. Classes and groups are the
    likeliest of a face. Targets, groups and weights are mixed as the pictures are. A face without a partner in the
    batch, or of unknown group, stays as it is.

    Source: Yao et al. 2022, "Improving out-of-distribution robustness via selective augmentation" (LISA): same_class is
    their p_sel.

    Args:
        faces: The training faces.
        by: One attribute, or an intersection.
        alpha: Of the Beta distribution (2 in the source's experiments on pictures).
        same_class: Probability of mixing within a class.
    """

    needs = Needs(training=True)

    def __init__(
        self,
        faces: Faces,
        *,
        by: Annotated[tuple[str, ...], Field(min_length=1, max_length=1)],
        alpha: Annotated[float, Field(gt=0, le=100)] = 2.0,
        same_class: Annotated[float, Field(ge=0, le=1)] = 0.5,
    ) -> None:
        super().__init__(faces)
        self.by, self.alpha, self.same_class = by, alpha, same_class

    def mix(self, batch: Batch) -> Batch:
        """The mixed batch."""
        within = bool(torch.rand(()) < self.same_class)
        share = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        expression = next(iter(self.faces.heads.values()))
        partners = self.partners(batch.targets[:, expression], batch.groups[:, self.faces.blocks[self.by[0]]], within)

        def mixed(values: Tensor) -> Tensor:
            return share * values + (1 - share) * values[partners]

        return batch._replace(
            images=mixed(batch.images),
            targets=mixed(batch.targets),
            groups=mixed(batch.groups),
            weights=None if batch.weights is None else mixed(batch.weights),
        )

    def partners(self, targets: Tensor, groups: Tensor, within: bool) -> Tensor:
        """``(B,)`` the partner of each face, itself where it has none."""
        classes, group = targets.argmax(1), groups.argmax(1)
        known = groups.sum(1) > 0
        same_class, same_group = classes[:, None] == classes, group[:, None] == group
        fit = (same_class & ~same_group if within else ~same_class & same_group) & known[:, None] & known
        # Of the processor's generator, so that one seed draws the same on every device.
        drawn = torch.rand(fit.shape).to(fit.device).masked_fill(~fit, -1.0)
        found = drawn.argmax(1)
        return torch.where(fit.any(1), found, torch.arange(len(fit), device=fit.device))
