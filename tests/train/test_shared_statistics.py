"""What processes that train together share: their batch statistics."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

from mien.train.averaging import average_statistics


class TwoProcesses:
    """Stands for Fabric on two processes, the other of which has statistics of its own."""

    def __init__(self, other: torch.Tensor, world_size: int = 2) -> None:
        self.other, self.world_size = other, world_size

    def all_reduce(self, own: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "sum"
        return own + self.other


def test_running_statistics_are_the_mean_over_processes() -> None:
    norm = torch.nn.BatchNorm2d(2)
    norm.running_mean, norm.running_var = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
    average_statistics([norm], TwoProcesses(torch.tensor([3.0, 0.0, 1.0, 1.0])))  # type: ignore[arg-type]
    assert norm.running_mean.tolist() == [2.0, 1.0]
    assert norm.running_var.tolist() == [2.0, 3.0]
    average_statistics([norm], TwoProcesses(torch.ones(4), 1))  # type: ignore[arg-type]
    assert norm.running_mean.tolist() == [2.0, 1.0]  # one process: untouched


def test_two_processes_save_the_statistics_of_the_whole_batch(easy_store: Path, tmp_path: Path) -> None:
    # At a rate of next to nothing the weights stand still, and the first layer's running mean, which is linear in
    # the faces, is that of one process with the same batches; the first process's own share has another.
    config: dict[str, Any] = {
        "data": {"store": str(easy_store)},
        "model": {"name": "mienet", "options": {"widths": [8, 16], "depths": [1, 1], "stem": 8}},
        "augment": {"enabled": False},
        "train": {
            "epochs": 2,
            "batch_size": 50,
            "optimizer": {"lr": 1e-12},
            "ema": 0.9,  # of the statistics too
            "precision": "fp32",
            "threads": 1,
            "monitor": "last",
        },
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    found = []
    for n, start in ((1, []), (2, ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"])):
        words = [
            sys.executable,
            *start,
            "-m",
            "mien.cli",
            "train",
            str(tmp_path / "c.yaml"),
            "--out",
            str(tmp_path / str(n)),
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        weights = load_file(tmp_path / str(n) / "model.safetensors")
        found.append(
            weights[next(name for name in weights if name.startswith("stem") and name.endswith("running_mean"))]
        )
    assert found[0].abs().max() > 1e-3  # around 0, for pictures are normalised
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)
