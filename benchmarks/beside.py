"""Mien beside the `fer` package and face-api, on the same faces and in the same browser.

    python benchmarks/beside.py FERPLUS_STORE [--faces 1000] [--fer PYTHON] [--face-api FOLDER] [--rounds 20]
                                [--out docs/results/beside]

``--fer`` names the Python of an environment with `fer` (pip install fer tensorflow-cpu), ``--face-api`` the unpacked
npm package @vladmandic/face-api, into whose dist/ the .wasm files of @tensorflow/tfjs-backend-wasm were copied.

First, expressions: the faces of FERPlus's PublicTest part as their corpus cropped them, those with a majority in one
of the seven classes that all three have. Labels are FERPlus's majority; a tool's contempt, where it has it, counts as
wrong. How fast a tool answers one face after the other, and fifty at once. Then, in a browser: pictures of 640x480
with one face, Mien's page beside
face-api with each of its two detectors, in turns. Nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import statistics
import subprocess
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from mien import terminal
from mien.data.images import Store
from mien.data.labelled import labelled_faces
from mien.pictures.opening import quietly
from mien.predict import Predictor
from mien.stats.intervals import wilson
from predicting import scenes
from serving import serving
from where import commit, machine, tell

#: FERPlus's names of the classes that all have -> those of `fer` and of face-api.
SHARED = {
    "neutral": ("neutral", "neutral"),
    "happiness": ("happy", "happy"),
    "surprise": ("surprise", "surprised"),
    "sadness": ("sad", "sad"),
    "anger": ("angry", "angry"),
    "disgust": ("disgust", "disgusted"),
    "fear": ("fear", "fearful"),
}
_MANY = 50  # faces at once
_FER = """
import json, sys, time
import numpy as np
import cv2
from fer.fer import FER
# A crop is the face: by default the tool adds ten pixels around it, which a crop does not have. Its network takes 64.
detector, side, many = FER(mtcnn=False, offsets=(0, 0)), 64, int(sys.argv[1])
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    faces, out = np.load(line.strip()), []
    start = time.perf_counter()
    for face in faces:
        picture = cv2.resize(np.repeat(face, 3, axis=2), (side, side))
        (found,) = detector.detect_emotions(picture, face_rectangles=[(0, 0, side, side)])
        out.append({k: float(v) for k, v in found["emotions"].items()})
    one = 1000 * (time.perf_counter() - start) / len(faces)
    start = time.perf_counter()
    for i in range(0, len(faces), many):  # all of a picture are given to its network at once
        row = np.hstack([cv2.resize(np.repeat(face, 3, axis=2), (side, side)) for face in faces[i : i + many]])
        places = [(j * side, 0, side, side) for j in range(row.shape[1] // side)]
        assert len(detector.detect_emotions(row, face_rectangles=places)) == len(places)
    print(json.dumps([one, 1000 * (time.perf_counter() - start) / len(faces), out]), flush=True)
"""
_BEGIN = """async () => {
  const { tf, nets } = faceapi;
  tf.setWasmPaths("/dist/");
  await tf.setBackend("wasm");
  await tf.ready();
  const all = [nets.ssdMobilenetv1, nets.tinyFaceDetector, nets.faceExpressionNet];
  for (const net of all) await net.loadFromUri("/model");
  return [tf.getBackend(), faceapi.version, self.crossOriginIsolated];
}"""
_CROPS = """async (text) => {
  const faces = JSON.parse(text);
  const side = Math.sqrt(faces[0].length);
  const drawn = (face) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const picture = pen.createImageData(side, side);
    face.forEach((v, i) => picture.data.set([v, v, v, 255], 4 * i));
    pen.putImageData(picture, 0, 0);
    return canvas;
  };
  const net = faceapi.nets.faceExpressionNet;
  const out = [];
  const start = performance.now();
  for (const face of faces) out.push(await net.predictExpressions(drawn(face)));
  const one = performance.now() - start;
  await net.predictExpressions(faces.map(drawn));
  const all = performance.now() - start - one;
  return JSON.stringify([one / faces.length, all / faces.length, out]);
}"""
_WHOLE = """async ([text, small]) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const start = performance.now();
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  const options = small ? new faceapi.TinyFaceDetectorOptions() : new faceapi.SsdMobilenetv1Options();
  const found = await faceapi.detectAllFaces(canvas, options).withFaceExpressions();
  return [performance.now() - start, found.length];
}"""
_LOOKER = """async () => {
  self.looker = new Worker("looker.js", { type: "module" });
  self.asked = (message, transfer = []) => new Promise((resolve) => {
    self.looker.onmessage = ({ data }) => resolve(data);
    self.looker.postMessage(message, transfer);
  });
  const { kind, threads } = await self.asked({ kind: "start", token: "" });
  return [kind, threads, self.crossOriginIsolated];
}"""
_LOOK = """async ([text]) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const start = performance.now();
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  const { rows } = await self.asked({ kind: "look", id: 1, name: "x", bitmap, options: {} }, [bitmap]);
  return [performance.now() - start, rows.filter((row) => row.box).length];
}"""


class _Isolated(http.server.SimpleHTTPRequestHandler):
    """A folder, to a page that may use several threads, as Mien's may."""

    def end_headers(self) -> None:
        """With what isolates the page."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def do_GET(self) -> None:
        """The page is made here."""
        if self.path != "/":
            return super().do_GET()
        page = b'<!doctype html><script src="/dist/face-api.js"></script>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(page)
        return None

    def log_message(self, *_: Any) -> None:
        """Silent."""


@contextmanager
def face_api(folder: Path, browser: Any) -> Iterator[Page]:
    """A page with face-api's networks loaded."""
    handler = functools.partial(_Isolated, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
    page.evaluate(_BEGIN)
    yield page
    page.close()
    server.shutdown()


#: Milliseconds a face, one by one and :data:`_MANY` at once, and what a tool says of each.
Answers = tuple[float, float, list[dict[str, float]]]


def answers_of_fer(python: str, faces: np.ndarray) -> Answers:
    """What `fer` says."""
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, faces)
        file.flush()
        words = [python, "-c", _FER, str(_MANY)]
        told = subprocess.run(words, input=file.name + "\n", capture_output=True, text=True, check=False)
    lines = [line for line in told.stdout.splitlines() if line.startswith("[")]
    if not lines:
        raise SystemExit(f"fer ended: {told.stderr[-400:]}")
    one, many, found = json.loads(lines[-1])
    return one, many, found


def answers_of_face_api(page: Page, faces: np.ndarray) -> Answers:
    """What face-api says."""
    taken: list[tuple[float, float]] = []
    found: list[dict[str, float]] = []
    with terminal.progress("face-api", "faces") as progress:
        for start in range(0, len(faces), _MANY):
            part = faces[start : start + _MANY].reshape(-1, faces.shape[1] * faces.shape[2])
            one, many, said = json.loads(page.evaluate(_CROPS, json.dumps(part.tolist())))
            taken.append((one, many))
            found += said
            progress(len(found), len(faces))
    one, many = map(statistics.median, zip(*taken, strict=True))
    return one, many, found


def answers_of_mien(faces: np.ndarray) -> Answers:
    """What the model in the box says."""
    predictor = Predictor.load(detector=None)
    found, start = [], time.perf_counter()
    for face in faces:
        probs, _ = predictor.model.answers(face[None])
        found.append(dict(zip(predictor.model.classes, map(float, probs[0]), strict=True)))
    one, start = 1000 * (time.perf_counter() - start) / len(faces), time.perf_counter()
    for i in range(0, len(faces), _MANY):
        predictor.model.answers(faces[i : i + _MANY])
    return one, 1000 * (time.perf_counter() - start) / len(faces), found


def top_of(found: list[dict[str, float]], names: dict[str, str]) -> np.ndarray:
    """``(n,)`` the most probable class by FERPlus's name; one that only the tool has stays its own."""
    back = {theirs: ours for ours, theirs in names.items()}
    return np.array([back.get(top, top) for top in (max(each, key=each.__getitem__) for each in found)])


def expressions(args: argparse.Namespace, browser: Any) -> dict[str, Any]:
    """Accuracy on the same crops, and milliseconds of one."""
    store = Store.open(args.store)
    part = store.table.in_split("PublicTest")
    told = labelled_faces(part, "ferplus_majority", where=str(args.store))
    label = np.array(told.classes)[told.targets.argmax(1)]
    keep = np.flatnonzero(np.isin(label, list(SHARED)))
    keep = keep[np.random.default_rng(args.seed).permutation(len(keep))[: args.faces]]
    faces, label = store.images[told.rows[keep]], label[keep]
    tools: dict[str, Callable[[], Answers]] = {"mien": lambda: answers_of_mien(faces)}
    names = {"mien": {name: name for name in SHARED}}
    if args.fer:
        tools["fer"], names["fer"] = lambda: answers_of_fer(args.fer, faces), {k: v[0] for k, v in SHARED.items()}
    if args.face_api:
        names["face-api"] = {k: v[1] for k, v in SHARED.items()}

        def in_browser() -> Answers:
            with face_api(args.face_api, browser) as page:
                return answers_of_face_api(page, faces)

        tools["face-api"] = in_browser
    found: dict[str, Any] = {"faces": len(faces), "of_class": {c: int((label == c).sum()) for c in SHARED}, "tools": {}}
    for tool, ask in tools.items():
        one, many, said = ask()
        right = top_of(said, names[tool]) == label
        low, high = wilson(float(right.sum()), float(len(right)))
        recall = {c: float(right[label == c].mean()) for c in SHARED if (label == c).any()}
        rates = {"a_second": 1000 / one, "a_second_in_batches": 1000 / many}
        found["tools"][tool] = rates | {"accuracy": [float(right.mean()), low, high], "recall": recall}
    return found


def pictures(args: argparse.Namespace, browser: Any) -> dict[str, Any]:
    """Milliseconds a picture in the browser, from the file to what is said, in turns."""
    taken: dict[str, list[float]] = {}
    faces: dict[str, int] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        quietly(),
        serving() as server,
        face_api(args.face_api, browser) as api,
    ):
        texts = [b64encode(path.read_bytes()).decode() for path in scenes(Path(folder))]
        ours = browser.new_page()
        ours.goto(f"http://127.0.0.1:{server.port}/")
        began = ours.evaluate(_LOOKER)
        tools: dict[str, Callable[[str], Any]] = {
            "mien": lambda text: ours.evaluate(_LOOK, [text]),
            "face-api, tiny detector": lambda text: api.evaluate(_WHOLE, [text, True]),
            "face-api, SSD MobileNet v1": lambda text: api.evaluate(_WHOLE, [text, False]),
        }
        for turn in range(args.rounds + 1):
            for text in texts:
                for name, ask in tools.items():
                    ms, n = ask(text)
                    if turn:  # the first one warms
                        taken.setdefault(name, []).append(ms)
                        faces[name] = faces.get(name, 0) + n
        ours.close()
    return {
        "threads": began[1],
        "ms": {name: np.quantile(values, (0.05, 0.5, 0.95)).tolist() for name, values in taken.items()},
        "found": {name: n / (args.rounds * len(texts)) for name, n in faces.items()},
    }


def page_of(told: dict[str, Any]) -> str:
    """The figures in words."""
    crops, seen = told["expressions"], told["pictures"]
    lines = [
        "# Beside other packages",
        "",
        f"Written by `python benchmarks/beside.py STORE --fer PYTHON --face-api FOLDER --out docs/results/beside`; "
        f"{told['machine']}, commit {told['commit']}.",
        "",
        f"## Expressions: {crops['faces']:,} faces of FERPlus's PublicTest",
        "",
        f"As their corpus cropped them; faces a second one by one, and {_MANY} at once, with the threads that a tool "
        "takes by itself (face-api in the browser). Labels are FERPlus's majority, of the seven classes that all have. "
        "PublicTest chose the epoch of nothing in Mien's model; what `fer` held out its package does not tell (its "
        "network learnt FER2013, whose own labels differ from FERPlus's), and face-api's learnt public corpora and "
        "pictures of the web that nobody names, cropped wider. So this says what each package makes of such crops, and "
        "not which network is the better one.",
        "",
        "| tool | accuracy | faces a second | at once | "
        + " | ".join(f"recall of {c} ({n})" for c, n in crops["of_class"].items())
        + " |",
        "| --- | --- | --- | --- |" + " --- |" * len(crops["of_class"]),
    ]
    for name, found in crops["tools"].items():
        value, low, high = found["accuracy"]
        recall = [f"{found['recall'][c]:.2f}" if c in found["recall"] else "" for c in crops["of_class"]]
        rates = [f"{found[key]:,.0f}" for key in ("a_second", "a_second_in_batches")]
        cells = [name, f"{value:.3f} [{low:.3f}, {high:.3f}]", *rates, *recall]
        lines.append("| " + " | ".join(cells) + " |")
    if seen:
        base = seen["ms"]["mien"][1]
        lines += [
            "",
            "## Pictures of 640x480 with one face, in headless Chromium",
            "",
            f"From the bytes of a JPEG to what is said, {told['rounds']} rounds of four scenes, tool after tool; "
            f"WebAssembly, {seen['threads']} threads for Mien's page, face-api's backend as it chooses.",
            "",
            "| tool | median ms | 5 to 95 % | times Mien's | faces found a picture (1 is there) |",
            "| --- | --- | --- | --- | --- |",
        ]
        for name, (low, middle, high) in seen["ms"].items():
            cells = [
                name,
                f"{middle:.1f}",
                f"{low:.1f} to {high:.1f}",
                f"{middle / base:.2f}",
                f"{seen['found'][name]:.2f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--fer", metavar="PYTHON")
    parser.add_argument("--face-api", type=Path, metavar="FOLDER")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=args.chromium, args=flags)
        told = {
            "commit": commit(),
            "machine": machine(),
            "rounds": args.rounds,
            "expressions": expressions(args, browser),
            "pictures": pictures(args, browser) if args.face_api else {},
        }
        browser.close()
    text = page_of(told)
    tell(text, args.out, told)


if __name__ == "__main__":
    main()
