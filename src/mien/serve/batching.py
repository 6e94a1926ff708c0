"""Faces of many requests, classified together; and no more of them in the house than it has room for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.web.refusals import Refused

T = TypeVar("T")
Answers = tuple[NDArray[np.float64], NDArray[np.float64]]
_RETRY_S = 1


class Batcher:
    """Micro-batches: while a worker is idle, faces are classified at once; while all are busy, they gather.

    With a network of a millisecond a timer would wait longer than the work takes: those that came meanwhile go
    together as soon as a worker is free.

    Args:
        classify: ``(n, S, S, C)`` crops -> probabilities and numbers.
        pool: Where it runs.
        workers: Batches that may run at once.
        most: Faces of a batch.
    """

    def __init__(
        self, classify: Callable[[NDArray[np.uint8]], Answers], pool: Executor, *, workers: int = 1, most: int = 32
    ) -> None:
        self.classify, self.pool, self.most = classify, pool, most
        self.idle = workers
        self.waiting: list[tuple[NDArray[np.uint8], asyncio.Future[Answers]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def answers(self, crops: NDArray[np.uint8]) -> Answers:
        """What the model says of some crops, with those of others.

        Args:
            crops: ``(n, S, S, C)``; all have one shape.
        """
        told: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        self.waiting.append((crops, told))
        self._start()
        return await told

    def _start(self) -> None:
        while self.idle:
            # Whoever asked may have gone: those faces are nobody's.
            self.waiting = [(crops, told) for crops, told in self.waiting if not told.done()]
            if not self.waiting:
                return
            self.idle -= 1
            # The loop itself holds tasks weakly.
            task = asyncio.get_running_loop().create_task(self._run(self._next()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _next(self) -> list[tuple[NDArray[np.uint8], asyncio.Future[Answers]]]:
        """The first that wait: as many as fit, but one at least."""
        n, faces = 1, len(self.waiting[0][0])
        while n < len(self.waiting) and faces + len(self.waiting[n][0]) <= self.most:
            faces += len(self.waiting[n][0])
            n += 1
        batch, self.waiting = self.waiting[:n], self.waiting[n:]
        return batch

    async def _run(self, batch: list[tuple[NDArray[np.uint8], asyncio.Future[Answers]]]) -> None:
        try:
            crops = np.concatenate([crops for crops, _ in batch])
            probs, numbers = await asyncio.get_running_loop().run_in_executor(self.pool, self.classify, crops)
        except Exception as error:
            for _, told in batch:
                if not told.done():
                    told.set_exception(error)
        else:
            start = 0
            for own, told in batch:
                part = slice(start, start + len(own))
                start = part.stop
                if not told.done():  # whoever asked may have gone
                    told.set_result((probs[part], numbers[part]))
        finally:
            self.idle += 1
            self._start()


class Room:
    """How many pictures may be in the house at once: more are sent away at once, rather than kept waiting.

    Args:
        most: Pictures.
        of: What they are called, for the message.
        each: Of one address at most; all of it by default.
    """

    def __init__(self, most: int, of: str = "pictures", each: int | None = None) -> None:
        self.most, self.of, self.each = most, of, most if each is None else each
        self.taken, self.refused = 0, 0
        self.theirs: Counter[str] = Counter()

    @contextmanager
    def taking(self, n: int, address: str = "") -> Iterator[None]:
        """Hold places for some pictures.

        Args:
            n: How many.
            address: Whose.

        Raises:
            Refused: If there are not as many (503).
        """
        if self.taken + n > self.most or self.theirs[address] + n > self.each:
            self.refused += 1
            raise Refused(503, f"Too many {self.of} are being looked at. Try again in a moment.", retry_s=_RETRY_S)
        self.taken += n
        self.theirs[address] += n
        try:
            yield
        finally:
            self.taken -= n
            self.theirs[address] -= n
            if not self.theirs[address]:
                del self.theirs[address]


class Rate:
    """How many pictures an address may send: a bucket that fills at ``per_s`` and holds ten seconds' worth.

    Args:
        per_s: Pictures a second; infinite for no limit.
    """

    _ADDRESSES = 10_000  # that are remembered; beyond, those that have been quiet longest are forgotten

    def __init__(self, per_s: float) -> None:
        self.per_s, self.most = per_s, max(1.0, 10 * per_s)
        self.left: dict[str, tuple[float, float]] = {}

    def take(self, address: str, n: int, now: float, *, taken: int = 0) -> None:
        """Count some pictures of an address.

        More than the bucket holds are let in where it is full, and are owed from then on.

        Args:
            address: Whose.
            n: How many.
            now: Seconds of a clock that never goes back.
            taken: How many the same request was charged already.

        Raises:
            Refused: If they are too many (429).
        """
        if self.per_s == float("inf"):
            return
        there, since = self.left.pop(address, (self.most, now))
        there = min(self.most, there + (now - since) * self.per_s)
        missing = min(n, self.most - taken) - there
        if missing > 0:
            self.left[address] = (there, now)
            wait = max(1, round(missing / self.per_s))
            raise Refused(429, f"At most {self.per_s:g} pictures a second. Try again later.", retry_s=wait)
        self.left[address] = (there - n, now)  # the newest stand last
        while len(self.left) > self._ADDRESSES:
            del self.left[next(iter(self.left))]
