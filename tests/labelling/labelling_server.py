"""A labelling server in a process of its own, to be killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_CODE = """
import sys
if len(sys.argv) > 4:
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[4]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from mien.labelling.server import serve_labels
serve_labels(sys.argv[1], sys.argv[2], port=int(sys.argv[3]), say=lambda line: None)
"""


class Server:
    """Serves what the database holds, on a port that stays the same when it is started again.

    Args:
        store: The faces.
        database: The votes.
        files: How many files its process may open.
    """

    def __init__(self, store: Path, database: str, files: int | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.command = [sys.executable, "-c", _CODE, str(store), database, str(self.port)]
        self.command += [] if files is None else [str(files)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command)
        until = time.monotonic() + 30
        while True:
            client = Client(self.port)
            try:
                client.ask("GET", "/api/task")
                client.connection.close()
                return
            except OSError:
                assert self.process.poll() is None, "the server ended"
                assert time.monotonic() < until, "the server does not answer"
                time.sleep(0.05)

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


class Client:
    """One annotator's connection."""

    def __init__(self, port: int, token: str = "") -> None:
        self.port, self.token = port, token
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and answer; OSError or HTTPException where the server went away."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            self.connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = self.connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

    def insist(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """The same, until there is an answer."""
        until = time.monotonic() + 60
        while True:
            try:
                status, answer = self.ask(method, path, body)
                if status < 500:
                    return status, answer
            except (OSError, http.client.HTTPException):
                pass
            assert time.monotonic() < until, "the server does not come back"
            time.sleep(0.05)
