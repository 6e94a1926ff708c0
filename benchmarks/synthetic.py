"""Speed of the drawn faces, and the picture of them in the documentation.

python benchmarks/synthetic.py                                    # faces per second
python benchmarks/synthetic.py --montage docs/images/synthetic.png # 7 expressions x 8 people
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
from PIL import Image

from mien.data.corpus import BadRows, Chunk
from mien.data.datasets.synthetic import synthetic
from mien.data.rendering import montage
from mien.labels import FER2013_CLASSES


def speed(n: int, size: int, channels: int, threads: int) -> float:
    """Faces per second, drawing to chunks that are thrown away."""
    start = time.perf_counter()
    for _ in synthetic(n=n, size=size, channels=channels, threads=threads).chunks(BadRows()):
        pass
    return n / (time.perf_counter() - start)


def gallery(size: int, channels: int, columns: int, seed: int) -> np.ndarray:
    """One row an expression, in the order of FER2013_CLASSES; the first faces of each that the corpus holds."""
    corpus = synthetic(n=7 * columns * 12, size=size, channels=channels, seed=seed, nuisance=0.5)
    parts: list[Chunk] = list(corpus.chunks(BadRows()))
    images = np.concatenate([p.images for p in parts])
    expression = np.concatenate([p.frame["true_expression"].to_numpy(dtype=str) for p in parts])
    rows = [images[np.flatnonzero(expression == c)[:columns]] for c in FER2013_CLASSES]
    return montage(np.concatenate(rows), columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2048, help="faces a measurement")
    parser.add_argument("--repeats", type=int, default=3, help="measurements; the median is printed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--montage", type=Path, help="write a picture there instead")
    parser.add_argument("--size", type=int, default=64, help="of the faces in the picture")
    parser.add_argument("--channels", type=int, default=3, choices=(1, 3), help="of the picture")
    parser.add_argument("--columns", type=int, default=8, help="of the picture")
    parser.add_argument("--seed", type=int, default=3, help="of the picture")
    args = parser.parse_args()
    if args.montage:
        args.montage.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(gallery(args.size, args.channels, args.columns, args.seed)).save(args.montage, optimize=True)
        print(f"wrote {args.montage}")
        return
    for size, channels in ((64, 1), (48, 1), (64, 3)):
        rates = [speed(args.n, size, channels, args.threads) for _ in range(args.repeats)]
        kind = "grey" if channels == 1 else "colour"
        print(f"{size}x{size} {kind:6s} {statistics.median(rates):7.0f} faces/s (median of {args.repeats})")


if __name__ == "__main__":
    main()
