"""Losses of numbers, such as valence, arousal and intensities: ``(values, targets) -> (B,)``, NaN where not known.

They are no losses of the catalogue, whose targets are distributions over classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

NumberLoss = Literal["squared_error", "huber", "concordance"]
# From an output of the network to a number: any, or 0 and more.
SCALES: dict[str, Callable[[Tensor], Tensor]] = {"any": lambda z: z, "positive": functional.softplus}


@dataclass(frozen=True, kw_only=True)
class NumberHead:
    """Numbers that a network tells beside its classes.

    Attributes:
        columns: Their names.
        block: Where they stand among all numbers.
        scale: What an output is turned into: ``any``, or ``positive`` (softplus).
        loss: Which loss they have.
        delta: That of a Huber loss.
        weight: Factor of the loss.
    """

    columns: tuple[str, ...]
    block: slice
    scale: Literal["any", "positive"]
    loss: NumberLoss
    delta: float
    weight: float

    def values(self, outputs: Tensor) -> Tensor:
        """The numbers of these columns, from ``(B, M)`` outputs for all numbers."""
        return SCALES[self.scale](outputs[:, self.block])

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """``(B,)`` losses times their weight, from ``(B, M)`` outputs and targets of all numbers."""
        values, wanted = self.values(outputs), targets[:, self.block]
        if self.loss == "concordance":
            return self.weight * concordance_loss(values, wanted)
        return self.weight * masked_error(values, wanted, self.delta if self.loss == "huber" else None)


def masked_error(values: Tensor, targets: Tensor, delta: float | None = None) -> Tensor:
    """Mean over the known numbers of a face of (v - t)^2, or of Huber's h(v - t) (Huber 1964).

    A face of which no number is known has a loss of 0, and is counted where the mean of the batch is taken: the
    fewer faces have numbers, the less these weigh beside the expression.

    Args:
        values: ``(B, M)``.
        targets: ``(B, M)``, NaN where not known.
        delta: Difference from which on Huber's loss, e^2 / 2 before, is a line; None for the squared error.

    Returns:
        ``(B,)``.
    """
    known = targets.isfinite()
    wanted = torch.where(known, targets, 0.0)
    if delta is None:
        errors = (values - wanted).square()
    else:
        errors = functional.huber_loss(values, wanted, reduction="none", delta=delta)
    return torch.where(known, errors, 0.0).sum(1) / known.sum(1).clamp(min=1)


def concordance_loss(values: Tensor, targets: Tensor) -> Tensor:
    """Mean over the numbers of 1 - CCC, the concordance correlation coefficient of the batch.

    CCC = 2 s_vt / (s_v^2 + s_t^2 + (mean v - mean t)^2), with moments over the known faces divided by their number
    (Lin 1989, "A concordance correlation coefficient to evaluate reproducibility"), so that 1 - CCC is the mean
    squared error over that denominator. Savchenko 2021 learns valence and arousal with half of the sum over the two.
    It is a matter of a batch, and not of a face: each face, also one without numbers, gets the loss of the batch, so
    that the mean over the batch is that loss. Weights of faces do not reach into it, and multiply it as a whole by
    their mean in the batch. With several processes each has the CCC of its own share. A number that fewer than two
    faces have, or that does not vary, adds 0.

    Args:
        values: ``(B, M)``.
        targets: ``(B, M)``, NaN where not known.

    Returns:
        ``(B,)``, the same for all.
    """
    known = targets.isfinite()
    n = known.sum(0).clamp(min=1)
    v, t = torch.where(known, values, 0.0), torch.where(known, targets, 0.0)
    mean_v, mean_t = v.sum(0) / n, t.sum(0) / n
    spread_v = torch.where(known, v - mean_v, 0.0).square().sum(0) / n
    spread_t = torch.where(known, t - mean_t, 0.0).square().sum(0) / n
    # The mean of equal numbers differs from them by their last digit.
    defined = (known.sum(0) > 1) & (spread_t > 1e-12 * t.square().sum(0) / n)
    spread = torch.where(defined, spread_v + spread_t + (mean_v - mean_t).square(), 1.0)
    apart = (v - t).square().sum(0) / n / spread
    return torch.where(defined, apart, 0.0).mean().expand(len(values))


MOMENTS = 6


def moments(values: Tensor, targets: Tensor) -> Tensor:
    """``(6 M,)``: of each of M numbers the known faces, and sums of v, t, v^2, t^2 and (v - t)^2 over them.

    Sums of batches may be added; :func:`agreement` reads them.

    Args:
        values: ``(B, M)``.
        targets: ``(B, M)``, NaN where not known.
    """
    known = targets.isfinite()
    v, t = torch.where(known, values, 0.0), torch.where(known, targets, 0.0)
    return torch.stack([known.to(v.dtype), v, t, v * v, t * t, (v - t).square()], dim=2).sum(0).flatten()


def agreement(sums: Tensor) -> tuple[float, float]:
    """Root mean squared error and CCC, from the ``(6,)`` sums of one number in double precision.

    Returns:
        Both; NaN where no face has the number, the CCC also where fewer than two have or it does not vary.
    """
    n, v, t, vv, tt, squares = sums.tolist()
    if n == 0:
        return math.nan, math.nan
    spread_t = tt / n - (t / n) ** 2
    # Sums of float32: what is left of a number that does not vary is noise of their last digits.
    if n < 2 or spread_t <= 1e-6 * tt / n:
        return math.sqrt(squares / n), math.nan
    spread = vv / n - (v / n) ** 2 + spread_t + ((v - t) / n) ** 2
    return math.sqrt(squares / n), 1 - squares / n / spread
