"""The annotator in the box beside what was asked of it: docs/results/annotator.

mien prepare FAIRFACE --out stores/fairface
mien train experiments/fairface_annotator.yaml --out runs/fairface_annotator
mien annotator runs/fairface_annotator --out src/mien/annotators/fairface_mienet
python benchmarks/annotator_page.py runs/fairface_annotator src/mien/annotators/fairface_mienet

Attempts that were compared before: benchmarks/annotator_ladder.py.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from mien.annotators.card import calibration_error, known_faces, least_calibration_error
from mien.annotators.mien import MienAnnotator
from mien.audit.markdown import table
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
anything was trained. Accuracy is agreement with FairFace's annotators, not with who the persons are. *If exactly
right* is the mean calibration error of as many faces whose groups are drawn from the very probabilities: no
calibration gets below it. Errors by group: the [card](../../../src/mien/annotators/fairface_mienet/card.md).
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
    started = record.data.get("started_from", {}).get("folder")
    # Where things lay on this machine means nothing elsewhere.
    places = {record.data["store"]: "stores"} | ({started: "runs"} if started else {})
    for name, kept in (("config.yaml", "config.yaml"), ("record.json", "run.json"), ("history.csv", "history.csv")):
        text = (run.path / name).read_text()
        for place, parent in places.items():
            text = text.replace(place, f"{parent}/{Path(place).name}")
        (args.out / kept).write_text(text)
    save_curves(run)
    shutil.copy(run.path / "curves.png", args.out)
    size = (args.annotator / "model.safetensors").stat().st_size
    lines = [
        HEAD,
        f"{record.model['parameters']:,} parameters, {size / 1e6:.2f} MB; {record.data['training_faces']:,} training "
        f"faces, {record.data['validation_faces']:,} held out by hash; {config.train.epochs} epochs"
        f"{f', begun with the body of {Path(started).name}' if started else ''}, "
        f"{record.seconds / 60:.0f} minutes on {record.device['cores']} cores ({record.device['processor']}, "
        f"{record.device['precision']}), resumed {len(record.resumed)} times, seed {record.seed}, "
        f"commit {record.versions.get('commit', 'unknown')}. The last epoch was kept. The attempt that is shipped was "
        "chosen on the held-out faces: [all attempts](ladder.md).",
        "",
    ]
    rows = []
    for view, targets in TARGETS.items():
        holdout = annotator.holdout_view(view)
        for head in holdout.heads:
            right = holdout.accuracy(head.name)
            probs, groups = known_faces(holdout, head.name)
            ece = calibration_error(probs, groups)
            target = targets.get(head.name)
            met = "" if target is None else "met" if right.value >= target else "not met"
            calibrated = "met" if ece.value < MOST_ECE else "not met"
            exact = f"{least_calibration_error(probs):.3f}"
            cells = [view.replace("_", " ") + " px", head.name, str(right), f"{target or ''}", met]
            rows.append([*cells, str(ece), exact, str(MOST_ECE), calibrated])
    header = ["view", "attribute", "accuracy", "target", "", "calibration error", "if exactly right", "at most", ""]
    lines += table(header, rows)
    lines += [
        "![Learning curves](curves.png)",
        "",
        "Record: [run.json](run.json), [config.yaml](config.yaml).",
    ]
    (args.out / "README.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
