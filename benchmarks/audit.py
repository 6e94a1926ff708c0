"""Time the audit on synthetic predictions: `python benchmarks/audit.py [--rows 35000 1000000]`.

Fourteen intersections (2 genders x 7 races), three single attributes, 8 classes, 1,000 bootstrap
and 1,000 permutation replicates; with and without clusters of copies.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import pandas as pd

from mien.audit import audit
from mien.records import Predictions

CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
CLASS_SHARES = (0.36, 0.26, 0.12, 0.12, 0.09, 0.01, 0.03, 0.01)
RACES = ("black", "east asian", "indian", "latino", "middle eastern", "southeast asian", "white")
AGES = ("0-2", "3-19", "20-39", "40-59", "60+")
BY = ("gender", "age", "race", "gender*race")


def synthetic_predictions(n: int, copies: float, seed: int = 0) -> Predictions:
    """Faces at about 80 % accuracy; a share ``copies`` of them are copies of another face."""
    rng = np.random.default_rng(seed)
    k = len(CLASSES)
    labels = rng.choice(k, n, p=CLASS_SHARES)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), labels] += 2.6
    probs = np.exp(logits)
    probs /= probs.sum(1, keepdims=True)
    groups = pd.DataFrame(
        {
            "gender": rng.choice(("female", "male"), n),
            "age": rng.choice(AGES, n, p=(0.05, 0.2, 0.45, 0.2, 0.1)),
            "race": rng.choice(RACES, n, p=(0.1, 0.1, 0.02, 0.1, 0.1, 0.08, 0.5)),
        }
    )
    cluster = np.arange(n)
    index = np.arange(n)
    twice = rng.choice(n - 1, int(n * copies), replace=False)
    index[twice + 1] = index[twice]
    cluster = cluster[index]
    return Predictions(
        np.arange(n).astype(str),
        CLASSES,
        labels[index].astype(np.int64),
        probs[index].argmax(1).astype(np.int64),
        probs[index],
        np.eye(k)[labels[index]],
        None,
        groups.iloc[index].reset_index(drop=True),
        cluster.astype(np.int64) if copies else None,
        None,
        "synthetic",
    )


def main() -> None:
    """Print the median seconds of an audit for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[35_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--replicates", type=int, default=1000)
    options = parser.parse_args()
    print(f"by {', '.join(BY)}; {options.replicates} bootstrap and {options.replicates} permutation replicates")
    for n in options.rows:
        for copies in (0.0, 0.05):
            pred = synthetic_predictions(n, copies)
            seconds = []
            for _ in range(options.repeats):
                start = time.perf_counter()
                audit(pred, BY, n_boot=options.replicates, n_perm=options.replicates)
                seconds.append(time.perf_counter() - start)
            what = f"{copies:.0%} copies in clusters" if copies else "independent faces"
            print(f"{n:>9,} rows, {what:<24} median {statistics.median(seconds):.2f} s of {options.repeats}")


if __name__ == "__main__":
    main()
