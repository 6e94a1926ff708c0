"""What detection costs the annotator in the box: its held-out faces as they are, and found again in scenes.

    python benchmarks/perceived_chain.py FAIRFACE_STORE [--detector NAME ...] [--faces 600] [--sides 60 120 220]
                                         [--out docs/results/perceived_chain]

Faces that the annotator has not learnt from are pasted into scenes (benchmarks/scenes.py), found by a detector, and
cut out again by their landmarks, or their box where it tells none, as `mien predict --perceived` does. Beside it the
same faces as their corpus cropped them. Shares of agreement with what people perceived, Wilson's 95 % intervals;
differences are of the same faces, with Wald's interval of paired shares.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from chain import nearest, paired, points
from detectors import made
from mien import terminal
from mien.annotators.mien import SMALL, mien
from mien.data.images import Store
from mien.faces import DETECTORS
from mien.faces.crop import FAIRFACE, Square, cut
from mien.pictures.whole import WholePicture
from mien.predict.perceiving import Perceiver
from mien.stats.intervals import wilson
from scenes import Condition, scene
from where import command, commit, machine, tell

_HEADS = ("gender", "race", "race4", "age", "age_group")


def truth(store: Store, rows: np.ndarray, annotator: Any) -> dict[str, np.ndarray]:
    """Head -> ``(n,)`` code of the annotated group, -1 where there is none; coarser heads merged as by people."""
    from mien.annotators.base import MERGES

    frame = store.table.frame.iloc[rows]
    codes = {}
    for head in annotator.trained:
        codes[head.name] = np.array([_place(head.groups, value) for value in frame[head.name].astype(object)])
    for merge in MERGES:
        if merge.of.name in codes and merge.of in annotator.trained:
            to = np.array([merge.head.groups.index(merge.to[g]) for g in merge.of.groups])
            fine = codes[merge.of.name]
            codes[merge.head.name] = np.where(fine < 0, -1, to[fine])
    return {name: codes[name] for name in _HEADS}


def _place(groups: tuple[str, ...], value: object) -> int:
    return groups.index(str(value)) if str(value) in groups else -1


def main() -> None:
    """Paste, find, cut, perceive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--detector", nargs="+", default=list(DETECTORS))
    parser.add_argument("--faces", type=int, default=600)
    parser.add_argument("--sides", type=int, nargs="+", default=[60, 120, 220])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    store, annotator = Store.open(args.store), mien()
    perceivers = {spec: Perceiver(annotator, FAIRFACE[spec.partition(":")[0]]) for spec in args.detector}
    detectors = {spec: made(spec) for spec in args.detector}
    new = np.flatnonzero(annotator.unlearnt(store.table))
    rows = np.random.default_rng(args.seed).permutation(new)[: args.faces]
    images = store.images[store.table.frame["image"].to_numpy()[rows]]
    true = truth(store, rows, annotator)
    given = annotator.annotate(images).probs
    called = next(iter(perceivers.values())).called
    lines = [
        "# Perceived attributes of faces that were found",
        "",
        f"{len(rows)} held-out faces of {store.table.name}, pasted into scenes of 640x480 pixels so that forehead to "
        "chin takes so many, found by a detector and cut out by its landmarks (by the box where it tells none), as by "
        "`mien predict --perceived`. *Given*: the same faces as the corpus cropped them; *as pasted*: cut out of the "
        "scene exactly where they were pasted. Shares that agree with what people perceived, of the faces that were "
        f"found. {called}, seed {args.seed}, {machine()}, commit {commit()}.",
        "",
        "| side | detector | found | attribute | given | as pasted | found and cut | less given, points | less pasted, "
        "points |",
        "| --- |" + " --- |" * 8,
    ]
    record: dict[str, Any] = {}
    for side in args.sides:
        crops: dict[str, list[Any]] = {name: [] for name in detectors}
        seen: dict[str, list[int]] = {name: [] for name in detectors}
        pasted = []
        with terminal.progress(f"{side} px", "faces") as progress:
            for i, image in enumerate(images):
                there = scene(image, side, Condition("", side), np.random.default_rng([args.seed, side, i]))
                left, top, right, bottom = there.box
                place = Square((left + right) / 2, (top + bottom) / 2, right - left)
                pasted.append(cut(there.pixels, [place], images.shape[1] if side > SMALL else SMALL, 3)[0])
                for name, detector in detectors.items():
                    face = nearest(detector.find(there.pixels), there.box)
                    if len(face):
                        crops[name] += perceivers[name].crops(WholePicture(str(i), there.pixels), face)
                        seen[name].append(i)
                progress(i + 1, len(images))
        there_said = next(iter(perceivers.values())).told(pasted)
        for name in detectors:
            index, share = np.array(seen[name], dtype=int), len(seen[name]) / len(rows)
            said = perceivers[name].told(crops[name]) if len(index) else []
            for head in _HEADS:
                known = true[head][index] >= 0
                of = index[known]
                if len(of) < 2:  # nothing to compare
                    lines.append(f"| {side} px | {name} | {share:.3f} | {head} |" + " |" * 5)
                    continue
                hits = (
                    given[head][of].argmax(1) == true[head][of],
                    likeliest([there_said[i] for i in of], head) == true[head][of],
                    likeliest(said, head)[known] == true[head][of],
                )
                less = [paired(hits[2], hits[0]), paired(hits[2], hits[1])]
                shares = [(float(hit.mean()), *wilson(float(hit.sum()), float(len(hit)))) for hit in hits]
                record[f"{side} px, {name}, {head}"] = {"found": share, "shares": shares, "points": less}
                cells = [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in shares]
                start = [f"{side} px", name, f"{share:.3f}", head]
                lines.append("| " + " | ".join([*start, *cells, *map(points, less)]) + " |")
    lines += [
        "",
        "The last column is what finding and cutting cost; the one before it also holds the soft edge with which a "
        "face is pasted, which takes its hair, and resampling.",
        "",
        f"```sh\n{command()}\n```",
    ]
    about = {"commit": commit(), "machine": machine(), "seed": args.seed, "faces": len(rows), "command": command()}
    tell("\n".join(lines) + "\n", args.out, about | {"found": record})


def likeliest(said: list[Any], head: str) -> np.ndarray:
    """``(n,)`` the codes of what is perceived of each face."""
    return np.array([np.argmax(list(each.attributes[head].values())) for each in said])


if __name__ == "__main__":
    main()
