"""How long a picture takes, from the file to the rows, beside the `fer` package on the same pictures.

    python benchmarks/predicting.py [--rounds 30] [--fer /path/to/python] [--out docs/results/predicting]

``--fer`` names the Python of an environment in which `fer` is installed (pip install fer tensorflow-cpu); it is asked
about the same files, picture by picture, turn by turn with Mien. Nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien.pictures.opening import quietly
from mien.predict import Predictor
from where import PORTRAIT, commit, machine, tell

_AIM_MS, _AIM_TIMES = 30.0, 3.0
_FER = """
import json, sys, time
import cv2
if sys.argv[1] == "mtcnn":
    import torchvision  # first: after TensorFlow, loading it crashes
from fer.fer import FER
detector = FER(mtcnn=sys.argv[1] == "mtcnn")
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    found = detector.detect_emotions(cv2.imread(line.strip()))
    told = json.dumps(found, default=lambda value: value.tolist())
    print(json.dumps([1000 * (time.perf_counter() - start), len(found)]), flush=True)
"""


class Fer:
    """`fer` in a process of its own, with one of its two detectors."""

    def __init__(self, python: str, kind: str) -> None:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        self.process = subprocess.Popen(
            [python, "-c", _FER, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                return json.loads(line)
            except ValueError:
                continue  # it prints what it likes
        raise SystemExit("fer ended; does it run in that environment?")

    def __call__(self, path: Path) -> tuple[float, int]:
        """Milliseconds, and faces found."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        ms, faces = self._answer()
        return ms, faces


def scenes(folder: Path) -> list[Path]:
    """Pictures of 640x480 with one face of 60 to 220 pixels."""
    portrait, made = Image.open(PORTRAIT).convert("RGB"), []
    for i, height in enumerate((150, 210, 300, 450)):
        scene = Image.new("RGB", (640, 480), (90, 110, 120))
        scene.paste(portrait.resize((round(portrait.width * height / portrait.height), height)), (40 + 60 * i, 15))
        made.append(folder / f"{height}.jpg")
        scene.save(made[-1], quality=90)
    return made


def mien(predictor: Predictor) -> Callable[[Path], tuple[float, int]]:
    """Mien in this process: file to JSON."""

    def ask(path: Path) -> tuple[float, int]:
        start = time.perf_counter()
        rows = next(iter(predictor.told([predictor.look(path)])))
        json.dumps([row.as_json() for row in rows])
        return 1000 * (time.perf_counter() - start), sum(row.face is not None for row in rows)

    return ask


def crops(rounds: int) -> dict[str, float]:
    """Aligned crops: milliseconds of one, and faces a second in batches of 64."""
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (64, 48, 48, 1), dtype=np.uint8)
    found = {}
    for threads in (1, 0):
        model = Predictor.load(detector=None, threads=threads).model
        model.answers(faces)
        one = [timed(partial(model.answers, faces[:1])) for _ in range(rounds * 3)]
        many = [timed(partial(model.answers, faces)) for _ in range(rounds)]
        called = "1 thread" if threads else "all threads"
        found[f"one face, ms, {called}"] = statistics.median(one)
        found[f"faces a second in batches, {called}"] = 64_000 / statistics.median(many)
    return found


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    """Measure in turns, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--fer", metavar="PYTHON")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    tools: dict[str, Callable[[Path], tuple[float, int]]] = {
        "mien": mien(Predictor.load()),
        "mien, one thread": mien(Predictor.load(threads=1, options={"threads": 1})),
        "mien, faces from 48 pixels": mien(Predictor.load(options={"smallest": 48})),
        "mien, BlazeFace": mien(Predictor.load(detector="blazeface")),
    }
    if args.fer:
        tools |= {"fer, MTCNN": Fer(args.fer, "mtcnn"), "fer, Haar cascade": Fer(args.fer, "haar")}
    taken: dict[str, list[float]] = {name: [] for name in tools}
    faces = dict.fromkeys(tools, 0)
    with tempfile.TemporaryDirectory() as folder, quietly():
        paths = scenes(Path(folder))
        for path in paths:  # warm
            for tool in tools.values():
                tool(path)
        for _ in range(args.rounds):
            for path in paths:
                for name, tool in tools.items():
                    ms, found = tool(path)
                    taken[name].append(ms)
                    faces[name] += found
    told = {
        "commit": commit(),
        "machine": machine(),
        "cores": os.cpu_count(),
        "rounds": args.rounds,
        "pictures": len(paths),
        "ms": {name: spread(values) for name, values in taken.items()},
        "found": {name: n / (args.rounds * len(paths)) for name, n in faces.items()},
        "crops": crops(args.rounds),
    }
    text = page(told)
    tell(text, args.out, told)


def spread(values: list[float]) -> dict[str, float]:
    """Median, and the middle nine tenths."""
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return {"median": float(middle), "p5": float(low), "p95": float(high)}


def page(told: dict[str, Any]) -> str:
    """The figures in words."""
    base = told["ms"]["mien"]["median"]
    theirs = told["ms"].get("fer, MTCNN", {}).get("median", float("nan")) / base
    aims = [f"The aim of under {_AIM_MS:g} ms is {'met' if base < _AIM_MS else 'missed'}"]
    if theirs == theirs:
        met = "met" if theirs >= _AIM_TIMES else "missed"
        aims.append(f"that of {_AIM_TIMES:g} times the speed of fer with MTCNN is {met}")
    lines = [
        "# From a file to its rows",
        "",
        f"{told['pictures']} scenes of 640x480 pixels with one face, {told['rounds']} rounds, tool after tool with "
        f"each picture; {told['cores']} cores ({told['machine']}), commit {told['commit']}. Milliseconds from the file "
        "to JSON.",
        "",
        "| tool | median | 5 to 95 % | times Mien's | faces found a picture (1 is there) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, ms in told["ms"].items():
        cells = [f"{ms['median']:.1f}", f"{ms['p5']:.1f} to {ms['p95']:.1f}", f"{ms['median'] / base:.2f}"]
        lines.append("| " + " | ".join([name, *cells, f"{told['found'][name]:.2f}"]) + " |")
    lines += ["", f"{'; '.join(aims)}.", "", "Crops that are given, the model alone:", ""]
    lines += ["| what | value |", "| --- | --- |"]
    lines += [f"| {name} | {value:.1f} |" for name, value in told["crops"].items()]
    lines += ["", "```sh", "python benchmarks/predicting.py --fer PYTHON --out docs/results/predicting", "```", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
