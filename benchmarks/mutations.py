"""Damage inputs of every kind at random, and read them: `python benchmarks/mutations.py --n 1000`.

Each reader (tables of predictions, ratings, corpora, stores, cards, annotators, configurations, records, audits,
features, checkpoints, networks) gets an honest input that is damaged in one to four places: bytes turned, cut
out, doubled or put in, numbers and words of a text exchanged for others, another encoding, a file that is
missing or a folder. It must answer, or refuse in one sentence of Mien's own (`MienError`), in bounded time
and memory. Everything else is a fault, and is printed with what repeats it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from mien.errors import MienError
from mien.stats.settings import Settings

SECONDS = 30  # most that one input may take
MEGABYTES = 1500  # most that all together may add to the memory of the process

WORDS = (
    "", "nan", "inf", "-1", "1e999", "9" * 400, "0x10", "true", "null", "None", "é", "\u202e", "\0", "=1+1", "happy",
    "a,b", '"', "'", "\n", "[" * 300, "{}", "[]", "../../etc/passwd", "1;2", "\ufeff", "1,5", "%",
)  # fmt: skip


def copy(source: Path) -> Callable[[Path], None]:
    """What writes a copy of a folder as the honest input."""
    return lambda folder: shutil.copytree(source, folder, dirs_exist_ok=True) and None


@dataclass(frozen=True)
class Reader:
    """Something that reads files.

    Attributes:
        name: For the report.
        make: Writes an honest input into an empty folder.
        read: Reads it from the folder, as far as users would.
    """

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], Any]


def damage(content: bytes, rng: random.Random) -> bytes:
    """One damage to the content of a file."""
    kind = rng.choice(("turn", "cut", "double", "put", "end", "word", "number", "key", "encoding", "empty", "line"))
    at = rng.randrange(len(content) + 1)
    size = rng.choice((1, 2, 8, 64, 1024))
    if not content:
        return rng.choice((b"\0", b"\n", b"{", b"PK"))
    if kind == "turn":
        out = bytearray(content)
        for _ in range(rng.choice((1, 4, 32))):
            out[rng.randrange(len(out))] = rng.randrange(256)
        return bytes(out)
    if kind == "cut":
        return content[:at] + content[at + size :]
    if kind == "double":
        return content[: at + size] + content[at:]
    if kind == "put":
        return content[:at] + rng.choice((rng.randbytes(size), b"\0" * size, b'"', b"\xff\xfe")) + content[at:]
    if kind == "end":
        return content[:at]
    if kind == "empty":
        return b""
    if kind == "line":
        lines = content.splitlines(keepends=True)
        rng.shuffle(lines) if rng.random() < 0.3 else lines.insert(
            rng.randrange(len(lines) + 1), rng.choice(lines or [b""])
        )
        return b"".join(lines)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content[::-1] if rng.random() < 0.05 else content[:at] + rng.randbytes(4) + content[at + 4 :]
    if kind == "encoding":
        return text.encode(rng.choice(("utf-16", "utf-8-sig", "utf-32")))
    pattern = {"word": r"[A-Za-z_]+", "number": r"-?\d+\.?\d*", "key": r'"[^"]*"\s*:'}[kind]
    found = list(re.finditer(pattern, text))
    if not found:
        return content
    one = rng.choice(found)
    other = rng.choice(found)[0] if kind == "key" or rng.random() < 0.3 else rng.choice(WORDS)
    return (text[: one.start()] + other + text[one.end() :]).encode("utf-8", "surrogatepass")


def mutate(folder: Path, rng: random.Random) -> str:
    """Damage files of a folder; returns what was damaged."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    told = []
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        path = rng.choice(files)
        told.append(path.name)
        chance = rng.random()
        if chance < 0.02 and path.is_file():
            path.unlink()
        elif chance < 0.03 and path.is_file():
            path.unlink()
            path.mkdir()
        elif path.is_file():
            path.write_bytes(damage(path.read_bytes(), rng))
    return ", ".join(told)


def predictions(rng: np.random.Generator, n: int = 60) -> pd.DataFrame:
    """An honest table."""
    classes = ["happy", "sad", "angry"]
    probs = rng.dirichlet(np.ones(3), n)
    frame = pd.DataFrame(probs.round(6), columns=[f"prob_{c}" for c in classes])
    frame.insert(0, "sample_id", [f"f{i}" for i in range(n)])
    frame.insert(1, "label", rng.choice(classes, n))
    return frame.assign(gender=rng.choice(["f", "m"], n), age=rng.integers(10, 80, n), cluster=rng.integers(0, 40, n))


def faces(folder: Path, rng: np.random.Generator, n: int = 12) -> list[str]:
    """Pictures in several formats; returns their names."""
    names = []
    for i in range(n):
        name = f"{i}.{('png', 'jpg', 'bmp', 'gif', 'pgm', 'tiff')[i % 6]}"
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(folder / name)
        names.append(name)
    return names


def readers(work: Path) -> list[Reader]:
    """All readers, with what they need beside their input."""
    from mien.adapters.onnx import onnx_model
    from mien.agreement.ratings import read_ratings
    from mien.audit import AnnotatorError, Audit, audit, candidate_attributes, load_features
    from mien.data.images import Store
    from mien.prepare import prepare
    from mien.records import Predictions

    rng = np.random.default_rng(0)
    prepare("synthetic", work / "store", n=60, size=24)
    table = predictions(rng)
    found = audit(Predictions.from_frame(table, source="t"), ["gender"], settings=Settings(n_boot=100, n_perm=100))
    found.save(work / "audited")

    def csv(folder: Path) -> None:
        table.to_csv(folder / "p.csv", index=False)

    def parquet(folder: Path) -> None:
        table.to_parquet(folder / "p.parquet")

    def tool(folder: Path) -> None:
        row = {"dominant_emotion": "happy", "emotion": {"happy": 90.0, "sad": 10.0}}
        (folder / "p.json").write_text(json.dumps([{"img": f"f{i}.png", **row} for i in range(9)]))
        known = pd.DataFrame(
            {"sample_id": [f"f{i}.png" for i in range(9)], "label": "happy", "team": list("ababababa")}
        )
        known.to_csv(folder / "known.csv", index=False)

    def lines(folder: Path) -> None:
        rows = [{"label": ("sad", "happy")[i % 3 > 0], "pred": "happy", "team": "ab"[i % 2]} for i in range(40)]
        (folder / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def array(folder: Path) -> None:
        np.save(folder / "p.npy", table[[c for c in table if c.startswith("prob_")]].to_numpy())
        table[["sample_id", "label", "gender"]].to_csv(folder / "known.csv", index=False)

    def archive(folder: Path) -> None:
        np.savez(folder / "f.npz", sample_id=np.array(table["sample_id"], dtype=str), features=rng.normal(size=(60, 4)))

    def ratings(folder: Path) -> None:
        rows = [(f"f{i}", f"r{j}", ("happy", "sad")[(i * j) % 3 > 1]) for i in range(8) for j in range(3)]
        pd.DataFrame(rows, columns=["sample_id", "annotator", "label"]).to_csv(folder / "r.csv", index=False)

    def pictures(folder: Path) -> None:
        for name in ("happy", "sad"):
            (folder / "c" / name).mkdir(parents=True)
            faces(folder / "c" / name, rng)

    def manifest(folder: Path) -> None:
        names = faces(folder, rng)
        pd.DataFrame({"path": names, "label": ["happy", "sad"] * 6}).to_csv(folder / "m.csv", index=False)

    def fer(folder: Path) -> None:
        text = [" ".join(map(str, rng.integers(0, 255, 48 * 48))) for _ in range(4)]
        frame = pd.DataFrame({"emotion": [0, 3, 4, 6], "pixels": text, "Usage": "Training"})
        frame.to_csv(folder / "fer2013.csv", index=False)

    def confusion(folder: Path) -> None:
        pd.DataFrame([[90, 10], [5, 95]], index=["f", "m"], columns=["f", "m"]).to_csv(folder / "e.csv")

    def network(folder: Path) -> None:
        from onnx import TensorProto, helper, save

        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 24, 24])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
        w = helper.make_tensor("w", TensorProto.FLOAT, [576, 3], np.zeros(1728, dtype=np.float32))
        nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
        graph = helper.make_graph(nodes, "m", [x], [y], [w])
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / "m.onnx")

    def judged(found: Predictions) -> None:
        audit(found, candidate_attributes(found)[:2], settings=Settings(n_boot=100, n_perm=100), power=False)

    def corpus(source: str, mode: str) -> Callable[[Path], Any]:
        return lambda folder: prepare(folder / source, work / f"made-{time.monotonic_ns()}", on_bad_row=mode)

    def whole(store: Store) -> None:
        store.verify()
        _ = store.images[:2], store.table.votes

    return [
        Reader("predictions, CSV", csv, lambda f: judged(Predictions.load(f / "p.csv"))),
        Reader("predictions, Parquet", parquet, lambda f: judged(Predictions.load(f / "p.parquet"))),
        Reader(
            "predictions, a tool's JSON", tool, lambda f: Predictions.load(f / "p.json", annotations=f / "known.csv")
        ),
        Reader("predictions, JSON lines", lines, lambda f: judged(Predictions.load(f / "p.jsonl"))),
        Reader(
            "predictions, an array beside annotations",
            array,
            lambda f: Predictions.load(f / "p.npy", ("happy", "sad", "angry"), annotations=f / "known.csv"),
        ),
        Reader("features", archive, lambda f: load_features(f / "f.npz", list(table["sample_id"]))),
        Reader("ratings", ratings, lambda f: read_ratings(f / "r.csv")),
        Reader("an annotator's confusion", confusion, lambda f: AnnotatorError.load(f / "e.csv")),
        Reader("a folder of pictures", pictures, corpus("c", "error")),
        Reader("a folder of pictures, bad ones dropped", pictures, corpus("c", "drop")),
        Reader("a manifest", manifest, corpus("m.csv", "error")),
        Reader("a manifest, bad rows dropped", manifest, corpus("m.csv", "drop")),
        Reader("FER2013's CSV", fer, corpus("fer2013.csv", "error")),
        Reader("FER2013's CSV, bad rows dropped", fer, corpus("fer2013.csv", "drop")),
        Reader("a store", copy(work / "store"), lambda f: whole(Store.open(f))),
        Reader("an audit", copy(work / "audited"), Audit.load),
        Reader("a network", network, lambda f: onnx_model(f / "m.onnx", classes="a,b,c", threads=1)),
    ]


def readers_of_weights(work: Path) -> list[Reader]:
    """The readers that need PyTorch."""
    import torch

    from mien.annotators.mien import BUNDLED, MienAnnotator
    from mien.models import MODELS
    from mien.models.weights import Classifier, WeightCard, save_weights
    from mien.runs import Run
    from mien.train import load_experiment, train

    torch.set_num_threads(1)
    module = MODELS.get("mienet")(3, 1, **MODELS.tiny("mienet"))
    card = WeightCard(
        model="mienet",
        options=MODELS.tiny("mienet"),
        classes=("a", "b", "c"),
        size=24,
        in_channels=1,
        mean=(0.5,),
        std=(0.25,),
    )
    save_weights(module, card, work / "weights")
    (work / "c.yaml").write_text(
        f"name: m\ndata: {{store: {work / 'store'}}}\nmodel: {{name: mienet, options: {{widths: [4, 4, 4]}}}}\n"
        "train: {epochs: 2, batch_size: 32, threads: 1, max_minutes: 1.0e-9}\naudit: {by: [gender]}\n"
    )
    train(load_experiment(work / "c.yaml"), work / "run")

    return [
        Reader("weights and card", copy(work / "weights"), Classifier.load),
        Reader("an annotator", copy(BUNDLED), lambda f: MienAnnotator(f).holdout(np.zeros((2, 48, 48, 1), np.uint8))),
        Reader(
            "a configuration",
            lambda f: shutil.copy(work / "c.yaml", f) and None,
            lambda f: load_experiment(f / "c.yaml"),
        ),
        Reader("a run", copy(work / "run"), lambda f: (Run.open(f).config, Run.open(f).history, Run.open(f).splits)),
        Reader("a run to resume", copy(work / "run"), lambda f: train(load_experiment(work / "c.yaml"), f)),
    ]


class TooLong(BaseException):
    """An input took longer than any may."""


def _ring(number: int, frame: FrameType | None) -> None:
    raise TooLong


def attempt(reader: Reader, seed: int) -> tuple[str, str]:
    """Damage one input and read it; returns ``read``, ``refused`` or ``fault``, and what is to be told of it."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "in"
        folder.mkdir()
        reader.make(folder)
        damaged = mutate(folder, random.Random(f"{reader.name} {seed}"))
        before = signal.signal(signal.SIGALRM, _ring)
        signal.alarm(SECONDS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", category=DeprecationWarning)
                reader.read(folder)
            return "read", ""
        except MienError as error:
            text = str(error)
            said = text.partition("after the first:")[0]  # then up to ten bad rows are listed, one a line
            if "\n" in said or len(text) > 4000:
                return "fault", f"{damaged}: the sentence has several lines or no end: {text[:300]!r}"
            return "refused", text
        except TooLong:
            return "fault", f"{damaged}: took more than {SECONDS} s"
        except Exception:
            return "fault", f"{damaged}: {traceback.format_exc()}"
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)


def campaign(work: Path, n: int, first: int = 0, only: str = "", say: Callable[[str], None] = print) -> list[str]:
    """Try `n` damaged inputs in all, the same number for each reader; returns the faults."""
    found = readers(work)
    if importlib.util.find_spec("torch") is not None:
        found += readers_of_weights(work)
    chosen = [r for r in found if only in r.name and (r.name != "a network" or importlib.util.find_spec("onnx"))]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    faults: list[str] = []
    each = -(-n // len(chosen))
    for reader in chosen:
        with tempfile.TemporaryDirectory() as made:
            reader.make(Path(made))
            reader.read(Path(made))  # what is not damaged is read
        began, counts = time.monotonic(), Counter[str]()
        for seed in range(first, first + each):
            outcome, told = attempt(reader, seed)
            counts[outcome] += 1
            if outcome == "fault":
                faults.append(f"{reader.name}, seed {seed}: {told}")
        added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - memory
        if added > MEGABYTES:
            faults.append(f"{reader.name}: memory grew by {added:.0f} MB")
            memory += added
        say(f"{reader.name}: {dict(counts)} in {time.monotonic() - began:.1f} s, memory +{added:.0f} MB")
    return faults


def main() -> int:
    """Run; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000, help="damaged inputs, over all readers")
    parser.add_argument("--first", type=int, default=0, help="first seed, to go on from another campaign")
    parser.add_argument("--only", default="", help="readers whose name holds a text")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        faults = campaign(Path(work), options.n, options.first, options.only, lambda line: print(line, flush=True))
    print("\n".join(faults))
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
