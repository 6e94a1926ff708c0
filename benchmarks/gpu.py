"""Training images/s of MieNet on a graphics card (or whatever is there), and where a step's time goes.

    python benchmarks/gpu.py [--store STORE] [--faces 26000] [--epochs 3] [--batch-size 128 512] [--size 48]
                             [--cudnn default benchmark deterministic] [--eager] [--profile TABLE.txt]

Every row is a whole ``mien.train`` of MieNet with averaged weights, as `mien run` does it; the first epoch is left
out (kernels are chosen in it), of the others the median is told. Beside it stands how long an epoch takes besides its
steps (validation, weights, checkpoint), what the network alone does on the same device with one batch over and over
(no loader, augmentation, averaging or trainer), and the checksum of the weights: two rows of the same settings with
different sums are not bit for bit the same run.
Without a store, noise is learnt: the speed is the same.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mien.config import parse_config
from mien.data.images import Store, StoreWriter
from mien.samples import SampleTable
from mien.train import loop, train
from mien.train.build import build_model
from mien.train.targets import load_training_data

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def noise(folder: Path, faces: int, size: int) -> Path:
    """A store of random pixels, square and grey."""
    generator = np.random.default_rng(0)
    label = generator.integers(0, len(CLASSES), faces)
    frame = pd.DataFrame(
        {
            "sample_id": [f"n{i}" for i in range(faces)],
            "image": np.arange(faces),
            "split": "",
            "identity": "",
            "cluster": np.arange(faces),
            "hash": [f"{i:016x}" for i in range(faces)],
            **{f"votes_{name}": (label == k).astype(float) for k, name in enumerate(CLASSES)},
        }
    )
    with StoreWriter(folder) as writer:
        writer.append(generator.integers(0, 256, (faces, size, size, 1), dtype=np.uint8))
        writer.commit(SampleTable(frame, "noise", CLASSES), {})
    return folder


def settings(store: Path, batch_size: int, epochs: int, size: int | None) -> dict[str, Any]:
    return {
        "data": {"store": str(store)},
        "labels": {"train": "majority"},
        "split": {"name": "ratio", "options": {"train": 0.9, "validation": 0.05, "test": 0.05}},
        "model": {"name": "mienet", "size": size},
        "train": {
            "epochs": epochs,
            "batch_size": batch_size,
            "ema": 0.999,
            "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
            "schedule": {"name": "cosine"},
        },
    }


def network_alone(config: dict[str, Any], steps: int = 60) -> float:
    """Images/s of forward, backward and an optimiser's step in the same precision, one batch over and over."""
    parsed = parse_config(config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = load_training_data(parsed)
    side = parsed.model.size or data.store.images.shape[1]
    model = build_model(parsed, len(CLASSES), 1).to(device=device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, foreach=True)
    x = torch.randn(parsed.train.batch_size, 1, side, side, device=device).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, len(CLASSES), (len(x),), device=device)
    start = 0.0
    for step in range(steps + 10):
        if step == 10:
            _wait(device)
            start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(model(x).float(), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    _wait(device)
    return steps * len(x) / (time.perf_counter() - start)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def profiled(config: dict[str, Any], folder: Path, table: Path) -> None:
    """One epoch under torch's profiler; the table has the operations by the device's and by the processor's time."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    kinds += [torch.profiler.ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    with torch.profiler.profile(activities=kinds) as profile:
        start = time.perf_counter()
        train(parse_config({**config, "train": {**config["train"], "epochs": 1}}), folder)
        seconds = time.perf_counter() - start
    averages = profile.key_averages()
    parts = [f"one epoch of {config['train']['batch_size']} faces a step, begin to end: {seconds:.2f} s (profiled)"]
    if torch.cuda.is_available():
        busy = sum(e.self_device_time_total for e in averages) / 1e6
        parts.append(f"device busy {busy:.2f} s")
        parts.append(averages.table(sort_by="self_cuda_time_total", row_limit=25, max_name_column_width=60))
    parts.append(averages.table(sort_by="self_cpu_time_total", row_limit=30, max_name_column_width=60))
    table.write_text("\n\n".join(parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--faces", type=int, default=26_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--size", type=int, help="side of the network's input, by default that of the faces")
    parser.add_argument("--cudnn", nargs="+", default=["default"], choices=["default", "benchmark", "deterministic"])
    parser.add_argument("--eager", action="store_true", help="launch the network's kernels one by one")
    parser.add_argument("--profile", type=Path)
    args = parser.parse_args()
    if args.eager:
        loop.record = lambda *asked: None  # type: ignore[assignment]
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} threads"
    print(f"{name}, torch {torch.__version__}")
    print("batch  cudnn          images/s  network alone  other s/epoch  peak GB  weights")
    with tempfile.TemporaryDirectory() as folder:
        store = args.store or noise(Path(folder) / "store", args.faces, 48)
        Store.open(store)
        for row, (batch_size, cudnn) in enumerate((b, c) for b in args.batch_size for c in args.cudnn):
            torch.backends.cudnn.benchmark = cudnn == "benchmark"
            torch.backends.cudnn.deterministic = cudnn == "deterministic"
            config = settings(store, batch_size, args.epochs, args.size)
            start = time.perf_counter()
            run = train(parse_config(config), Path(folder) / f"run{row}")
            seconds, history = time.perf_counter() - start, run.history
            rest = (seconds - history["seconds"].sum()) / args.epochs
            alone = network_alone(config)
            peak = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0
            speed = statistics.median(history["images_per_s"].iloc[1:] if args.epochs > 1 else history["images_per_s"])
            print(
                f"{batch_size:5d}  {cudnn:13s}  {speed:8,.0f}  {alone:13,.0f}  {rest:13.2f}  {peak:7.2f}"
                f"  {_sum(run.path)}",
                flush=True,
            )
            if args.profile and row == 0:
                profiled(config, Path(folder) / "profiled", args.profile)


def _sum(folder: Path) -> str:
    from mien.models.weights import load_card

    return load_card(folder).sha256[:12]


if __name__ == "__main__":
    main()
