"""How many faces a second the annotator in the box perceives, beside the plain alternative.

    python benchmarks/annotating.py [--weights FOLDER] [--n 2048] [--rounds 5]

The plain alternative is the same network in single precision, one pass; both run alternately in one
process, and the medians of the rounds are compared.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from mien.annotators.mien import BUNDLED, MienAnnotator


def seconds(work: object) -> float:
    began = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=BUNDLED)
    parser.add_argument("--n", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{torch.get_num_threads()} threads, {args.n} faces, median of {args.rounds} rounds")
    for name, shape in (("grey 48 px", (48, 48, 1)), ("colour 96 px", (96, 96, 3))):
        images = rng.integers(0, 256, (args.n, *shape)).astype(np.uint8)
        mirrored, single = MienAnnotator(args.weights), MienAnnotator(args.weights, mirrored=False)

        @torch.inference_mode()
        def plain(images: np.ndarray = images, annotator: MienAnnotator = single) -> None:
            for start in range(0, len(images), 128):
                annotator.classifier.module(annotator.classifier.tensor(images[start : start + 128]))

        ways = {
            "as shipped (face and mirror image)": lambda m=mirrored, x=images: m.annotate(x),
            "one pass": lambda s=single, x=images: s.annotate(x),
            "plain fp32, one pass": plain,
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(args.rounds):
            for way, work in ways.items():
                times[way].append(seconds(work))
        base = float(np.median(times["plain fp32, one pass"]))
        for way, found in times.items():
            median = float(np.median(found))
            print(f"{name}, {way}: {args.n / median:.0f} faces/s, {base / median:.2f} times the plain one")


if __name__ == "__main__":
    main()
