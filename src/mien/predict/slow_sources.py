"""What comes slowly, asked for in a thread of its own: whoever waits can do something else meanwhile."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")
_LEFT_S = 1.0
_LOOK_S = 0.1  # seconds after which a full queue looks whether anybody still wants what is in it


def in_time(source: Iterable[T], seconds: float) -> Generator[T | None]:
    """What a source gives, in its order, and None each time that it gave nothing for so long.

    The source is asked from another thread, one or two items ahead. Who closes the generator waits a second at most for
    the item that the thread is at, so that a source can mostly be closed too; one that waits longer (for somebody who
    types) is left to its thread, which ends with that item or with the program.

    Args:
        source: It may be endless, or wait for somebody who types.
        seconds: After which None comes.

    Raises:
        Exception: What the source raised, after all that it gave before.
    """
    found: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(maxsize=1)
    over = threading.Event()

    def put(item: T | None, error: BaseException | None, ended: bool) -> None:
        while not over.is_set():
            try:
                found.put((item, error, ended), timeout=_LOOK_S)
            except queue.Full:
                continue
            return

    def ask() -> None:
        try:
            for item in source:
                put(item, None, False)
                if over.is_set():
                    return
        except BaseException as error:
            put(None, error, True)
        else:
            put(None, None, True)

    asking = threading.Thread(target=ask, name="mien-source", daemon=True)
    asking.start()
    try:
        while True:
            try:
                item, error, ended = found.get(timeout=seconds)
            except queue.Empty:
                yield None
                continue
            if error is not None:
                raise error
            if ended:
                return
            yield item
    finally:
        over.set()
        asking.join(_LEFT_S)
