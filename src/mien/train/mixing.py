"""mixup and CutMix: two faces of a batch in one, and their targets, groups and weights with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mien.mitigation.base import Batch


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """Mixes the faces of each batch in pairs, in one share a batch; what is learnt goes through any loss.

    A share s of Beta(alpha, alpha) belongs to the face and 1 - s to its partner. Targets, groups and weights are mixed
    in these shares, as the pictures are. A mixed face belongs to groups as its parts do; where the group of one is
    missing, with the share of the other, so that a method which asks for groups weighs it by what is known. Its weight
    is the mixed one, so that the mean weight of a batch stays what it was: to weigh each part of the loss by itself
    would need a loss that is linear in the targets. Its row is that of the larger share.

    Sources: Zhang et al. 2018, "mixup: beyond empirical risk minimization", eq. of section 1; Yun et al. 2019,
    "CutMix", eq. 1 and 2, the rectangle's share counted after it is cut off at the edge.

    Attributes:
        mixup: Alpha of mixup; 0 for none.
        cutmix: Alpha of CutMix; 0 for none. With both, each batch is mixed in one way, drawn.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __call__(self, batch: Batch) -> Batch:
        """Mix ``(B, C, size, size)`` pictures; draws come from torch's generator, which every step seeds."""
        ways = [(alpha, mix) for alpha, mix in ((self.mixup, _blend), (self.cutmix, _paste)) if alpha > 0]
        if not ways:
            return batch
        alpha, mix = ways[int(torch.randint(len(ways), (1,)))] if len(ways) > 1 else ways[0]
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        partner = torch.randperm(len(batch.rows)).to(batch.images.device)
        images, share = mix(batch.images, batch.images[partner], share)

        def mixed(values: Tensor) -> Tensor:
            return share * values + (1 - share) * values[partner]

        # Whatever else a batch knows of its faces is mixed alike.
        others = {k: mixed(v) for k, v in batch._asdict().items() if k not in ("images", "rows") and v is not None}
        rows = batch.rows if share >= 0.5 else batch.rows[partner]
        return batch._replace(images=images, rows=rows, **others)


def _blend(images: Tensor, others: Tensor, share: float) -> tuple[Tensor, float]:
    """Pixel by pixel; returns the pictures and the share of the first."""
    return share * images + (1 - share) * others, share


def _paste(images: Tensor, others: Tensor, share: float) -> tuple[Tensor, float]:
    """A rectangle of the other picture, 1 - share of it, at a place of its own for each batch; see :func:`_blend`."""
    height, width = images.shape[2:]
    side = math.sqrt(1 - share)
    y, x = (torch.rand(2) * torch.tensor([height, width])).long().tolist()
    top, left = max(0, y - round(height * side / 2)), max(0, x - round(width * side / 2))
    bottom, right = min(height, y + round(height * side / 2)), min(width, x + round(width * side / 2))
    out = images.clone()  # keeps channels last in memory
    out[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return out, 1 - (bottom - top) * (right - left) / (height * width)
