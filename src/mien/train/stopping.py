"""Stop signals: Ctrl-C and SIGTERM end a fit between two batches, so that no file is half written."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class TrainingStopped(BaseException):
    """Ctrl-C or SIGTERM; the run folder is whole and can be resumed."""


class StopSignals:
    """Catches SIGINT and SIGTERM while it is entered; :meth:`check`, called after each batch, raises TrainingStopped.

    A second signal raises at once. Outside the main thread, which alone receives signals, it does
    nothing.
    """

    def __init__(self) -> None:
        self._received = ""
        self._old: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._old = {s: signal.signal(s, self._receive) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            raise TrainingStopped(self._received)
        self._received = signal.Signals(number).name

    def check(self) -> None:
        """Stop here if asked to."""
        if self._received:
            raise TrainingStopped(self._received)
