"""Running a study: what is missing is trained and judged, whatever happens; several processes share the work."""

from __future__ import annotations

import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mien.data.images import Store
from mien.data.labelled import parse_on
from mien.errors import RunBusy, RunError, UsageError, reason
from mien.evaluate import evaluate
from mien.stats.settings import Settings
from mien.studies.cells import Cell, Plan
from mien.studies.hold import holding
from mien.studies.standing import (
    Standing,
    done_of,
    here,
    is_stale,
    note_begun,
    note_done,
    note_failed,
    resting,
    standing_of,
)
from mien.train import train
from mien.train.targets import split_table

_MOST_BEGUN = 10  # times that a cell is begun without an epoch more, before it counts as what kills its process
_WAIT_S = 1.0
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Work:
    """How cells are worked on.

    Attributes:
        device: Where faces are judged.
        threads: Processor threads of a training; those of the configuration, or as many as stand idle, if absent.
        n_boot: Replicates of the intervals in the record.
        retry: Whether cells that failed before ``since`` are tried again.
        features: Whether what the head sees of the judged faces is kept beside the predictions.
        redo: Whether cells that other code made are made again. Such code must be committed: what is not would be
            other code for ever.
        since: When the command began, in seconds as ``time.time`` counts them: its processes try a cell once together.
    """

    device: str = "cpu"
    threads: int | None = None
    n_boot: int = 1000
    retry: bool = False
    features: bool = False
    redo: bool = False
    since: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if self.redo and here()[1].endswith("+"):
            raise UsageError("--redo stale", "this code has changes that are not committed", "a commit",
                             "Commit them: then the record can say what made a cell.")  # fmt: skip


def run_cell(cell: Cell, work: Work, say: Say = lambda line: None, progress: Any = None) -> None:
    """Train and judge one cell; what of it is done is not done again.

    Raises:
        MienError: What is wrong, as ``mien train`` and ``mien evaluate`` tell it.
    """
    out = cell.run.path
    check_parts(cell)
    anew = work.redo and is_stale(cell)
    run = train(cell.config, out, finished_ok=True, force=anew, say=say, progress=progress, threads=work.threads)
    if run.record.status != "finished":
        raise RunError(str(run.path), f"is {run.record.status}", "a finished run", "Give train.max_minutes more.")
    names = {}
    for part in cell.on:
        place = cell.place_of(part)
        settings = Settings(n_boot=work.n_boot)
        names[part] = evaluate(run, place, device=work.device, settings=settings, features=work.features).name
    note_done(cell, names)


def check_parts(cell: Cell) -> None:
    """Refuse to train what could not be judged: before hours of it, not after.

    Raises:
        DataError: If an evaluation names a part that the run or the other store will not have.
    """
    own = [asked.place for asked in cell.on.values() if ":" not in asked.place]
    if own:
        found = split_table(cell.config)
        for part in own:
            if part not in set(found.frame["split"]):  # a part of the corpus, then, which the run may have renamed
                Store.open(cell.config.data.store).table.in_split(part)
    for asked in cell.on.values():
        if ":" in asked.place:
            path, named = parse_on(asked.place)
            if named is not None:
                Store.open(path).table.in_split(named)


def run_cells(
    cells: Sequence[Cell],
    work: Work,
    say: Say = lambda line: None,
    progress: Callable[[str], Any] | None = None,
    told: Callable[[int, int], None] = lambda done, n: None,
) -> bool:
    """Work on cells until nothing is left that can be done here.

    A cell that another process works on is left to it; one that a dead process began is gone on with. What fails is
    noted with its traceback, and the study goes on; what begins with a failed cell waits.

    Args:
        cells: Of a plan.
        work: How.
        say: Receives lines for the user.
        progress: Title -> receiver of steps done and in all.
        told: Receives cells done, and of how many.

    Returns:
        Whether all cells are done.

    Raises:
        TrainingStopped: On Ctrl-C or SIGTERM; the cell goes on where it stopped.
    """
    tried: set[str] = set()
    while True:
        standing = {cell.id: standing_of(cell) for cell in cells}
        overtaken = False  # what was seen of a cell is no longer so
        n_done = sum(standing[cell.id].state == "done" for cell in cells)
        told(n_done, len(cells))
        for cell in cells:
            if standing[cell.id].state == "running" or not _can_begin(cell, standing[cell.id], work, tried):
                continue
            with holding(cell.folder) as held:
                # Another process may have ended it since it was looked at.
                if held and _can_begin(cell, resting(cell), work, tried):
                    tried.add(cell.id)
                    _try(cell, work, say, progress)
                    break
                overtaken = True
        else:
            nobody = not overtaken and all(each.state != "running" for each in standing.values())
            if n_done == len(cells) or nobody:
                return len(done_of(cells)) == len(cells)
            time.sleep(_WAIT_S)  # somebody's cell is what ours begins with, or may be left to us


def _can_begin(cell: Cell, standing: Standing, work: Work, tried: set[str]) -> bool:
    if cell.id in tried or not is_open(standing, work):
        return False
    if cell.start is None:
        return True
    start = standing_of(cell.start)
    return start.state == "done" and not (work.redo and start.stale)


def is_open(standing: Standing, work: Work) -> bool:
    """Whether a cell is still to be done, be it that somebody does."""
    if standing.state == "failed":
        return work.retry and standing.failed_at < work.since
    return standing.state != "done" or (work.redo and standing.stale)


def _try(cell: Cell, work: Work, say: Say, progress: Callable[[str], Any] | None) -> None:
    if note_begun(cell) > _MOST_BEGUN:
        error = f"its process died {_MOST_BEGUN} times without an epoch more: of memory, most likely"
        note_failed(cell, error, error)
        say(f"{cell.name}: {error}")
        return
    began = time.monotonic()
    say(f"{cell.name}: {cell.folder}")
    try:
        run_cell(cell, work, say=lambda line: say(f"  {line}"), progress=progress(cell.name) if progress else None)
    except RunBusy as error:
        say(f"{cell.name}: left alone: {error}")  # who was taken for dead is not
        return
    except Exception as error:  # whatever it is: a study of a hundred cells does not end with one of them
        note_failed(cell, f"{type(error).__name__}: {reason(error)}", traceback.format_exc())
        say(f"{cell.name}: failed: {error}")
        return
    say(f"{cell.name}: done in {time.monotonic() - began:.0f} s")


def run_study(
    plan: Plan,
    command: Sequence[str] = (),
    *,
    work: Work = Work(),
    jobs: int = 1,
    say: Say = lambda line: None,
    progress: Callable[[str], Any] | None = None,
    told: Callable[[int, int], None] = lambda done, n: None,
) -> bool:
    """Run what is missing of a study.

    Args:
        plan: The study at a scale.
        command: With several jobs: the command that does the same as this call with one, as a list of arguments.
        work: How.
        jobs: Processes side by side, which share the threads.
        say: Receives lines for the user.
        progress: Title -> receiver of steps done and in all.
        told: Receives cells done, and of how many.

    Returns:
        Whether all cells are done.
    """
    if jobs > 1 and len(plan.cells) > 1:
        return _side_by_side(plan, command, min(jobs, len(plan.cells)), told)
    return run_cells(plan.cells, work, say, progress, told)


def _side_by_side(plan: Plan, command: Sequence[str], jobs: int, told: Callable[[int, int], None]) -> bool:
    """The same command in several processes; each takes what nobody has."""
    workers = [subprocess.Popen(command) for _ in range(jobs)]
    try:
        while any(worker.poll() is None for worker in workers):
            told(len(done_of(plan.cells)), len(plan.cells))
            time.sleep(_WAIT_S)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in workers:
            worker.wait()
    done = len(done_of(plan.cells)) == len(plan.cells)
    if not done and any(worker.returncode < 0 or worker.returncode == 130 for worker in workers):
        raise RunError(str(plan.out), "a process of the study was ended", "all of them to end by themselves",
                       "The same command goes on.")  # fmt: skip
    return done


def worker_command(plan: Plan, work: Work, words: Sequence[str], threads: int) -> list[str]:
    """The command of one of several processes that share a study.

    Args:
        plan: The study.
        work: How cells are worked on.
        words: Its file, scale, settings, stores and cells, as the command line has them.
        threads: Of each.
    """
    verb = "retry" if work.retry else "run"
    found = [sys.executable, "-m", "mien.cli", "study", verb, *words, "--out", str(plan.out)]
    found += ["--threads", str(threads), "--device", work.device, "--since", repr(work.since)]
    return [*found, "--redo", "stale"] if work.redo else found
