"""Learning rates by steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mien.config import TrainConfig, parse_config
from mien.errors import ConfigError
from mien.train.optimizers import Schedule


def rates(epochs: int, steps_per_epoch: int, **schedule: Any) -> list[float]:
    """The rate of the first step of each epoch, and of one just before."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
    config = TrainConfig(schedule={"name": "steps", "warmup_epochs": 0, **schedule})
    plan = Schedule(optimizer, config, epochs * steps_per_epoch, steps_per_epoch)
    found = []
    for step in range(epochs * steps_per_epoch):
        found.append(optimizer.param_groups[0]["lr"])
        plan.after_step(step + 1)
    return found


def test_rates_are_those_of_ferplus() -> None:
    found = rates(100, 7, milestones=[20, 40], factors=[0.5, 0.1])
    assert found == pytest.approx([0.05] * 140 + [0.025] * 140 + [0.005] * 420)


def test_a_warm_up_comes_first() -> None:
    found = rates(4, 3, milestones=[2], factors=[0.1], warmup_epochs=1)
    assert found == pytest.approx([0.0125, 0.025, 0.0375, *[0.05] * 3, *[0.005] * 6])


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"name": "steps"}, "steps with these"),
        ({"name": "cosine", "milestones": [2], "factors": [0.1]}, "go with the name steps"),
        ({"name": "steps", "milestones": [4, 2], "factors": [0.1, 0.1]}, "rising milestones above 0"),
        ({"name": "steps", "milestones": [0], "factors": [0.1]}, "rising milestones above 0"),
        ({"name": "steps", "milestones": [2], "factors": []}, "each with a factor"),
    ],
)
def test_steps_that_cannot_be(schedule: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"train\.schedule.*{message}"):
        parse_config({"data": {"store": "s"}, "train": {"schedule": schedule}})
