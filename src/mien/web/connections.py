"""Connections that keep the server waiting: each has a time limit, and all together a number.

uvicorn waits for ever for the rest of a request, and takes connections until the system gives no more: a
thousand sockets that say nothing would lock everybody out. Here a connection for which the server waits (for
a head, a body, or a reader of its answer) is cut off after :data:`PATIENCE_S`, and gives way to a new one
where there are too many, first those of the address that has most of them. A limit for each address would
lock out a class behind one address, or everybody behind a proxy; that one only decides who gives way.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from contextlib import suppress
from typing import Any

from mien.errors import MissingExtra

try:
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ModuleNotFoundError as error:
    raise MissingExtra("serving pages", "label", error.name or "uvicorn") from error

try:
    import resource
except ModuleNotFoundError:  # Windows, where no limit of open files is near
    resource = None  # type: ignore[assignment]

PATIENCE_S = 15.0  # as long as the page waits for an answer
MAX_CONNECTIONS = 500
BACKLOG = 128
#: Files that are no connections of ours: the backlog, which is taken at once, three for each of the 48 connections
#: to a database of SQLite, libraries.
_OTHER_FILES = BACKLOG + 3 * 48 + 48
_FEWEST = 32
_FILES = 1024


class Connection(H11Protocol):
    """One connection of a server. For tests, the limits are attributes of the class."""

    patience_s = PATIENCE_S
    most = MAX_CONNECTIONS

    _since = 0.0
    _limit: asyncio.TimerHandle | None = None
    _unread = 0
    _dropped = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; where there are too many, one goes."""
        super().connection_made(transport)
        self._attend()
        self._make_room()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        if not self._dropped:  # what was read before it was dropped
            super().data_received(data)
            self._attend()

    def on_response_complete(self) -> None:
        """Wait for the answer to be read, and for another request."""
        super().on_response_complete()
        self._attend()

    def pause_writing(self) -> None:
        """The answer is not read as fast as it is written."""
        super().pause_writing()
        self._attend()

    def resume_writing(self) -> None:
        """It has been read."""
        super().resume_writing()
        self._attend()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._dropped = True
        self._attend()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Say that this is no request, unless another one is answered: there is no place for a second answer."""
        if self.conn.our_state is h11.IDLE:
            super().send_400_response(msg)
        else:
            self._drop()

    @property
    def waits(self) -> bool:
        """Whether the other side has something to do: only then may the connection be cut off."""
        at_work = self.cycle is not None and not (self.cycle.more_body or self.cycle.response_complete)
        return not at_work or self.flow.write_paused

    def _attend(self) -> None:
        """Set the time limit when waiting begins, and lift it when the server has something to do."""
        if self._dropped or not self.waits:
            if self._limit is not None:
                self._limit.cancel()
                self._limit = None
        elif self._limit is None:
            self._since, self._unread = self.loop.time(), sys.maxsize
            self._limit = self.loop.call_later(self.patience_s, self._over)

    def _over(self) -> None:
        """The time is over; whoever reads a long answer slowly, but does, has it again."""
        unread = self.transport.get_write_buffer_size()
        if 0 < unread < self._unread:
            self._unread = unread
            self._limit = self.loop.call_later(self.patience_s, self._over)
        else:
            self._drop()

    def _make_room(self) -> None:
        others: Any = [c for c in self.connections if c is not self and isinstance(c, Connection) and not c._dropped]
        if len(others) < min(self.most, _room()):
            return
        waiting = [c for c in others if c.waits]
        from_there = Counter(c._address for c in waiting)
        first = min(waiting, key=lambda c: (-from_there[c._address], c._since), default=self)
        first._drop()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _drop(self) -> None:
        self._dropped = True
        self._attend()
        if self.cycle is not None:
            self.cycle.disconnected = True  # what is at work on an answer need not send it
        self.transport.abort()


def allow_files() -> None:
    """Let this process open as many files as a server needs, where it may: macOS begins with 256."""
    if resource is not None:
        limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)
        if limit != resource.RLIM_INFINITY and limit < wanted:
            with suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _room() -> int:
    """Connections for which this process may open files."""
    if resource is None:
        return MAX_CONNECTIONS
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if limit == resource.RLIM_INFINITY else max(_FEWEST, limit - _OTHER_FILES)
