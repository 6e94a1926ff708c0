"""Who moves which weights, and how fast."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any, Literal

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mien.config import OptimizerConfig, TrainConfig
from mien.mitigation.base import Turn
from mien.train.network import TrainedNetwork


def make_optimizer(network: TrainedNetwork, turn: Turn, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimiser of one turn: no decay on biases and normalisation; the mitigation's own groups as it gives them.

    Args:
        network: What is trained, on its device.
        turn: Whose parameters move.
        config: Kind, rate, decay.
    """
    groups: list[dict[str, Any]] = []
    if turn.moves != "mitigation":
        own = [p for p in (*network.model.parameters(), *network.losses.parameters()) if p.requires_grad]
        groups += [
            {"params": [p for p in own if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0},
        ]
    if turn.moves != "model":
        groups += [{"weight_decay": config.weight_decay, **group} for group in network.mitigation.parameter_groups()]
    lr = config.lr if turn.lr is None else turn.lr
    # Fused, all of a step is one pass over the weights: on processors two to six times as fast as one operation after
    # the other (python benchmarks/optimizers.py), which is a third of a step where most weights are in hidden layers.
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=True)
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(groups, lr=lr, fused=True)


class Schedule:
    """The learning rates of one optimiser over a stage.

    Cosine, constant and steps follow from the step; plateau from what validation found, and is part of a checkpoint.

    Args:
        optimizer: The optimiser, at the rates that it begins with.
        config: Training settings.
        n_steps: Steps of the stage.
        steps_per_epoch: Steps of an epoch.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, config: TrainConfig, n_steps: int, steps_per_epoch: int
    ) -> None:
        self.optimizer, self.schedule = optimizer, config.schedule
        self.n_steps, self.warmup = n_steps, config.schedule.warmup_epochs * steps_per_epoch
        self.milestones = [epoch * steps_per_epoch for epoch in config.schedule.milestones]
        self.base = [group["lr"] for group in optimizer.param_groups]
        self.plateau: ReduceLROnPlateau | None = None
        if config.schedule.name == "plateau":
            mode: Literal["min", "max"] = "min" if config.monitor == "val_loss" else "max"
            self.plateau = ReduceLROnPlateau(
                optimizer, mode, factor=config.schedule.factor, patience=config.schedule.patience
            )
        self.after_step(0)

    def after_step(self, done: int) -> None:
        """Set the rates for the step that follows ``done`` steps of the stage."""
        if self.plateau is None:
            factor = self._factor(done)
            for group, base in zip(self.optimizer.param_groups, self.base, strict=True):
                group["lr"] = base * factor

    def after_epoch(self, watched: float) -> None:
        """Take note of what validation found."""
        if self.plateau is not None:
            self.plateau.step(watched)

    def _factor(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        if self.schedule.name == "steps":
            return (1.0, *self.schedule.factors)[bisect_right(self.milestones, step)]
        progress = min(1.0, (step - self.warmup) / max(1.0, self.n_steps - self.warmup))
        return 0.5 * (1 + math.cos(math.pi * progress)) if self.schedule.name == "cosine" else 1.0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {} if self.plateau is None else self.plateau.state_dict()

    def load_state_dict(self, state: dict[str, Any], done: int) -> None:
        """Take up what :meth:`state_dict` left, after ``done`` steps of the stage."""
        if self.plateau is not None:
            rates = [group["lr"] for group in self.optimizer.param_groups]
            self.plateau.load_state_dict(state)
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
        self.after_step(done)
