"""The network in training: augment, forward, the losses of the heads, the mitigation's word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.data.augment import Augmentation, small_grey
from mien.losses.bound import RowLoss
from mien.losses.numbers import NumberHead
from mien.mitigation.base import Batch, Mitigation, Step, Turn
from mien.models.blocks import ExpressionModel, Outputs
from mien.models.weights import WeightCard, normalise
from mien.train.depthwise import single_precision_depthwise
from mien.train.maps import class_maps
from mien.train.mixing import Mixing

SMALL_GREY = "small_grey"


@dataclass(frozen=True, kw_only=True)
class Head:
    """One thing that a network tells.

    Attributes:
        name: ``expression``, or an attribute.
        block: Where its logits and targets stand.
        loss: ``(B,)`` losses of it.
        weight: Factor of that loss.
        counts: ``(K,)`` training faces of each class, shares of faces where targets are spread.
    """

    name: str
    block: slice
    loss: RowLoss
    weight: float
    counts: Tensor


class At(NamedTuple):
    """Where in the training a step stands: epoch of the run, step of the stage, steps of the stage, its turn."""

    epoch: int
    step: int
    n_steps: int
    turn: int


@dataclass(frozen=True)
class Pictures:
    """From uint8 faces to what the network sees, and what it computes in.

    Attributes:
        card: Size and normalisation.
        augment: Changes of training pictures; None for none.
        dtype: What the network computes in; None for full precision.
        mixing: Of the faces of a training batch with each other.
    """

    card: WeightCard
    augment: Augmentation | None
    dtype: torch.dtype | None = None
    mixing: Mixing = Mixing()

    def computing(self, device: torch.device) -> torch.autocast:
        """The context in which the network computes."""
        return torch.autocast(device.type, self.dtype, enabled=self.dtype is not None, cache_enabled=False)

    @property
    def views(self) -> tuple[str, ...]:
        """How validation judges faces: as they are, and small and grey too where training shows them so."""
        return ("", SMALL_GREY) if self.augment is not None and self.augment.small_grey else ("",)

    def training(self, images: Tensor, variants: Tensor | None = None) -> Tensor:
        """``(B, H, W, C)`` uint8 -> augmented, normalised ``(B, C, size, size)``; kept maps as they are."""
        if images.dtype != torch.uint8:
            return _kept(images)
        x = images.permute(0, 3, 1, 2).float().div_(255)
        return normalise(x if self.augment is None else self.augment(x, variants), self.card)

    def judged(self, images: Tensor, view: str = "") -> Tensor:
        """``(B, H, W, C)`` uint8 -> normalised ``(B, C, size, size)``, in one of the views; kept maps as they are."""
        if images.dtype != torch.uint8:
            return _kept(images)
        x = images.permute(0, 3, 1, 2).float().div_(255)
        return normalise(small_grey(x) if view == SMALL_GREY else x, self.card)


def _kept(maps: Tensor) -> Tensor:
    """What frozen parts made of faces (:mod:`mien.train.kept_features`), in full precision."""
    maps = maps.float()
    return maps.contiguous(memory_format=torch.channels_last) if maps.ndim == 4 else maps


class TrainedNetwork(nn.Module):
    """Everything whose parameters move, in one module: network, losses with a state, mitigation.

    Args:
        model: The network, adapted by the mitigation.
        heads: What it tells.
        mitigation: The mitigation.
        pictures: From uint8 to what the network sees.
        draw: Learn one label of each face's distribution, drawn in every step.
        numbers: Numbers that it tells beside the heads, in its last outputs.
    """

    def __init__(
        self,
        model: ExpressionModel,
        heads: tuple[Head, ...],
        mitigation: Mitigation,
        pictures: Pictures,
        draw: bool = False,
        numbers: tuple[NumberHead, ...] = (),
    ) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.losses = nn.ModuleList(head.loss for head in heads)
        self.mitigation, self.heads, self.pictures, self.draw = mitigation, heads, pictures, draw
        self.numbers = numbers
        single_precision_depthwise(self)  # a mitigation may look through a network of its own
        for i, head in enumerate(heads):
            self.register_buffer(f"counts_{i}", head.counts, persistent=False)
        self.turns: tuple[Turn, ...] = (Turn(),)
        # A recorded forward pass in place of the model's; see mien.train.capture. No submodule: it is the same one.
        self.recorded: list[Callable[[Tensor], Outputs]] = []

    @property
    def asks_maps(self) -> bool:
        """Whether a loss asks for class activation maps, and for those of the mirror image."""
        return any(head.loss.asks_maps for head in self.heads)

    def forward(self, batch: Batch, at: At) -> tuple[Tensor, Tensor]:
        """One turn of a step.

        Returns:
            The loss to go down, and ``(3,)``: sums of loss, hits (mean over the heads) and faces.
        """
        # Geometry in full precision: bf16 places a pixel only to about 1/4 of its width.
        batch = batch._replace(images=self.pictures.training(batch.images, batch.variants), variants=None)
        if self.draw:
            batch = batch._replace(targets=self._drawn(batch.targets))
        batch = self.mitigation.mix(self.pictures.mixing(batch))
        with self.pictures.computing(batch.images.device):
            forward = self.recorded[0] if self.recorded and self.training else self.model.forward_train
            outputs = forward(batch.images)
            mirrored = self.model.forward_train(batch.images.flip(3)) if self.asks_maps else None
            step = self._step(batch, outputs, at, mirrored)
            turn = self.turns[at.turn]
            loss = self.mitigation.loss(step) if turn.loss is None else turn.loss(step)
        logits = step.logits.detach()
        hit = torch.stack([hits(logits[:, h.block], batch.targets[:, h.block]).sum() for h in self.heads])
        return loss, as_sums(loss.detach(), hit.mean(), len(batch.rows))

    def _step(self, batch: Batch, outputs: Outputs, at: At, mirrored: Outputs | None) -> Step:
        logits, numbers = split_outputs(outputs.logits.float(), self.numbers)
        losses = [] if batch.numbers is None else [head(numbers, batch.numbers) for head in self.numbers]
        known = []
        for i, head in enumerate(self.heads):
            about = self._about(i, batch, outputs, at)
            if mirrored is not None and head.loss.asks_maps:
                about |= self._maps(head, outputs, mirrored)
            known.append(about)

        def each(logits: Tensor) -> list[Tensor]:
            told = zip(self.heads, known, strict=True)
            return [h.weight * h.loss(logits[:, h.block], batch.targets[:, h.block], about) for h, about in told]

        losses += each(logits)
        own = self.model.auxiliary(outputs, batch.targets)
        return Step(
            batch=batch,
            logits=logits,
            features=outputs.features,
            extra=outputs.extra,
            losses=torch.stack(losses).sum(0) if own is None else torch.stack(losses).sum(0) + own,
            epoch=at.epoch,
            step=at.step,
            n_steps=at.n_steps,
            loss_of=lambda logits: torch.stack(each(logits)).sum(0),
        )

    def _maps(self, head: Head, outputs: Outputs, mirrored: Outputs) -> dict[str, object]:
        own, other = (class_maps(o, self.model, head.block) for o in (outputs, mirrored))
        return {"maps": own, "mirrored_maps": other.flip(3)}

    def _about(self, head: int, batch: Batch, outputs: Outputs, at: At) -> dict[str, object]:
        """What a loss may ask for by name; see :class:`mien.losses.bound.RowLoss`."""
        counts = getattr(self, f"counts_{head}")
        return {"class_counts": counts, "features": outputs.features, "rows": batch.rows, "epoch": at.epoch}

    def _drawn(self, targets: Tensor) -> Tensor:
        """One label of each head drawn from its distribution: probabilistic label drawing, FER+'s PLD."""
        # The numbers come from the processor's generator, so that one seed draws the same labels on every device.
        at_random = torch.rand(len(targets), len(self.heads)).to(targets.device)
        drawn = torch.zeros_like(targets)
        for i, head in enumerate(self.heads):
            shares = targets[:, head.block]
            passed = (at_random[:, i : i + 1] * shares.sum(1, keepdim=True) >= shares.cumsum(1)).sum(1)
            last = shares.shape[1] - 1 - shares.flip(1).ne(0).int().argmax(1)  # rounding must not reach beyond it
            drawn[:, head.block] = functional.one_hot(torch.minimum(passed, last), shares.shape[1]).to(targets.dtype)
        return drawn


def split_outputs(outputs: Tensor, numbers: tuple[NumberHead, ...]) -> tuple[Tensor, Tensor]:
    """``(B, K + M)`` outputs -> ``(B, K)`` logits of the heads and ``(B, M)`` outputs for numbers."""
    k = outputs.shape[1] - sum(len(head.columns) for head in numbers)
    return outputs[:, :k], outputs[:, k:]


def hits(logits: Tensor, targets: Tensor) -> Tensor:
    """``(B,)`` 1 where ``(B, K)`` logits have their largest where the targets have theirs."""
    return (logits.argmax(1) == targets.argmax(1)).float()


def as_sums(loss: Tensor, hit: Tensor, faces: int) -> Tensor:
    """``(3,)``: mean loss, hits and number of a batch, as sums over its faces."""
    return torch.stack([loss * faces, hit, torch.full_like(loss, faces)])


def step_seed(seed: int, epoch: int, step: int) -> int:
    """The seed of everything random in one training step."""
    return int(np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)[0] >> 1)


def seed_generators(seed: int, device: torch.device) -> None:
    """As ``torch.manual_seed``, for the processor and one device.

    That one also queues the seed for every kind of device that is not in use, with the text of its call
    stack: a millisecond and some kilobytes that are never given back, in every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
