"""Cells of a study as tasks of Ray, on this machine or on a cluster of machines with one disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mien.clusters import connected, ray_of_extra
from mien.studies.cells import Plan
from mien.studies.cluster import CellJob, open_cells
from mien.studies.execute import Work
from mien.studies.standing import done_of

_TRIES = 10  # of a task whose worker died


def run_on_ray(
    plan: Plan,
    *,
    address: str | None = None,
    work: Work = Work(),
    cpus: float = 1.0,
    gpus: float = 0.0,
    say: Callable[[str], None] = lambda line: None,
    told: Callable[[int, int], None] = lambda done, n: None,
) -> bool:
    """Run what is missing of a study as Ray tasks; one whose worker dies is begun again and goes on where it stopped.

    Args:
        plan: The study.
        address: Of a cluster (``auto``, ``ray://...``); one on this machine is started, and ended, if absent.
        work: How cells are worked on.
        cpus: Processors of one cell.
        gpus: Graphics cards of one cell.
        say: Receives a line for each cell that ends.
        told: Receives cells done, and of how many.

    Returns:
        Whether all cells are done.

    Raises:
        MissingExtra: Without Ray.
    """
    ray = ray_of_extra(data=False)
    with connected(ray, address):
        task: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=_TRIES)(lambda job: job())
        waiting = {task.remote(CellJob.of(cell, work)): cell for cell in open_cells(plan, work)}
        while waiting:
            told(len(done_of(plan.cells)), len(plan.cells))
            ended, _ = ray.wait(list(waiting), num_returns=1)
            cell = waiting.pop(ended[0])
            try:
                say(f"{cell.name}: {ray.get(ended[0])}")
            except Exception as error:  # its worker died again and again, or could not be begun
                say(f"{cell.name}: {str(error).splitlines()[0]}")
    return len(done_of(plan.cells)) == len(plan.cells)
