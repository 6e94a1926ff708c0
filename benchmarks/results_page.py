"""Copy finished runs' records (no faces, no weights) into docs/results and write its page from them.

    python benchmarks/results_page.py RUN [RUN ...] [--out docs/results]

Every figure on the page is read from a record; runs that are there already stay.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from mien.audit import Audit
from mien.records import Estimate
from mien.report import overview_plot, render_report, save_curves, save_png
from mien.runs import AUDITS, Run

HEAD = """# Measured results

Written by `python benchmarks/results_page.py RUN ...` from the runs' own records; each run's folder holds its
resolved configuration, `record.json`, the history of its epochs and its report without faces. The further pages say by
which command they were written, and what they are made of. Intervals are 95 %, over pictures with
their copies as one unit. Accuracies are against labels that
people gave to faces, and say nothing about what anybody felt.

Further pages: [what every model of the catalogue costs](models/README.md),
[four classes by transfer learning](four_class/README.md),
[a small CNN against transfer learning, four classes](angioni_four_class/README.md),
[and two](angioni_binary/README.md), [that CNN in full](angioni_four_class_full/README.md)
([two classes](angioni_binary_full/README.md), [its rate](angioni_rate/README.md),
[in full](angioni_rate_full/README.md)),
[FERPlus as it is perceived, and its audit](perceived/README.md),
[the annotator in the box](annotator/README.md), [the model in the box](box/README.md),
[detectors of faces](detectors/README.md), [from a picture to an expression](chain/README.md),
[crops unlike known faces](domain/README.md), [the server under load](serving/README.md),
[from a file to its rows](predicting/README.md), [beside other packages](beside/README.md),
[perceived attributes of faces that were found](perceived_chain/README.md),
[labels of the N most voted expressions](duan_n_hot/README.md), [ten losses](duan_losses/README.md),
[how far to turn copies](duan_augmentation/README.md),
[what a network has seen before](duan_pretraining/README.md), [all claims](claims.md),
[faces aligned by their landmarks](duan_alignment/README.md),
[every mitigation against biases that are known](mitigation/README.md),
[and on FERPlus by perceived gender, age and race](mitigation_ferplus/README.md),
[many pictures, on Ray and without](scaling/README.md),
[agreement of FERPlus's taggers](agreement/README.md),
[faces seen before](pretraining/README.md), [twelve networks of the education study](education/README.md),
[the best of them, forty epochs](education_converged/README.md),
[and by our recipe](education_ours/README.md),
[its claims over three seeds](samii_networks/README.md), [its folds](samii_folds/README.md),
[how often the audit's intervals hold](coverage/coverage.md), [known biases found](injected.md),
[why not percentiles](intervals.md), [speed](benchmarks.txt).
"""
METRICS = (
    "accuracy",
    "tie_accuracy",
    "balanced_accuracy",
    "macro_f1",
    "weighted_f1",
    "macro_precision",
    "macro_recall",
    "top2",
    "kl",
    "nll",
    "brier",
    "overconfidence",
    "ece",
)


def keep(run: Run, out: Path) -> None:
    """Copy what a reader needs of one run."""
    folder = out / run.path.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.yaml", "record.json", "history.csv"):
        shutil.copy(run.path / name, folder)
    render_report(run, out=folder / "report.html", faces=False)
    save_curves(run)
    shutil.copy(run.path / "curves.png", folder)
    for path in sorted((run.path / AUDITS).glob("*/audit.md")):
        shutil.copy(path, folder / f"audit_{path.parent.name}.md")
        save_png(overview_plot(Audit.load(path.parent)), folder / f"audit_{path.parent.name}.png", dpi=96)


def section(folder: Path) -> str:
    """One run's part of the page."""
    record = json.loads((folder / "record.json").read_text())
    name, train, data = folder.name, record["config"]["train"], record["data"]
    best, minutes, device = record["best"], record["seconds"] / 60, record["device"]
    where = device.get("accelerator") or f"{device['cores']} cores, {device['processor']}"
    lines = [
        f"## {name}",
        "",
        f"{record['model']['name']}, {record['model']['parameters']:,} parameters, "
        f"{'x'.join(map(str, record['model']['input']))}; "
        f"{data['training_faces']:,} training faces of {data['corpus']}, "
        f"weights chosen on {data['validation_faces']:,} others (epoch {int(best['epoch']) + 1} of {train['epochs']}, "
        f"accuracy there {best['val_accuracy']:.4f}: a validation figure). "
        f"{minutes:.0f} minutes on {where}, {device['precision']}; "
        f"seed {record['seed']}, commit {record['versions'].get('commit', '?')}, "
        f"resumed {len(record['resumed'])} times.",
        "",
        f"![Learning curves of {name}]({name}/curves.png)",
        "",
        "```sh",
        f"mien prepare FOLDER --out {data['store']}",
        f"mien train experiments/{record['name']}.yaml --out runs/{name}",
    ]
    lines += [f"mien evaluate runs/{name} --on {e['on']}" for e in record["estimates"].values()] + ["```"]
    for evaluated, entry in record["estimates"].items():
        remain = entry["n"] - entry["n_copies"]
        lines += ["", f"### {evaluated}", ""]
        lines += [
            f"{entry['n']:,} faces with a label; {entry['n_copies']} were found to be copies of training faces, "
            f"{remain:,} were not."
        ]
        lines += ["", "| metric | all faces | without copies |", "| --- | --- | --- |"]
        for metric in METRICS:
            if metric in entry["all"]:
                cells = [show(entry[part].get(metric)) for part in ("all", "without_copies")]
                lines.append(f"| {metric} | {cells[0]} | {cells[1]} |")
    for path in sorted(folder.glob("audit_*.md")):
        verdict = path.read_text().split("\n")[2]
        lines += ["", f"### Audit of {path.stem.removeprefix('audit_')}", "", verdict, ""]
        lines += [f"![Gaps and what chance alone would show]({name}/{path.stem}.png)", ""]
        lines += [f"All of it: [{name}/{path.name}]({name}/{path.name})."]
    return "\n".join([*lines, "", f"Record: [{name}/record.json]({name}/record.json)."])


def show(content: dict[str, object] | None) -> str:
    if not content:
        return "the same" if content is None else ""
    return str(Estimate.from_json(content))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    args = parser.parse_args()
    for path in args.runs:
        keep(Run.open(path), args.out)
    # Other pages have records of their own kind: a run's stands beside its configuration.
    told = [f.parent for f in sorted(args.out.glob("*/record.json")) if "name" in json.loads(f.read_text())]
    sections = [section(folder) for folder in told]
    (args.out / "README.md").write_text("\n".join([HEAD, *sections]) + "\n")


if __name__ == "__main__":
    main()
