"""Every mitigation on drawn faces whose bias is known: the matrix of methods against kinds of bias.

    python benchmarks/mitigation.py [--scale small] [--stores stores] [--faces 20000] [--page docs/results/mitigation]
                                    [any other option of `mien mitigate`]

Draws five stores that differ in their bias alone (the same seed), then runs on them
``mien mitigate studies/mitigate_drawn.yaml``; what is there already is neither drawn nor trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mien.cli import app
from mien.prepare import prepare
from mien.values import shown

LEARNT = ["train", "valid"]
#: Of the classes that are tied to no group: as many faces of each class in all then, so that none is rare as well.
UNTIED = dict.fromkeys(("neutral", "disgust", "fear"), (8 + 1) / 2)
#: Setting's store -> what is done to the faces. Test faces are as life has them, but for fewer cues.
BIASES: dict[str, list[dict[str, Any]]] = {
    "drawn_imbalance": [{"attribute": "gender", "group": "female", "share": 0.1, "splits": LEARNT}],
    "drawn_tilt": [
        {
            "attribute": "gender",
            "group": "female",
            "class_tilt": {"happy": 8, "surprise": 8} | UNTIED,
            "splits": LEARNT,
        },
        {"attribute": "gender", "group": "male", "class_tilt": {"angry": 8, "sad": 8} | UNTIED, "splits": LEARNT},
    ],
    "drawn_noise": [{"attribute": "gender", "group": "female", "label_noise": 0.4, "splits": LEARNT}],
    "drawn_cues": [{"attribute": "gender", "group": "female", "cues": 0.5}],
    "drawn_plain": [],
}
# Of the tenth of women among validation faces half choose and half fit; judging costs little, and narrows intervals.
SPLITS = {"train": 0.15, "valid": 0.15, "test": 0.70}


def main() -> int:
    """Draw what is missing, and run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", type=Path, default=Path("stores"))
    parser.add_argument("--faces", type=int, default=20000)
    parser.add_argument("--size", type=int, default=32)
    args, rest = parser.parse_known_args()

    stores = []
    for name, bias in BIASES.items():
        store = args.stores / name
        if not (store / "store.json").is_file():
            prepare("synthetic", store, n=args.faces, size=args.size, bias=bias, splits=SPLITS)
        elif strange := _other(store, {"n": args.faces, "size": args.size, "bias": bias, "splits": SPLITS}):
            parser.error(f"{store} was drawn with {strange}: name other --stores, or take that folder away")
        stores += ["--store", f"{name}={store}"]
    study = Path(__file__).resolve().parents[1] / "studies" / "mitigate_drawn.yaml"
    return int(app(["mitigate", str(study), *stores, *rest], result_action="return_value") or 0)


def _other(store: Path, asked: dict[str, Any]) -> str:
    """What a store was drawn with that is not as asked; mostly empty."""
    detail = json.loads((store / "store.json").read_text(encoding="utf-8"))["detail"]
    return ", ".join(f"{name} {shown(detail.get(name))}" for name, value in asked.items() if detail.get(name) != value)


if __name__ == "__main__":
    sys.exit(main())
