"""An answer on a connection that is kept does not wait for the acknowledgement of its own first packet."""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from typing import Any

import pytest

pytest.importorskip("uvicorn")

import uvicorn

from mien.web.connections import Connection
from mien.web.server import listen


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"here"})


def test_answers_on_a_kept_connection_come_at_once() -> None:
    server = uvicorn.Server(uvicorn.Config(_app, http=Connection, ws="none", log_level="error", lifespan="off"))
    with listen("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        connection = http.client.HTTPConnection(*listening.getsockname())
        taken = []
        for _ in range(15):
            start = time.perf_counter()
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"here"
            taken.append(time.perf_counter() - start)
        connection.close()
        server.should_exit = True
        thread.join()
    assert min(taken[1:]) < 0.02, statistics.median(taken)  # 40 ms each, where packets wait for each other
