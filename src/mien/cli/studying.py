"""The verbs of studies: run, retry, show, table, claims."""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from mien.cli.app import Out, app
from mien.cli.taking import AS_WRITTEN, As, repeated
from mien.shown import tell

if TYPE_CHECKING:
    from mien.studies import Plan, Work

study = App(name="study", help="A published table made again: run what is missing, see ours beside theirs.")
app.command(study)

Overrides = Annotated[tuple[str, ...], Parameter(help="Override a setting of all trials: train.epochs=5.")]


@study.command(name="run")
def study_run(
    file: Path,
    /,
    *,
    out: Out | None = None,
    how: As = AS_WRITTEN,
    jobs: int = 1,
    threads: int | None = None,
    device: str = "cpu",
    list_cells: Annotated[bool, Parameter(negative=())] = False,
    cell: tuple[str, ...] = (),
    redo: Literal["none", "stale"] = "none",
    cluster: Literal["slurm", "local", "debug"] | None = None,
    cluster_set: Annotated[tuple[str, ...], Parameter(help="Setting of the cluster: slurm_partition=gpu.")] = (),
    ray: str | None = None,
    since: Annotated[float | None, Parameter(show=False)] = None,
) -> int:
    """Train and judge what is missing of a study; the same command goes on after whatever ended it.

    Several of these commands, on one machine or on several with one disk, share the work. Exit code 1 where cells
    failed: 'mien study show' says of what, 'mien study retry' tries them again.

    Parameters
    ----------
    file
        The study; see studies/.
    out
        Its folder; runs/NAME-SCALE by default.
    jobs
        Processes side by side; they share the processor's cores.
    threads
        Threads of one training.
    device
        Where faces are judged.
    list_cells
        Only print the ids of the cells that are still to be done, a line each.
    cell
        Only these cells: a row by its name, or cells by how their ids begin.
    redo
        'stale' makes cells again that were trained by another commit.
    cluster
        Hand the cells to a scheduler as jobs and return; 'local' and 'debug' are submitit's stand-ins for one.
    cluster_set
        timeout_min, mem_gb, cpus_per_task, gpus_per_node, slurm_partition, slurm_array_parallelism, ...
    ray
        Run the cells as Ray tasks: 'local', or the address of a cluster ('auto', 'ray://...').
    """
    from mien.studies import Work

    plan = _plan(file, out, how, cell)
    stale, began = redo == "stale", since or time.time()
    work = Work(device=device, threads=threads, features=plan.study.probes, redo=stale, since=began)
    if list_cells:
        from mien.studies import is_open, standing_of

        # Rows that are one experiment share a cell.
        tell(*dict.fromkeys(c.id for c in plan.cells if is_open(standing_of(c), work)))
        return 0
    if cluster is not None:
        return _submit(plan, cluster, work, cluster_set)
    if ray is not None:
        return _on_ray(plan, None if ray == "local" else ray, work)
    return _run(plan, work, jobs, [str(file), *how.words(), *repeated([("--cell", cell)])])


@study.command
def retry(
    file: Path,
    /,
    *,
    out: Out | None = None,
    how: As = AS_WRITTEN,
    jobs: int = 1,
    threads: int | None = None,
    device: str = "cpu",
    cell: tuple[str, ...] = (),
    since: Annotated[float | None, Parameter(show=False)] = None,
) -> int:
    """Try failed cells again, and run what is missing.

    Parameters
    ----------
    file
        The study.
    out
        Its folder; runs/NAME-SCALE by default.
    jobs
        Processes side by side.
    threads
        Threads of one training.
    device
        Where faces are judged.
    cell
        Only these cells.
    """
    from mien.studies import Work

    plan = _plan(file, out, how, cell)
    work = Work(device=device, threads=threads, features=plan.study.probes, retry=True, since=since or time.time())
    return _run(plan, work, jobs, [str(file), *how.words(), *repeated([("--cell", cell)])])


@study.command
def show(
    file: Path,
    /,
    *,
    out: Out | None = None,
    how: As = AS_WRITTEN,
    cell: tuple[str, ...] = (),
    stale: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Where each cell of a study stands.

    Parameters
    ----------
    file
        The study.
    out
        Its folder; runs/NAME-SCALE by default.
    cell
        Only these cells: a row by its name, or cells by how their ids begin.
    stale
        Only cells that were trained by another commit than this.
    """
    from mien import terminal
    from mien.studies import epochs_of, standing_of

    plan = _plan(file, out, how, cell)
    rows = []
    for each in plan.cells:
        standing = standing_of(each)
        if stale and not standing.stale:
            continue
        held = standing.holder
        where = standing.error or (held.name if held else "")
        where = " ".join(filter(None, (where, "made by other code" if standing.stale else "")))
        rows.append([each.row, str(each.seed), standing.state, f"{epochs_of(each)}", where, each.id])
    terminal.table(
        f"{plan.study.name}, {how.scale}", ["row", "seed", "state", "epochs", "why or by whom", "cell"], rows
    )


@study.command(name="table")
def study_table(
    file: Path,
    /,
    *,
    out: Out | None = None,
    how: As = AS_WRITTEN,
    cell: tuple[str, ...] = (),
    format: Literal["text", "markdown", "latex", "csv"] = "text",
    page: Out | None = None,
) -> None:
    """Ours beside theirs, with intervals, from what is done so far; and what it says of the published claims.

    Parameters
    ----------
    file
        The study.
    out
        Its folder; runs/NAME-SCALE by default.
    cell
        Only these cells: a row by its name, or cells by how their ids begin.
    format
        Of what is printed.
    page
        Also write a page with figures and records into this folder.
    """
    from mien import terminal
    from mien.studies.claims import judge
    from mien.studies.page import write_page
    from mien.studies.results import rows_of
    from mien.studies.tables import (
        NOISE,
        caption_of,
        cells_of,
        claim_cells,
        csv_of,
        header_of,
        latex_of,
        markdown_of,
        noise_of,
    )
    from mien.wording import plural

    plan = _plan(file, out, how, cell)
    rows = rows_of(plan)
    if format == "text":
        terminal.table(
            plan.study.title or plan.study.name, header_of(plan, rows), [cells_of(plan, r, rows) for r in rows]
        )
        titles, noise = noise_of(plan, rows)
        if noise:
            terminal.table("Noise", titles, noise)
        if plan.claims:
            found = [claim_cells(judge(plan, claim)) for claim in plan.claims]
            told = [[c[0], c[2], c[3], c[4], c[6].strip("*"), c[7]] for c in found]
            terminal.table("What was claimed", ["claim", "theirs", "ours", "seeds", "verdict", "reason"], told)
        if left := len(plan.study.claims) - len(plan.claims):
            terminal.say(f"{plural(left, 'claim')} of the study compare other rows than these.")
        terminal.say(" ".join([caption_of(plan, rows), *([NOISE] if noise else [])]).replace("*", ""))
        for row in rows:
            if row.note:
                terminal.say(f"{row.label}: {row.note}")
        if plan.study.source:
            terminal.say(f"Theirs: {plan.study.source}")
        if plan.study.about:
            terminal.say(f"What differs from the source:\n{plan.study.about.rstrip()}")
    else:
        of = {"markdown": markdown_of, "latex": latex_of, "csv": csv_of}[format]
        tell(*of(plan, rows).rstrip("\n").split("\n"))
    if page is not None:
        terminal.say(f"page: {write_page(plan, page)}")


@study.command
def choose(
    file: Path,
    /,
    *,
    out: Out | None = None,
    how: As = AS_WRITTEN,
    by: Literal["accuracy", "loss", "worst_class", "worst_group", "distance"] = "accuracy",
) -> None:
    """Which row the validation faces choose, and what the judged faces say of it.

    The last line is the oracle: the row that the judged faces would have chosen. It is an upper bound on what
    choosing can reach, and no result.

    Parameters
    ----------
    file
        The study.
    out
        Its folder; runs/NAME-SCALE by default.
    by
        The rule: a figure of the epoch that each run kept, on its validation faces, the mean over seeds; 'distance'
        is that of (accuracy, worst group) from (1, 1).
    """
    from mien import terminal
    from mien.studies.choosing import choose_row, more_is_better
    from mien.wording import listed

    plan = _plan(file, out, how)
    found = choose_row(plan, by)
    marks = {found.chosen: "chosen"}
    marks[found.oracle] = ", ".join(filter(None, (marks.get(found.oracle), "oracle")))
    metric = found.metric
    rule = f"validation {by.replace('_', ' ')}" + ("" if more_is_better(by) else " (less is better)")
    rows = [[r, f"{m:.4f}", f"{found.judged[r]:.4f}", marks.get(r, "")] for r, m in found.merits.items()]
    terminal.table(f"{plan.study.name}, {plan.called}", ["row", rule, metric, ""], rows)
    terminal.say(
        f"By {rule} the study chooses {found.chosen}: {metric} {found.judged[found.chosen]:.4f}. The oracle, which "
        f"looks at the judged faces, would choose {found.oracle}: {found.judged[found.oracle]:.4f}, an upper bound and "
        "no result." + (f" Not all seeds are done of {listed(found.lacking)}." if found.lacking else "")
    )


@study.command
def claims(
    *files: Path,
    runs: Annotated[Path, Parameter(help="Where the studies' folders NAME-SCALE lie.")] = Path("runs"),
    pages: Path | None = None,
    how: As = AS_WRITTEN,
    out: Out | None = None,
) -> None:
    """All claims of several studies in one table: holds, does not hold, cannot be told, not run.

    Parameters
    ----------
    files
        The studies.
    runs
        Where their folders lie.
    pages
        Where their pages NAME lie: verdicts that these keep stand in for runs that are no longer here, if the study
        still asks for the same runs.
    out
        Write it there, as Markdown.
    """
    from mien.outputs import write_text
    from mien.studies.kept import KEPT, judge_with
    from mien.studies.planning import check_named
    from mien.studies.tables import claims_of
    from mien.wording import plural

    lines: list[str] = []
    verdicts, own = Counter[str](), Counter[str]()
    plans = [_plan(file, None, how, runs=runs, of_several=True) for file in files]
    check_named(how.stores, how.published, plans, "the study" if len(plans) == 1 else "these studies")
    for plan in plans:
        judged = judge_with(plan, pages / plan.study.name / KEPT if pages is not None else None)
        verdicts.update(each.verdict for each in judged if each.claim.where)
        own.update(each.verdict for each in judged if not each.claim.where)
        found = claims_of(judged, _linked(plan.study.name, pages, out)).split("\n")
        lines += found[2:] if lines else found
    if out is None:
        tell(*lines)
    else:
        named = [*map(str, files), *(f"--store {name}=STORE" for name in sorted({s for p in plans for s in p.stores}))]
        named += [f"--weights {name}=FILE" for name in sorted({name for plan in plans for name in plan.files})]
        named += [f"--set {shlex.quote(each)}" for plan in plans[:1] for each in plan.changed]
        named += ["--pages FOLDER"] if pages is not None else []
        rests = "the studies' records, or the verdicts that their pages keep" if pages else "the studies' records"
        asked = [(verdicts, "published claim", ""), (own, "question", " of our own (without a place in a text)")]
        counts = "; ".join(
            f"{plural(sum(each.values()), what)}{more}: {', '.join(f'{n} {told}' for told, n in each.most_common())}"
            for each, what, more in asked
            if each
        )
        about = (
            f"{counts}. Written by `mien study claims {' '.join(named)} --scale {how.scale}` from {rests}. A claim of "
            "which seeds and faces tell too little cannot be told; *theirs* are of the full scale, and a verdict at a "
            "smaller one is of the networks and faces that it takes, not of theirs. Each verdict is at 95 % for "
            "itself: of forty differences that are none one would be told to hold by chance, and one not to hold."
        )
        write_text(out, "\n".join(["# Published claims, and what our records say", "", about, "", *lines]) + "\n")


@app.command
def tune(
    file: Path,
    /,
    *,
    out: Out | None = None,
    set: Overrides = (),
    trials: int | None = None,
    threads: int | None = None,
) -> None:
    """Search over settings with Optuna, by validation figures alone; the same command goes on.

    Parameters
    ----------
    file
        The search: name, base, space, objectives, trials.
    out
        Its folder; runs/NAME by default.
    trials
        Trials in all; those of the search by default.
    threads
        Threads of one training.
    """
    from mien import terminal
    from mien.config import overrides_of
    from mien.tune import load_tuning, tune

    search = load_tuning(file)
    found = tune(
        search,
        file.parent,
        out or Path("runs") / search.name,
        settings=overrides_of(set),
        trials=trials,
        threads=threads,
        say=terminal.say,
    )
    keys = list(search.space)
    header = ["trial", *search.objectives, *keys, "run"]
    rows = []
    for t in found:
        settings = (t.settings[key] for key in keys)
        told = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in settings)
        values = (f"{value:.4f}" for value in t.values.values())
        rows.append([f"{t.number}{' *' if t.best else ''}", *values, *told, str(t.path)])
    terminal.table("* the best, or where no other is better in one and as good in all", header, rows)


def _plan(
    file: Path,
    out: Path | None,
    how: As,
    cell: tuple[str, ...] = (),
    *,
    runs: Path = Path("runs"),
    of_several: bool = False,
) -> Plan:
    from mien.studies import load_study, plan_study

    study = load_study(file)
    plan = plan_study(
        study,
        file.parent,
        out or runs / f"{study.name}-{how.scale}",
        how.scale,
        how.settings,
        how.stores,
        how.published,
        of_several=of_several,
    )
    return plan.only(cell) if cell else plan


def _linked(study: str, pages: Path | None, out: Path | None) -> str:
    """A study's name, with a link to its page where a file is written that can have one."""
    from mien.studies.page import PAGE

    page = None if pages is None or out is None else pages / study / PAGE
    if page is None or out is None or not page.is_file():
        return study
    return f"[{study}]({Path(os.path.relpath(page.absolute(), out.absolute().parent)).as_posix()})"


def _submit(plan: Plan, cluster: Literal["slurm", "local", "debug"], work: Work, settings: tuple[str, ...]) -> int:
    from mien.config import overrides_of
    from mien.studies import standing_of
    from mien.studies.cluster import submit

    jobs = submit(plan, cluster, work, overrides_of(settings))
    tell(*(f"{job.job_id} {cell.id}" for cell, job in jobs))
    if cluster == "slurm":
        return 0
    for cell, job in jobs:  # nobody else waits for processes of this machine
        if job.exception() is not None:
            tell(f"{cell.id}: {str(job.exception()).splitlines()[-1]}", err=True)
    return 0 if all(standing_of(cell).state == "done" for cell, _ in jobs) else 1


def _on_ray(plan: Plan, address: str | None, work: Work) -> int:
    from mien import terminal
    from mien.studies.ray_tasks import run_on_ray

    gpus = 1.0 if work.device != "cpu" else 0.0
    with terminal.stages() as stages:
        done = run_on_ray(
            plan, address=address, work=work, cpus=work.threads or 1, gpus=gpus, say=terminal.say, told=stages("cells")
        )
    return 0 if done else 1


def _run(plan: Plan, work: Work, jobs: int, words: list[str]) -> int:
    import os

    from mien import terminal
    from mien.studies import run_study, standing_of, worker_command

    threads = work.threads or max(1, (os.cpu_count() or 1) // jobs)
    with terminal.stages() as stages:
        done = run_study(
            plan,
            worker_command(plan, work, words, threads),
            work=work,
            jobs=jobs,
            say=terminal.say,
            progress=stages,
            told=stages("cells"),
        )
    states = [standing_of(c).state for c in plan.cells]
    tell(f"{plan.out}: {states.count('done')} of {len(states)} cells done, {states.count('failed')} failed")
    return 0 if done else 1
