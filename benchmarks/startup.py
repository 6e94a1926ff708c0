"""Seconds until ``mien --help`` has answered; median of some runs.

    python benchmarks/startup.py [--repeat 9]

Target: under 0.5 s.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=9)
    args = parser.parse_args()
    seconds = []
    for _ in range(args.repeat):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "mien.cli", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - began)
    print(f"median {statistics.median(seconds):.2f} s of {args.repeat}")


if __name__ == "__main__":
    main()
