"""The server of predictions under load, for long, under attack, and killed: each with its figures.

    python benchmarks/serving.py [--parts load soak hostile large kill] [--clients 32] [--requests 2000] [--soak 20000]
                                 [--inputs 2000] [--large 270] [--out docs/results/serving]

The server is a process of its own (`mien serve`), this one plays its clients; all on this machine. Nothing else should
run beside it.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import random
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from mien.outputs import whole
from mien.records import write_json
from where import PORTRAIT, commit, machine

JPEG = {"content-type": "image/jpeg"}
_SEED = 0
_PROMISED_MS = 400
_LARGE_AT_ONCE, _PATIENCE = 16, 40  # clients, and how often each asks
_SLOW_S = 20.0  # a request that trickles is given up after so long


class Server:
    """`mien serve` in a process of its own."""

    def __init__(self, port: int = 0) -> None:
        words = [sys.executable, "-m", "mien.cli", "serve", "--port", str(port)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        self.port = 0
        for line in self.process.stdout:
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
            if found:
                self.port = int(found[1])
                break
        threading.Thread(target=lambda: list(self.process.stdout or ()), daemon=True).start()
        self.wait()

    def wait(self) -> float:
        """Until it is ready; the seconds that took."""
        start = time.perf_counter()
        while True:
            try:
                if self.ask("GET", "/readyz")[0] == 200:
                    return time.perf_counter() - start
            except OSError:
                pass
            if self.process.poll() is not None:
                raise SystemExit("the server ended")
            time.sleep(0.05)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def memory_mb(self) -> float:
        """Resident memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        return int(found[1]) / 1024 if found else float("nan")

    def peak_mb(self) -> float:
        """The most memory that it has had."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found[1]) / 1024 if found else float("nan")

    def threads(self) -> int:
        """Of the process."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def serving() -> Iterator[Server]:
    """A server for the time of a block."""
    server = Server()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def jpeg(picture: Image.Image) -> bytes:
    """A picture as a file."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


def scenes() -> dict[str, bytes]:
    """A scene of 640x480 with one face, and a small picture of the same face."""
    portrait = Image.open(PORTRAIT).convert("RGB")
    scene = Image.new("RGB", (640, 480), (90, 110, 120))
    scene.paste(portrait.resize((384, 450)), (128, 15))
    return {"scene": jpeg(scene), "small": jpeg(portrait.crop((130, 60, 400, 380)).resize((135, 160)))}


def many(server: Server, body: Callable[[int], bytes], clients: int, requests: int) -> dict[str, Any]:
    """So many requests by clients that each wait for their answer: seconds of each, and what was answered."""
    taken, answers, lock, left = [], Counter[int](), threading.Lock(), iter(range(requests))

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        while True:
            with lock:
                i = next(left, None)
            if i is None:
                connection.close()
                return
            start = time.perf_counter()
            connection.request("POST", "/v1/predict", body(i), JPEG)
            answer = connection.getresponse()
            told = answer.read()
            seconds = time.perf_counter() - start
            good = answer.status == 200 and json.loads(told)["rows"][0]["face"] == 0
            with lock:
                taken.append(seconds)
                answers[answer.status if good or answer.status != 200 else 0] += 1

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(client) for _ in range(clients)]:
            done.result()
    wall = time.perf_counter() - start
    taken.sort()
    return {
        "clients": clients,
        "requests": requests,
        "answers": dict(answers),
        "per_second": requests / wall,
        "median_ms": 1000 * statistics.median(taken),
        "p95_ms": 1000 * taken[int(0.95 * (len(taken) - 1))],
        "p99_ms": 1000 * taken[int(0.99 * (len(taken) - 1))],
        "longest_ms": 1000 * taken[-1],
    }


def same(body: bytes) -> Callable[[int], bytes]:
    """The same picture for every request."""
    return lambda i: body


def load(args: argparse.Namespace) -> dict[str, Any]:
    """One client, then many, on scenes and on small pictures."""
    files, found = scenes(), {}
    for name, requests in (("small", args.requests), ("scene", max(args.clients, args.requests // 4))):
        with serving() as server:
            body = same(files[name])
            many(server, body, 1, 10)
            found[f"{name}, 1 client"] = many(server, body, 1, min(100, requests))
            found[f"{name}, {args.clients} clients"] = many(server, body, args.clients, requests)
    return found


def soak(args: argparse.Namespace) -> dict[str, Any]:
    """Memory over many requests: small pictures, one in twenty a scene."""
    files = scenes()
    with serving() as server:
        many(server, lambda i: files["scene"], 4, 40)
        memory, steps = [server.memory_mb()], 20
        answers: Counter[int] = Counter()
        start = time.perf_counter()
        for _ in range(steps):
            told = many(server, lambda i: files["scene" if i % 20 == 0 else "small"], 8, args.soak // steps)
            answers.update(told["answers"])
            memory.append(server.memory_mb())
            print(f"{sum(answers.values()):,} requests: {memory[-1]:.0f} MB", file=sys.stderr, flush=True)
        wall = time.perf_counter() - start
        threads, code = server.threads(), server.stop()
    half = len(memory) // 2
    return {
        "requests": sum(answers.values()),
        "answers": dict(answers),
        "per_second": sum(answers.values()) / wall,
        "memory_mb": memory,
        # Between the halves, for what was warm at the begin of each.
        "growth_mb": statistics.mean(memory[half:]) - statistics.mean(memory[1:half]),
        "threads": threads,
        "exit_code": code,
    }


def hostile_inputs(n: int, rng: random.Random) -> Iterator[tuple[str, str, str, bytes, dict[str, str]]]:
    """Kind, method, path, body and headers of requests that mean harm."""
    whole_jpeg, png = PORTRAIT.read_bytes(), io.BytesIO()
    Image.open(PORTRAIT).resize((96, 112)).save(png, "PNG")
    kinds: list[Callable[[], tuple[str, str, str, bytes, dict[str, str]]]] = []

    def kind(make: Callable[[], tuple[str, str, str, bytes, dict[str, str]]]) -> None:
        kinds.append(make)

    def picture(name: str, body: bytes, kind: str = "image/jpeg") -> tuple[str, str, str, bytes, dict[str, str]]:
        return name, "POST", "/v1/predict", body, {"content-type": kind}

    kind(lambda: picture("cut JPEG", whole_jpeg[: rng.randrange(len(whole_jpeg))]))
    kind(lambda: picture("cut PNG", png.getvalue()[: rng.randrange(len(png.getvalue()))], "image/png"))
    kind(lambda: picture("bits turned", turned(whole_jpeg, rng)))
    kind(lambda: picture("bits turned in a PNG", turned(png.getvalue(), rng), "image/png"))
    kind(lambda: picture("bomb", bomb(rng), "image/png"))
    kind(lambda: picture("polyglot", polyglot(whole_jpeg, rng)))
    kind(lambda: picture("noise", rng.randbytes(rng.randrange(1, 20_000))))
    kind(lambda: picture("another kind of file", rng.choice(OTHERS)))
    kind(lambda: picture("nothing", b""))
    kind(lambda: picture("wrong content type", whole_jpeg[:999], rng.choice(["text/html", 'a/b;c="', "", "*/*"])))
    kind(lambda: ("JSON", "POST", "/v1/predict", bad_json(rng), {"content-type": "application/json"}))
    kind(lambda: ("form", "POST", "/v1/predict", bad_form(rng, whole_jpeg), {"content-type": form_type(rng)}))
    kind(lambda: ("table", "POST", f"/v1/audit?by={bad_query(rng)}", bad_table(rng), {"content-type": "text/csv"}))
    kind(lambda: ("path", rng.choice(["GET", "PUT", "DELETE", "PATCH"]), bad_path(rng), b"", {}))
    kind(lambda: ("host", "GET", "/readyz", b"", {"host": rng.choice(["evil.example", "127.0.0.1.evil.example", ""])}))
    kind(lambda: ("origin", "POST", "/v1/predict", whole_jpeg, JPEG | {"origin": "http://evil.example"}))
    kind(lambda: ("too long by its header", "POST", "/v1/predict", b"x", JPEG | {"content-length": "9" * 12}))
    for i in range(n):
        yield kinds[i % len(kinds)]()


OTHERS = (
    b"%PDF-1.7\n" + b"0 obj" * 50,
    b"PK\x03\x04" + bytes(400),
    b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    b"%!PS\n(/etc/passwd) (r) file",
    b"\x7fELF" + bytes(300),
    b"GIF89a" + bytes(20),
    b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(30),
)


def turned(data: bytes, rng: random.Random) -> bytes:
    """With some bits the other way round."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 60)):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def bomb(rng: random.Random) -> bytes:
    """A PNG of a few hundred bytes that claims up to four billion pixels, or unpacks to many."""
    width, height = rng.choice([(60_000, 60_000), (1, 2**31 - 1), (12_000, 12_000), (5000, 4990)])

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1 << 20), 9)) + chunk(b"IEND", b"")


def polyglot(picture: bytes, rng: random.Random) -> bytes:
    """A picture that is something else as well."""
    other = rng.choice([*OTHERS, b"<script>alert(1)</script>", b"#!/bin/sh\nrm -rf /\n"])
    return other + picture if rng.random() < 0.5 else picture[:-2] + other


def bad_json(rng: random.Random) -> bytes:
    """JSON that is deep, long, or says something else."""
    return rng.choice(
        [
            b"[" * rng.randrange(10, 200_000),
            b'{"pictures": ' + b'[{"data": "' + b"A" * rng.randrange(1, 400_000),
            json.dumps({"pictures": [{"data": "!!!"}]}).encode(),
            json.dumps({"pictures": [None, 1, "x"]}).encode(),
            json.dumps({"pictures": [{"data": 5}]}).encode(),
            json.dumps({"pictures": [{"data": "aGk="}] * 500}).encode(),
            json.dumps({"pictures": {}}).encode(),
            b'{"pictures": [{"name": "\\ud800", "data": "aGk="}]}',
            b"1e999999",
            b"\xff\xfe" + b"{}",
            b"",
        ]
    )


def form_type(rng: random.Random) -> str:
    """The content type of a form, often with a boundary that is none."""
    return rng.choice(["multipart/form-data; boundary=x", "multipart/form-data", "multipart/form-data; boundary="])


def bad_form(rng: random.Random, picture: bytes) -> bytes:
    """A form with a part that does not end, too many parts, or none."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="../../etc/passwd"\r\n\r\n'
    return rng.choice(
        [head, head + picture[:500], (head + b"a\r\n") * rng.randrange(1, 200) + b"--x--\r\n", b"--x--\r\n", b"--y"]
    )


def bad_table(rng: random.Random) -> bytes:
    """A table that is none, or whose cells mean harm."""
    return rng.choice(
        [
            b"label,pred\n" + b"a," * rng.randrange(1, 9000),
            b"\x1f\x8b" + rng.randbytes(200),
            b"PAR1" + rng.randbytes(200),
            b'label,pred\n"' + b"a" * 5000,
            ",".join(f"c{i}" for i in range(rng.randrange(1, 20_000))).encode() + b"\n1\n",
            b"label,pred,gender\n" + b"=cmd|' /C calc'!A0,a,b\n" * 3,
            rng.randbytes(3000),
            b"",
        ]
    )


def bad_query(rng: random.Random) -> str:
    """Columns that are not there."""
    return rng.choice(["x" * 3000, "a," * 200, "%00", "gender*gender", "..%2f..", ""])


def bad_path(rng: random.Random) -> str:
    """Where nothing is."""
    names = [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/predict/../models",
        "/ort.wasm.min.mjs%00",
        "/" * 500,
    ]
    return rng.choice([*names, "/v1/predict", f"/{rng.randrange(10**9)}", "/page/../serve/app.py"])


def hostile(args: argparse.Namespace) -> dict[str, Any]:
    """What comes of requests that mean harm, and whether the server is as before."""
    rng, answers, wrong = random.Random(_SEED), Counter[str](), []
    with serving() as server:
        many(server, same(scenes()["scene"]), 4, 20)
        before, longest = server.memory_mb(), 0.0
        slow = [threading.Thread(target=trickle, args=(server, i), daemon=True) for i in range(40)]
        for one in slow:
            one.start()
        for name, method, path, body, headers in hostile_inputs(args.inputs, rng):
            start = time.perf_counter()
            try:
                status, told = server.ask(method, path, body or None, headers)
            except (http.client.HTTPException, ConnectionError, ValueError) as error:
                status, told = 0, repr(error).encode()  # refused by closing the connection, or by the client itself
            seconds = time.perf_counter() - start
            longest = max(longest, seconds)
            row = status == 200 and path == "/v1/predict"
            answers["a row with a reason" if row and _reasons(told) else "a row" if row else str(status)] += 1
            if status >= 500 or seconds > 10:
                wrong.append({"kind": name, "status": status, "seconds": seconds, "said": told[:300].decode("latin-1")})
        for one in slow:
            one.join()
        good = many(server, same(scenes()["scene"]), 4, 20)
        after, code = server.memory_mb(), server.stop()
    return {
        "inputs": args.inputs,
        "answers": dict(answers.most_common()),
        "wrong": wrong,
        "longest_s": longest,
        "slow_bodies": len(slow),
        "memory_mb": [before, after],
        "good_afterwards": good["answers"],
        "exit_code": code,
    }


def large_inputs(rng: random.Random) -> list[tuple[str, bytes, str]]:
    """Kind, body and content type of requests as large as the server takes, or a little larger."""
    most, picture, out = 20 << 20, PORTRAIT.read_bytes(), io.BytesIO()
    noise = rng.randbytes(most)
    Image.frombytes("L", (5000, 4990), noise[:5000] * 4990).save(out, "JPEG", quality=90)
    coded = b64encode(noise[: most // 2]).decode()
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    each = (picture + noise)[: most // 33]
    return [
        ("a picture and zeros", picture + bytes(most - len(picture)), "image/jpeg"),
        ("a picture and noise", picture + noise[: most - len(picture)], "image/jpeg"),
        ("noise", noise, "image/jpeg"),
        ("a byte too many", noise + b"x", "image/jpeg"),
        ("25 million pixels", out.getvalue(), "image/jpeg"),
        ("JSON of one picture", json.dumps({"pictures": [{"data": coded}]}).encode(), "application/json"),
        ("JSON of one string", b'"' + b"a" * (most - 2) + b'"', "application/json"),
        ("a form of one file", head + noise[: most - 300] + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"),
        ("a form of 32 files", (head + each + b"\r\n") * 32 + b"--x--\r\n", "multipart/form-data; boundary=x"),
    ]


def large(args: argparse.Namespace) -> dict[str, Any]:
    """Bodies as large as the server takes, sixteen clients at once: its memory, and what comes of them."""
    bodies, lock = large_inputs(random.Random(_SEED)), threading.Lock()
    answers, taken, wrong = Counter[str](), [], []
    todo = iter([bodies[i % len(bodies)] for i in range(args.large)])
    with serving() as server:
        many(server, same(scenes()["scene"]), 4, 20)
        before = server.memory_mb()

        def client() -> None:
            while True:
                with lock:
                    each = next(todo, None)
                if each is None:
                    return
                name, body, kind = each
                for _again in range(_PATIENCE):
                    start = time.perf_counter()
                    try:
                        status, told = server.ask("POST", "/v1/predict", body, {"content-type": kind})
                    except (http.client.HTTPException, OSError) as error:  # it does not read what it refuses
                        status, told = 0, repr(error).encode()
                    seconds = time.perf_counter() - start
                    if status != 503:
                        break
                    with lock:
                        answers["503, and asked again"] += 1
                    time.sleep(0.5)
                with lock:
                    taken.append(seconds)
                    said = "a row with a reason" if status == 200 and _reasons(told) else str(status)
                    answers["a row" if said == "200" else said] += 1
                    if status >= 500 and status != 503:
                        wrong.append({"kind": name, "status": status, "said": told[:300].decode("latin-1")})

        with ThreadPoolExecutor(_LARGE_AT_ONCE) as pool:
            for done in [pool.submit(client) for _ in range(_LARGE_AT_ONCE)]:
                done.result()
        peak = server.peak_mb()
        good = many(server, same(scenes()["scene"]), 4, 20)
        after, code = server.memory_mb(), server.stop()
    return {
        "inputs": args.large,
        "kinds": [name for name, *_ in bodies],
        "clients": _LARGE_AT_ONCE,
        "answers": dict(answers.most_common()),
        "wrong": wrong,
        "longest_s": max(taken),
        "memory_mb": [before, peak, after],
        "good_afterwards": good["answers"],
        "exit_code": code,
    }


def _reasons(told: bytes) -> bool:
    return all(row["reason"] for row in json.loads(told)["rows"])


def trickle(server: Server, i: int) -> None:
    """A body that comes a byte at a time."""
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as line:
            line.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                b"Content-Type: image/jpeg\r\nContent-Length: 900000\r\n\r\n"
            )
            end = time.monotonic() + _SLOW_S
            while time.monotonic() < end:
                line.sendall(b"x")
                time.sleep(0.5 + i / 100)
    except OSError:
        pass  # the server had enough


def kill(_: argparse.Namespace) -> dict[str, Any]:
    """Killed under load, and started again on the same port: who had an answer keeps it, the rest is refused."""
    body, done, lost = scenes()["small"], Counter[str](), 0
    server = Server()
    port, stop = server.port, threading.Event()

    def client() -> None:
        while not stop.is_set():
            try:
                done[str(server.ask("POST", "/v1/predict", body, JPEG)[0])] += 1
            except (OSError, http.client.HTTPException):
                done["refused"] += 1
                time.sleep(0.02)

    clients = [threading.Thread(target=client) for _ in range(8)]
    for one in clients:
        one.start()
    took = []
    for _round in range(3):
        time.sleep(2)
        server.process.kill()
        server.process.wait()
        start = time.perf_counter()
        again = Server(port)
        server.process, server.port = again.process, again.port
        took.append(time.perf_counter() - start)
    time.sleep(2)
    stop.set()
    for one in clients:
        one.join()
    code = server.stop()
    lost = sum(n for status, n in done.items() if status not in ("200", "503", "refused"))
    return {"answers": dict(done), "other": lost, "ready_again_s": took, "exit_code": code}


PARTS = {"load": load, "soak": soak, "hostile": hostile, "large": large, "kill": kill}


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--soak", type=int, default=20_000)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--large", type=int, default=270)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    where = commit()
    told: dict[str, Any] = {"commit": where, "machine": machine(), "cores": os.cpu_count(), "seed": _SEED}
    record = args.out / "record.json" if args.out else None
    if record is not None and record.is_file():  # parts that were measured before stay
        before = json.loads(record.read_text(encoding="utf-8"))
        told = {**before, **told} if args.parts else before  # without parts only the page is written anew
    for name in args.parts:
        told[name] = {**PARTS[name](args), "commit": where}
        print(json.dumps({name: told[name]}, indent=1))
        if record is not None:
            args.out.mkdir(parents=True, exist_ok=True)
            write_json(record, told)
    if args.out is not None:
        with whole(args.out / "README.md") as partial:
            partial.write_text(page(told), encoding="utf-8")


def page(told: dict[str, Any]) -> str:
    """The figures in words."""
    lines = [
        "# The server of predictions: load, soak, attack, kill",
        "",
        f"`mien serve` as it comes (the model in the box, MTCNN), on {told['cores']} cores "
        f"({told['machine']}), which its "
        f"clients share; commit {told['commit']}. A scene is a JPEG of 640x480 pixels with one face, a "
        "small picture one "
        "of 135x160.",
        "",
    ]
    if "load" in told:
        lines += ["## Load", "", "| what | requests | answered 200 | a second | median | p95 | p99 | longest |"]
        lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
        for name, one in told["load"].items():
            if isinstance(one, dict):
                times = " | ".join(f"{one[key]:.0f} ms" for key in ("median_ms", "p95_ms", "p99_ms", "longest_ms"))
                good = one["answers"].get("200", one["answers"].get(200, 0))
                lines.append(f"| {name} | {one['requests']:,} | {good:,} | {one['per_second']:.1f} | {times} |")
        crowded = {name: one for name, one in told["load"].items() if isinstance(one, dict) and one["clients"] > 1}
        met = ", ".join(
            f"{'met' if one['p99_ms'] < _PROMISED_MS else 'not met'} by {name}" for name, one in crowded.items()
        )
        lines += [
            "",
            f"The aim, 99 of 100 answers within {_PROMISED_MS} ms under many clients, is {met} on this machine: "
            "clients that each wait for their answer wait as long as all of their pictures take, and a picture takes "
            "the milliseconds of one client. More cores, or more of these processes, divide it.",
            "",
        ]
    if "soak" in told:
        one = told["soak"]
        memory = one["memory_mb"]
        lines += [
            "## Soak",
            "",
            f"{one['requests']:,} requests, eight at a time, {one['per_second']:.0f} a second: answers "
            f"{_counts(one['answers'])}. Memory {memory[0]:.0f} MB when warm, {memory[-1]:.0f} MB at the "
            "end; the mean of "
            f"the second half is {one['growth_mb']:+.1f} MB from that of the first. {one['threads']} "
            "threads. Stopped by "
            f"SIGTERM with exit code {one['exit_code']}.",
            "",
        ]
    if "hostile" in told:
        one = told["hostile"]
        lines += [
            "## Attack",
            "",
            f"{one['inputs']:,} requests of 17 kinds (cut and damaged pictures, bombs, polyglots, other "
            "files, deep and "
            "huge JSON, broken forms, tables and paths, foreign hosts and pages, wrong lengths), while "
            f"{one['slow_bodies']} bodies came a byte at a time: {_counts(one['answers'])}. 0 is a connection that was "
            "closed, or a request that the client itself refused to send; a row with a reason is the answer "
            "for a picture "
            f"that cannot be read. {len(one['wrong'])} answered 5xx or took over ten seconds; the longest took "
            f"{one['longest_s']:.1f} s. Memory {one['memory_mb'][0]:.0f} MB before, "
            f"{one['memory_mb'][1]:.0f} MB after. "
            f"Good requests afterwards: {_counts(one['good_afterwards'])}.",
            "",
        ]
    if "large" in told:
        one = told["large"]
        before, peak, after = one["memory_mb"]
        lines += [
            f"{one['inputs']:,} requests of about 20 MB, as large as is taken, by {one['clients']} clients at once "
            f"({', '.join(one['kinds'])}): {_counts(one['answers'])}. "
            f"{len(one['wrong'])} answered another 5xx; the longest took {one['longest_s']:.1f} s. Memory {before:.0f} "
            f"MB before, at most {peak:.0f} MB, {after:.0f} MB after. Good requests afterwards: "
            f"{_counts(one['good_afterwards'])}.",
            "",
        ]
    if "kill" in told:
        one = told["kill"]
        again = ", ".join(f"{s:.1f}" for s in one["ready_again_s"])
        lines += [
            "## Killed",
            "",
            f"Killed (SIGKILL) three times under eight clients and started again: ready after {again} s. Answers: "
            f"{_counts(one['answers'])}; refused are those that met no server, or one that died on them. "
            "Nothing is kept "
            "between requests, so nothing else can be lost.",
            "",
        ]
    lines += ["```sh", "python benchmarks/serving.py --out docs/results/serving", "```", ""]
    return "\n".join(lines)


def _counts(found: dict[Any, int]) -> str:
    return ", ".join(f"{name}: {n:,}" for name, n in found.items())


if __name__ == "__main__":
    main()
