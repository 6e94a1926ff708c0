"""What a run keeps of its epochs: the best weights, the history, and what it tells of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from mien.errors import RunError, WeightsError
from mien.models.weights import WeightCard, load_card, save_weights
from mien.outputs import whole
from mien.runs import HISTORY

Say = Callable[[str], None]
TENSORBOARD = "tensorboard"


@dataclass
class Kept:
    """The best epoch of the stage so far, and one row an epoch of the run.

    Attributes:
        best: Epoch and validation metrics of the best epoch; empty before the first.
        rows: The history.
        state: The network of the best epoch as it is trained, for the stage that begins with it; else empty.
    """

    best: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)
    state: dict[str, torch.Tensor] = field(default_factory=dict)

    def take(self, row: dict[str, float], metrics: dict[str, float], monitor: str) -> bool:
        """Add an epoch; returns whether it is the best so far.

        Raises:
            RunError: If a loss is no number.
        """
        self.rows.append(row)
        if not (math.isfinite(row["train_loss"]) and math.isfinite(metrics["val_loss"])):
            raise RunError(
                f"epoch {int(row['epoch']) + 1}",
                f"training loss {row['train_loss']}, validation loss {metrics['val_loss']}",
                "finite losses",
                "Lower train.optimizer.lr, or set train.clip.",
            )
        sign = -1 if monitor == "val_loss" else 1
        better = monitor == "last" or not self.best or sign * metrics[monitor] > sign * self.best[monitor]
        if better:
            self.best = {"epoch": row["epoch"], **metrics}
        return better

    def waited(self) -> int:
        """Epochs since the best one."""
        return int(self.rows[-1]["epoch"] - self.best["epoch"]) if self.rows and self.best else 0


class Diary:
    """Writes what a run keeps into its folder. Only the first of several processes does.

    Args:
        folder: The run folder.
        card: Card of the weights.
        say: Receives one line an epoch.
        epochs: Epochs of the run, for that line.
        writes: Whether this process writes.
    """

    def __init__(self, folder: Path, card: WeightCard, say: Say, epochs: int, writes: bool = True) -> None:
        self.folder, self.card, self.say, self.epochs, self.writes = folder, card, say, epochs, writes
        self._board: SummaryWriter | None = None

    def history(self, kept: Kept) -> None:
        """Write the history."""
        if self.writes:
            with whole(self.folder / HISTORY) as partial:
                pd.DataFrame(kept.rows).to_csv(partial, index=False)

    def weights(self, model: nn.Module, best: dict[str, float]) -> None:
        """Write the weights of the best epoch so far."""
        if self.writes:
            save_weights(model, replace(self.card, results={"validation": best} if best else {}), self.folder)

    def best_there(self) -> dict[str, float]:
        """Epoch and validation metrics of the weights in the folder; empty where there are none, or none validated.

        A card that somebody damaged is as none: it is written anew, and must not keep a run from going on.
        """
        try:
            found = load_card(self.folder).results.get("validation")
        except WeightsError:
            return {}
        return dict(found) if isinstance(found, dict) else {}

    def line(self, row: dict[str, float], metrics: dict[str, float], better: bool) -> None:
        """Say how an epoch went."""
        if not self.writes:
            return
        self._curves(row)
        self.say(
            f"epoch {int(row['epoch']) + 1}/{self.epochs}  "
            f"train loss {row['train_loss']:.4f} acc {row['train_accuracy']:.4f}  "
            f"val loss {metrics['val_loss']:.4f} acc {metrics['val_accuracy']:.4f}{' *' if better else '  '}  "
            f"lr {row['lr']:.2g}  {row['images_per_s']:.0f} faces/s"
        )

    def _curves(self, row: dict[str, Any]) -> None:
        self._board = self._board or SummaryWriter(str(self.folder / TENSORBOARD))
        for name, value in row.items():
            if name != "epoch":
                self._board.add_scalar(name, value, int(row["epoch"]))
        self._board.flush()

    def close(self) -> None:
        """Nothing follows."""
        if self._board is not None:
            self._board.close()
