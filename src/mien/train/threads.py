"""How many threads a training should begin with: as many as there are cores that nobody else works on.

Threads of one operation wait for each other. Beside another busy process one of two has no core of its own, and the
other spends its time waiting: two threads are then slower than one, by half and more (docs/results/benchmarks.txt).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")


def free_cores(seconds: float = 0.5) -> int | None:
    """Cores that stand idle now, at least one.

    Args:
        seconds: How long to look.

    Returns:
        None where the system does not tell.
    """
    before = _idle()
    if before is None:
        return None
    began = time.monotonic()
    time.sleep(seconds)
    after = _idle()
    if after is None:
        return None
    idle = (after - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)
    return max(1, min(round(idle), len(os.sched_getaffinity(0))))


def _idle() -> float | None:
    """Ticks that all cores together have been idle."""
    try:
        first = _STAT.read_text().split("\n", 1)[0].split()
        return float(first[4]) + float(first[5])  # idle, and idle while a disk is read
    except (OSError, IndexError, ValueError):
        return None
