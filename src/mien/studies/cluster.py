"""Cells of a study as jobs of a scheduler, by submitit: one job array, requeued jobs go on where they stopped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mien.errors import MissingExtra, UsageError
from mien.shown import tell
from mien.studies.cells import Cell, Plan, lineage
from mien.studies.execute import Work, is_open, run_cells
from mien.studies.standing import standing_of

Cluster = Literal["slurm", "local", "debug"]
JOBS = "jobs"  # folder of scripts, logs and results, in the study's own


def open_cells(plan: Plan, work: Work) -> list[Cell]:
    """Cells to hand out that nobody works on; rows that are one experiment are one."""
    standing = {cell.id: standing_of(cell) for cell in plan.cells}
    open_ = [c for c in plan.cells if standing[c.id].state != "running" and is_open(standing[c.id], work)]
    return list({cell.id: cell for cell in open_}.values())


@dataclass(frozen=True)
class CellJob:
    """One cell as a job: it works on what the cell begins with too, unless somebody does.

    Attributes:
        cell: The cell.
        work: How.
        place: Folder in which it begins.
    """

    cell: Cell
    work: Work
    place: str

    @classmethod
    def of(cls, cell: Cell, work: Work) -> CellJob:
        """A job that begins here: paths of a study are named from where its command is called."""
        return cls(cell, work, os.getcwd())

    def __call__(self) -> str:
        """Run until done; returns the state that the cell is left in."""
        os.chdir(self.place)
        run_cells(lineage(self.cell), self.work, say=tell)
        return standing_of(self.cell).state

    def checkpoint(self) -> Any:
        """What submitit queues again before a job's time is over: the same, for a cell goes on by itself."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def submit(
    plan: Plan, cluster: Cluster, work: Work = Work(), settings: dict[str, Any] | None = None
) -> Sequence[tuple[Cell, Any]]:
    """Hand the cells that are not done to a scheduler.

    Args:
        plan: The study.
        cluster: ``slurm``; ``local`` for processes of this machine, ``debug`` for this process.
        work: How cells are worked on.
        settings: Of submitit: ``timeout_min``, ``mem_gb``, ``cpus_per_task``, ``gpus_per_node``, and for SLURM
            ``slurm_partition``, ``slurm_array_parallelism`` and others. An hour and one processor by default.

    Returns:
        Each cell and its job; none waits for another, but jobs of cells that begin with the same one wait in turn.

    Raises:
        MissingExtra: Without submitit.
        UsageError: If submitit does not know a setting, or there is no such scheduler here.
    """
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise MissingExtra("--cluster", "cluster", "submitit") from error
    open_ = open_cells(plan, work)
    if not open_:
        return []
    folder = (plan.out / JOBS).resolve()
    try:
        executor = submitit.AutoExecutor(folder=folder / "%j", cluster=cluster)
        executor.update_parameters(
            **{"name": plan.study.name, "timeout_min": 60, "cpus_per_task": 1} | (settings or {})
        )
    except (NameError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise UsageError(
            f"--cluster {cluster}", str(error).split("\n", 1)[0], "settings that submitit knows"
        ) from error
    with executor.batch():
        jobs = [executor.submit(CellJob.of(cell, work)) for cell in open_]
    return list(zip(open_, jobs, strict=True))
