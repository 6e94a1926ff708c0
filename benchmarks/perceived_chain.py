"""What detection costs the annotator in the box: its held-out faces as they are, and found again in scenes.

    python benchmarks/perceived_chain.py FAIRFACE_STORE [--faces 600] [--sides 60 120 220]
                                         [--out docs/results/perceived_chain]

Faces that the annotator has not learnt from are pasted into scenes (benchmarks/scenes.py), found by a detector, and
cut out again by their landmarks, as `mien predict --perceived` does. Beside it the same faces as their corpus
cropped them. Shares of agreement with what people perceived, Wilson's 95 % intervals; differences are of the same
faces, with Wald's interval of paired shares.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from chain import nearest, paired
from detectors import made
from mien import terminal
from mien.annotators.mien import SMALL, mien
from mien.data.images import Store
from mien.faces.crop import FAIRFACE, Square, cut
from mien.pictures.whole import WholePicture
from mien.predict.perceiving import Perceiver
from mien.stats.intervals import wilson
from scenes import Condition, scene
from where import commit, machine, tell

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
    parser.add_argument("--detector", default="mtcnn")
    parser.add_argument("--faces", type=int, default=600)
    parser.add_argument("--sides", type=int, nargs="+", default=[60, 120, 220])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    store, annotator = Store.open(args.store), mien()
    perceiver = Perceiver(annotator, FAIRFACE[args.detector])
    new = np.flatnonzero(annotator.unlearnt(store.table))
    rows = np.random.default_rng(args.seed).permutation(new)[: args.faces]
    images = store.images[store.table.frame["image"].to_numpy()[rows]]
    true = truth(store, rows, annotator)
    detector = made(args.detector)
    given = annotator.annotate(images).probs
    lines = [
        "# Perceived attributes of faces that were found",
        "",
        f"{len(rows)} held-out faces of {store.table.name}, pasted into scenes of 640x480 pixels so that forehead to "
        f"chin takes so many, found by {args.detector} and cut out by its landmarks, as by `mien predict --perceived`. "
        "*Given*: the same faces as the corpus cropped them; *as pasted*: cut out of the scene exactly where they were "
        "pasted. Shares that agree with what people perceived, of the faces that were found. "
        f"{perceiver.called}, seed {args.seed}, {machine()}, commit {commit()}.",
        "",
        "| side | found | attribute | given | as pasted | found and cut | less given, points | less pasted, points |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for side in args.sides:
        crops, seen, pasted = [], [], []
        with terminal.progress(f"{side} px", "faces") as progress:
            for i, image in enumerate(images):
                there = scene(image, side, Condition("", side), np.random.default_rng([args.seed, side, i]))
                left, top, right, bottom = there.box
                place = Square((left + right) / 2, (top + bottom) / 2, right - left)
                pasted.append(cut(there.pixels, [place], images.shape[1] if side > SMALL else SMALL, 3)[0])
                face = nearest(detector.find(there.pixels), there.box)
                if len(face):
                    crops += perceiver.crops(WholePicture(str(i), there.pixels), face)
                    seen.append(i)
                progress(i + 1, len(images))
        said, index = perceiver.told(crops), np.array(seen)
        there_said = perceiver.told(pasted)
        for name in _HEADS:
            known = true[name][index] >= 0
            of = index[known]
            found = np.array([np.argmax(list(each.attributes[name].values())) for each in said])[known]
            where = np.array([np.argmax(list(each.attributes[name].values())) for each in there_said])[of]
            right, before = found == true[name][of], given[name][of].argmax(1) == true[name][of]
            same = where == true[name][of]
            cells = [f"{side} px", f"{len(index) / len(rows):.3f}", name]
            for hits in (before, same, right):
                low, high = wilson(float(hits.sum()), float(len(hits)))
                cells.append(f"{hits.mean():.3f} [{low:.3f}, {high:.3f}]")
            lines.append("| " + " | ".join([*cells, paired(right, before), paired(right, same)]) + " |")
    lines += [
        "",
        "```sh",
        "python benchmarks/perceived_chain.py FAIRFACE_STORE --out docs/results/perceived_chain",
        "```",
    ]
    tell("\n".join(lines) + "\n", args.out)


if __name__ == "__main__":
    main()
