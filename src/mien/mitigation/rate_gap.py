"""A penalty on how differently groups are recognised."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Attributes, Mitigation, Needs, Step
from mien.mitigation.faces import Faces
from mien.mitigation.soft_cells import cells_of, pairs_of

_LEAST = 1.0  # faces of a class and group in the batch


@MITIGATIONS.register("rate_gap")
class RateGap(Mitigation):
    """The expression's loss plus ``weight`` times the mean absolute difference of groups in soft rates.

    The rate of class k in group g is the mean probability of k over the group's faces of class k (``recall``, equal
    opportunity); with ``odds`` the mean probability of k over its faces of other classes counts as well (equalised
    odds for K classes). Faces whose class or group is spread count by their shares. A class that a group has not in the
    batch takes no part; where nothing can be compared the penalty is 0.

    Rates of a batch are noisy, and an absolute difference is never below what noise makes of it: large batches, and
    few groups.

    Source: Chuang and Mroueh 2021, "Fair mixup", who compare it as *gap regularisation*; equalised odds of Hardt et
    al. 2016.

    Args:
        faces: The training faces.
        by: Attributes; their penalties are added.
        rates: ``recall`` or ``odds``.
        weight: Factor of the penalty.
    """

    needs = Needs(training=True)

    def __init__(
        self,
        faces: Faces,
        *,
        by: Attributes,
        rates: Literal["recall", "odds"] = "recall",
        weight: Annotated[float, Field(ge=0, le=1000)] = 1.0,
    ) -> None:
        super().__init__(faces)
        self.by, self.rates, self.weight = by, rates, weight

    def loss(self, step: Step) -> Tensor:
        """The expression's loss and the penalties."""
        expression = next(iter(self.faces.heads.values()))
        probabilities = step.logits[:, expression].softmax(1)
        targets = step.batch.targets[:, expression]
        found = [self.penalty(probabilities, targets, step.batch.groups[:, self.faces.blocks[n]]) for n in self.by]
        return step.mean() + self.weight * torch.stack(found).sum()

    def penalty(self, probabilities: Tensor, targets: Tensor, groups: Tensor) -> Tensor:
        """``()``: of one attribute.

        Args:
            probabilities: ``(B, K)``.
            targets: ``(B, K)``.
            groups: ``(B, G)`` memberships.
        """
        found = [self._gap(probabilities, targets, groups)]
        if self.rates == "odds":
            found.append(self._gap(probabilities, 1 - targets, groups))
        return torch.stack(found).mean()

    def _gap(self, probabilities: Tensor, of: Tensor, groups: Tensor) -> Tensor:
        cells = cells_of(of, groups, classes=True)
        mass = cells.sum(0)
        pairs = pairs_of(mass, groups.shape[1], _LEAST)
        if not pairs:
            return probabilities.sum() * 0
        each = probabilities.repeat_interleave(groups.shape[1], 1)  # (B, K G): the probability of the cell's class
        rates = (cells * each).sum(0) / mass.clamp(min=1e-12)
        first, second = (list(side) for side in zip(*pairs, strict=True))
        return (rates[first] - rates[second]).abs().mean()
