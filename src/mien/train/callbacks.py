"""What happens around the steps: averaged weights, best weights, history, time left, a clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, compress
from pathlib import Path
from typing import Any, Literal

import lightning as L
import pandas as pd
import torch
from lightning.pytorch.callbacks import EarlyStopping, WeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mien.config import TrainConfig
from mien.errors import RunError
from mien.models.weights import WeightCard, file_errors, save_weights
from mien.outputs import whole
from mien.train.module import ExpressionModule

Progress = Callable[[int, int | None], None]
Say = Callable[[str], None]


class AveragedWeights(WeightAveraging):
    """Exponential moving average of weights and batch statistics, short at first.

    The decay at step t is min(decay, (1 + t) / (10 + t)), so that a run of a hundred steps is
    averaged over its own end and not over its random start.

    The average lies where the network lies, and the count of its steps with the processor: no step
    waits for a graphics card, or walks through all modules.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        super().__init__()
        self._pairs: list[tuple[list[Tensor], list[Tensor]]] = []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Make the average; the network itself is moved to its device only after this."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            self._average_model.n_averaged = self._average_model.n_averaged.cpu()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note which tensors are averaged: (averages, current) of numbers, and of counts."""
        assert self._average_model is not None
        averages, current = (
            [t.detach() for t in chain(m.parameters(), m.buffers())] for m in (self._average_model.module, pl_module)
        )
        real = [t.is_floating_point() for t in averages]
        self._pairs = [
            (list(compress(averages, chosen)), list(compress(current, chosen)))
            for chosen in (real, [not r for r in real])
        ]

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the average towards the weights after a step."""
        if trainer.global_step <= self._latest_update_step:
            return
        assert self._average_model is not None
        n = float(self._average_model.n_averaged)
        (averages, current), (counts, current_counts) = self._pairs
        # At the first step the average is the weights.
        torch._foreach_lerp_(averages, current, 1 - min(self.decay, (1 + n) / (10 + n)) if n else 1.0)
        if counts:
            torch._foreach_copy_(counts, current_counts)
        self._average_model.n_averaged += 1
        self._latest_update_step = trainer.global_step


class CapturedNetwork(L.Callback):
    """On a CUDA device, record the network's kernels once and replay them in every step.

    A small network's step is a hundred short kernels, and the processor needs longer to launch them one
    by one than the card to run them. What is recorded is forward and backward of the network in training
    mode, for batches of one size; validation and everything else run as they are.

    Args:
        batch_size: Faces of every training step.
        dtype: What the network computes in; None for full precision.
        say: Receives a line where the network cannot be recorded: it is trained as it is then.
    """

    def __init__(self, batch_size: int, dtype: torch.dtype | None, say: Say) -> None:
        self.batch_size, self.dtype, self.say = batch_size, dtype, say

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record; weights, batch statistics and gradients are as before."""
        if pl_module.device.type != "cuda" or not isinstance(pl_module, ExpressionModule):
            return
        card, network = pl_module.card, pl_module.model
        shape = (self.batch_size, card.in_channels, card.size, card.size)
        faces = torch.zeros(shape, device=pl_module.device).contiguous(memory_format=torch.channels_last)
        before = {name: buffer.clone() for name, buffer in network.named_buffers()}
        network.train()
        try:
            # Casts are recorded with the rest, so that they see new weights each time: nothing of them is cached.
            with torch.autocast("cuda", self.dtype, enabled=self.dtype is not None, cache_enabled=False):
                torch.cuda.make_graphed_callables(network, (faces,))
        except RuntimeError as error:
            reason = str(error).splitlines()[0][:200]
            self.say(f"note: the network's kernels are launched one by one, for they cannot be recorded: {reason}")
        with torch.no_grad():  # the trial runs before the recording moved the batch statistics
            for name, buffer in network.named_buffers():
                buffer.copy_(before[name])
        network.zero_grad(set_to_none=True)


class BestWeights(L.Callback):
    """Keeps the weights of the best validation, and one line an epoch of how it went.

    Must stand before :class:`AveragedWeights` in the list of callbacks: it then sees the averaged
    weights, which are in place during validation only.

    Args:
        folder: The run folder.
        card: Card of the weights.
        monitor: ``val_loss``, ``val_accuracy``, or ``last``: every epoch replaces the one before.
        say: Receives one line an epoch.
        keep: Called at the end of every epoch, to bring the record up to date.
    """

    def __init__(self, folder: Path, card: WeightCard, monitor: str, say: Say, keep: Callable[[], None]) -> None:
        self.folder, self.card, self.monitor, self.say, self.keep = folder, card, monitor, say, keep
        self.best: dict[str, float] = {}
        self.rows: list[dict[str, float]] = []
        self._began = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"best": self.best, "rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` left."""
        self.best, self.rows = dict(state_dict["best"]), list(state_dict["rows"])

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the epoch's clock."""
        self._began = time.monotonic()

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the weights if they are the best so far; write the history."""
        if not isinstance(pl_module, ExpressionModule) or trainer.sanity_checking:
            return
        metrics = pl_module.validation_metrics()
        loss, hits, n = pl_module.train_sums()
        seconds = time.monotonic() - self._began
        row = {"epoch": trainer.current_epoch, "train_loss": loss / n, "train_accuracy": hits / n, **metrics}
        row |= {"lr": trainer.optimizers[0].param_groups[0]["lr"], "seconds": seconds, "images_per_s": n / seconds}
        self.rows.append(row)
        with whole(self.folder / "history.csv") as partial:
            pd.DataFrame(self.rows).to_csv(partial, index=False)
        sign = 1 if self.monitor == "val_accuracy" else -1
        better = self.monitor == "last" or not self.best
        better = better or sign * metrics[self.monitor] > sign * self.best[self.monitor]
        if not (math.isfinite(row["train_loss"]) and math.isfinite(metrics["val_loss"])):
            raise RunError(
                f"epoch {trainer.current_epoch + 1}",
                f"training loss {row['train_loss']}, validation loss {metrics['val_loss']}",
                "finite losses",
                "Lower train.optimizer.lr, or set train.clip.",
            )
        if better:
            self.best = {"epoch": trainer.current_epoch, **metrics}
            save_weights(pl_module.model, replace(self.card, results={"validation": self.best}), self.folder)
        self.keep()
        for logger in trainer.loggers:
            logger.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=trainer.current_epoch)
        self.say(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  "
            f"train loss {row['train_loss']:.4f} acc {row['train_accuracy']:.4f}  "
            f"val loss {metrics['val_loss']:.4f} acc {metrics['val_accuracy']:.4f}{' *' if better else '  '}  "
            f"lr {row['lr']:.2g}  {row['images_per_s']:.0f} faces/s"
        )


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there: a kill leaves the old one whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``path`` at once or not at all."""
        with whole(path) as partial, file_errors():
            torch.save(checkpoint, partial)


class Patience(EarlyStopping):
    """Early stopping that a run killed right after it stopped does not forget."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop again if patience was at an end."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class StepProgress(L.Callback):
    """Reports steps done of all steps, for a bar with the time left."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One more step."""
        total = trainer.num_training_batches * (trainer.max_epochs or 1)
        self.progress(trainer.global_step, int(total))


class Plateau(L.Callback):
    """Lowers the learning rate when validation makes no progress.

    Lightning steps such schedules after it has written the checkpoint and skips the step on resuming,
    so a resumed run would differ from an unbroken one; here the step comes first and its state is
    part of the checkpoint.

    Args:
        config: Training settings.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self._state: dict[str, Any] = {}
        self._scheduler: ReduceLROnPlateau | None = None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return self._scheduler.state_dict() if self._scheduler else self._state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` left, once there is an optimiser."""
        self._state = dict(state_dict)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Attach to the optimiser."""
        mode: Literal["min", "max"] = "max" if self.config.monitor == "val_accuracy" else "min"
        schedule = self.config.schedule
        rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
        self._scheduler = ReduceLROnPlateau(
            trainer.optimizers[0], mode, factor=schedule.factor, patience=schedule.patience
        )
        if self._state:
            self._scheduler.load_state_dict(self._state)
        for group, rate in zip(trainer.optimizers[0].param_groups, rates, strict=True):
            group["lr"] = rate

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """One more epoch."""
        if self._scheduler is not None and isinstance(pl_module, ExpressionModule):
            self._scheduler.step(pl_module.validation_metrics()[self.config.monitor])


class FirstEpoch(L.Callback):
    """Ends a sitting after one epoch.

    Attributes:
        more: Whether epochs are left.
    """

    def __init__(self) -> None:
        self.more = False

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop if epochs are left."""
        self.more = not trainer.should_stop and trainer.current_epoch + 1 < (trainer.max_epochs or 0)
        trainer.should_stop = trainer.should_stop or self.more


class Clock(L.Callback):
    """Ends a sitting after the epoch in which a number of minutes ran out.

    Attributes:
        rang: Whether it did.
    """

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self.rang = False
        self._end = 0.0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._end = time.monotonic() + 60 * self.minutes

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop if the time is over and epochs are left."""
        if trainer.should_stop:
            return
        if time.monotonic() > self._end and trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            self.rang = trainer.should_stop = True
