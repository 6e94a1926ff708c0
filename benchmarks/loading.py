"""Time and memory of loading predictions: `python benchmarks/loading.py [--rows 10000000] [--format parquet csv]`.

The table is made in a temporary folder: ids, label and prediction as text, 8 float32 probabilities,
four attributes as text, and a cluster number. Loading runs in a process of its own, so that its peak
memory is that of loading (the libraries' own share, measured on an empty process, is printed too).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

CLASSES = np.array(("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"))
ATTRIBUTES = {
    "gender": ("female", "male"),
    "age": ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+"),
    "race": ("black", "east asian", "indian", "latino", "middle eastern", "southeast asian", "white"),
    "lighting": ("dim", "bright", "mixed"),
}
CHUNK = 1_000_000
LOAD = """
import resource, sys, time
from mien.records import Predictions
start = time.perf_counter()
pred = Predictions.load(sys.argv[1]) if len(sys.argv) > 1 else ()
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, len(pred))
"""


def chunks(n: int, seed: int = 0) -> Iterator[pd.DataFrame]:
    """Tables of up to a million rows, ``n`` rows in all."""
    rng = np.random.default_rng(seed)
    for start in range(0, n, CHUNK):
        m = min(CHUNK, n - start)
        labels = rng.integers(len(CLASSES), size=m)
        logits = rng.normal(size=(m, len(CLASSES))).astype(np.float32)
        logits[np.arange(m), labels] += 2.6
        probs = np.exp(logits)
        probs /= probs.sum(1, keepdims=True)
        row = np.arange(start, start + m)
        columns = {
            "sample_id": np.char.add("face", row.astype(str)),
            "label": CLASSES[labels],
            "pred": CLASSES[probs.argmax(1)],
            "cluster": row - (row % 20 == 1),  # one face in twenty is a copy of the one before
        }
        columns |= {f"prob_{c}": probs[:, k] for k, c in enumerate(CLASSES)}
        columns |= {name: rng.choice(values, m) for name, values in ATTRIBUTES.items()}
        yield pd.DataFrame(columns)


def write(path: Path, n: int) -> None:
    """Write the table, a million rows at a time."""
    if path.suffix == ".csv":
        for i, chunk in enumerate(chunks(n)):
            chunk.to_csv(path, mode="a", header=i == 0, index=False, float_format="%.6g")
        return
    writer: pq.ParquetWriter | None = None
    for chunk in chunks(n):
        table = pa.Table.from_pandas(chunk, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def measure(*arguments: str) -> tuple[float, float, int]:
    """Seconds, peak memory in GiB and rows of loading in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *arguments], capture_output=True, text=True, check=True, timeout=3600
    )
    seconds, peak, rows = done.stdout.split()
    return float(seconds), float(peak), int(rows)


def main() -> None:
    """Print seconds and peak memory of loading each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--format", nargs="+", choices=("parquet", "csv"), default=["parquet"])
    parser.add_argument("--keep", type=Path, help="folder for the files; kept, and used again if they are there")
    options = parser.parse_args()
    print(f"libraries alone: {measure()[1]:.2f} GiB")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for ending in options.format:
            path = folder / f"predictions-{options.rows}.{ending}"
            if not path.is_file():
                start = time.perf_counter()
                write(path, options.rows)
                print(
                    f"written {path.name}: {path.stat().st_size / 2**30:.2f} GiB, {time.perf_counter() - start:.0f} s"
                )
            seconds, peak, rows = measure(str(path))
            print(f"loaded {rows:,} rows of {ending}: {seconds:.1f} s, peak {peak:.2f} GiB")


if __name__ == "__main__":
    main()
