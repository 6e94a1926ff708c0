"""Verbs on a model: evaluate, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mien.cli.app import Force, Json, Out, app, names_of, options_of, print_json
from mien.errors import UsageError
from mien.outputs import check_file
from mien.shown import tell


@app.command
def evaluate(
    model: str,
    /,
    *,
    on: str | None = None,
    features: Annotated[bool, Parameter(negative=())] = False,
    labels: str = "majority",
    only: str | None = None,
    option: tuple[str, ...] = (),
    out: Out | None = None,
    device: str = "cpu",
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a model's predictions on a split, ready to be audited.

    Of a run: with metrics, and the copies of training faces set apart. Of any other model: a file of
    predictions with every attribute of the store; see docs/adapters.md.

    Parameters
    ----------
    model
        A run folder; or an .onnx file, package.module:function, file.py:function, or a tool's name
        ('mien list adapters').
    on
        STORE:split; of a run, its own test faces by default, or else its validation faces.
    features
        Also write a run's features, for the audit's leakage probe.
    labels
        Label scheme of the faces, for models other than runs.
    only
        Classes to audit, with commas, for models other than runs: tools with different classes can then
        be compared.
    option
        Options of the tool, key=value.
    out
        File of predictions (.parquet or .csv), for models other than runs.
    device
        Where to compute: cpu, cuda.
    """
    from mien.runs import RECORD

    if not (Path(model) / RECORD).is_file():
        _evaluate_other(
            model, on=on, labels=labels, only=only, option=option, out=out, device=device, force=force, json=json
        )
        return
    if out is not None or only is not None or option:
        raise UsageError("--out, --only, --option", "do not go with a run", "", "Its predictions stand in its folder.")
    _evaluate_run(Path(model), on, features, device, json)


def _evaluate_other(
    model: str,
    *,
    on: str | None,
    labels: str,
    only: str | None,
    option: tuple[str, ...],
    out: Path | None,
    device: str,
    force: bool,
    json: bool,
) -> None:
    from mien import terminal
    from mien.adapters.loading import load_model
    from mien.adapters.predictions import predictions_from
    from mien.data.images import Store
    from mien.data.labelled import parse_on

    if on is None or out is None:
        raise UsageError("--on and --out", "are needed", "STORE:split and a file", f"{model} is not a run.")
    if out.suffix not in (".csv", ".parquet"):
        raise UsageError(str(out), "is not a file of predictions", "a name that ends in .csv or .parquet")
    if not out.parent.is_dir():
        raise UsageError(str(out), f"the folder {out.parent} does not exist", "a file in a folder that exists")
    path, split = parse_on(on)
    inputs = [model, *(path.iterdir() if path.is_dir() else ())]
    check_file(out, "--out", inputs, force=force, sign=b"sample_id")
    loaded = load_model(model, options_of(option), device=device)
    with terminal.progress("evaluating", "faces") as progress:
        table = predictions_from(
            loaded, Store.open(path), split, labels=labels, only=names_of(only) or (), progress=progress
        )
    check_file(out, "--out", inputs, force=force, sign=b"sample_id")  # somebody may have put something there meanwhile
    table.save(out)
    if out.suffix == ".csv" and table.annotator_errors:
        tell("the annotator's errors do not go into CSV: write .parquet for an audit that corrects with them")
    right = float((table.labels == table.predicted).mean())
    if json:
        print_json({"file": str(out), "n": len(table), "accuracy": right, "notes": list(table.notes)})
        return
    tell(f"{out}: {len(table)} faces, accuracy {right:.3f}; audit it with: mien audit {out} --by ...")
    for note in table.notes:
        tell(note)


def _evaluate_run(run: Path, on: str | None, features: bool, device: str, json: bool) -> None:
    from mien import terminal
    from mien.evaluate import evaluate
    from mien.runs import Run

    with terminal.progress("evaluating", "faces") as progress:
        result = evaluate(Run.open(run), on, device=device, features=features, progress=progress)
    if json:
        print_json({"name": result.name, **Run.open(run).record.estimates[result.name]})
        return
    if result.renamed:
        tell(result.renamed)
    if not Run.open(run).record.best:
        terminal.say("these weights were never validated: the run stopped before its first epoch ended")
    n, n_copies = len(result.predictions), int(result.copies.sum())
    terminal.table(
        f"{run.name} on {result.on}: {n} faces",
        ["metric", "all", *(["without copies"] if result.without_copies else [])],
        [
            [name, str(estimate), *([str(result.without_copies[name])] if result.without_copies else [])]
            for name, estimate in result.all.items()
        ],
    )
    terminal.table(
        "by class",
        ["class", "faces", "recall", "precision", "F1", "mistaken for"],
        [[c.name, str(c.n), str(c.recall), str(c.precision), str(c.f1), c.mistaken_for] for c in result.per_class],
    )
    tell(f"{n_copies} of {n} faces are copies of training faces; {n - n_copies} remain without them")
    if not result.near_copies_known:
        tell("this is another store than the one trained on: only byte-for-byte copies are found there")
    if result.n_validation:
        tell(f"{result.n_validation} of these faces helped to choose the weights: the figures are optimistic")
    if result.n_dropped:
        tell(f"{result.n_dropped} faces of the split have no label in this scheme")


@app.command
def export(
    run: Path,
    /,
    *,
    out: Out,
    on: str | None = None,
    int8: Annotated[bool, Parameter(negative=())] = False,
    whole: Annotated[bool, Parameter(negative=())] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a run's network as an ONNX file, which needs no torch.

    Its answers on real faces are compared with the run's before it is kept. The card beside it says how faces are
    brought to it, and what its confidence was worth on those faces: 'mien predict' goes by it.

    Parameters
    ----------
    run
        A run that learnt expressions.
    out
        A file FILE.onnx; its card is FILE.json.
    on
        STORE:split of the faces; by default the run's own test faces, or its validation faces.
    int8
        Eight bits for weights and maps; refused where it spoils answers.
    whole
        The file takes faces of 0 to 255 as a store holds them, and gives probabilities.
    """
    from dataclasses import asdict

    from mien import terminal
    from mien.export import export_onnx
    from mien.runs import Run

    with terminal.progress("comparing", "faces") as progress:
        found = export_onnx(Run.open(run), out, on=on, int8=int8, whole_way=whole, force=force, progress=progress)
    if json:
        print_json({"file": str(out), **{k: v for k, v in asdict(found).items() if k != "path"}})
        return
    tell(f"{out}: {found.bytes:,} bytes; accuracy {found.accuracy:.3f} on {found.faces:,} faces")
    same = f"{found.agreement:.1%} of the answers are the run's, probabilities differ by at most {found.difference:.2g}"
    tell(f"compared on {found.compared} of the faces: {same}")
    if found.confidence.steps:
        tell(f"its confidence was counted on {found.confidence.counted_on}")
    else:
        tell(
            "of these faces nothing can be promised (--risk): name others that it has not learnt from, --on STORE:split"
        )
    tell(f"try it: mien predict PHOTO --model {out}")
