"""Milliseconds of one optimiser's step on this processor: one operation after the other against fused, alternating.

python benchmarks/optimizers.py [--threads 2] [--steps 12]
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch

from mien.models import MODELS

NETWORKS: dict[str, dict[str, Any]] = {
    "mienet (small)": {"name": "mienet", "widths": [16, 32, 64], "depths": [1, 1, 1], "stem": 8},
    "mienet": {"name": "mienet"},
    "mobilenet_v2": {"name": "mobilenet_v2", "small": True},
    "b16_n8_fc2_k5_ap20": {"name": "b16_n8_fc2_k5_ap20"},
}


def main() -> None:
    """Print a line for each network and optimiser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for called, options in NETWORKS.items():
        weights = list(
            MODELS.get(options["name"])(8, 1, **{k: v for k, v in options.items() if k != "name"}).parameters()
        )
        for weight in weights:
            weight.grad = torch.randn_like(weight)
        kinds: tuple[tuple[Any, dict[str, Any]], ...] = (
            (torch.optim.Adam, {}),
            (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        )
        for kind, more in kinds:
            both = {how: kind(weights, lr=1e-3, **more, **{how: True}) for how in ("foreach", "fused")}
            took: dict[str, list[float]] = {how: [] for how in both}
            for _ in range(args.steps + 2):
                for how, optimizer in both.items():
                    began = time.perf_counter()
                    optimizer.step()
                    took[how].append(1000 * (time.perf_counter() - began))
            plain, fused = (statistics.median(took[how][2:]) for how in ("foreach", "fused"))
            n = sum(weight.numel() for weight in weights)
            print(f"{called} ({n:,}), {kind.__name__}: {plain:.2f} ms, fused {fused:.2f} ms, ratio {plain / fused:.1f}")


if __name__ == "__main__":
    main()
