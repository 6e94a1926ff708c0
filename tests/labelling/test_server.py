from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from labelling_server import Client, Server
from labelling_store import CLASSES

from mien.data.images import Store
from mien.errors import DataError, UsageError
from mien.labelling.database import LabelDatabase
from mien.labelling.queue import build_queue
from mien.labelling.server import serve_labels
from mien.labelling.task import LabelTask


def test_it_serves_and_stops_when_asked(people_store: Store, tmp_path: Path) -> None:
    task = LabelTask(classes=CLASSES, seed=None)
    LabelDatabase.create(tmp_path, task, people_store, build_queue(people_store.table, task)).close()
    with Server(people_store.path, str(tmp_path)) as server:
        client = Client(server.port)
        assert client.ask("GET", "/api/task")[1]["n_faces"] == 30
        client.connection.close()
        assert server.stop() == 0
    assert not list(tmp_path.glob("*-wal"))  # closed, not dropped


def test_a_taken_port_and_a_missing_database(people_store: Store, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="cannot listen there"):
            serve_labels(people_store, tmp_path, LabelTask(classes=CLASSES), port=taken.getsockname()[1])
    for port in (-1, 65536, 99999):
        with pytest.raises(UsageError, match=f"port: {port}, expected 1 to 65535"):
            serve_labels(people_store, tmp_path, LabelTask(classes=CLASSES), port=port)
    assert not list(tmp_path.iterdir())  # no database of a page that was never open
    with pytest.raises(DataError, match="does not exist"):
        serve_labels(people_store, tmp_path / "none", port=0)


def test_another_host_gets_a_warning_and_an_invitation(
    people_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    said: list[str] = []
    serve_labels(people_store, tmp_path, LabelTask(classes=CLASSES), host="0.0.0.0", port=0, say=said.append)
    text = "\n".join(said)
    assert "plain HTTP" in text
    assert re.search("need the invitation: [a-hjkmnp-z]{8}$", text, re.MULTILINE)
    assert re.search(r"Open http://[^:]+:\d+/", text)
    assert "//0.0.0.0" not in text
    said.clear()
    serve_labels(people_store, tmp_path, LabelTask(classes=CLASSES), port=0, say=said.append)
    assert "plain HTTP" not in "\n".join(said)
    assert "http://127.0.0.1:" in "\n".join(said)
    with pytest.raises(UsageError, match="a name only"):
        serve_labels(people_store, tmp_path, LabelTask(classes=CLASSES), port=0, hosts=["https://lab.example"])


def test_without_the_extra() -> None:
    code = "import sys\nfrom mien.errors import MissingExtra\nimport mien.labelling.task, mien.labelling.queue\n"
    for module, package in (("server", "uvicorn"), ("app", "fastapi"), ("database", "sqlalchemy")):
        code += "for name in [n for n in sys.modules if n.startswith('mien.labelling')]: del sys.modules[name]\n"
        code += f"sys.modules[{package!r}] = None\n"
        code += f"try:\n    import mien.labelling.{module}\nexcept MissingExtra as error:\n    print(error)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    for line, package in zip(lines, ("uvicorn", "fastapi", "sqlalchemy"), strict=True):
        assert package in line
        assert "pip install 'mien[label]'" in line
