"""Every model of the catalogue, two epochs on 4,000 drawn faces: the table that a user picks one from.

    python benchmarks/models.py [NAME ...] [--out docs/results/models] [--faces 4000] [--threads 2]

Each model trains in a process of its own, through the same :func:`mien.train.train` as every run, with nothing
said but its name (and the size that it needs). A model whose figures stand in OUT/models.json is not run again,
so that the command goes on where it was broken off; ``--again`` forgets them. Accuracy after two epochs
says nothing of how good a network becomes: large ones need more, and pretrained weights. Times are of this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# What must be told: of networks around another, or by a name of timm.
OPTIONS: dict[str, dict[str, Any]] = {
    "conditioned": {"trunk": "mienet", "attributes": {"gender": 2, "age": 3}},
    "joint_head": {"trunk": "mienet", "groups": 2},
    "timm": {"name": "regnety_002"},
}
SIZES = {"vit_tiny": 224, "dan": 112}  # what 48 px is too small for; other networks take the store's


def measure(name: str, store: Path, threads: int, epochs: int) -> dict[str, Any]:
    """Figures of one model; in a process of its own, whose largest memory is then the model's."""
    import torch

    from mien.config import parse_config
    from mien.data.images import Store
    from mien.models.weights import Classifier
    from mien.train import train

    torch.set_num_threads(threads)
    model: dict[str, Any] = {"name": name, "options": OPTIONS.get(name, {})}
    if name in SIZES:
        model["size"] = SIZES[name]
    config = parse_config({
        "data": {"store": str(store)},
        "split": {"name": "ratio", "options": {"train": 0.8, "validation": 0.2, "test": 0.0}},
        "model": model,
        # One recipe for all: Adam finds its way in every family, where one rate of SGD does not.
        "train": {"epochs": epochs, "batch_size": 64, "threads": threads, "ema": None,
                  "optimizer": {"name": "adam", "lr": 3e-4}, "schedule": {"name": "constant"}},
    })  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, Path(folder) / "run")
        history = run.history
        classifier = Classifier.load(run.path)
        faces = classifier.face_model()
        images = Store.open(store).images
        faces.probabilities(images[:64])
        seconds = []
        for part in range(5):
            began = time.perf_counter()
            faces.probabilities(images[part * 128 : (part + 1) * 128])
            seconds.append(time.perf_counter() - began)
        parameters = sum(p.numel() for p in classifier.module.parameters())
    return {
        "model": name,
        "parameters": parameters,
        "size": classifier.card.size,
        "train_images_per_s": float(history["images_per_s"].max()),
        "predict_images_per_s": 128 / statistics.median(seconds),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "val_accuracy": float(history["val_accuracy"].iloc[-1]),
        "faces": len(images),
        "epochs": epochs,
        "threads": threads,
    }


def page(found: dict[str, dict[str, Any]], about: dict[str, Any]) -> str:
    """The table as Markdown, smallest first."""
    lines = [
        "# Models",
        "",
        "Written by `python benchmarks/models.py`. Two epochs on the training part (80 %) of drawn faces of 48 px,"
        " Adam at 3e-4, batches of 64, bf16 where the processor has it: what a network costs. Accuracy is on the other"
        " 20 %, after so few steps that it ranks nothing: one in seven is chance, and large networks that begin with"
        " nothing have not left it yet. Times are of one machine and move by half with what else it does.",
        "",
        f"{about['machine']}; commit {about['commit']}; seed 0.",
        "",
        "| model | parameters | input | training images/s | prediction images/s | memory (MB) | accuracy | source |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in sorted(found.values(), key=lambda r: (r.get("parameters", 0), r["model"])):
        if "refused" in row:
            lines.append(f"| `{row['model']}` | | | | | | | {row['refused']} |")
            continue
        lines.append(
            f"| `{row['model']}`{_told(row['model'])} | {row['parameters']:,} | {row['size']} px "
            f"| {row['train_images_per_s']:,.0f} | {row['predict_images_per_s']:,.0f} | {row['memory_mb']:,.0f} "
            f"| {row['val_accuracy']:.3f} "
            f"| {source_of(row['model'])} |"
        )
    from mien.models import MODELS

    if missing := [name for name in MODELS if name not in found]:
        lines += ["", f"Not measured yet: {', '.join(f'`{name}`' for name in missing)}."]
    return "\n".join(lines) + "\n"


def _told(name: str) -> str:
    """The options of a network that needs some."""
    told = OPTIONS.get(name, {})
    return f" ({', '.join(f'{k} {v}' for k, v in told.items() if isinstance(v, str))})" if told else ""


def source_of(name: str) -> str:
    """First line of the model's docstring."""
    from mien.models import MODELS

    return (MODELS.get(name).__doc__ or "").strip().splitlines()[0].rstrip(".").replace("|", "/")


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    cores = len(os.sched_getaffinity(0))
    return {"machine": f"{cores} cores ({names[0] if names else 'unknown'})", "commit": commit.stdout.strip()}


def main() -> None:
    """Measure what is missing, and write the page after each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("docs/results/models"))
    parser.add_argument("--faces", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--limit", type=float, default=3600, help="most seconds for one model")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.store is not None:
        print(json.dumps(measure(args.names[0], args.store, args.threads, args.epochs)))
        return

    from mien.models import MODELS
    from mien.prepare import prepare

    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "models.json"
    found: dict[str, Any] = {} if args.again or not kept.is_file() else json.loads(kept.read_text())["models"]
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        prepare("synthetic", store, n=args.faces, size=48)
        for name in args.names or list(MODELS):
            if name in found:
                continue
            command = [sys.executable, __file__, name, "--store", str(store), "--threads", str(args.threads)]
            try:
                done = subprocess.run([*command, "--epochs", str(args.epochs)], capture_output=True, text=True,
                                      check=False, timeout=args.limit)  # fmt: skip
                last = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()[-1:]
                row = json.loads(last[0]) if done.returncode == 0 else {"model": name, "refused": "".join(last)}
            except subprocess.TimeoutExpired:
                row = {"model": name, "refused": f"not done within {args.limit:.0f} s"}
            print(row, flush=True)
            found[name] = row
            about = machine()
            kept.write_text(json.dumps({**about, "models": found}, indent=1) + "\n")
            (args.out / "README.md").write_text(page(found, about))


if __name__ == "__main__":
    main()
