"""Kill commands at random moments, and see what is left: `python benchmarks/kills.py --out FOLDER --kills 50`.

Each command works over an older result (prepare, audit and report over what an earlier call made; train on an
empty place, and with --force over a finished run). It is killed (SIGKILL) at a moment drawn from the time that
it takes, and then:

- what lies at its place must be the older result or the new one, whole, byte for byte or as its readers check it;
- the same command must go on to its end;
- nothing may be left beside the place after that.

Prints a line for each command and exits with 1 if anything did not hold. Commands are children forked from one
process that has imported all, so that a kill costs as long as the command runs, not its start.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mien.audit import Audit
from mien.cli import main as mien
from mien.data.images import Store
from mien.models.weights import Classifier
from mien.prepare import prepare
from mien.runs import Run

CONFIG = """
name: killed
data: {store: STORE}
model: {name: mienet, options: {widths: [8, 16, 16]}}
train: {epochs: 3, batch_size: 64, threads: 1}
"""


@dataclass(frozen=True)
class Case:
    """A command, what lies there before it, and how its readers see that.

    Attributes:
        words: The command.
        place: What it writes.
        before: Lays an older result there, or takes it away.
        read: Reads what lies there as its readers do, and says which it is; ``nothing`` where nothing may be.
    """

    name: str
    words: list[str]
    place: Path
    before: Callable[[], None]
    read: Callable[[], str]


def contents(place: Path) -> str:
    """A checksum of all files under a place, or of one file; ``nothing`` where there is none."""
    if not place.exists():
        return "nothing"
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file() and p.name != ".lock")
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(place.parent)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def in_child(words: list[str]) -> int:
    """Run a command in a child that is forked from this process; returns its number."""
    child = os.fork()
    if child:
        return child
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    sys.argv = ["mien", *words]
    try:
        mien()
    except SystemExit as end:
        os._exit(int(end.code or 0))
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    os._exit(99)


def wait(child: int) -> int:
    """How a child ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def table(path: Path, seed: int, n: int = 3000) -> Path:
    """Predictions of a made-up model."""
    rng = np.random.default_rng(seed)
    label = rng.choice(["happy", "sad", "angry"], n)
    pred = np.where(rng.random(n) < 0.8, label, "happy")
    pd.DataFrame({"label": label, "pred": pred, "team": rng.choice(["a", "b"], n)}).to_csv(path, index=False)
    return path


def read_audit(place: Path) -> str:
    """Which audit: all of its files must be of one."""
    if not place.exists():
        return "nothing"
    found = Audit.load(place)
    page = (place / "audit.html").read_text()
    groups = pd.read_csv(place / "groups.csv")
    assert found.verdict[:40] in (place / "audit.md").read_text()
    assert str(found.n) in page
    shown = groups[groups["metric"] == "accuracy"]["value"].tolist()
    assert np.allclose(shown, [g.metrics["accuracy"].value for g in found.attributes[0].groups], atol=1e-5)
    return contents(place)


def read_run(place: Path) -> str:
    """Which run, by its seed; ``begun`` where no epoch has ended."""
    if not (place / "record.json").is_file():
        return "nothing"
    run = Run.open(place)
    if not (place / "model.safetensors").is_file():
        return "begun"
    Classifier.load(place)
    return f"seed {run.record.seed}"


def cases(folder: Path) -> list[Case]:
    """All commands."""
    prepare("synthetic", folder / "faces", n=600, size=24)
    old, new = table(folder / "old.csv", 0), table(folder / "new.csv", 1)
    config = folder / "c.yaml"
    config.write_text(CONFIG.replace("STORE", str(folder / "faces")))
    kept: dict[str, Path] = {}

    def keep(name: str, words: list[str], place: Path) -> Callable[[], None]:
        """Make an older result once, and lay a copy of it there each time."""
        kept[name] = folder / f"{name}-older"
        shutil.rmtree(place, ignore_errors=True)
        assert wait(in_child(words)) == 0, (words, Path("said.txt").read_text())
        (shutil.copytree if place.is_dir() else shutil.copy)(place, kept[name])

        def lay() -> None:
            for left in [place, *place.parent.glob(f".{place.name}.*")]:
                (shutil.rmtree if left.is_dir() else os.remove)(left) if left.exists() else None
            (shutil.copytree if kept[name].is_dir() else shutil.copy)(kept[name], place)

        return lay

    store, audited, page, run = folder / "store", folder / "audited", folder / "page.html", folder / "run"
    audit = ["--by", "team", "--n-boot", "200", "--n-perm", "200", "--out", str(audited)]
    make = ["prepare", "synthetic", "--size", "32", "--out", str(store)]
    return [
        Case(
            "prepare --force over a store",
            [*make, "--option", "n=900", "--force"],
            store,
            keep("prepare", [*make, "--option", "n=500"], store),
            lambda: Store.open(store).verify() or contents(store),
        ),
        Case(
            "audit --force over an audit",
            ["audit", str(new), *audit, "--force"],
            audited,
            keep("audit", ["audit", str(old), *audit], audited),
            lambda: read_audit(audited),
        ),
        Case(
            "report --force over a page",
            ["report", str(folder / "faces"), "--no-faces", "--out", str(page), "--force"],
            page,
            keep("report", ["report", str(store), "--no-faces", "--out", str(page)], page),
            lambda: contents(page) if page.read_text().rstrip().endswith("</html>") else "cut",
        ),
        Case(
            "train",
            ["train", str(config), "--out", str(run)],
            run,
            lambda: shutil.rmtree(run, ignore_errors=True),
            lambda: read_run(run),
        ),
        Case(
            "train --force over a run",
            ["train", str(config), "--out", str(run), "--force", "--set", "seed=1"],
            run,
            keep("train", ["train", str(config), "--out", str(run)], run),
            lambda: read_run(run),
        ),
    ]


def campaign(case: Case, kills: int, rng: np.random.Generator) -> tuple[Counter[str], list[str]]:
    """Kill a command many times; returns what was left, and what did not hold."""
    case.before()
    older = case.read() if case.place.exists() else "nothing"
    began = time.monotonic()
    code = wait(in_child(case.words))
    took = time.monotonic() - began
    assert code == 0, (case.name, Path("said.txt").read_text())
    newer = case.read()
    left: Counter[str] = Counter()
    wrong: list[str] = []
    for _ in range(kills):
        case.before()
        child = in_child(case.words)
        moment = float(rng.uniform(0, took))
        time.sleep(moment)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        ended = wait(child)
        try:
            found = case.read() if case.place.exists() else "nothing"
        except Exception as error:
            found = f"unreadable ({error!r})"
        known = {older: "older", newer: "new", "nothing": "nothing", "begun": "begun"}
        left[known.get(found, "another") + (" (it had ended)" if ended == 0 else "")] += 1
        if found not in ({older, newer, "begun"} if case.name == "train" else {older, newer}):
            wrong.append(f"{case.name}, killed after {moment:.2f} s: {found}")
        if wait(in_child(case.words)) != 0:
            said = Path("said.txt").read_text().strip()
            if "the run is finished" not in said:
                wrong.append(f"{case.name}, killed after {moment:.2f} s: the same command ends in {said[-300:]}")
        beside = [p.name for p in case.place.parent.glob(f".{case.place.name}.*")]
        if beside:
            wrong.append(f"{case.name}, killed after {moment:.2f} s: left {beside}")
        if case.read() != newer:
            wrong.append(f"{case.name}, killed after {moment:.2f} s: ended with {case.read()}, not {newer}")
    return left, wrong


def main() -> int:
    """Run all; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="an empty folder to work in")
    parser.add_argument("--kills", type=int, default=50, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    os.chdir(options.out)
    rng = np.random.default_rng(options.seed)
    failed = []
    for case in cases(Path.cwd()):
        left, wrong = campaign(case, options.kills, rng)
        print(f"{case.name}: {options.kills} kills, {len(wrong)} faults; left: "
              + ", ".join(f"{what} {n}" for what, n in left.most_common()), flush=True)  # fmt: skip
        failed += wrong
    print("\n".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
