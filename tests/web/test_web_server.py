from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from mien.errors import UsageError
from mien.web.answers import bearer, new_app, sentence, serve_page
from mien.web.guard import BROKEN, MAX_BODY, Guard, is_loopback
from mien.web.server import addresses, draw_code, invitation, listen, names_of


def test_a_port_is_held_from_the_start() -> None:
    with listen("127.0.0.1", 0) as held, pytest.raises(UsageError, match="cannot listen there"):
        listen("127.0.0.1", held.getsockname()[1])


def test_addresses_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert addresses("lab.example") == ["lab.example"]
    found = [(socket.AF_INET, 0, 0, "", (at, 0)) for at in ("127.0.1.1", "192.168.1.7", "169.254.3.4")]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: found)
    found_there = addresses("0.0.0.0")
    assert "192.168.1.7" in found_there
    assert not {"127.0.1.1", "169.254.3.4"} & set(found_there)


def test_names_of_a_server() -> None:
    assert names_of("127.0.0.1", ["lab.example"]) == {"localhost", "127.0.0.1", "[::1]", "lab.example"}
    assert {"lab.example", "localhost", socket.gethostname()} <= names_of("lab.example")
    with pytest.raises(UsageError, match="a name only"):
        names_of("127.0.0.1", ["https://lab.example"])
    assert is_loopback("localhost")
    assert not is_loopback("lab.example")


def test_what_people_are_told() -> None:
    assert invitation("::1", 8765) == "Open http://[::1]:8765/ (stop with Ctrl+C)"
    code = draw_code()
    assert len(code) == 8
    assert not set(code) & set("ilo")


@pytest.fixture
def client() -> TestClient:
    app: FastAPI = new_app("test")
    serve_page(app, "mien.labelling")

    @app.post("/echo")
    async def echo(request: Request) -> Any:
        return {"token": bearer(request), "length": len(await request.body())}

    @app.get("/long")
    async def long() -> Any:
        return sentence(404, "x" * 5000 + "\ud800", n=3)

    @app.get("/number/{n}")
    async def number(n: int) -> Any:
        return {"n": n}

    app.add_middleware(Guard, max_body=MAX_BODY * 2)
    return TestClient(app, base_url="http://localhost")


def test_a_server_may_take_more_than_others(client: TestClient) -> None:
    key = {"Authorization": "Bearer abc"}
    sent = client.post("/echo", content=b"x" * (MAX_BODY + 1), headers=key)
    assert sent.json() == {"token": "abc", "length": MAX_BODY + 1}
    refused = client.post("/echo", content=b"x" * (MAX_BODY * 2 + 1), headers=key)
    assert refused.status_code == 413
    assert f"{MAX_BODY * 2} bytes" in refused.json()["detail"]


def test_refusals_are_sentences(client: TestClient) -> None:
    assert client.post("/echo", headers={"Authorization": "Basic abc"}).status_code == 401
    assert client.get("/number/one").json()["detail"].startswith("path.n: ")
    answer = client.get("/long")
    assert answer.status_code == 404
    assert answer.json()["n"] == 3
    assert len(answer.json()["detail"]) < 1000
    assert client.get("/docs").status_code == 404


def test_only_the_files_of_the_page_are_served(client: TestClient) -> None:
    assert "text/html" in client.get("/").headers["content-type"]
    assert client.get("/label.css").headers["content-security-policy"].startswith("default-src 'self'")
    assert client.get("/../app.py").status_code == 404


def test_the_guard_and_refusals_need_no_package() -> None:
    code = "import sys\nfor m in ('fastapi', 'starlette', 'uvicorn', 'h11'): sys.modules[m] = None\n"
    code += "import mien.web, mien.web.guard, mien.web.refusals\n"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_fault_of_the_application_has_the_headers_too() -> None:
    app: FastAPI = new_app("test")

    @app.get("/broken")
    async def broken() -> Any:
        raise ValueError("told nobody")

    app.add_middleware(Guard)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as asking:
        answer = asking.get("/broken")
    assert answer.status_code == 500
    assert answer.json() == {"detail": BROKEN}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    with pytest.raises(ValueError, match="told nobody"), TestClient(app, base_url="http://localhost") as asking:
        asking.get("/broken")  # the server's log hears of it


@pytest.mark.parametrize(
    ("host", "further", "asked"),
    [
        ("127.0.0.2", [], "127.0.0.2:8765"),
        ("127.0.0.1", ["lab.example:8443"], "lab.example:8443"),
        ("127.0.0.1", ["Lab.example"], "lab.example"),
        ("::1", ["2001:db8::5"], "[2001:db8::5]:80"),
    ],
)
def test_where_a_server_listens_and_what_it_was_given_it_answers(host: str, further: list[str], asked: str) -> None:
    app: FastAPI = new_app("test")
    serve_page(app, "mien.labelling")
    app.add_middleware(Guard, hosts=names_of(host, further))
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/", headers={"Host": asked}).status_code == 200
        assert client.get("/", headers={"Host": "elsewhere.example"}).status_code == 403
        if is_loopback(host) and not further:  # another port of this machine is another program's
            other = f"http://{asked.rpartition(':')[0]}:9999"
            assert client.get("/", headers={"Host": asked, "Origin": other}).status_code == 403
            assert client.get("/", headers={"Host": asked, "Origin": f"http://{asked}"}).status_code == 200
