"""Who works on a folder: a process, its machine, and when it was last heard of. Those who died leave it to others."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from mien.errors import RunError, reason
from mien.outputs import whole

HOLD, _TURN = "held.json", ".turn"
BEAT_S = 10.0  # between two signs of life
SILENT_S = 120.0  # after which a process on another machine counts as dead


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process that works on a folder.

    Attributes:
        host: Its machine; see :func:`machine`.
        pid: Its number there.
        born: When that process began, as its machine counts; a number may be given again after a death.
        token: What tells this hold from every other.
        heard: Seconds since its last sign of life.
    """

    host: str
    pid: int
    born: str
    token: str
    heard: float = 0.0

    @property
    def name(self) -> str:
        """What to call it."""
        return f"process {self.pid} on {self.host.split('/')[0]}"

    @property
    def alive(self) -> bool:
        """Whether it still works, as far as can be seen from here."""
        if self.host == machine():
            return _born(self.pid) == self.born
        return self.heard < SILENT_S


def holder_of(folder: Path) -> Holder | None:
    """Who holds a folder, dead or alive; None where nobody does."""
    path = folder / HOLD
    try:
        heard = time.time() - path.stat().st_mtime
        content = json.loads(path.read_text())
        return Holder(**{k: content[k] for k in ("host", "pid", "born", "token")}, heard=heard)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(str(path), f"cannot be read ({reason(error)})", "who works there", "Remove it.") from error


@contextmanager
def holding(folder: Path) -> Iterator[bool]:
    """Hold a folder, if nobody alive does.

    Yields:
        Whether it is held now. If not, another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex
    if not _take(folder, token):
        yield False
        return
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(folder, token, stop), daemon=True)
    beat.start()
    try:
        yield True
    finally:
        stop.set()
        beat.join()
        found = holder_of(folder)
        if found is not None and found.token == token:
            with suppress(OSError):
                (folder / HOLD).unlink()


def _take(folder: Path, token: str) -> bool:
    with FileLock(folder / _TURN):  # of several that find a dead one's hold, one looks and writes at a time
        found = holder_of(folder)
        if found is not None and found.alive:
            return False
        with whole(folder / HOLD) as partial:
            partial.write_text(json.dumps({**me(), "token": token}))
    return True


def _beat(folder: Path, token: str, stop: threading.Event) -> None:
    while not stop.wait(BEAT_S):
        with suppress(OSError, RunError):
            found = holder_of(folder)
            if found is None or found.token != token:
                return  # it was taken for dead: the sign of life would be another's
            os.utime(folder / HOLD)


def me() -> dict[str, Any]:
    """The process that asks, as a :class:`Holder` without a hold."""
    return {"host": machine(), "pid": os.getpid(), "born": _born(os.getpid()), "token": ""}


@cache
def machine() -> str:
    """Where numbers of processes mean the same: the machine since it was started, and the container on it."""
    told = [socket.gethostname()]
    with suppress(OSError):
        told.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
    with suppress(OSError):
        told.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(told)


def _born(pid: int) -> str:
    """When a process of this machine began; empty where there is none."""
    try:
        # The name may hold spaces and brackets; what follows its last one has fixed places.
        told = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return "" if told[0] == "Z" else told[19]  # a zombie is dead, and its parent has not looked yet
    except (OSError, IndexError):
        pass
    if not Path("/proc/self/stat").exists():  # no Linux: that it is there must do
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except OSError:
            return "there"
        return "there"
    return ""
