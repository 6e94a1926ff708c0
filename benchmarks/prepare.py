"""Seconds and peak memory of ``mien prepare`` on FER2013's challenge CSV, in a process of its own.

    python benchmarks/prepare.py FOLDER_OR_CSV [--repeat 3]

Target: FER2013 (270 MB) under 15 s and under 600 MB on two cores.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once:
        from mien.prepare import prepare

        began = time.perf_counter()
        store = prepare(args.source, args.once)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(len(store.table), seconds, peak)
        return
    results = []
    for _ in range(args.repeat):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, str(args.source), "--once", str(Path(folder) / "store")]
            line = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        results.append([float(v) for v in line.split()])
        print(f"{results[-1][0]:.0f} faces  {results[-1][1]:.2f} s  {results[-1][2]:.0f} MB", flush=True)
    print(f"median {statistics.median(r[1] for r in results):.2f} s, {statistics.median(r[2] for r in results):.0f} MB")


if __name__ == "__main__":
    main()
