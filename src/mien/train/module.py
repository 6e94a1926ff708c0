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
        # Views x heads x (cross-entropy, hits, faces).
        self.validation_sums = torch.zeros(len(self.views), len(self.slices), 3, dtype=torch.float64)
        self.train_sums = torch.zeros(3, dtype=torch.float64)

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
        self.train_sums.zero_()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step's loss."""
        torch.manual_seed(step_seed(self.config.seed, self.current_epoch, batch_idx))
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
        hits = torch.stack([(z.detach().argmax(1) == t.argmax(1)).sum() for z, t in blocks]).double().mean()
        self.train_sums += torch.tensor(
            [float(loss.detach()) * len(x), float(hits), float(len(x))], dtype=torch.float64
        )
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start the validation sums."""
        self.validation_sums.zero_()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Sum cross-entropy to the targets, and hits, over the validation faces."""
        images, targets = batch
        for i, view in enumerate(self.views):
            logits = self.model(self.prepare_images(images, augment=False, view=view)).float()
            for j, block in enumerate(self.slices.values()):
                z, t = logits[:, block], targets[:, block]
                loss = -(t * z.log_softmax(1)).sum(1).mean()
                hits = (z.argmax(1) == t.argmax(1)).sum()
                self.validation_sums[i, j] += torch.tensor(
                    [float(loss) * len(images), float(hits), float(len(images))], dtype=torch.float64
                )

    def validation_metrics(self) -> dict[str, float]:
        """``val_loss`` (cross-entropy to the evaluation targets, summed over heads) and ``val_accuracy``.

        With several heads or views: means over the views, accuracy over the heads too, and each by
        itself as ``val_accuracy_<head>[_small_grey]``.
        """
        loss, hits = (self.validation_sums[..., k] / self.validation_sums[..., 2] for k in (0, 1))
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


def _optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if config.name == "sgd":
        return torch.optim.SGD(
            groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0, foreach=True
        )
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.lr, foreach=True)
