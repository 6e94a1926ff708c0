"""Whether a training fits into memory, reckoned before a weight is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.config import TrainConfig
from mien.errors import ConfigError
from mien.models.blocks import ExpressionModel

GB = 1e9
REST = 0.5  # GB: the interpreter with torch, one batch of pictures; the store itself is mapped from its file
CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What a training holds at once, in GB.

    Attributes:
        weights: The network.
        gradients: As many numbers as move.
        optimizer: What the optimiser remembers of each.
        copies: Averaged weights, the best ones and those of the start for later stages, the best ones that are not
            written yet, and one passing copy: that of the file being written, or of an optimiser's step.
        activations: What the backward pass of one batch needs.
    """

    weights: float
    gradients: float
    optimizer: float
    copies: float
    activations: float

    @property
    def total(self) -> float:
        """All of it, and the rest of the process."""
        return self.weights + self.gradients + self.optimizer + self.copies + self.activations + REST

    def __str__(self) -> str:
        parts = {
            "weights": self.weights,
            "gradients": self.gradients,
            "optimiser": self.optimizer,
            "copies": self.copies,
            "one batch": self.activations,
        }
        return f"{self.total:.1f} GB ({', '.join(f'{what} {gb:.1f}' for what, gb in parts.items())})"


def reckon(model: ExpressionModel, shape: tuple[int, ...], train: TrainConfig, *, bf16: bool, kept: int) -> Memory:
    """What a training holds at once.

    Args:
        model: The network, on any device; on ``meta`` it costs nothing.
        shape: ``(B, C, H, W)`` of one process's batch.
        train: How it is trained.
        bf16: Whether it computes in bf16: activations are half as large then, and the weights have copies in it.
        kept: Copies of the network that stages keep.
    """
    held = _bytes(model.parameters(), model.buffers()) / GB
    moving = _bytes(p for p in model.parameters() if p.requires_grad) / GB
    remembered = {"adam": 2, "adamw": 2, "sgd": 1 if train.optimizer.momentum else 0}[train.optimizer.name]
    saved = _saved_for_backward(model, shape) / GB
    return Memory(
        weights=held,
        gradients=moving,
        optimizer=remembered * moving,
        copies=((train.ema is not None) + kept + 2) * held,
        activations=saved / 2 + held / 2 if bf16 else saved,
    )


def check_memory(
    memory: Memory, parameters: int, available: float, train: TrainConfig, narrower: tuple[str, ...]
) -> None:
    """Refuse a training that cannot fit, before an hour is spent or the system ends the process.

    Args:
        memory: What it would hold.
        parameters: How many the network has.
        available: Bytes of the device, or of the machine.
        train: How it would be trained.
        narrower: Options of the model that make it smaller.

    Raises:
        ConfigError: With the figure, and what would make it smaller.
    """
    if memory.total * GB <= available:
        return
    ways = []
    if narrower:
        ways.append(f"make it smaller (model.options: {', '.join(narrower)})")
    if memory.activations > memory.total / 4:
        ways.append("lower train.batch_size or model.size")
    if train.optimizer.name != "sgd":
        ways.append("train.optimizer.name=sgd, which remembers one number a weight where adam has two")
    if train.ema is not None:
        ways.append("train.ema=null, which keeps no averaged weights")
    fix = f"{'; '.join(ways) or 'Use a machine with more memory'}."
    raise ConfigError(
        "model",
        f"training {parameters / 1e6:.1f} M parameters takes {memory}",
        f"at most the {available / GB:.1f} GB there are",
        fix[0].upper() + fix[1:],
    )


def memory_of(device: torch.device) -> float:
    """Bytes that there are: of a graphics card, or of the machine and what its container may have of it.

    All of it, not what is free at the moment: a run that fits must not be refused for a passing neighbour.
    Infinite where the system does not say.
    """
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    if device.type != "cpu":
        return float("inf")
    found = [float("inf")]
    if MEMINFO.is_file():
        lines = MEMINFO.read_text().splitlines()
        found += [float(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")]
    for path in CGROUPS:
        said = path.read_text().strip() if path.is_file() else ""
        if said.isdigit():  # "max" where there is no limit
            found.append(float(said))
    return min(found)


def _bytes(*tensors: Any) -> int:
    return sum(t.numel() * t.element_size() for kind in tensors for t in kind)


def _saved_for_backward(model: ExpressionModel, shape: tuple[int, ...]) -> int:
    """Bytes that one forward pass in training keeps for the backward pass; 0 where that cannot be found.

    Found by a pass without memory (device ``meta``), by shapes alone.
    """
    own = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}
    found: dict[int, Tensor] = {}  # held, so that no storage's number is used twice

    def pack(tensor: Tensor) -> Tensor:
        found.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    was = model.training
    try:
        x = torch.empty(shape, device=next(model.parameters()).device)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model.train().forward_train(x)
    except (NotImplementedError, RuntimeError):  # it does what needs memory
        return 0
    finally:
        model.train(was)
    return sum(t.untyped_storage().nbytes() for key, t in found.items() if key not in own)
