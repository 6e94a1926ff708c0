"""What happens around the steps: averaged weights, best weights, history, time left, a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from mien.models.weights import WeightCard, save_weights
from mien.train.module import ExpressionModule

Progress = Callable[[int, int | None], None]
Say = Callable[[str], None]


class AveragedWeights(WeightAveraging):
    """Exponential moving average of weights and batch statistics, short at first.

    The decay at step t is min(decay, (1 + t) / (10 + t)), so that a run of a hundred steps is
    averaged over its own end and not over its random start.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        super().__init__(multi_avg_fn=self._average)

    @torch.no_grad()
    def _average(self, averaged: list[Tensor], current: list[Tensor], n_averaged: Tensor | int) -> None:
        n = float(n_averaged)
        decay = min(self.decay, (1 + n) / (10 + n))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - decay)
        else:
            torch._foreach_copy_(averaged, current)


class BestWeights(L.Callback):
    """Keeps the weights of the best validation, and one line an epoch of how it went.

    Must stand before :class:`AveragedWeights` in the list of callbacks: it then sees the averaged
    weights, which are in place during validation only.

    Args:
        folder: The run folder.
        card: Card of the weights.
        monitor: ``val_loss`` or ``val_accuracy``.
        say: Receives one line an epoch.
        stop: Stop signal, see :class:`Clock`.
    """

    def __init__(self, folder: Path, card: WeightCard, monitor: str, say: Say) -> None:
        self.folder, self.card, self.monitor, self.say = folder, card, monitor, say
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
        loss, hits, n = pl_module.train_sums.tolist()
        seconds = time.monotonic() - self._began
        row = {"epoch": trainer.current_epoch, "train_loss": loss / n, "train_accuracy": hits / n, **metrics}
        row |= {"lr": trainer.optimizers[0].param_groups[0]["lr"], "seconds": seconds, "images_per_s": n / seconds}
        self.rows.append(row)
        pd.DataFrame(self.rows).to_csv(self.folder / "history.csv", index=False)
        sign = 1 if self.monitor == "val_accuracy" else -1
        better = not self.best or sign * metrics[self.monitor] > sign * self.best[self.monitor]
        if better:
            self.best = {"epoch": trainer.current_epoch, **metrics}
            save_weights(pl_module.model, replace(self.card, results={"validation": self.best}), self.folder)
        for logger in trainer.loggers:
            logger.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=trainer.current_epoch)
        self.say(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  "
            f"train loss {row['train_loss']:.4f} acc {row['train_accuracy']:.4f}  "
            f"val loss {metrics['val_loss']:.4f} acc {metrics['val_accuracy']:.4f}{' *' if better else '  '}  "
            f"lr {row['lr']:.2g}  {row['images_per_s']:.0f} faces/s"
        )


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


class Clock(L.Callback):
    """Ends the fit after the epoch in which a number of minutes ran out."""

    def __init__(self, minutes: float, say: Say) -> None:
        self.minutes, self.say = minutes, say
        self._end = 0.0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._end = time.monotonic() + 60 * self.minutes

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop if the time is over."""
        if time.monotonic() > self._end:
            self.say(f"stopping: train.max_minutes={self.minutes:g} have passed")
            trainer.should_stop = True
