"""Why not percentiles? Coverage of plain bootstrap intervals beside the audit's: `python benchmarks/intervals.py`.

One group of faces of the simulated classifier of benchmarks/coverage.py; how often the percentile
interval, the reflected one and the audit's hold the true macro values and calibration error.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from coverage import CLASSES, MIXES, World
from mien.audit import summary_estimates
from mien.audit.calibration import calibration_error, calibration_means
from mien.audit.scores import Units, row_scores
from mien.metrics import balanced_accuracy, macro_f1, weighted_f1
from mien.records import Predictions
from mien.runs import code_versions
from mien.stats.cells import Rows, bootstrap_tables
from mien.stats.settings import Settings

METRICS = {"balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1, "weighted_f1": weighted_f1}


def sample(world: World, mix: np.ndarray, n: int, rng: np.random.Generator) -> Predictions:
    """Draw n faces."""
    label = rng.choice(len(CLASSES), n, p=mix)
    probs = world.probs[label, rng.integers(0, world.probs.shape[1], n)]
    ids = np.arange(n).astype(str)
    return Predictions(
        sample_id=ids,
        classes=CLASSES,
        labels=label.astype(np.int64),
        predicted=probs.argmax(1).astype(np.int64),
        probs=probs,
        soft_targets=None,
        votes=None,
        groups=pd.DataFrame(index=range(n)),
    )


def plain(pred: Predictions, rng: np.random.Generator, n_boot: int) -> dict[str, np.ndarray]:
    """Bootstrap replicates of each metric."""
    everybody = np.zeros(len(pred), dtype=np.int64)
    rows = Rows(everybody, pred.labels, pred.predicted, None, 1, len(CLASSES))
    drawn = np.concatenate(list(bootstrap_tables(rows, n_boot, rng)))[:, 0]
    means = calibration_means(row_scores(pred), np.arange(len(pred)),
                              Units.of(everybody, pred.labels, None, 1, len(CLASSES)))  # fmt: skip
    out = {name: np.asarray(metric(drawn)) for name, metric in METRICS.items()}
    return out | {"ece": calibration_error(means.replicates(n_boot, rng))[:, 0]}


def main() -> None:
    """Print one row a metric and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=400)
    parser.add_argument("--replicates", type=int, default=400)
    options = parser.parse_args()
    world = World(0.0, n=30_000)
    made = ", ".join(f"{k} {v}" for k, v in code_versions("numpy", "scipy").items())
    print(f"{options.sims} samples, {options.replicates} replicates; {made}")
    print("| metric | classes | faces | percentile | reflected | audit |\n| --- | --- | --- | --- | --- | --- |")
    for mix_name, mix in MIXES.items():
        for n in (30, 100, 300):
            held: dict[str, list[list[bool]]] = {}
            for i in range(options.sims):
                rng = np.random.default_rng([n, i])
                pred = sample(world, mix, n, rng)
                truth = world.truth(mix, np.bincount(pred.labels, minlength=len(CLASSES)) > 0)
                ours = summary_estimates(pred, settings=Settings(n_boot=options.replicates, seed=i))
                for name, values in plain(pred, rng, options.replicates).items():
                    low, high = np.nanquantile(values, [0.025, 0.975])
                    turned = 2 * ours[name].value - high, 2 * ours[name].value - low
                    ends = ((low, high), turned, (ours[name].low, ours[name].high))
                    held.setdefault(name, []).append([a <= truth[name] <= b for a, b in ends])
            for name, rows in held.items():
                shares = " | ".join(f"{v:.3f}" for v in np.mean(rows, 0))
                print(f"| {name} | {mix_name} | {n} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
