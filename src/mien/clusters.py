"""Ray on a cluster, or on this machine as one: begun where nobody has begun it, and then also ended."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from mien.errors import MissingExtra

#: Names of Ray's address for one machine.
LOCAL = ("", "local")
_AGAIN = 3  # times that a block is begun again after its worker died


def ray_of_extra(data: bool = True) -> Any:
    """The module ``ray``.

    Args:
        data: With Ray Data.

    Raises:
        MissingExtra: Where it is not installed.
    """
    # Else Ray reports that it is used; it reads this at its start.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray

        if data:
            import ray.data
    except ModuleNotFoundError as error:
        raise MissingExtra("--ray", "scale", error.name or "ray") from error
    return ray


@contextmanager
def connected(ray: Any, address: str | None) -> Iterator[int]:
    """Ray for a while; gives how many cores there are.

    Args:
        ray: The module.
        address: Of a cluster (``auto``, ``ray://...``), or ``local`` for one on this machine. Not looked at where the
            process is connected already, and that is left so.
    """
    ours = not ray.is_initialized()
    if ours:
        where = None if (address or "") in LOCAL else address
        ray.init(address=where, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        if ours:
            ray.shutdown()


def shared_out(
    ray: Any,
    blocks: Sequence[pa.Table],
    worker: type[Any],
    given: tuple[Any, ...],
    *,
    batch: int | None,
    workers: int,
) -> Any:
    """Tables through a class of which one stands on each core: a Ray dataset, not begun.

    Args:
        ray: The module.
        blocks: What there is to do, one or more. It is handed out in these from the start: what would cut them wants a
            core, and all cores are the workers'. The block that a worker dies of is done again, :data:`_AGAIN` times at
            most: what kills whoever looks at it must end some time.
        worker: Made once on each core; called with a table it gives one.
        given: What it is made with.
        batch: Rows at a time; more than a block has would join blocks. None: a block.
        workers: At most.
    """
    return ray.data.from_arrow(list(blocks)).map_batches(
        worker,
        fn_constructor_args=given,
        batch_size=batch,
        batch_format="pyarrow",
        num_cpus=1,
        max_task_retries=_AGAIN,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(blocks))),
    )


def quiet(ray: Any) -> None:
    """Ray Data's bars on a terminal, and else nothing of its own."""
    if not sys.stderr.isatty():
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.WARNING)
