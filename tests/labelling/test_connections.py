"""Sockets that say nothing, little or too much: whoever asks properly gets an answer."""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from labelling_server import Client, Server
from labelling_store import CLASSES

from mien.data.images import Store
from mien.labelling.database import LabelDatabase
from mien.labelling.queue import build_queue
from mien.labelling.task import LabelTask
from mien.web.connections import Connection

HEAD = b"GET /small HTTP/1.1\r\nHost: 127.0.0.1\r\n"
LARGE = 8 << 20
_UNTIL_S = 20.0


class Impatient(Connection):
    patience_s = 0.8  # a busy machine may leave this process waiting for some tenths of a second
    most = 12


async def small_or_large(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An answer of some bytes or of more than any buffer holds, after the body of the request."""
    while (await receive()).get("more_body"):
        pass
    body = b"x" * (LARGE if scope["path"] == "/large" else 5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port(caplog: pytest.LogCaptureFixture) -> Iterator[int]:
    config = uvicorn.Config(
        small_or_large, http=Impatient, port=0, log_config=None, log_level="error", lifespan="off", access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.force_exit = server.should_exit = True
    thread.join()
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []  # no traceback in the log


def connect(port: int, data: bytes = b"", **options: int) -> socket.socket:
    made = socket.socket()
    for name, value in options.items():
        made.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    made.settimeout(_UNTIL_S)
    made.connect(("127.0.0.1", port))
    made.sendall(data)
    return made


def seconds_until_closed(made: socket.socket) -> float:
    begun = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while made.recv(1 << 16):
            pass
    made.close()
    return time.monotonic() - begun


def answer(port: int, path: str = "/small") -> int:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=_UNTIL_S)
    asked.request("GET", path)
    n = len(asked.getresponse().read())
    asked.close()
    return n


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"G",
        HEAD,
        HEAD + b"Content-Length: 9\r\n\r\nbody",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        HEAD + b"\r\n" + HEAD,  # answered, and then the next one is not sent to its end
        HEAD + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    ],
)
def test_a_request_that_does_not_come_to_its_end_is_cut_off(port: int, begun: bytes) -> None:
    assert 0.2 < seconds_until_closed(connect(port, begun)) < 5


def test_a_head_that_drips_is_cut_off(port: int) -> None:
    dripping = connect(port)
    sent = 0
    with contextlib.suppress(ConnectionError):
        for byte in (HEAD * 100)[:1000]:
            dripping.sendall(bytes([byte]))
            sent += 1
            time.sleep(0.02)
    assert sent < 200
    dripping.close()


def test_an_answer_that_nobody_reads_is_cut_off(port: int) -> None:
    asked = connect(port, HEAD.replace(b"small", b"large") + b"\r\n", SO_RCVBUF=4096)
    time.sleep(4 * Impatient.patience_s)
    got = 0
    with contextlib.suppress(ConnectionError):
        while piece := asked.recv(1 << 20):
            got += len(piece)
    assert got < LARGE
    asked.close()


def test_whoever_reads_slowly_gets_all_of_a_long_answer(port: int) -> None:
    asked = connect(port, HEAD.replace(b"small", b"large") + b"Connection: close\r\n\r\n", SO_RCVBUF=1 << 16)
    got, begun = 0, time.monotonic()
    with contextlib.closing(asked):
        while piece := asked.recv(1 << 18):
            got += len(piece)
            time.sleep(0.04 if time.monotonic() - begun < 3 * Impatient.patience_s else 0)
    assert time.monotonic() - begun > 2.5 * Impatient.patience_s
    assert got > LARGE


def test_silent_connections_give_way(port: int) -> None:
    silent = [connect(port, b"G" * (i % 2)) for i in range(5 * Impatient.most)]
    for _ in range(20):
        assert answer(port) == 5
    for one in silent:
        one.close()


def test_those_of_one_address_give_way_to_each_other_first(port: int) -> None:
    other = socket.socket()
    try:
        other.bind(("127.0.0.2", 0))
    except OSError:
        pytest.skip("this machine has one address only")
    other.close()
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=_UNTIL_S)
    kept.request("GET", "/small")
    kept.getresponse().read()
    silent = [socket.create_connection(("127.0.0.1", port), _UNTIL_S, ("127.0.0.2", 0)) for _ in range(40)]
    assert kept.sock is not None
    kept.request("GET", "/small")  # on the oldest connection of all: it would be closed
    assert len(kept.getresponse().read()) == 5
    kept.close()
    for one in silent:
        one.close()


def test_connections_at_work_do_not_give_way(port: int) -> None:
    """An answer under way is finished, however many come after it."""
    asked = connect(port, HEAD.replace(b"small", b"large") + b"Connection: close\r\n\r\n")
    time.sleep(0.1)
    for _ in range(3 * Impatient.most):
        assert answer(port) == 5
    got = 0
    while piece := asked.recv(1 << 20):
        got += len(piece)
    assert got > LARGE
    asked.close()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 300,  # TLS
        b"A" * 100_000,
        HEAD + b"X: \0\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n",
        HEAD + b"\r\nnonsense\r\n\r\n",
        HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        (HEAD + b"\r\n") * 200 + b"\0",
    ],
)
def test_what_is_no_request_ends_its_own_connection_only(port: int, nonsense: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        seconds_until_closed(connect(port, nonsense))
    assert answer(port) == 5


def test_a_thousand_silent_sockets_lock_nobody_out(people_store: Store, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < 2000:
        pytest.skip("this process may not open so many files")
    task = LabelTask(classes=CLASSES, seed=None)
    LabelDatabase.create(tmp_path, task, people_store, build_queue(people_store.table, task)).close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2000), before[1]))
    try:
        with Server(people_store.path, str(tmp_path), files=256) as server, contextlib.ExitStack() as held:
            for i in range(1100):
                held.enter_context(connect(server.port, HEAD[: i % 20]))
            for _ in range(10):
                client = Client(server.port)
                begun = time.monotonic()
                assert client.ask("GET", "/api/task")[0] == 200
                assert time.monotonic() - begun < 2
                client.connection.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
