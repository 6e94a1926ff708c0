"""Time the audit, and compare it with fairlearn: `python benchmarks/audit.py [--rows 35000 1000000]`.

Fourteen intersections (2 genders x 7 races), three single attributes, 8 classes, 2,000 bootstrap
and 2,000 permutation replicates, all measures; with and without clusters of copies. `--fairlearn`
times the bootstrap of the same metrics by fairlearn's MetricFrame (a few replicates, scaled), the
two alternating in one run, and compares the values. `--file 10000000` writes a Parquet file of so
many rows and audits it as the command would, in a process of its own, with its peak memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from mien.audit import audit
from mien.records import Predictions
from mien.stats.settings import Settings

CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
CLASS_SHARES = (0.36, 0.26, 0.12, 0.12, 0.09, 0.01, 0.03, 0.01)
RACES = ("black", "east asian", "indian", "latino", "middle eastern", "southeast asian", "white")
AGES = ("0-2", "3-19", "20-39", "40-59", "60+")
BY = ("gender", "age", "race", "gender*race")


def synthetic_predictions(n: int, copies: float = 0.0, seed: int = 0) -> Predictions:
    """Faces at about 80 % accuracy; a share ``copies`` of them are copies of another face."""
    rng = np.random.default_rng(seed)
    k = len(CLASSES)
    labels = rng.choice(k, n, p=CLASS_SHARES)
    logits = rng.normal(size=(n, k)).astype(np.float32)
    logits[np.arange(n), labels] += 2.6
    probs = np.exp(logits)
    probs /= probs.sum(1, keepdims=True)
    shares = {"gender": None, "age": (0.05, 0.2, 0.45, 0.2, 0.1), "race": (0.1, 0.1, 0.02, 0.1, 0.1, 0.08, 0.5)}
    names = {"gender": ("female", "male"), "age": AGES, "race": RACES}
    groups = pd.DataFrame(
        {a: pd.Categorical.from_codes(rng.choice(len(v), n, p=shares[a]), list(v)) for a, v in names.items()}
    )
    index = np.arange(n)
    twice = rng.choice(n - 1, int(n * copies), replace=False)
    index[twice + 1] = index[twice]
    cluster = np.arange(n)[index]
    return Predictions(
        sample_id=np.arange(n).astype(str),
        classes=CLASSES,
        labels=labels[index].astype(np.int64),
        predicted=probs[index].argmax(1).astype(np.int64),
        probs=probs[index],
        soft_targets=None,
        votes=None,
        groups=groups.iloc[index].reset_index(drop=True),
        cluster=cluster.astype(np.int64) if copies else None,
        image=None,
        source="synthetic",
    )


def time_audit(rows: list[int], replicates: int, repeats: int) -> None:
    """Print the median seconds of an audit for each size."""
    print(f"by {', '.join(BY)}; {replicates} bootstrap and {replicates} permutation replicates, all measures")
    for n in rows:
        for copies in (0.0, 0.05):
            pred = synthetic_predictions(n, copies)
            seconds = []
            for _ in range(repeats):
                start = time.perf_counter()
                audit(pred, BY, settings=Settings(n_boot=replicates, n_perm=replicates))
                seconds.append(time.perf_counter() - start)
            what = f"{copies:.0%} copies in clusters" if copies else "independent faces"
            print(f"{n:>10,} rows, {what:<24} median {statistics.median(seconds):.2f} s of {repeats}")


def compare_with_fairlearn(n: int, replicates: int, repeats: int, few: int = 4) -> None:
    """The same four headline metrics and recalls by group, bootstrapped, by fairlearn and by Mien."""
    from fairlearn.metrics import MetricFrame
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score

    pred = synthetic_predictions(n)
    groups = pred.groups["gender"].astype(str) + "*" + pred.groups["race"].astype(str)

    def recall_of(c: int):  # noqa: ANN202
        return lambda y, p: recall_score(y, p, labels=[c], average="macro", zero_division=np.nan)

    metrics = {
        "accuracy": accuracy_score,
        "balanced_accuracy": balanced_accuracy_score,
        "macro_f1": lambda y, p: f1_score(y, p, average="macro", zero_division=0.0),
        "weighted_f1": lambda y, p: f1_score(y, p, average="weighted", zero_division=0.0),
    } | {f"recall:{c}": recall_of(i) for i, c in enumerate(CLASSES)}
    theirs, ours = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        frame = MetricFrame(
            metrics=metrics, y_true=pred.labels, y_pred=pred.predicted, sensitive_features=groups,
            n_boot=few, ci_quantiles=[0.025, 0.975], random_state=0,
        )  # fmt: skip
        theirs.append(time.perf_counter() - start)
        start = time.perf_counter()
        result = audit(pred, "gender*race", settings=Settings(n_boot=replicates, n_perm=1)).attribute("gender*race")
        ours.append(time.perf_counter() - start)
    per_replicate = statistics.median(theirs) / (few + 1)  # the frame itself is one more pass
    ratio = per_replicate * replicates / statistics.median(ours)
    largest = 0.0
    for group, row in frame.by_group.iterrows():
        own = result.group(str(group))
        for name in metrics:
            metric, _, c = name.partition(":")
            value = own.recall[c].value if c else own.metrics[metric].value
            largest = max(largest, abs(value - row[name]))
    print(f"{n:,} rows, 14 groups, {len(metrics)} metrics of each group, alternating, medians of {repeats}:")
    whole = per_replicate * replicates
    print(f"  fairlearn MetricFrame: {per_replicate:.3f} s a replicate, so {whole:,.0f} s for {replicates:,}")
    print(f"  mien audit: {statistics.median(ours):.2f} s for {replicates:,}, with every other measure and interval")
    print(f"  ratio {ratio:,.0f}; largest difference between values {largest:.1e}")


def audit_file(n: int) -> None:
    """Write a file of ``n`` rows, and audit it in a process of its own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.parquet"
        writer, done = None, 0
        while done < n:
            m = min(1_000_000, n - done)
            pred = synthetic_predictions(m, seed=done)
            frame = pred.to_frame().assign(sample_id=np.arange(done, done + m).astype(str))
            table = pa.Table.from_pandas(frame, preserve_index=False)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table.cast(writer.schema))
            done += m
        if writer:
            writer.close()
        print(f"{n:,} rows, {path.stat().st_size / 2**20:.0f} MiB of Parquet with probabilities, by {', '.join(BY)}:")
        command = [sys.executable, __file__, "--one", str(path)]
        print(subprocess.run(command, capture_output=True, text=True, check=True).stdout, end="")


def _one(path: Path) -> None:
    start = time.perf_counter()
    pred = Predictions.load(path)
    loaded = time.perf_counter()
    audit(pred, BY)
    seconds = time.perf_counter() - loaded
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  loading {loaded - start:.1f} s, audit {seconds:.1f} s, peak memory {peak:.2f} GiB")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[35_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--fairlearn", action="store_true")
    parser.add_argument("--file", type=int, default=0)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _one(options.one)
        return
    time_audit(options.rows, options.replicates, options.repeats)
    if options.fairlearn:
        compare_with_fairlearn(35_000, options.replicates, options.repeats)
    if options.file:
        audit_file(options.file)


if __name__ == "__main__":
    main()
