"""What a study costs beside its trainings: eight cells, one after the other, on drawn faces.

    python benchmarks/studies.py [--faces 3000] [--epochs 10]

Prints seconds of training, of judging, and of everything else (planning, keys, locks, records), and their shares of
the whole.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mien.yaml_files import dump_yaml


def timed(function: Callable[..., Any], seconds: dict[str, float], name: str) -> Callable[..., Any]:
    """A function whose time is added up under a name."""

    def call(*args: Any, **more: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args, **more)
        finally:
            seconds[name] += time.perf_counter() - began

    return call


def main() -> None:
    """Run eight cells and say where the time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()

    from mien.prepare import prepare
    from mien.studies import execute, load_study, plan_study, run_study

    seconds: dict[str, float] = defaultdict(float)
    execute.train = timed(execute.train, seconds, "training")
    execute.evaluate = timed(execute.evaluate, seconds, "judging")
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        prepare("synthetic", place / "drawn", n=args.faces, size=48)
        study = {
            "name": "eight",
            "base": str(root / "experiments" / "drawn.yaml"),
            "set": {"data.store": str(place / "drawn"), "train.epochs": args.epochs},
            "grid": {"lr": {"train.optimizer.lr": [0.001, 0.003, 0.01, 0.03]}},
            "seeds": 2,
        }
        (place / "eight.yaml").write_text(dump_yaml(study))
        began = time.perf_counter()
        plan = plan_study(load_study(place / "eight.yaml"), place, place / "out")
        done = run_study(plan)
        whole = time.perf_counter() - began
    if not done or len(plan.cells) != 8:
        raise SystemExit("not all eight cells are done")
    seconds["everything else"] = whole - sum(seconds.values())
    for name, each in seconds.items():
        print(f"{name}\t{each:.1f} s\t{100 * each / whole:.1f} %")


if __name__ == "__main__":
    main()
