"""Pictures and faces a second on Ray beside the plain path, and the memory of the plain path over many pictures.

    python benchmarks/scaling.py STORE [--pictures 600 2400] [--faces 8000 32000] [--rounds 3] [--memory 10000]
                                 [--out docs/results/scaling]

Both paths use all cores: `mien predict` its threads, Ray a worker a core. Each command is a process of its own, in
turns; STORE is of `mien prepare` and is annotated. A start (Python, Ray's own processes, the networks) costs seconds
once, whatever comes after it: so each is run with few pictures and with many, and the rate is that of the difference.
Memory is the largest resident set of the plain path, told by the system when it has ended. Nothing else should run
beside it.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mien.data.images import Store, StoreWriter
from mien.wording import plural
from predicting import scenes
from where import command, commit, machine, tell

_AIM = 0.85  # of the plain path's rate
_FLAT = 1.1  # times the memory over few pictures


def run(words: Sequence[object]) -> tuple[float, float]:
    """Seconds that a command took, and MB of the largest process that had ended by then."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "mien.cli", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def listed(folder: Path, n: int) -> Path:
    """A list of so many pictures: four files under as many names as it takes."""
    made = scenes(folder)
    names = []
    for i in range(n):
        name = folder / f"{i}.jpg"
        if not name.exists():
            os.link(made[i % len(made)], name)
        names.append(str(name))
    path = folder / f"list{n}.csv"
    pd.DataFrame({"path": names}).to_csv(path, index=False)
    return path


def part(store: Store, n: int, path: Path) -> Path:
    """The first faces of a store as a store of its own."""
    if not path.exists():
        table = store.table
        frame = table.frame.iloc[:n].reset_index(drop=True).assign(image=range(n))
        with StoreWriter(path) as writer:
            writer.append(store.images[:n])
            writer.commit(table.derive("part", frame), store.info)
    return path


def main() -> None:
    """Measure in turns, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--pictures", type=int, nargs=2, default=[600, 2400])
    parser.add_argument("--faces", type=int, nargs=2, default=[8000, 32000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        memory = {}
        for n in (args.pictures[0], args.memory):  # first: the largest process so far is the one that ended last
            _, memory[n] = run(["predict", listed(folder, n), "--out", folder / f"memory{n}.csv"])
        ways: dict[tuple[str, str], list[Any]] = {}
        store = Store.open(args.store)
        for n in args.pictures:
            for way in ("plain", "Ray"):
                ways.setdefault(("predict", way), []).append((n, listed(folder, n)))
        for n in args.faces:
            for way in ("plain", "Ray"):
                ways.setdefault(("annotate", way), []).append((n, part(store, n, folder / f"store{n}")))
        taken: dict[tuple[str, str, int], list[float]] = {}
        for turn in range(args.rounds):
            for (verb, way), sizes in ways.items():
                for n, given in sizes:
                    out = folder / f"{verb}-{way}-{n}-{turn}"
                    ray = ["--ray", "local"] if way == "Ray" else []
                    ends = ".parquet" if verb == "predict" and not ray else ""
                    seconds, _ = run([verb, given, "--out", f"{out}{ends}", *ray])
                    taken.setdefault((verb, way, n), []).append(seconds)
                    print(f"{verb}, {way}, {n}: {seconds:.1f} s", file=sys.stderr)
    lines, rates = [], {}
    for (verb, way), sizes in ways.items():
        few, many = (sizes[i][0] for i in (0, 1))
        short, long = (statistics.median(taken[verb, way, n]) for n in (few, many))
        rates[verb, way] = (many - few) / (long - short)
        ratio = rates[verb, way] / rates[verb, "plain"]
        lines.append(
            f"| {verb}, {way} | {short:.1f} s of {few:,} | {long:.1f} s of {many:,} | {rates[verb, way]:.1f} | "
            f"{rates[verb, way] / cores:.1f} | {ratio:.2f} |"
        )
    (few, small), (many, large) = memory.items()
    against = [rates[verb, "Ray"] / rates[verb, "plain"] for verb in ("predict", "annotate")]
    met = ["is met" if ok else "is not met" for ok in (against[0] >= _AIM, against[1] >= _AIM, large <= _FLAT * small)]
    of = "the median" if args.rounds > 1 else "the one"
    text = f"""# Many pictures: Ray beside the plain path, and memory

{cores} cores ({machine()}), commit {commit()}; {of} of {plural(args.rounds, "round")}, in turns. Pictures are scenes of
640x480 with one face, faces are those of {store.info.get("corpus", args.store.name)} at {store.images.shape[1]} pixels.
A second counts what the longer run has more than the shorter, so that starts (of Python, of Ray's processes, of the
networks) are left out; both columns of seconds hold them.

| what | few | many | a second | a second and core | times the plain path's |
| --- | --- | --- | --- | --- | --- |
{chr(10).join(lines)}

Memory of the plain path, the largest resident set: {small:.0f} MB over {few:,} pictures, {large:.0f} MB over {many:,}.

The aim of a rate a core within 15 % of the plain path's, a ratio of {_AIM}, {met[0]} by `predict` and {met[1]} by
`annotate`. That of flat memory, at most a tenth more over {many:,} pictures than over {few:,}, {met[2]}.

```sh
{command()}
```
"""
    record = {
        "seconds": {f"{verb}, {way}, {n}": each for (verb, way, n), each in taken.items()},
        "rates": {f"{verb}, {way}": rate for (verb, way), rate in rates.items()},
        "memory_mb": memory,
        "machine": machine(),
        "cores": cores,
        "commit": commit(),
    }
    tell(text, args.out, record)


if __name__ == "__main__":
    main()
