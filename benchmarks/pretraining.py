"""What a body that has seen faces is worth to an expression model: docs/results/pretraining.

The head of experiments/ferplus_from_faces.yaml says how both runs are made and evaluated. Then:

    python benchmarks/pretraining.py runs/from_nothing runs/from_faces [--on PublicTest]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mien.audit.compare import Change, compare
from mien.audit.markdown import p_value, table
from mien.records import Predictions
from mien.report.figures import BLUE, ORANGE, new_figure, save_png, styled
from mien.runs import Run, code_versions
from mien.stats.settings import Settings

HEAD = """# Faces seen before

Written by `python benchmarks/pretraining.py`; `experiments/ferplus_from_faces.yaml` says how to repeat it. One
network, one recipe, one seed, few epochs; only the start of the body differs: drawn at random, or the annotator in
the box, which learnt perceived race, gender and age from FairFace. Intervals are 95 %, of the difference in pairs; they
do not cover what another seed would change.
"""
NAMES = ("random start", "face start")
BY = ("perceived_gender", "perceived_age_group", "perceived_race4")
METRICS = ("accuracy", "balanced_accuracy", "macro_f1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nothing", type=Path)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--on", default="PublicTest")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results/pretraining"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    runs = [Run.open(args.nothing), Run.open(args.faces)]
    predictions = [Predictions.load(run.predictions[args.on]) for run in runs]
    by = [name for name in BY if name in predictions[0].groups]
    found = compare(*predictions, by, names=NAMES, settings=Settings(seed=args.seed))
    record = runs[1].record
    lines = [
        HEAD,
        f"{record.model['parameters']:,} parameters, input {'x'.join(map(str, record.model['input']))}, "
        f"{record.config['train']['epochs']} epochs over {record.data['training_faces']:,} faces of "
        f"{record.data['corpus']}, {runs[0].record.seconds / 60:.0f} and {record.seconds / 60:.0f} minutes, seed "
        f"{record.seed}, commit {record.versions.get('commit', 'unknown')}. {found.n:,} faces of {args.on}, of which "
        f"{found.n_clusters:,} independent. Compared with commit {code_versions('torch').get('commit', 'unknown')}.",
        "",
        *table(["", *NAMES, "difference"], _rows(found.overall.metrics)),
        f"{found.verdict}",
        "",
        "![Validation accuracy by epoch](curves.png)",
        "",
        "Recall of each class:",
        "",
        *table(["", *NAMES, "difference"], _rows(found.overall.recall)),
    ]
    if by:
        lines += ["Accuracy by perceived group, where the adjusted p is McNemar's over all groups:", ""]
        rows = [
            [f"{a.label}: {g.name}", str(g.n), *map(str, (c.a, c.b, c.difference)), p_value(g.p_adjusted), g.verdict]
            for a in found.attributes
            for g in a.groups
            for c in [g.metrics["accuracy"]]
        ]
        lines += table(["", "faces", *NAMES, "difference", "adjusted p", ""], rows)
    (args.out / "README.md").write_text("\n".join(lines).rstrip() + "\n")
    save_png(curves(runs), args.out / "curves.png", dpi=96)


@styled
def curves(runs: Sequence[Run]) -> Figure:
    figure = new_figure(6, 3, "Accuracy on validation faces by epoch, for both starts")
    axes = figure.subplots()
    for run, name, colour in zip(runs, NAMES, (ORANGE, BLUE), strict=True):
        axes.plot(run.history["epoch"] + 1, run.history["val_accuracy"], color=colour, marker="o", label=name)
    axes.set(xlabel="epoch", ylabel="accuracy on validation faces")
    axes.legend(frameon=False)
    return figure


def _rows(changes: dict[str, Change]) -> list[list[str]]:
    known = METRICS if "accuracy" in changes else tuple(changes)
    return [
        [name.replace("_", " "), *map(str, (c.a, c.b, c.difference))] for name, c in changes.items() if name in known
    ]


if __name__ == "__main__":
    main()
