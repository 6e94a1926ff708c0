"""Attempts at the annotator in the box, each measured on the same held-out faces: docs/results/annotator/ladder.md.

    mien train experiments/fairface_annotator.yaml --out runs/first      (and so on, one run an attempt)
    python benchmarks/annotator_ladder.py runs/first runs/second ...

Every run is made an annotator exactly as it would be shipped.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mien.annotators.card import calibration_error, known_faces
from mien.annotators.mien import MienAnnotator
from mien.annotators.packing import pack_annotator
from mien.audit.markdown import table
from mien.runs import Run, code_versions

HEAD = """# Attempts at the annotator in the box

Written by `python benchmarks/annotator_ladder.py`; its first lines say how to repeat it. All on the same held-out
faces, 95 % intervals. The calibration error is that of the worst of race, gender and age, cross-fitted. Minutes are
those on record, in which other work disturbed the machine, and in brackets those that all epochs would take at the
pace of the median one.

Which attempt is shipped was chosen by looking at these figures, so its own are optimistic by as much as a choice among
so few can make them.
"""
VIEWS = ("colour_96", "grey_48")


def flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def changes(run: Run, first: Run) -> str:
    """What a run's configuration changed against the first's."""
    ours, theirs = (dict(flat(r.config.model_dump(mode="json"))) for r in (run, first))
    told = []
    for key in sorted(set(ours) | set(theirs)):
        value = ours.get(key)
        if value != theirs.get(key) and key not in ("name", "data.store"):
            shown = Path(str(value)).name if key == "model.weights" else value
            told.append(f"{key} {'none' if shown is None else shown}")
    return ", ".join(told) or "as in its study"


def measured(annotator: MienAnnotator) -> list[str]:
    cells = []
    for view in VIEWS:
        holdout, errors = annotator.holdout_view(view), []
        for head in annotator.trained:
            errors.append(calibration_error(*known_faces(holdout, head.name)).value)
            cells.append(str(holdout.accuracy(head.name)))
        cells.append(f"{max(errors):.3f}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results/annotator/ladder.md"))
    args = parser.parse_args()
    runs, rows, heads = [Run.open(path) for path in args.runs], [], []
    with tempfile.TemporaryDirectory() as folder:
        for i, run in enumerate(runs):
            annotator = pack_annotator(run, Path(folder) / str(i))
            heads = [head.name for head in annotator.trained]
            rows.append([run.path.name, *measured(annotator)])
            print(" | ".join(rows[-1]), flush=True)
    columns = [f"{view.replace('_', ' ')} px: {name}" for view in VIEWS for name in (*heads, "calibration error")]
    about = [
        [
            run.path.name,
            changes(run, runs[0]),
            str(run.config.train.epochs),
            f"{run.record.seconds / 60:.0f} ({len(run.history) * run.history['seconds'].median() / 60:.0f})",
            f"{run.record.seed}, {run.record.versions.get('commit', 'unknown')}",
        ]
        for run in runs
    ]
    lines = [HEAD, *table(["attempt", "changed", "epochs", "minutes", "seed, commit"], about)]
    lines += table(["attempt", *columns], rows)
    lines.append(f"Measured with commit {code_versions('torch').get('commit', 'unknown')}.")
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
