"""The annotator in the box beside what was asked of it: docs/results/annotator.

mien prepare FAIRFACE --out stores/fairface
mien train studies/fairface_annotator.yaml --out runs/fairface_annotator
mien annotator runs/fairface_annotator --out src/mien/annotators/fairface_mienet
python benchmarks/annotator_page.py runs/fairface_annotator src/mien/annotators/fairface_mienet
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

from mien.annotators.card import calibration_error
from mien.annotators.mien import MienAnnotator
from mien.report import save_curves
from mien.runs import Run

# What was asked before anything was trained.
TARGETS = {
    "colour_96": {"gender": 0.92, "race": 0.63, "age": 0.52},
    "grey_48": {"gender": 0.87, "race": 0.52},
}
MOST_ECE = 0.03
HEAD = """# The annotator in the box

Written by `python benchmarks/annotator_page.py`; its first lines say how to repeat it. The targets were set before
anything was trained. Accuracy is agreement with FairFace's annotators, not with who the persons are. Errors by group:
the [card](../../../src/mien/annotators/fairface_mienet/card.md).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("annotator", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results/annotator"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    run, annotator = Run.open(args.run), MienAnnotator(args.annotator)
    record, config = run.record, run.config
    for name, kept in (("config.yaml", "config.yaml"), ("record.json", "run.json"), ("history.csv", "history.csv")):
        text = (run.path / name).read_text()
        # Where the store lay on this machine means nothing elsewhere.
        (args.out / kept).write_text(text.replace(record.data["store"], f"stores/{Path(record.data['store']).name}"))
    save_curves(run)
    shutil.copy(run.path / "curves.png", args.out)
    size = (args.annotator / "model.safetensors").stat().st_size
    lines = [
        HEAD,
        f"{record.model['parameters']:,} parameters, {size / 1e6:.2f} MB; {record.data['training_faces']:,} training "
        f"faces, {record.data['validation_faces']:,} held out by hash; {config.train.epochs} epochs, "
        f"{record.seconds / 60:.0f} minutes on {record.device['cores']} cores ({record.device['processor']}, "
        f"{record.device['precision']}), resumed {len(record.resumed)} times, seed {record.seed}, "
        f"commit {record.versions.get('commit', 'unknown')}. The last epoch was kept: "
        "the held-out faces chose nothing.",
        "",
        "| view | attribute | accuracy | target | | calibration error | at most | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for view, targets in TARGETS.items():
        holdout = annotator.holdout_view(view)
        for head in holdout.heads:
            right = holdout.accuracy(head.name)
            known = holdout.truth[head.name] >= 0
            ece = calibration_error(holdout.probs[head.name][known].astype(np.float64), holdout.truth[head.name][known])
            target = targets.get(head.name)
            met = "" if target is None else "met" if right.value >= target else "not met"
            lines.append(
                f"| {view.replace('_', ' ')} px | {head.name} | {right} | {'' if target is None else target} | {met} "
                f"| {ece} | {MOST_ECE} | {'met' if ece.value < MOST_ECE else 'not met'} |"
            )
    lines += [
        "",
        "![Learning curves](curves.png)",
        "",
        "Record: [run.json](run.json), [config.yaml](config.yaml).",
    ]
    (args.out / "README.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
