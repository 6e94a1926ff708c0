"""The Lightning module: augment, forward, loss; optimiser and schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from mien.config import ExperimentConfig, OptimizerConfig
from mien.data.augment import Augmentation, small_grey
from mien.errors import ConfigError
from mien.losses import LOSSES
from mien.models import MODELS
from mien.models.blocks import ExpressionModel
from mien.models.weights import WeightCard, load_body, normalise
from mien.train.data import Batch, head_slices

SMALL_GREY = "small_grey"


def build_model(config: ExperimentConfig, num_classes: int, in_channels: int, resumed: bool = False) -> ExpressionModel:
    """The configured model with weights drawn from the run's seed, or its body from ``model.weights``.

    A resumed run needs them no more: its checkpoint holds everything.

    Raises:
        ConfigError: If the model cannot be built with these values.
        WeightsError: If ``model.weights`` are not of this model.
    """
    torch.manual_seed(config.seed)
    try:
        model: ExpressionModel = MODELS.get(config.model.name)(num_classes, in_channels, **config.model.options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            "model.options", str(error), f"values that {config.model.name!r} can be built with"
        ) from error
    if config.model.weights is not None and not resumed:
        load_body(model, config.model.weights)
    return model


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


class ExpressionModule(L.LightningModule):
    """Fits a model to label distributions.

    Every step seeds torch's generator from (seed, epoch, step) before it augments, drops units or
    draws labels, so that a resumed run repeats an unbroken one.

    Args:
        model: The network.
        card: Its card, for size and normalisation.
        config: The experiment.
        steps_per_epoch: Training steps of an epoch, for the schedule.
        heads: What the model tells: head -> its classes, in the order of the logits.
    """

    def __init__(
        self,
        model: ExpressionModel,
        card: WeightCard,
        config: ExperimentConfig,
        steps_per_epoch: int,
        heads: Mapping[str, Sequence[str]],
    ) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.card = card
        self.config = config
        self.steps_per_epoch = steps_per_epoch
        options = config.augment.model_dump(exclude={"enabled"})
        self.augment = Augmentation(**options) if config.augment.enabled else None
        self.loss = LOSSES.get(config.loss.name)
        self.slices = head_slices(heads)
        self.head_weights = [config.labels.weights.get(name, 1.0) for name in heads]
        # Where training shows faces small and grey too, validation judges them so as well.
        self.views = ("", SMALL_GREY) if self.augment is not None and self.augment.small_grey else ("",)
        # One row a step, left on the device until the epoch ends: reading a number makes the processor wait.
        self._trained: list[Tensor] = []  # each (loss, hits, faces)
        self._validated: list[Tensor] = []  # each views x heads x (cross-entropy, hits, faces)

    def prepare_images(self, images: Tensor, augment: bool, view: str = "") -> Tensor:
        """``(B, H, W, C)`` uint8 -> normalised ``(B, C, size, size)``."""
        x = images.permute(0, 3, 1, 2).float().div_(255)
        if augment and self.augment is not None:
            x = self.augment(x)
        if view == SMALL_GREY:
            x = small_grey(x)
        return normalise(x, self.card)

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums."""
        self._trained.clear()

    def train_sums(self) -> tuple[float, float, float]:
        """Loss, hits (their mean over the heads) and number of this epoch's training faces, summed."""
        loss, hits, faces = _summed(self._trained).tolist()
        return loss, hits, faces

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step's loss."""
        seed_generators(step_seed(self.config.seed, self.current_epoch, batch_idx), self.device)
        images, targets = batch
        # Geometry in full precision: bf16 places a pixel only to about 1/4 of its width.
        with torch.autocast(self.device.type, enabled=False):
            x = self.prepare_images(images, augment=True)
        logits = self.model(x).float()
        blocks = [(logits[:, s], targets[:, s]) for s in self.slices.values()]
        losses = [
            weight * self.loss(z, t, None, **self.config.loss.options)
            for weight, (z, t) in zip(self.head_weights, blocks, strict=True)
        ]
        loss = torch.stack(losses).sum()
        hits = torch.stack([_hits(z.detach(), t) for z, t in blocks]).mean()
        self._trained.append(_sums(loss.detach(), hits, len(x)))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start the validation sums."""
        self._validated.clear()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Sum cross-entropy to the targets, and hits, over the validation faces."""
        images, targets = batch
        sums = []
        for view in self.views:
            logits = self.model(self.prepare_images(images, augment=False, view=view)).float()
            for block in self.slices.values():
                z, t = logits[:, block], targets[:, block]
                sums.append(_sums(-(t * z.log_softmax(1)).sum(1).mean(), _hits(z, t), len(images)))
        self._validated.append(torch.stack(sums).view(len(self.views), len(self.slices), 3))

    def validation_metrics(self) -> dict[str, float]:
        """``val_loss`` (cross-entropy to the evaluation targets, summed over heads) and ``val_accuracy``.

        With several heads or views: means over the views, accuracy over the heads too, and each by
        itself as ``val_accuracy_<head>[_small_grey]``.
        """
        sums = _summed(self._validated)
        loss, hits = (sums[..., k] / sums[..., 2] for k in (0, 1))
        metrics = {"val_loss": float(loss.sum(1).mean()), "val_accuracy": float(hits.mean())}
        if hits.numel() > 1:
            for i, view in enumerate(self.views):
                for j, name in enumerate(self.slices):
                    metrics["_".join(filter(None, ("val_accuracy", name, view)))] = float(hits[i, j])
        return metrics

    def on_validation_epoch_end(self) -> None:
        """Log what early stopping and the schedule watch."""
        self.log_dict(self.validation_metrics(), logger=False)

    def configure_optimizers(self) -> Any:
        """Optimiser without decay on biases and normalisation, and the schedule."""
        train = self.config.train
        optimizer = _optimizer(self.model, train.optimizer)
        if train.schedule.name == "plateau":
            return {"optimizer": optimizer}  # see mien.train.callbacks.Plateau
        warmup = train.schedule.warmup_epochs * self.steps_per_epoch
        total = train.epochs * self.steps_per_epoch
        cosine = train.schedule.name == "cosine"

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            progress = min(1.0, (step - warmup) / max(1.0, total - warmup))
            return 0.5 * (1 + math.cos(math.pi * progress)) if cosine else 1.0

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _hits(logits: Tensor, targets: Tensor) -> Tensor:
    """How many of ``(B, K)`` logits have their largest where the targets have theirs."""
    return (logits.argmax(1) == targets.argmax(1)).sum().float()


def _sums(loss: Tensor, hits: Tensor, faces: int) -> Tensor:
    """``(3,)``: mean loss, hits and number of a batch, as sums over its faces."""
    return torch.stack([loss * faces, hits, torch.full_like(loss, faces)])


def _summed(steps: list[Tensor]) -> Tensor:
    """The sums of all steps, in double precision on the processor."""
    return torch.stack(steps).cpu().double().sum(0)


def _optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    # All parameters in one kernel; fused ones only where the device has them tried and fast.
    at_once: dict[str, Any] = {"fused": True} if decayed[0].is_cuda else {"foreach": True}
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0, **at_once)
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.lr, **at_once)
