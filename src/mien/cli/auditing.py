"""Verbs that judge and show: audit, compare, report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mien.cli.app import GATE_FAILED, Force, Json, Out, app, names_of, pair_of, print_json
from mien.errors import UsageError
from mien.outputs import check_distinct, check_file, check_place, write_text
from mien.shown import tell

Full = Annotated[bool, Parameter(negative=(), help="Print all of it, as its Markdown file has it.")]
_PAGE, _JUNIT = b'content="Mien ', b"<testsuites"  # what a file that --force may replace holds

if TYPE_CHECKING:
    from mien.audit import Audit


@app.command
def audit(
    predictions: Path,
    /,
    *,
    by: str | None = None,
    out: Out | None = None,
    on: str | None = None,
    annotations: Path | None = None,
    classes: str | None = None,
    confounders: str | None = None,
    annotator_error: tuple[str, ...] = (),
    metric: str | None = None,
    leakage: Annotated[bool | None, Parameter(negative=())] = None,
    features: Path | None = None,
    fail_if: tuple[str, ...] = (),
    allow_undecided: Annotated[bool, Parameter(negative=())] = False,
    junit: Out | None = None,
    n_boot: int | None = None,
    n_perm: int | None = None,
    min_n: int | None = None,
    min_class_n: int | None = None,
    level: float | None = None,
    seed: int | None = None,
    force: Force = False,
    full: Full = False,
    json: Json = False,
) -> int:
    """Audit a run, or any CSV or Parquet file of predictions, for disparities between groups.

    Parameters
    ----------
    predictions
        A run folder, or a file with label (or target_<class>), pred (or prob_<class>) and attribute
        columns; see docs/audit.md. Other tools' own files are read too; see docs/adapters.md.
    by
        Attributes, with commas: "gender,age,gender*age" (in quotes, for the star); brightness:3 cuts a
        column of numbers in three.
    out
        Folder for audit.json, CSV tables, audit.md and audit.html; RUN/audit/NAME for a run.
    on
        Which of a run's predictions; its only ones by default.
    annotations
        Of a tool's file without labels: a table with label, groups and the names of the same pictures.
    classes
        The classes in order, with commas: needed by an array of probabilities (.npy).
    confounders
        Columns of numbers to hold common, with commas, or 'none'; by default those with well-known
        names (brightness, sharpness, size, yaw, ...).
    annotator_error
        ATTRIBUTE=FILE: the known confusion of the annotator who perceived it, counts with true groups
        in rows.
    metric
        Further metrics to compare, with commas; see mien list metrics.
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
        Bootstrap replicates, 100 or more; this and what follows as the run's configuration says, or else 2000, 2000,
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
    force
        Replace an audit (or a file of conditions' results) that is there.
    """
    from mien import terminal
    from mien.audit import load_features, parse_gate, render_brief, render_text
    from mien.config import AuditConfig, audit_settings
    from mien.judging import audit_predictions
    from mien.records import Predictions
    from mien.runs import Run

    base, own = AuditConfig(), False  # own: a place in a run's folder, where an older audit is replaced
    if predictions.is_dir():
        if annotations is not None:
            raise UsageError("--annotations", str(annotations), "no annotations beside a run", "A run has its own.")
        run = Run.open(predictions)
        config = run.config
        own = out is None
        predictions, out = _run_predictions(predictions, on, out)
        base, seed = config.audit, config.seed if seed is None else seed
        features = features or (run.features.get(predictions.stem) if leakage or base.leakage else None)
    elif on is not None:
        raise UsageError("--on", repr(on), "a run folder", f"{predictions} is a file.")
    settings = audit_settings(
        base,
        by=names_of(by),
        confounders=() if confounders == "none" else names_of(confounders),
        annotator_error=dict(pair_of("--annotator-error", p) for p in annotator_error) or None,
        metrics=names_of(metric),
        leakage=leakage,
        fail_if=fail_if or None,
        n_boot=n_boot,
        n_perm=n_perm,
        min_n=min_n,
        min_class_n=min_class_n,
        level=level,
    )
    if features is not None and not settings.leakage:
        raise UsageError("--features", "is for the leakage probe", "--leakage beside it")
    for text in settings.fail_if:
        parse_gate(text)  # a slip is told before the work, not after
    read = [predictions, features, annotations, *settings.annotator_error.values()]
    _check_places(out, junit, [path for path in read if path is not None], force, own)
    table = Predictions.load(predictions, names_of(classes), annotations=annotations)
    given = load_features(features, table.sample_id) if features and settings.leakage else None
    with terminal.progress("auditing", "attributes") as progress:
        found = audit_predictions(
            table,
            settings,
            seed or 0,
            out,
            features=given,
            progress=progress,
            force=force or own,
            keep=own,
            beside=_inside(out, junit),
        )
    if out is not None:
        terminal.say(f"written: {out / 'audit.html'}")
    if json:
        print_json(found.to_dict())
    else:
        terminal.markdown(render_text(found) if full else render_brief(found))
    return gate(found, settings.fail_if, allow_undecided, junit)


def _check_places(out: Path | None, junit: Path | None, inputs: Sequence[Path | str], force: bool, own: bool) -> None:
    """Refuse places that cannot be written, or hold what is read or somebody else's, before anything is done."""
    from mien.audit.results import AUDIT_FOLDER

    if out is not None:
        kind = replace(AUDIT_FOLDER, names=(*AUDIT_FOLDER.names, *_inside(out, junit)))
        # A run's audit stands in the run's own folder, beside what it is made from.
        check_place(out, kind, "--out", inputs, force=force or own, keep=own)
    if junit is not None:
        check_file(junit, "--junit", inputs, force=force, sign=_JUNIT)
        if out is not None:
            files = [("--out", out / name) for name in (AUDIT_FOLDER.sign, *AUDIT_FOLDER.names)]
            check_distinct(("--out", out), *files, ("--junit", junit))


def _inside(out: Path | None, junit: Path | None) -> tuple[str, ...]:
    """The name of the conditions' results, if they go into the audit's folder."""
    inside = out is not None and junit is not None and os.path.realpath(out) == os.path.realpath(junit.parent)
    return (junit.name,) if inside and junit is not None else ()


def gate(found: Audit, conditions: tuple[str, ...], allow_undecided: bool = False, junit: Path | None = None) -> int:
    """Check the conditions, say each result on stderr, and return the exit code."""
    from mien.audit import FAILED, PASSED, UNDECIDED, check_gates, junit_xml

    results = check_gates(found, conditions)
    if conditions:
        for warning in found.warnings:
            tell(f"IN DOUBT: {warning}", err=True)
    stops = {FAILED} if allow_undecided else {FAILED, UNDECIDED}
    for result in results:
        words = {PASSED: "gate passed", FAILED: "GATE FAILED", UNDECIDED: "GATE UNDECIDED"}[result.status]
        tell(f"{words}: {result.expression}", f"  {result.reason}", err=True)
    if junit is not None:
        write_text(junit, junit_xml(results, f"audit of {found.source}", allow_undecided=allow_undecided))
    return GATE_FAILED if any(r.status in stops for r in results) else 0


@app.command
def compare(
    predictions: Annotated[tuple[Path, ...], Parameter(allow_leading_hyphen=False)],
    /,
    *,
    by: str | None = None,
    out: Out | None = None,
    names: str | None = None,
    annotations: Path | None = None,
    seeds: Annotated[bool, Parameter(negative=())] = False,
    n_boot: int = 2000,
    min_n: int = 30,
    min_class_n: int = 10,
    level: float = 0.95,
    seed: int = 0,
    force: Force = False,
    full: Full = False,
    json: Json = False,
) -> None:
    """Compare models on the same faces: who gains, who loses, and whether a gap changed.

    Parameters
    ----------
    predictions
        Two or more runs or files of predictions; each is compared with the first.
    by
        Attributes, with commas.
    out
        Folder for the page, the Markdown and the JSON file.
    names
        Names of the models, with commas; those of the files by default.
    annotations
        Of tools' files without labels: a table with label, groups and the names of the same pictures.
    seeds
        The predictions are of one model trained with several seeds: tell real gaps from seed noise.
    n_boot
        Bootstrap replicates.
    min_n
        Least faces of a group to enter a gap.
    min_class_n
        Least faces of a class in a group to enter that class's gap.
    level
        Coverage of the intervals.
    seed
        Seed of everything drawn.
    """
    from mien import terminal
    from mien.judging import COMPARISON_FOLDER, SEEDS_FOLDER, compare_predictions, seed_predictions
    from mien.records import Predictions
    from mien.stats.settings import Settings

    if len(predictions) < 2:
        raise UsageError("mien compare", f"{len(predictions)} set of predictions", "two or more")
    files = [_run_predictions(p, None, None)[0] if p.is_dir() else p for p in predictions]
    called = list(names_of(names) or _short_names(predictions))
    if len(called) != len(files):
        raise UsageError("--names", f"{len(called)} names", f"one for each of the {len(files)} models")
    if out is not None:
        check_place(out, SEEDS_FOLDER if seeds else COMPARISON_FOLDER, "--out", files, force=force)
    tables = [Predictions.load(f, annotations=annotations) for f in files]
    work = seed_predictions if seeds else compare_predictions
    with terminal.waiting("comparing"):
        content, text = work(
            tables,
            called,
            names_of(by) or (),
            out,
            settings=Settings(level=level, n_boot=n_boot, min_n=min_n, min_class_n=min_class_n, seed=seed),
            force=force,
            full=full,
        )
    if out is not None:
        terminal.say(f"written: {out}")
    if json:
        print_json(content)
    else:
        terminal.markdown(text)


def _short_names(paths: tuple[Path, ...]) -> list[str]:
    """The files' or runs' own names; with their folders where these are alike."""
    short = [p.stem for p in paths]
    return short if len(set(short)) == len(short) else [str(p) for p in paths]


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
    what: Annotated[tuple[Path, ...], Parameter(allow_leading_hyphen=False)],
    /,
    *,
    out: Out | None = None,
    by: str | None = None,
    labels: str = "majority",
    min_n: int = 30,
    seed: int = 0,
    faces: Annotated[bool, Parameter(help="Show sample faces.")] = True,
    force: Force = False,
) -> None:
    """Write one self-contained HTML page: a run's report, or what one or more stores are made of.

    Parameters
    ----------
    what
        A run folder; or stores, which are then shown beside each other.
    out
        The file; report.html in the run, store.html here by default.
    by
        Of stores: attributes, with commas; by default all that can serve.
    labels
        Of stores: the label scheme that turns votes into classes.
    min_n
        Of stores: faces under which a cell of class and group is thin.
    seed
        Of stores: seed of the intervals.
    """
    from mien.report import render_report, render_store
    from mien.runs import RECORD, Run
    from mien.stats.settings import Settings

    inputs = [f for w in what if w.is_dir() for f in w.iterdir() if f.suffix != ".html"]
    if out is not None and not os.path.isdir(out):
        check_file(out, "--out", inputs, force=force, sign=_PAGE)
    if len(what) == 1 and not (what[0] / "store.json").is_file():
        if not (what[0] / RECORD).is_file():
            made = "Make one with 'mien train' or 'mien prepare'."
            if not what[0].exists():
                raise UsageError(str(what[0]), "is not there", "a run or a store", made)
            raise UsageError(str(what[0]), f"holds no {RECORD} and no store.json", "a run or a store", made)
        if by is not None:
            raise UsageError("--by", "goes with stores", "no --by", f"{what[0] / RECORD} has its own attributes.")
        tell(render_report(Run.open(what[0]), out=out, faces=faces))
        return
    from mien.data.images import Store

    stores = [Store.open(path) for path in what]
    page = out or Path()
    page = page / "store.html" if page.is_dir() else page
    check_file(page, "--out", inputs, force=force, sign=_PAGE)
    tell(
        render_store(
            stores, page, by=names_of(by), labels=labels, pictures=faces, settings=Settings(min_n=min_n, seed=seed)
        )
    )
