"""Erasing attention consistency: a face and its mirror image are looked at in the same places."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from mien.losses import LOSSES


@LOSSES.register("eac")
def eac(
    logits: Tensor,
    targets: Tensor,
    *,
    maps: Tensor,
    mirrored_maps: Tensor,
    weight: Annotated[float, Field(ge=0, le=1000)] = 5.0,
) -> Tensor:
    """Cross-entropy + weight x mean (M - M')^2, of class activation maps M of a face and M' of its mirror image.

    A network that remembers a wrong label does so by some part of the picture; one that must see the same in
    a mirror cannot. The second part is what the source adds to a picture of which a rectangle is erased:
    ``augment.erasing: 1`` with ``erasing_area: [0.02, 0.25]``. It asks for a model that ends in a feature map and
    one linear layer (``Outputs.extra["map"]``), and a step takes two forward passes.

    Source: Zhang et al. 2022, "Learn from all: erasing attention consistency for noisy label facial expression
    recognition"; the mean over classes and places is that of the authors' code, which also lets no gradient of
    the second part into the linear layer.

    Args:
        logits: ``(B, K)``.
        targets: ``(B, K)``, each row sums to 1.
        maps: ``(B, K, h, w)`` class activation maps.
        mirrored_maps: ``(B, K, h, w)`` those of the mirror images, mirrored back.
        weight: Factor of the consistency (5 as published).

    Returns:
        ``(B,)``.
    """
    apart = (maps - mirrored_maps).square().mean((1, 2, 3))
    return weight * apart - (targets * functional.log_softmax(logits, dim=1)).sum(1)
