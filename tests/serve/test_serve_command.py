from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("python_multipart")

from commands import mien  # noqa: E402
from photographs import HOPPER  # noqa: E402


def post(url: str, body: bytes) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(url, body, {"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, json.loads(answer.read())


def test_a_server_answers_many_at_once_and_ends_when_asked() -> None:
    words = [sys.executable, "-u", "-m", "mien.cli", "serve", "--port", "0", "--workers", "2"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(2)]
        assert "ferplus_mienet.onnx on 2 threads" in lines[0]
        found = re.search(r"http://127\.0\.0\.1:\d+", lines[1])
        assert found, lines
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(f"{found[0]}/readyz", timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        body = HOPPER.read_bytes()
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda _: post(f"{found[0]}/v1/predict", body), range(24)))
        assert {status for status, _ in answers} == {200}
        assert len({json.dumps(content) for _, content in answers}) == 1  # one answer, alone or together
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert process.returncode in (0, 128 + signal.SIGTERM)
        assert errors == ""
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "70000"], "port"),
        (["--rate", "0"], "above 0"),
        (["--room", "0"], "1 or more"),
        (["--token", " "], "hard to guess"),
        (["--name", "http://a/b"], "name only"),
    ],
)
def test_slips(words: list[str], said: str) -> None:
    assert said in mien("serve", *words, code=2).stderr
