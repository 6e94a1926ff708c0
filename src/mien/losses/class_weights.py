"""Weights of classes inside a loss: given by hand, or by how many training faces a class has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mien.errors import ConfigError

Given = Sequence[Annotated[float, Field(gt=0)]] | None
Exponent = Annotated[float, Field(ge=0, le=1)]
# Olate 2025 leaves them open; a class of one face would otherwise make the whole gradient of some batches.
LEAST, MOST = 0.1, 10.0


def weights_of(logits: Tensor, counts: Tensor | None, given: Given, exponent: float) -> Tensor | None:
    """Weights of classes whose mean over the training faces is 1, then cut to 0.1 to 10.

    By that mean, and not that over classes, weights change which faces count and not how far a step goes; where rare
    classes are cut to 10 it falls below 1, and steps are shorter. The exponent 1 gives N / (K n_k) with K classes that
    have faces, the weights of Olate 2025; 1/2 their square roots' share of it.

    Args:
        logits: ``(B, K)``, for number of classes, device and precision.
        counts: ``(K,)`` training faces of each class; None for equal ones.
        given: K weights; None for those by the counts.
        exponent: Weights by the counts are n^-exponent; a class of less than one face weighs as one of one.

    Returns:
        ``(K,)``; None where all classes weigh the same.

    Raises:
        ConfigError: If weights are given and an exponent too, or not as many as there are classes.
    """
    if given is None and not exponent:
        return None
    k = logits.shape[1]
    if given is not None and exponent:
        raise ConfigError("loss.options", "class_weights and exponent", "one of them", "Weights are given or counted.")
    if given is not None and len(given) != k:
        expected = f"{k}, one for each class, in the order of the classes"
        raise ConfigError("loss.options.class_weights", f"{len(given)} weights", expected)
    n = logits.new_ones(k) if counts is None else counts.to(logits.dtype)
    weights = torch.as_tensor(given, dtype=n.dtype).to(n.device) if given is not None else n.clamp(min=1) ** -exponent
    return (weights * n.sum() / (weights * n).sum()).clamp(LEAST, MOST)
