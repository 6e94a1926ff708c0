"""`mien audit` and `mien compare` on what other tools wrote, with the annotations in another table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mien.cli import app
from mien.errors import DataError, UsageError

pytestmark = pytest.mark.usefixtures("undrawn")

QUICK = ("--by", "gender", "--n-boot", "100", "--n-perm", "100")
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def run(*words: object) -> int:
    """The command in this process; its exit code."""
    try:
        app([str(w) for w in words], exit_on_error=False, print_error=False)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture
def faces(tmp_path: Path) -> pd.DataFrame:
    """280 faces, men recognised less often; ``labels.csv`` and ``class_scores.csv`` stand in the folder."""
    rng = np.random.default_rng(0)
    label = rng.integers(7, size=280)
    gender = rng.choice(["female", "male"], 280)
    scores = rng.dirichlet(np.ones(7), 280)
    right = rng.random(280) < np.where(gender == "male", 0.4, 0.9)
    scores[np.arange(280), label] += np.where(right, 2, 0)
    frame = pd.DataFrame(scores / scores.sum(1, keepdims=True), columns=[f"prob_{c}" for c in CLASSES])
    frame = frame.assign(label=np.array(CLASSES)[label], gender=gender, path=[f"a/{i}.jpg" for i in range(280)])
    frame[["label", "gender", "path"]].sample(frac=1, random_state=0).to_csv(tmp_path / "labels.csv", index=False)
    frame.drop(columns="path").to_csv(tmp_path / "table.csv", index=False)
    return frame


def deepface(frame: pd.DataFrame) -> list[list[dict[str, object]]]:
    """The faces as deepface returns them."""
    values = 100 * frame[[f"prob_{c}" for c in CLASSES]].to_numpy()
    return [[{"emotion": dict(zip(CLASSES, row, strict=True)), "face_confidence": 0.9}] for row in values.tolist()]


def accuracy_gap(folder: Path) -> float:
    gaps = pd.read_csv(folder / "gaps.csv")
    return float(gaps.loc[gaps["metric"] == "accuracy", "gap"].iloc[0])


def test_deepface_by_name_gives_what_its_table_gives(tmp_path: Path, faces: pd.DataFrame, capsys) -> None:
    (tmp_path / "df.json").write_text(json.dumps(dict(zip(faces["path"], deepface(faces), strict=True))))
    assert run("audit", tmp_path / "table.csv", *QUICK, "--out", tmp_path / "table") == 0
    capsys.readouterr()
    given = ("--annotations", tmp_path / "labels.csv")
    assert run("audit", tmp_path / "df.json", *given, *QUICK, "--out", tmp_path / "json") == 0
    assert accuracy_gap(tmp_path / "json") == pytest.approx(accuracy_gap(tmp_path / "table"))
    assert "percentages (their rows sum to 100)" in (tmp_path / "json" / "audit.md").read_text()
    assert "Read this first" not in capsys.readouterr().out


def test_a_file_without_names_is_doubted_in_the_first_lines(tmp_path: Path, faces: pd.DataFrame, capsys) -> None:
    (tmp_path / "df.json").write_text(json.dumps(deepface(faces)))
    faces[["label", "gender"]].to_csv(tmp_path / "in_order.csv", index=False, sep=";")
    assert run("audit", tmp_path / "df.json", "--annotations", tmp_path / "in_order.csv", *QUICK) == 0
    head = " ".join(capsys.readouterr().out[:600].split())
    assert "df.json does not name its pictures" in head
    with pytest.raises(DataError, match="--annotations FILE, a table with the column 'label'"):
        app(["audit", str(tmp_path / "df.json"), *QUICK], exit_on_error=False)


def test_an_array_with_its_classes(tmp_path: Path, faces: pd.DataFrame) -> None:
    np.save(tmp_path / "p.npy", faces[[f"prob_{c}" for c in CLASSES]].to_numpy())
    faces[["label", "gender"]].to_csv(tmp_path / "in_order.csv", index=False)
    given = ("--annotations", tmp_path / "in_order.csv", "--classes", ", ".join(CLASSES))
    assert run("audit", tmp_path / "p.npy", *given, *QUICK, "--out", tmp_path / "npy") == 0
    run("audit", tmp_path / "table.csv", *QUICK, "--out", tmp_path / "table")
    assert accuracy_gap(tmp_path / "npy") == pytest.approx(accuracy_gap(tmp_path / "table"))


def test_two_tools_are_compared_on_one_table_of_annotations(tmp_path: Path, faces: pd.DataFrame, capsys) -> None:
    results = dict(zip(faces["path"], deepface(faces), strict=True))
    (tmp_path / "a.json").write_text(json.dumps(results))
    (tmp_path / "b.json").write_text(json.dumps(dict(reversed(results.items()))))
    words = ("compare", tmp_path / "a.json", tmp_path / "b.json", "--by", "gender", "--n-boot", "100")
    assert run(*words, "--annotations", tmp_path / "labels.csv", "--json") == 0
    assert json.loads(capsys.readouterr().out)


def test_a_run_has_its_own_labels(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--annotations: labels\.csv, expected no annotations beside a run"):
        app(["audit", str(tmp_path), "--annotations", "labels.csv", *QUICK], exit_on_error=False)
