"""Training images/s of MieNet through ``mien.train`` against the plain way, alternating the two.

    python benchmarks/training.py STORE [--steps 60] [--repeat 3] [--labels majority]

The plain way: an fp32 PyTorch loop whose loader decodes nothing (the same packed faces) but augments
each picture by itself with torchvision, as most published FER code does: flip, rotation, scale and
shift, brightness and contrast, erasing. Same network, batch, optimiser, and threads. Also printed:
the share of a Mien step that goes into fetching and augmenting. Targets: ratio 3 or more, share
under 5 %.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from mien.config import ExperimentConfig, parse_config
from mien.train import train
from mien.train.batches import BatchNumbers, FaceBatches, loader, shuffled
from mien.train.build import build, build_model, make_fabric
from mien.train.optimizers import make_optimizer
from mien.train.targets import TrainingData, class_names, load_training_data


def settings(args: argparse.Namespace, steps: int | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "data": {"store": str(args.store)},
        "labels": {"train": args.labels},
        "split": {"name": "ratio"},
        "train": {"epochs": 1, "batch_size": 128, "schedule": {"name": "constant"}},
    }
    if steps is not None:
        # A share of the faces that makes about this many steps; the validation part stays small.
        share = min(0.97, steps * 128 / args.faces)
        content["split"]["options"] = {"train": share, "validation": 0.01, "test": 0.99 - share}
    return content


class PlainDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    def __init__(self, data: TrainingData) -> None:
        self.images = data.store.images
        self.rows, self.targets = data.train.rows, data.train.targets
        self.transform = v2.Compose(
            [
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.RandomHorizontalFlip(),
                v2.RandomAffine(15, translate=(0.08, 0.08), scale=(0.9, 1.1)),
                v2.ColorJitter(brightness=0.15, contrast=0.25),
                v2.RandomErasing(0.3, scale=(0.03, 0.2)),
                v2.Normalize([data.mean], [data.std]),
            ]
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.transform(np.array(self.images[self.rows[i]])), torch.from_numpy(self.targets[i])


def plain(config: ExperimentConfig, data: TrainingData) -> float:
    """Images/s of one epoch of the plain loop."""
    model = build_model(config, len(class_names(data.heads)), data.store.images.shape[3]).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
    loader = DataLoader(PlainDataset(data), 128, shuffle=True, drop_last=True)
    began, n = time.perf_counter(), 0
    for images, targets in loader:
        loss = torch.nn.functional.cross_entropy(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        n += len(images)
    return n / (time.perf_counter() - began)


def through_mien(config: ExperimentConfig) -> float:
    """Images/s of one epoch through mien.train, as its own history records it (validation included)."""
    with tempfile.TemporaryDirectory() as folder:
        return float(train(config, Path(folder) / "run").history["images_per_s"].iloc[0])


def input_share(config: ExperimentConfig, data: TrainingData, steps: int = 30) -> float:
    """Share of the time of a training step that goes into fetching, augmenting and normalising."""
    built = build(config, data, make_fabric(config), terms="")
    network, faces = built.network.train(), data.train
    optimizer = make_optimizer(network, built.stages[0].turns[0], config.train.optimizer)
    fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    numbers = BatchNumbers(shuffled(len(faces), 0), len(faces), config.train.batch_size, whole=True)
    batches = iter(loader(FaceBatches(data.store.images, faces), numbers))
    inputs, whole = [], []
    for _ in range(steps):
        began = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            break
        x = network.pictures.training(batch.images)
        ready = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            logits = network.model(x)
        loss = network.heads[0].loss(logits.float(), batch.targets, {}).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        inputs.append(ready - began)
        whole.append(time.perf_counter() - began)
    return statistics.median(inputs[3:]) / statistics.median(whole[3:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--labels", default="majority")
    args = parser.parse_args()
    args.faces = len(load_training_data(parse_config(settings(args))).table)
    config = parse_config(settings(args, args.steps))
    data = load_training_data(config)
    print(f"{len(data.train)} faces, {torch.get_num_threads()} threads", flush=True)
    ours, theirs = [], []
    for i in range(args.repeat):
        ours.append(through_mien(config))
        theirs.append(plain(config, data))
        print(f"{i + 1}: mien {ours[-1]:.0f} images/s, plain fp32 loop {theirs[-1]:.0f} images/s", flush=True)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(f"median {statistics.median(ours):.0f} against {statistics.median(theirs):.0f}: ratio {ratio:.2f}")
    print(f"input pipeline: {100 * input_share(config, data):.1f} % of a step")


if __name__ == "__main__":
    main()
