"""Audits of every kind give the numbers that they gave: what is moved or made simpler must not change a result.

`python tests/test_golden_audits.py` writes the golden outputs anew; do that only where a result is meant to change.
"""

from __future__ import annotations

import gzip
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mien.cli import app
from whole_tables import CLASSES, faces, with_probs

pytestmark = pytest.mark.usefixtures("undrawn")

GOLDEN = Path(__file__).parent / "golden"
FEW = ("--n-boot", "200", "--n-perm", "100", "--seed", "3")


def tables(folder: Path) -> None:
    """Two models, and three seeds of one, on the same drawn faces; groups of every kind."""
    n = 600
    rng = np.random.default_rng(7)
    age = rng.choice(["child", "adult", "old"], n, p=[0.3, 0.6, 0.1])
    race = rng.choice(["a", "b"], n, p=[0.7, 0.3])
    brightness = rng.normal(0.5, 0.1, n) + 0.1 * (age == "child")
    person = np.arange(n) // 2
    first = faces(n, sample_id=[f"f{i}" for i in range(n)], age=age, brightness=brightness.round(4), identity=person)
    first = first.assign(perceived_race=race, perceived_race_confidence=rng.uniform(0.5, 1, n).round(3))
    votes = np.eye(7)[[int(np.flatnonzero(c == CLASSES)[0]) for c in first["label"]]] * 8 + rng.integers(0, 2, (n, 7))
    first = first.assign(**{f"votes_{c}": votes[:, k] for k, c in enumerate(CLASSES)})
    with_probs(first).to_csv(folder / "first.csv", index=False)
    for seed, name in enumerate(("second", "third", "fourth")):
        wrong = np.random.default_rng(seed).random(n) < np.where(age == "old", 0.3, 0.1)
        other = CLASSES[np.random.default_rng(seed + 9).integers(0, 7, n)]
        with_probs(first.assign(pred=np.where(wrong, other, first["pred"]))).to_csv(folder / f"{name}.csv", index=False)
    confusion = {"groups": ["a", "b"], "counts": [[180, 20], [30, 170]], "source": "drawn"}
    (folder / "race.json").write_text(json.dumps(confusion))
    features = rng.normal(0, 1, (n, 6)) + 0.8 * (first["gender"] == "female").to_numpy()[:, None]
    np.savez(folder / "features.npz", sample_id=first["sample_id"].to_numpy(str), features=features.astype(np.float32))


COMMANDS = {
    "plain": ("audit", "first.csv", "--by", "gender,age,gender*age", "--confounders", "none"),
    "held_common": ("audit", "first.csv", "--by", "age,brightness:3"),
    "perceived": ("audit", "first.csv", "--by", "perceived_race", "--annotator-error", "perceived_race=race.json"),
    "leakage": ("audit", "first.csv", "--by", "gender", "--features", "features.npz", "--leakage"),
    "gated": ("audit", "first.csv", "--by", "gender", "--fail-if", "worst(recall, by=gender) < 0.99"),
    "compared": ("compare", "first.csv", "second.csv", "--by", "gender,age"),
    "seeds": ("compare", "second.csv", "third.csv", "fourth.csv", "--seeds", "--by", "gender,age"),
}


def outputs(name: str, folder: Path) -> dict[str, Any]:
    """What a command writes for machines."""
    words = [
        str(folder / w.removeprefix("perceived_race=")) if w.endswith((".csv", ".npz")) else w for w in COMMANDS[name]
    ]
    words = [f"perceived_race={folder / 'race.json'}" if w == "perceived_race=race.json" else w for w in words]
    few = FEW if words[0] == "audit" else (*FEW[:2], *FEW[4:])
    code: Any = 0
    try:
        app([*words, *few, "--out", str(folder / name)], exit_on_error=False, print_error=False)
    except SystemExit as end:
        code = end.code
    assert code in (0, 3)
    found = {p.name: json.loads(p.read_text()) for p in sorted((folder / name).glob("*.json"))}
    found |= {p.name: pd.read_csv(p).to_dict("list") for p in sorted((folder / name).glob("*.csv"))}
    return {"files": found}


def differences(was: Any, now: Any, place: str = "") -> list[str]:
    """Where two contents differ; numbers by more than what another version of a library rounds otherwise."""
    if isinstance(was, dict) and isinstance(now, dict):
        told = [f"{place}.{key} only in one" for key in was.keys() ^ now.keys()]
        return told + [d for key in was.keys() & now.keys() for d in differences(was[key], now[key], f"{place}.{key}")]
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        return [d for i, pair in enumerate(zip(was, now, strict=True)) for d in differences(*pair, f"{place}[{i}]")]
    if isinstance(was, float | int) and isinstance(now, float | int):
        same = math.isclose(was, now, rel_tol=1e-6, abs_tol=1e-9) or (math.isnan(was) and math.isnan(now))
    else:
        same = was == now
    return [] if same else [f"{place}: {was!r} became {now!r}"]


def _ours(content: Any) -> Any:
    """Without what names this machine, place, time or commit."""
    if isinstance(content, dict):
        return {
            k: _ours(v) for k, v in content.items() if k not in ("source", "versions", "written", "sha256", "files")
        }
    return [_ours(v) for v in content] if isinstance(content, list) else content


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden")
    tables(path)
    return path


@pytest.mark.parametrize("name", COMMANDS)
def test_the_numbers_are_those_of_before(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    was = json.loads(gzip.decompress((GOLDEN / f"{name}.json.gz").read_bytes()))
    now = json.loads(json.dumps(outputs(name, folder), default=str))
    assert differences(_ours(was), _ours(now))[:20] == []


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        tables(Path(place))
        for kind in COMMANDS:
            content = json.dumps(outputs(kind, Path(place)), default=str, sort_keys=True).encode()
            (GOLDEN / f"{kind}.json.gz").write_bytes(gzip.compress(content, mtime=0))
