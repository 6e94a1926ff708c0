"""The files that put the server on other machines name what is there."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import yaml

pytest.importorskip("prometheus_client")

from fastapi.testclient import TestClient

from mien.cli.serving import DEFAULT_PORT, serve
from mien.predict import Predictor
from mien.serve.app import Limits, Server, create_app

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
OPTIONS = {f"--{name}" for name in inspect.signature(serve).parameters}


def test_compose_starts_the_command_as_it_is() -> None:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]["mien"]
    assert service["command"][0] == "serve"
    assert {word for word in service["command"] if word.startswith("--")} <= OPTIONS
    assert service["ports"] == [f"127.0.0.1:{DEFAULT_PORT}:{DEFAULT_PORT}"]
    assert int(service["stop_grace_period"].removesuffix("s")) > Limits().seconds
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert f":{DEFAULT_PORT}/readyz" in service["healthcheck"]["test"][-1]


def test_kubernetes_asks_where_there_are_answers() -> None:
    found = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
    deployment, service, budget = found
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {word for word in container["args"] if word.startswith("--")} <= OPTIONS
    assert container["ports"][0]["containerPort"] == DEFAULT_PORT
    assert pod["terminationGracePeriodSeconds"] > Limits().seconds + 5
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels == budget["spec"]["selector"]["matchLabels"]
    server = Server(Predictor.load(threads=1), token="t")
    with TestClient(create_app(server, hosts=("mien",), addresses=True), base_url="http://10.0.0.7:8766") as client:
        for probe in ("readinessProbe", "livenessProbe"):  # by number, without the token
            assert client.get(container[probe]["httpGet"]["path"]).status_code in (200, 503)
        for name in ("mien", "mien:80"):
            assert client.get("/healthz", headers={"host": name}).status_code == 200
        assert client.get("/healthz", headers={"host": "elsewhere.example"}).status_code == 403
        path = deployment["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"]
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"authorization": "Bearer t"}).status_code == 200


def test_the_image_is_made_of_what_the_install_needs() -> None:
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    root = DEPLOY.parent
    assert all((root / name).exists() for name in copied)
    assert f"EXPOSE {DEFAULT_PORT}" in lines
    assert any(line.startswith("USER ") for line in lines)
