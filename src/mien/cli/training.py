"""Verbs that read corpora and train: prepare, train, run, demo."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from mien.cli.app import Force, Json, Out, app, counts_of, options_of, print_json
from mien.errors import OutputError
from mien.outputs import check_folder, check_place
from mien.shown import tell


@app.command
def prepare(
    source: str,
    /,
    *,
    out: Out,
    dataset: str | None = None,
    size: int | None = None,
    channels: Literal[1, 3] | None = None,
    on_bad_row: Literal["error", "drop"] = "error",
    align: Annotated[bool, Parameter(negative=())] = False,
    option: tuple[str, ...] = (),
    force: Force = False,
    json: Json = False,
) -> None:
    """Read a corpus once into a packed store.

    Parameters
    ----------
    source
        File or folder of the corpus, or 'synthetic'.
    out
        Folder of the new store.
    dataset
        Reader to use; found by the layout by default ('mien list datasets').
    size
        Side in pixels; by default that of most pictures.
    channels
        1 for grey, 3 for colour; by default as most pictures.
    on_bad_row
        'error' writes nothing if a row is bad; 'drop' leaves bad rows out and counts them.
    align
        Set eyes level by the corpus's own landmarks; faces without are left as they are and counted.
    option
        Further options of the reader, key=value.
    """
    from mien import terminal
    from mien.data.images import STORE_FOLDER
    from mien.prepare import prepare

    check_place(out, STORE_FOLDER, "--out", [source], force=force)
    options = options_of(option)
    options |= {k: v for k, v in {"size": size, "channels": channels}.items() if v is not None}
    with terminal.progress("reading", "faces") as progress:
        store = prepare(
            source, out, dataset=dataset, on_bad_row=on_bad_row, align=align, force=force, progress=progress, **options
        )
    info = store.info
    if json:
        print_json(info)
        return
    tell(f"{info['n']} faces of {'x'.join(map(str, info['shape'][1:3]))} from {info['corpus']} in {out}")
    for split, n in store.table.splits.items():
        tell(f"  {split or '(no split)'}: {n}")
    tell(f"  copies: {info['n_exact_copies']} exact, {info['n_near_copies']} near; one cluster each in every split")
    if info["classes"]:
        single = bool(((store.table.votes > 0).sum(axis=1) == 1).all())
        tell(f"  classes{'' if single else ', by most votes'}: {counts_of(info['classes'])}")
    for what, n in info["detail"].items():
        tell(f"  {what}: {counts_of(n)}")
    if info["n_dropped"]:
        tell(f"  bad rows dropped: {info['n_dropped']} (the first hundred are listed in {out / 'store.json'})")
    tell(f"  terms: {info['terms']}")


@app.command
def train(
    config: Path,
    /,
    *,
    out: Out | None = None,
    set: Annotated[tuple[str, ...], Parameter(help="Override a setting: train.epochs=5.")] = (),
    force: Force = False,
) -> None:
    """Train as a YAML configuration says; goes on where an interrupted run stopped.

    Parameters
    ----------
    config
        The configuration; see experiments/.
    out
        The run folder; runs/NAME by default.
    """
    from mien import terminal
    from mien.report import save_curves
    from mien.runs import Run
    from mien.train import is_first, load_experiment, train
    from mien.train.threads import free_cores

    experiment = load_experiment(config, set)
    folder = out or Path("runs") / experiment.name
    try:
        with terminal.progress("training", "steps") if is_first() else nullcontext() as progress:
            run = train(
                experiment,
                folder,
                force=force,
                progress=progress,
                say=terminal.say,
                threads=None if experiment.train.threads else free_cores(),
            )
    finally:
        if is_first() and (folder / "record.json").is_file():
            try:
                save_curves(Run(folder))
            except OutputError as error:
                terminal.say(str(error))  # and no more: why the training ended matters more than its curves
    best = run.record.best
    if is_first():
        tell(f"{folder}: best epoch {int(best['epoch']) + 1}, validation accuracy {best['val_accuracy']:.4f}")


@app.command
def run(
    config: Path,
    /,
    *,
    out: Out | None = None,
    on: str | None = None,
    set: tuple[str, ...] = (),
    device: str = "cpu",
    force: Force = False,
) -> int:
    """Train, evaluate, audit and report in one go; what is done and would come out the same is not done again.

    The conditions of audit.fail_if are checked in the end: exit code 3 where one fails.

    Parameters
    ----------
    config
        The configuration; see experiments/.
    out
        The run folder; runs/NAME by default.
    on
        STORE:split to evaluate on; the run's own test faces by default.
    set
        Override a setting: train.epochs=5.
    device
        Where to evaluate.
    """
    from mien import terminal
    from mien.audit import Audit
    from mien.cli.auditing import gate
    from mien.experiment import run_experiment
    from mien.train import is_first, load_experiment
    from mien.train.threads import free_cores

    experiment = load_experiment(config, set)
    folder = out or Path("runs") / experiment.name
    audits: list[Audit] = []
    with terminal.progress("training", "steps") if is_first() else nullcontext() as progress:
        run_experiment(
            experiment,
            folder,
            on=on,
            force=force,
            device=device,
            say=terminal.say,
            progress=progress,
            threads=None if experiment.train.threads else free_cores(),
            audited=audits.append,
        )
    return max((gate(found, experiment.audit.fail_if) for found in audits), default=0)


@app.command
def demo(*, out: Out = Path("demo"), n: int = 16_000, epochs: int = 7, seed: int = 0, force: Force = False) -> None:
    """Draw faces with a known bias, train, audit, report, and compare with what was injected.

    Parameters
    ----------
    out
        Folder of the demo.
    n
        Faces to draw.
    epochs
        Epochs of training.
    seed
        Seed of everything.
    """
    from mien import terminal
    from mien.demo import demo

    check_folder(out, "--out")
    with terminal.stages() as stages:
        result = demo(out, n=n, epochs=epochs, seed=seed, force=force, say=terminal.say, progress=stages)
    terminal.table("What was injected, and what the audit found", ["attribute", "injected", "found"], result.rows)
    tell(f"Open {result.run.path / 'report.html'} in a browser.")
