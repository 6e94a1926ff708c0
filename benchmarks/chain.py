"""What the whole way from a picture to an expression loses against crops that are given; and the rules of the crop.

    python benchmarks/chain.py FERPLUS_OR_FAIRFACE_STORE --fit [--detector NAME ...]
    python benchmarks/chain.py FERPLUS_STORE --model MODEL [--detector NAME ...] [--out docs/results/chain]

FERPlus faces are pasted into scenes (benchmarks/scenes.py), found, cut out again by the rule of the detector, and
classified. Beside it the same faces as they are, and as they lie in the scene ("cut where it was pasted"): the first
two differ by resampling, the last two by finding and cutting. ``--fit`` measures the rules on Training faces: the
median of how the pasted crops lie around each detector's boxes. Without it they are tried on PublicTest, which
chose nothing in them. Differences are of the same faces, with Wald's 95 % interval of paired shares.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from detectors import made
from mien import terminal
from mien.adapters.loading import load_model
from mien.data.images import Store
from mien.data.labelled import labelled_faces
from mien.faces.base import Faces, overlaps
from mien.faces.crop import FER2013, Square, cut, squares
from scenes import Condition, scene
from where import tell

_SIDES = (48, 72, 100, 150, 200)
_SAME = 0.2  # overlap from which a found face is the pasted one


def nearest(seen: Faces, box: tuple[float, ...]) -> Faces:
    """The face that overlaps most with the pasted crop, if any."""
    shares = overlaps(np.array(box), seen.boxes)
    best = int(shares.argmax()) if len(seen) else 0
    if not len(seen) or shares[best] < _SAME:
        return Faces.none()
    return Faces(seen.boxes[[best]], seen.scores[[best]], seen.landmarks[[best]])


@dataclass
class Seen:
    """What became of the faces at one size."""

    given: list[np.ndarray] = field(default_factory=list)
    pasted: list[np.ndarray] = field(default_factory=list)
    found: dict[str, list[np.ndarray | None]] = field(default_factory=dict)
    around: dict[str, list[list[float]]] = field(default_factory=dict)
    eyes: dict[str, list[list[float]]] = field(default_factory=dict)


def look(
    store: Store, rows: np.ndarray, detectors: dict[str, Any], side: int, fit: bool, seed: int, progress: Any
) -> Seen:
    """Paste, find and cut; ``fit`` measures how crops lie around boxes instead of using the rules."""
    seen = Seen(found={n: [] for n in detectors}, around={n: [] for n in detectors}, eyes={n: [] for n in detectors})
    size = store.images.shape[1]
    for i, row in enumerate(rows):
        there = scene(store.images[row], side, Condition("", side), np.random.default_rng([seed, side, i]))
        left, top, right, bottom = there.box
        place = Square((left + right) / 2, (top + bottom) / 2, right - left)
        if not fit:
            seen.given.append(store.images[row].reshape(size, size, 1))
            seen.pasted.append(cut(there.pixels, [place], size, 1)[0])
        for name, detector in detectors.items():
            one = nearest(detector.find(there.pixels), there.box)
            if fit and len(one):
                box = one.boxes[0]
                length = float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))
                middle = (box[:2] + box[2:]) / 2
                seen.around[name].append([place.side / length, *((place.x, place.y) - middle) / length])
                seen.eyes[name].append(((one.landmarks[0, :2] - [left, top]) / place.side).ravel().tolist())
            rule = FER2013.get(name.partition(":")[0])
            if not fit and rule is not None:
                seen.found[name].append(cut(there.pixels, squares(one, rule), size, 1)[0] if len(one) else None)
        progress(i + 1, len(rows))
    return seen


def paired(a: np.ndarray, b: np.ndarray) -> str:
    """Difference of two shares of the same faces, in points, with its 95 % interval."""
    d = a.astype(float) - b
    half = 1.96 * d.std(ddof=1) / np.sqrt(len(d))
    return f"{100 * d.mean():+.1f} ({100 * (d.mean() - half):+.1f} to {100 * (d.mean() + half):+.1f})"


def main() -> None:
    """Paste, find, cut, classify."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--detector", nargs="+", default=["blazeface"])
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--sides", type=int, nargs="+", default=list(_SIDES))
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    store = Store.open(args.store)
    split = "PublicTest"
    if args.fit:  # faces of any corpus: nobody asks for their labels
        split = next(name for name in ("Training", "train") if name in store.table.splits)
        rows = store.table.in_split(split).frame["image"].to_numpy()
        rows = rows[np.random.default_rng(args.seed).permutation(len(rows))[: args.faces]]
    else:
        faces = labelled_faces(store.table.in_split(split), "ferplus_majority", where=str(args.store))
        drawn = np.random.default_rng(args.seed).permutation(len(faces.rows))[: args.faces]
        rows, labels = faces.rows[drawn], faces.targets[drawn].argmax(1)
    detectors = {spec: made(spec) for spec in args.detector}
    lines = [f"{len(rows)} faces of {split}; seed {args.seed}.", ""]
    if args.fit:
        for side in args.sides:
            with terminal.progress(f"{side} px", "faces") as progress:
                seen = look(store, rows, detectors, side, True, args.seed, progress)
            for name, values in seen.around.items():
                found = np.array(values).reshape(-1, 3)
                low, middle, high = np.percentile(found, [25, 50, 75], axis=0).round(3)
                eyes = np.nanmedian(np.array(seen.eyes[name]).reshape(-1, 4), axis=0).round(3)
                lines.append(f"{side} px, {name}: found {len(found) / len(rows):.3f}; side, right, down: {middle}")
                lines.append(f"    quarter to quarter {low} to {high}; eyes at {eyes}")
    else:
        model = load_model(args.model)
        order = np.array([list(model.classes).index(c) for c in faces.classes])

        def right(images: list[np.ndarray], of: np.ndarray) -> np.ndarray:
            return np.asarray(model.probabilities(np.stack(images))[:, order].argmax(1) == labels[of])

        everyone = np.arange(len(rows))
        lines += [
            "| side in the scene | detector | found | given | as pasted | found and cut | less given | less pasted |"
        ]
        lines += ["| --- |" + " --- |" * 7]
        for side in args.sides:
            with terminal.progress(f"{side} px", "faces") as progress:
                seen = look(store, rows, detectors, side, False, args.seed, progress)
            given, pasted = right(seen.given, everyone), right(seen.pasted, everyone)
            for name, crops in seen.found.items():
                there = np.array([crop is not None for crop in crops])
                got = right([c for c in crops if c is not None], there)
                shares = " | ".join(f"{100 * v.mean():.1f}" for v in (there, given[there], pasted[there], got))
                lines.append(
                    f"| {side} px | {name} | {shares} | {paired(got, given[there])} | {paired(got, pasted[there])} |"
                )
    tell("\n".join(lines) + "\n", args.out)


if __name__ == "__main__":
    main()
