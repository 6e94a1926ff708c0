"""What the hooks of mitigations cost where nobody uses them: steps with and without, in turns.

    python benchmarks/hooks.py STORE [--steps 200] [--labels ferplus_majority]

Two copies of one network learn the same batches: through mien.train's module with the mitigation ``none``, and by hand
with the same pictures, precision and loss, without a mitigation, further heads or anything that reads its outputs.
Printed: median milliseconds of a step of both and the median of their ratios, pair by pair, with its 95 % interval
(of the median's ranks). Nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from scipy.stats import binom

from mien.config import parse_config
from mien.train.batches import BatchNumbers, FaceBatches, loader, shuffled
from mien.train.build import build, make_fabric
from mien.train.network import At
from mien.train.optimizers import make_optimizer
from mien.train.targets import load_training_data
from where import commit, machine


def main() -> None:
    """Measure both in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--labels", default="ferplus_majority")
    args = parser.parse_args()
    content: dict[str, Any] = {
        "data": {"store": str(args.store)},
        "labels": {"train": args.labels},
        "model": {"name": "mienet", "options": {"widths": [16, 32, 64], "depths": [1, 1, 1], "stem": 8}},
        "train": {"batch_size": 64, "epochs": 1},
    }
    config = parse_config(content)
    data = load_training_data(config)
    fabric = make_fabric(config)
    ours, plain = (build(config, data, fabric, terms="") for _ in range(2))
    faces, network = data.train, ours.network.train()
    by_hand, pictures = plain.network.train().model, plain.network.pictures
    steps = [make_optimizer(each.network, each.stages[0].turns[0], config.train.optimizer) for each in (ours, plain)]
    numbers = BatchNumbers(shuffled(len(faces), 0), len(faces), config.train.batch_size, whole=True)
    batches = iter(loader(FaceBatches(data.store.images, faces), numbers))

    def through(batch: Any) -> None:
        told, _ = network(batch, At(0, 0, args.steps, 0))
        steps[0].zero_grad(set_to_none=True)
        told.backward()
        steps[0].step()

    def alone(batch: Any) -> None:
        x = pictures.training(batch.images, batch.variants)
        with pictures.computing(x.device):
            told = torch.nn.functional.cross_entropy(by_hand(x).float(), batch.targets)
        steps[1].zero_grad(set_to_none=True)
        told.backward()
        steps[1].step()

    taken: list[tuple[float, float]] = []
    for i in range(args.steps + 5):
        batch, pair = next(batches), {}
        order = [("through", through), ("alone", alone)]
        for name, work in order if i % 2 else order[::-1]:
            torch.manual_seed(i)
            began = time.perf_counter()
            work(batch)
            pair[name] = 1000 * (time.perf_counter() - began)
        if i >= 5:
            taken.append((pair["through"], pair["alone"]))
    ratios = sorted(a / b for a, b in taken)
    rank = int(binom.ppf(0.025, len(ratios), 0.5))
    a, b = (statistics.median(side) for side in zip(*taken, strict=True))
    print(f"{machine()}, commit {commit()}, {torch.get_num_threads()} threads, {len(taken)} steps of 64 faces")
    print(f"through the hooks {a:.1f} ms, by hand {b:.1f} ms; ratio {statistics.median(ratios):.4f} ", end="")
    print(f"[{ratios[rank]:.4f}, {ratios[-rank - 1]:.4f}]")


if __name__ == "__main__":
    main()
