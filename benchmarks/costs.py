"""What the methods of a study of mitigations cost at a scale that nobody waits for: steps of each, in turns.

    python benchmarks/costs.py STUDY --store NAME=PATH ... [--scale full] [--setting NAME] [--steps 5] [--rounds 3]

The first candidate of every method that trains is built as `mien mitigate` builds it, and takes a few steps of each of
its stages, in turns with the others. Printed: minutes of a whole run, reckoned from the median step of each stage, the
faces of its epoch and its epochs, and their ratio to the baseline's. Validation, a look at all faces between two fits
(JTT) and what is fitted after training are not in it. Nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from mien.mitigate.definition import BASELINE, load_mitigation
from mien.mitigate.phases import Places, baseline_phase, methods_phase
from mien.mitigate.tables import FIT_TWICE
from mien.studies.cells import Cell
from mien.train.build import Built, build, make_fabric
from mien.train.loop import Loop, Place
from mien.train.targets import load_training_data
from where import commit, machine


class Silent:
    """A diary of a run that keeps nothing."""

    def say(self, line: str) -> None:
        """Nobody hears it."""


class Stepped:
    """A run of which steps of each stage are taken, and timed.

    Args:
        cell: The run.
    """

    def __init__(self, cell: Cell) -> None:
        self.name = cell.config.mitigation.name
        data, fabric = load_training_data(cell.config), make_fabric(cell.config)
        self.built: Built = build(cell.config, data, fabric, terms="")
        self.taken: list[list[float]] = [[] for _ in self.built.stages]
        self.lengths = [0 for _ in self.built.stages]  # batches of an epoch of each stage
        # The run's own loop, which is never asked to go on by itself: it writes nothing.
        self.loop = Loop(self.built, Silent(), Path(), check=lambda: None, after_epoch=lambda: None)
        self.loop._place_faces()

    def steps(self, n: int) -> None:
        """``n`` timed steps of each stage, after one that is not counted."""
        loop, faces = self.loop, self.built.data.train
        for number, taken in enumerate(self.taken):
            loop.place = Place(stage=number)
            self.built.mitigation.begin(number, lambda: np.zeros(faces.targets.shape, np.float32))
            loop._enter_stage(None)
            loop.network.train()
            self.lengths[number] = len(loop.numbers)
            batches = iter(loop.batches)
            for i in range(n + 1):
                batch, began = next(batches), time.perf_counter()
                loop._step(loop.fabric.to_device(batch))
                if i:
                    taken.append(time.perf_counter() - began)

    @property
    def seconds(self) -> float:
        """Of a whole run."""
        stages = enumerate(zip(self.taken, self.lengths, strict=True))
        return sum(self.built.epochs(i) * n * statistics.median(taken) for i, (taken, n) in stages)


def spread(taken: list[float]) -> str:
    """Median and quartiles in milliseconds."""
    low, middle, high = (1000 * q for q in statistics.quantiles(taken, n=4))
    return f"{middle:.0f} ms ({low:.0f} to {high:.0f})"


def main() -> None:
    """Build all, and step in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--store", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--scale", default="full")
    parser.add_argument("--setting", help="the first if not named")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    config = load_mitigation(args.study)
    setting = args.setting or next(iter(config.settings))
    stores = dict(each.split("=", 1) for each in args.store)
    places = Places(folder=args.study.parent, out=Path("runs"), scale=args.scale, stores=stores)
    baseline, methods = baseline_phase(config, setting, places), methods_phase(config, setting, places, 0)
    runs = {name: Stepped(baseline.plan.of(row)[0]) for (name, i), row in baseline.rows.items() if not i}
    runs |= {name: Stepped(methods.plan.of(row)[0]) for (name, i), row in methods.rows.items() if not i}
    for number in range(args.rounds):  # another order in every round: who comes after whom is nobody's cost
        for name in np.random.default_rng(number).permutation(list(runs)):
            runs[name].steps(args.steps)
    least = runs[BASELINE].seconds
    print(
        f"{machine()}, commit {commit()}, {torch.get_num_threads()} threads; {args.study.name}, {setting}, {args.scale}"
    )
    print(f"{'method':<30}{'minutes':>9}{'times':>7}   ms a step of each stage (half of them between), its epochs")
    for name, run in runs.items():
        stages = enumerate(run.taken)
        told = "; ".join(f"{spread(t)}, {run.built.epochs(i)}" for i, t in stages)
        times, most = run.seconds / least, 3 if run.name in FIT_TWICE else 2
        print(f"{name:<30}{run.seconds / 60:>9.1f}{times:>7.2f}   {told}{'   OVER' if times > most else ''}")


if __name__ == "__main__":
    main()
