"""The ``mien`` command: each verb calls the function of its name. Data on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from cyclopts import App, CycloptsError, Parameter

from mien import __version__
from mien.errors import ConfigError, MienError, MissingExtra, UsageError

if TYPE_CHECKING:
    from mien.audit import Audit

# Nothing heavy is imported up here: 'mien --help' must answer at once.

app = App(
    name="mien",
    version=__version__,
    suppress_keyboard_interrupt=False,
    help="Train, audit and mitigate facial expression recognition.\n\nStart with: mien demo --out demo",
)

Force = Annotated[bool, Parameter(negative=(), help="Replace what is there.")]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]


GATE_FAILED = 3
_TRAIN_PACKAGES = ("torch", "torchvision", "lightning", "tensorboard")


def _fail(error: MienError) -> NoReturn:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(error.exit_code)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 a gate failed, 130 interrupted."""
    try:
        result = app(exit_on_error=False, print_error=True)
    except CycloptsError:
        sys.exit(2)
    except MienError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _TRAIN_PACKAGES:
            raise
        _fail(MissingExtra("this command", "train", error.name or ""))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "TrainingStopped":
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        raise
    sys.exit(result if isinstance(result, int) else 0)


@app.command
def prepare(
    source: str,
    /,
    *,
    out: Path,
    dataset: str | None = None,
    size: int | None = None,
    channels: Literal[1, 3] | None = None,
    on_bad_row: Literal["error", "drop"] = "error",
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
        Side in pixels; by default the corpus's own.
    channels
        1 for grey, 3 for colour; by default the corpus's own.
    on_bad_row
        'error' writes nothing if a row is bad; 'drop' leaves bad rows out and counts them.
    option
        Further options of the reader, key=value.
    """
    from mien import terminal
    from mien.data.prepare import prepare

    options = _options(option)
    options |= {k: v for k, v in {"size": size, "channels": channels}.items() if v is not None}
    with terminal.progress("reading", "faces") as progress:
        store = prepare(source, out, dataset=dataset, on_bad_row=on_bad_row, force=force, progress=progress, **options)
    info = store.info
    if json:
        _print_json(info)
        return
    print(f"{info['n']} faces of {'x'.join(map(str, info['shape'][1:3]))} from {info['corpus']} in {out}")
    for split, n in store.table.splits.items():
        print(f"  {split or '(no split)'}: {n}")
    print(f"  copies: {info['n_exact_copies']} exact, {info['n_near_copies']} near; one cluster each in every split")
    for what, n in info["detail"].items():
        print(f"  {what}: {n}")
    if info["n_dropped"]:
        print(f"  bad rows dropped: {info['n_dropped']} (the first hundred are listed in {out / 'store.json'})")
    print(f"  terms: {info['terms']}")


@app.command
def train(
    config: Path,
    /,
    *,
    out: Path | None = None,
    set: Annotated[tuple[str, ...], Parameter(help="Override a setting: train.epochs=5.")] = (),
    force: Force = False,
) -> None:
    """Train as a YAML configuration says; goes on where an interrupted run stopped.

    Parameters
    ----------
    config
        The configuration; see studies/.
    out
        The run folder; runs/NAME by default.
    """
    from mien import terminal
    from mien.config import load_config
    from mien.report import save_curves
    from mien.runs import Run
    from mien.train import train

    experiment = load_config(config, set)
    folder = out or Path("runs") / experiment.name
    try:
        with terminal.progress("training", "steps") as progress:
            run = train(experiment, folder, force=force, progress=progress, say=terminal.say)
    finally:
        if (folder / "record.json").is_file():
            save_curves(Run(folder))
    best = run.record.best
    print(f"{folder}: best epoch {int(best['epoch']) + 1}, validation accuracy {best['val_accuracy']:.4f}")


@app.command
def evaluate(run: Path, /, *, on: str | None = None, device: str = "cpu", json: Json = False) -> None:
    """Write a run's predictions on a split, with metrics and the copies of training faces set apart.

    Parameters
    ----------
    run
        The run folder.
    on
        STORE:split; by default the run's own test faces, or else its validation faces.
    device
        Where to compute: cpu, cuda.
    """
    from mien import terminal
    from mien.evaluate import evaluate
    from mien.runs import Run

    with terminal.progress("evaluating", "faces") as progress:
        result = evaluate(Run.open(run), on, device=device, progress=progress)
    if json:
        _print_json(Run.open(run).record.estimates[result.name])
        return
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
    print(f"{n_copies} of {n} faces are copies of training faces; {n - n_copies} remain without them")
    if not result.near_copies_known:
        print("this is another store than the one trained on: only byte-for-byte copies are found there")
    if result.n_validation:
        print(f"{result.n_validation} of these faces helped to choose the weights: the figures are optimistic")
    if result.n_dropped:
        print(f"{result.n_dropped} faces of the split have no label in this scheme")


@app.command
def audit(
    predictions: Path,
    /,
    *,
    by: str | None = None,
    out: Path | None = None,
    on: str | None = None,
    confounders: str | None = None,
    annotator_error: tuple[str, ...] = (),
    leakage: Annotated[bool | None, Parameter(negative=())] = None,
    features: Path | None = None,
    fail_if: tuple[str, ...] = (),
    allow_undecided: Annotated[bool, Parameter(negative=())] = False,
    junit: Path | None = None,
    n_boot: int | None = None,
    n_perm: int | None = None,
    min_n: int | None = None,
    min_class_n: int | None = None,
    level: float | None = None,
    seed: int | None = None,
    json: Json = False,
) -> int:
    """Audit a run, or any CSV or Parquet file of predictions, for disparities between groups.

    Parameters
    ----------
    predictions
        A run folder, or a file with label (or target_<class>), pred (or prob_<class>) and attribute
        columns; see docs/audit.md.
    by
        Attributes, with commas: gender,age,gender*age; brightness:3 cuts a column of numbers in three.
    out
        Folder for audit.json, CSV tables, audit.md and audit.html; RUN/audit/NAME for a run.
    on
        Which of a run's predictions; its only ones by default.
    confounders
        Columns of numbers to hold common, with commas, or 'none'; by default those with well-known
        names (brightness, sharpness, size, yaw, ...).
    annotator_error
        ATTRIBUTE=FILE: the known confusion of the annotator who perceived it, counts with true groups
        in rows.
    leakage
        Probe the model's features and probabilities for the attributes.
    features
        An .npz file with sample_id and features, for the probe; a run's own are found.
    fail_if
        A condition that fails the audit (exit code 3), such as 'worst(recall, by=gender) < 0.70'; may
        be given several times; the language stands in docs/audit.md.
    allow_undecided
        Conditions that cannot be decided (too few faces) do not fail.
    junit
        Write the conditions' results there, as JUnit XML.
    n_boot
        Bootstrap replicates; this and what follows as the run's configuration says, or else 2000, 2000,
        30, 10, 0.95 and 0.
    n_perm
        Permutations.
    min_n
        Least faces of a group to enter a gap.
    min_class_n
        Least faces of a class in a group to enter that class's gaps.
    level
        Coverage of the intervals.
    seed
        Seed of everything drawn.
    """
    from mien import terminal
    from mien.audit import load_features, parse_gate, render_text
    from mien.config import AuditConfig, audit_settings
    from mien.records import Predictions
    from mien.runs import Run
    from mien.study import audit_predictions

    base = AuditConfig()
    if predictions.is_dir():
        run = Run.open(predictions)
        config = run.config
        predictions, out = _run_predictions(predictions, on, out)
        features = features or run.features.get(predictions.stem)
        base, seed = config.audit, config.seed if seed is None else seed
    settings = audit_settings(
        base,
        by=_names(by),
        confounders=() if confounders == "none" else _names(confounders),
        annotator_error=dict(_pair("--annotator-error", p) for p in annotator_error) or None,
        leakage=leakage,
        fail_if=fail_if or None,
        n_boot=n_boot,
        n_perm=n_perm,
        min_n=min_n,
        min_class_n=min_class_n,
        level=level,
    )
    for text in settings.fail_if:
        parse_gate(text)  # a slip is told before the work, not after
    table = Predictions.load(predictions)
    given = load_features(features, table.sample_id) if features and settings.leakage else None
    with terminal.progress("auditing", "attributes") as progress:
        found = audit_predictions(table, settings, seed or 0, out, features=given, progress=progress)
    if out is not None:
        terminal.say(f"written: {out / 'audit.html'}")
    if json:
        _print_json(found.to_dict())
    else:
        terminal.markdown(render_text(found))
    return _gate(found, settings.fail_if, allow_undecided, junit)


def _gate(found: Audit, conditions: tuple[str, ...], allow_undecided: bool, junit: Path | None) -> int:
    """Check the conditions, say each result on stderr, and return the exit code."""
    from mien.audit import FAILED, PASSED, UNDECIDED, check_gates, junit_xml

    results = check_gates(found, conditions)
    if junit is not None:
        junit.parent.mkdir(parents=True, exist_ok=True)
        junit.write_text(junit_xml(results, f"audit of {found.source}", allow_undecided=allow_undecided))
    stops = {FAILED} if allow_undecided else {FAILED, UNDECIDED}
    for result in results:
        words = {PASSED: "gate passed", FAILED: "GATE FAILED", UNDECIDED: "GATE UNDECIDED"}[result.status]
        print(f"{words}: {result.expression}\n  {result.reason}", file=sys.stderr)
    return GATE_FAILED if any(r.status in stops for r in results) else 0


def _names(text: str | None) -> tuple[str, ...] | None:
    """Names between commas; None where nothing was given."""
    return tuple(n.strip() for n in text.split(",") if n.strip()) if text else None


def _pair(option: str, text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(option, repr(text), "name=value")
    return key.strip(), value.strip()


def _run_predictions(folder: Path, on: str | None, out: Path | None) -> tuple[Path, Path]:
    """The file of a run's predictions, and where its audit goes."""
    from mien.runs import AUDITS, Run

    known = Run.open(folder).predictions
    if not known:
        raise UsageError(str(folder), "has no predictions", "an evaluated run", f"Call: mien evaluate {folder}")
    if on is None and len(known) > 1:
        raise UsageError("--on", "is needed", f"one of {', '.join(known)}: the run has several predictions")
    name = on or next(iter(known))
    if name not in known:
        raise UsageError("--on", repr(name), f"one of {', '.join(known)}")
    return known[name], out or folder / AUDITS / name


@app.command
def report(
    run: Path, /, *, out: Path | None = None, faces: Annotated[bool, Parameter(help="Show sample faces.")] = True
) -> None:
    """Write a run's report: one self-contained HTML file.

    Parameters
    ----------
    run
        The run folder.
    out
        The file; RUN/report.html by default.
    """
    from mien.report import render_report
    from mien.runs import Run

    print(render_report(Run.open(run), out=out, faces=faces))


@app.command
def predict(
    images: Annotated[tuple[Path, ...], Parameter(allow_leading_hyphen=False)],
    /,
    *,
    model: Path,
    device: str = "cpu",
    json: Json = False,
) -> int:
    """Classify aligned face crops.

    Expressions are what people perceive in a face, not what a person feels.

    Parameters
    ----------
    images
        Aligned, cropped faces.
    model
        A run or weights folder.
    device
        Where to compute: cpu, cuda.
    """
    from dataclasses import asdict

    from mien import terminal
    from mien.predict import Predictor

    faces = Predictor.load(model, device).predict(list(images))
    if json:
        _print_json([asdict(f) for f in faces])
    else:
        rows = []
        for face in faces:
            top = sorted(face.probs.items(), key=lambda item: -item[1])[:3]
            rows.append([face.path, face.label, "  ".join(f"{c} {p:.2f}" for c, p in top) or face.error])
        terminal.table("perceived expressions", ["picture", "label", "most probable"], rows)
    return 1 if any(f.error for f in faces) else 0


@app.command
def study(
    config: Path, /, *, out: Path | None = None, on: str | None = None, set: tuple[str, ...] = (), force: Force = False
) -> None:
    """Train, evaluate, audit and report in one go.

    Parameters
    ----------
    config
        The configuration; see studies/.
    out
        The run folder; runs/NAME by default.
    on
        STORE:split to evaluate on; the run's own test faces by default.
    set
        Override a setting: train.epochs=5.
    """
    from mien import terminal
    from mien.config import load_config
    from mien.study import run_experiment

    experiment = load_config(config, set)
    folder = out or Path("runs") / experiment.name
    with terminal.progress("training", "steps") as progress:
        run_experiment(experiment, folder, on=on, force=force, say=terminal.say, progress=progress)


@app.command
def demo(*, out: Path = Path("demo"), n: int = 16_000, epochs: int = 7, seed: int = 0, force: Force = False) -> None:
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

    with terminal.stages() as stages:
        result = demo(out, n=n, epochs=epochs, seed=seed, force=force, say=terminal.say, progress=stages)
    terminal.table("What was injected, and what the audit found", ["attribute", "injected", "found"], result.rows)
    print(f"Open {result.run.path / 'report.html'} in a browser.")


@app.command(name="list")
def list_(kind: Literal["datasets", "models", "losses", "metrics", "labels", "config", "all"] = "all", /) -> None:
    """List what can be named in a configuration; 'config' prints one with every key at its default.

    Parameters
    ----------
    kind
        Which catalogue.
    """
    from mien.labels import scheme_names

    for name, registry in _registries().items():
        if kind in (name, "all"):
            print(f"{name}:")
            try:
                for entry in registry.names():
                    print(f"  {entry:24s} {registry.summary(entry)}")
            except MissingExtra as error:
                print(f"  ({error})")
    if kind == "config":
        from mien.config import dump_config, parse_config

        print(dump_config(parse_config({"data": {"store": "STORE"}})), end="")
    if kind in ("labels", "all"):
        print("labels:\n  " + "\n  ".join(scheme_names()))


def _registries() -> dict[str, Any]:
    from mien.data.datasets import DATASETS
    from mien.losses import LOSSES
    from mien.metrics import METRICS
    from mien.models import MODELS

    return {"datasets": DATASETS, "models": MODELS, "losses": LOSSES, "metrics": METRICS}


def _options(pairs: tuple[str, ...]) -> dict[str, Any]:
    from mien.config import parse_value

    return {key: parse_value("--option", value) for key, value in (_pair("--option", p) for p in pairs)}


def _print_json(content: Any) -> None:
    from mien.records import plain

    print(json.dumps(plain(content), indent=2))


if __name__ == "__main__":
    main()
