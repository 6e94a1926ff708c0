"""What is told of crops unlike the faces that the model in the box knows, and how right its answers there are.

    python benchmarks/domain.py STORE [--split PublicTest] [--faces 1500] [--model FILE] [--out docs/results/domain]

The faces of a store of FERPlus are blurred, darkened, shrunk, made noisy, and replaced by noise: the share that is
flagged, the accuracy of what is flagged and of what is not, and how sure the model is of both.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mien.data.images import Store
from mien.labels import SCHEMES
from mien.predict import Predictor
from mien.stats.selective import upper_limit
from where import commit, tell

Crops = NDArray[np.uint8]
_SEED = 0


def each(change: Callable[[Image.Image], Image.Image]) -> Callable[[Crops], Crops]:
    """A change of one picture as one of many."""
    return lambda crops: np.stack([np.asarray(change(Image.fromarray(c[..., 0])))[..., None] for c in crops])


def shrunk(side: int) -> Callable[[Image.Image], Image.Image]:
    """A picture that was ``side`` pixels wide."""
    by = Image.Resampling.LANCZOS
    return lambda image: image.resize((side, side), by).resize(image.size, by)


def changes() -> dict[str, Callable[[Crops], Crops]]:
    """What is done to the crops."""
    rng = np.random.default_rng(_SEED)
    found: dict[str, Callable[[Crops], Crops]] = {"as they are": lambda crops: crops}
    for sigma in (0.5, 0.75, 1.0, 1.5, 2.0, 3.0):
        blur = ImageFilter.GaussianBlur(sigma)
        found[f"blurred, sigma {sigma:g} pixels"] = each(lambda image, blur=blur: image.filter(blur))
    for side in (32, 24, 16, 12):
        found[f"enlarged from {side} pixels"] = each(shrunk(side))
    for share in (0.5, 0.3, 0.2, 0.1):
        found[f"light times {share:g}"] = lambda crops, share=share: (crops * share).astype(np.uint8)
    for spread in (10, 20, 40):
        found[f"noise of {spread} levels"] = lambda crops, spread=spread: np.clip(
            crops + rng.normal(0, spread, crops.shape), 0, 255
        ).astype(np.uint8)
    found["white noise, no face"] = lambda crops: rng.integers(0, 256, crops.shape, dtype=np.uint8)
    found["one grey, no face"] = lambda crops: np.full_like(crops, 120)
    return found


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--split", default="PublicTest")
    parser.add_argument("--faces", type=int, default=1500)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    store, predictor = Store.open(args.store), Predictor.load(args.model, detector=None)
    crops, labels = labelled(store, args.split, args.faces, predictor.model.classes)
    rows = []
    for name, change in changes().items():
        seen = change(crops)
        flagged = np.array([bool(doubt) for doubt in predictor.domain.doubts(seen)])
        probs = predictor.confidence.calibrated(predictor.model.answers(seen)[0])
        right = probs.argmax(1) == labels
        rows.append(
            {
                "crops": name,
                "flagged": float(flagged.mean()),
                "accuracy": counted(right),
                "accuracy_flagged": counted(right[flagged]),
                "accuracy_not_flagged": counted(right[~flagged]),
                "confidence": float(probs.max(1).mean()),
            }
        )
    told = {
        "faces": len(crops),
        "split": args.split,
        "seed": _SEED,
        "commit": commit(),
        "model_sha256": predictor.sha256,
        "domain": {k: list(v) for k, v in predictor.domain.ranges.items()},
        "measured_on": predictor.domain.measured_on,
        "rows": rows,
    }
    page = written(told)
    tell(page, args.out, told)


def labelled(store: Store, split: str, n: int, classes: tuple[str, ...]) -> tuple[Crops, NDArray[np.int64]]:
    """Some faces of a split whose label is clear, evenly taken, and their classes."""
    table, scheme = store.table, SCHEMES.get("ferplus_majority")(store.table.vocabulary)
    targets = scheme.targets(table.votes, table.vocabulary)
    rows = np.flatnonzero(np.asarray(targets.keep) & (table.frame["split"].to_numpy() == split))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int))]
    places = np.array([classes.index(name) for name in scheme.classes])
    return store.images[table.frame["image"].to_numpy()[rows]], places[targets.probs[rows].argmax(1)]


def counted(right: NDArray[np.bool_]) -> dict[str, Any]:
    """A share with its exact 95 % interval; None of no face."""
    n, k = len(right), int(right.sum())
    if not n:
        return {"faces": 0, "share": None, "low": None, "high": None}
    return {"faces": n, "share": k / n, "low": 1 - upper_limit(n - k, n, 0.025), "high": upper_limit(k, n, 0.025)}


def written(told: dict[str, Any]) -> str:
    """The page."""

    def share(found: dict[str, Any]) -> str:
        if found["share"] is None:
            return "no face"
        return f"{found['share']:.3f} [{found['low']:.3f}, {found['high']:.3f}], {found['faces']:,}"

    ranges = ", ".join(f"{name} {low:.2f} to {high:.2f}" for name, (low, high) in told["domain"].items())
    lines = [
        "# Crops unlike the faces that the model knows",
        "",
        "A network answers whatever it is given, and is sure of it. `mien predict` abstains where a crop's brightness, "
        "contrast or sharpness lies beyond that of nearly all the faces that the model was measured on; the card of "
        f"an exported model holds the ranges. The model in the box ({told['measured_on']}): {ranges}.",
        "",
        f"Below, {told['faces']:,} faces of FERPlus's {told['split']} with a clear label, changed as it says; a "
        "validation part, which measured the ranges too. Accuracy with exact 95 % intervals, and faces. Seed "
        f"{told['seed']}, commit {told['commit']}, model {told['model_sha256'][:12]}.",
        "",
        "| crops | flagged | accuracy of all | of the flagged | of the others | mean confidence of all |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in told["rows"]:
        cells = [row["crops"], f"{100 * row['flagged']:.1f} %"]
        cells += [share(row[key]) for key in ("accuracy", "accuracy_flagged", "accuracy_not_flagged")]
        lines.append("| " + " | ".join([*cells, f"{row['confidence']:.2f}"]) + " |")
    by = {row["crops"]: row for row in told["rows"]}
    noise = by["white noise, no face"]
    lines += [
        "",
        f"On white noise the model is {noise['confidence']:.2f} sure on average: confidence says nothing of crops that "
        "are no faces. Light noise is not flagged, though it costs accuracy: the flag knows crops that differ in "
        "brightness, contrast and sharpness, and no others.",
        "",
        "```sh",
        "python benchmarks/domain.py stores/ferplus --out docs/results/domain",
        "```",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
