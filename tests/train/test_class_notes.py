"""Classes without faces, or with hardly any, are named before training: by name, on the screen and in the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.config import ExperimentConfig, parse_config
from mien.data.class_notes import class_notes, present_classes
from mien.errors import DataError, LabelError
from mien.evaluate import evaluate
from mien.prepare import prepare
from mien.report import render_report
from mien.runs import Run
from mien.stats.settings import Settings
from mien.train import train


def store_of(folder: Path, **splits: dict[str, int]) -> Path:
    """A store of noise pictures: split -> class -> faces."""
    rng = np.random.default_rng(0)
    lines = ["path,label,split,team"]
    for split, counts in splits.items():
        for label, n in counts.items():
            for _ in range(n):
                name = f"{len(lines)}.png"
                Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(folder / name)
                lines.append(f"{name},{label},{split},{'ab'[len(lines) % 2] if split == 'train' else 'a'}")
    (folder / "faces.csv").write_text("\n".join(lines))
    prepare(folder / "faces.csv", folder / "store")
    return folder / "store"


def config_of(store: Path, **sections: Any) -> ExperimentConfig:
    return parse_config(
        {
            "data": {"store": str(store)},
            "model": {"name": "mienet", "options": {"widths": [8], "depths": [1], "stem": 4}},
            "train": {"epochs": 1, "batch_size": 8, "threads": 1},
            **sections,
        }
    )


def test_classes_without_faces_are_named_before_the_first_epoch(tmp_path: Path) -> None:
    parts = {"train": {"happy": 20, "sad": 12, "fear": 1, "angry": 1}, "valid": {"happy": 5, "disgust": 12}}
    store = store_of(tmp_path, **parts, test={"happy": 3, "sad": 4})
    said: list[str] = []
    run = train(config_of(store), tmp_path / "run", say=said.append)
    expected = [
        "No training face is disgust: the model cannot learn to give that answer.",
        "Few training faces: angry 1, fear 1.",
        "No validation face is angry or fear or sad: how well it is found has no part in choosing the weights.",
        "Few validation faces: happy 5.",
    ]
    first_epoch = next(i for i, line in enumerate(said) if line.startswith("epoch 1/"))
    assert [line for line in said[:first_epoch] if line.startswith("note: ")] == [f"note: {e}" for e in expected]
    assert run.record.data["notes"] == expected
    result = evaluate(run, settings=Settings(n_boot=100))
    assert any("No evaluated face is angry or disgust or fear" in note for note in result.predictions.notes)
    assert expected[0] in render_report(run).read_text()


def test_an_ordinary_corpus_has_no_notes(tmp_path: Path) -> None:
    store = store_of(tmp_path, train={"happy": 12, "sad": 12}, valid={"happy": 10, "sad": 10})
    assert train(config_of(store), tmp_path / "run").record.data["notes"] == []


def test_one_class_is_refused_before_training(tmp_path: Path) -> None:
    store = store_of(tmp_path, train={"happy": 12}, valid={"happy": 4})
    with pytest.raises(LabelError, match="labels: all faces are happy, expected two or more classes to tell apart"):
        train(config_of(store), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_faces_of_one_class_are_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, train={"happy": 12}, valid={"happy": 4, "sad": 4}, test={"happy": 4})
    with pytest.raises(DataError, match="split: all 12 training faces are happy, expected two or more classes"):
        train(config_of(store), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # Validation and test faces of one class serve, but it is said.
    run = train(
        config_of(store, split={"name": "ratio", "options": {"train": 0.5, "validation": 0.5, "test": 0}}),
        tmp_path / "r",
    )
    result = evaluate(run, f"{store}:test", settings=Settings(n_boot=100))
    assert result.predictions.notes == ("All 4 evaluated faces are happy: nothing else can be told by them.",)


def test_groups_of_attributes_are_classes_too(tmp_path: Path) -> None:
    store = store_of(tmp_path, train={"happy": 24}, valid={"happy": 12})
    run = train(config_of(store, labels={"attributes": ["team"]}), tmp_path / "run")
    assert run.record.data["notes"] == ["team: All 12 validation faces are a: nothing else can be told by them."]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, []),
        ({"a": 5}, ["Few faces: a 5."]),
        ({"a": 1, "b": 1}, ["Few faces: a 1, b 1."]),
        ({"a": 10, "b": 9}, ["Few faces: b 9."]),
        ({"a": 10, "b": 0}, ["All 10 faces are a: nothing else can be told by them."]),
        ({"a": 1000, "b": 10, "c": 0, "d": 0}, ["No face is c or d: so."]),
    ],
)
def test_what_is_said_of_counts(counts: dict[str, int], expected: list[str]) -> None:
    assert class_notes(counts, "face", "so") == expected


def test_counting_takes_the_largest_share() -> None:
    targets = np.array([[0.6, 0.4, 0], [0.1, 0.9, 0], [1, 0, 0]])
    assert present_classes(targets, ["a", "b", "c"]) == {"a": 2, "b": 1, "c": 0}
    assert present_classes(np.empty((0, 2)), ["a", "b"]) == {"a": 0, "b": 0}


def test_a_class_with_a_share_of_many_faces_is_learnt(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["path,votes_happy,votes_sad,votes_fear,split"]
    for i in range(48):
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{(6, 3)[i % 2]},{(3, 6)[i % 2]},1,{('train', 'valid')[i // 24]}")
    (tmp_path / "faces.csv").write_text("\n".join(lines))
    prepare(tmp_path / "faces.csv", tmp_path / "store")
    labels = {"train": "distribution", "evaluate": "majority"}
    run: Run = train(config_of(tmp_path / "store", labels=labels), tmp_path / "run")
    assert run.record.data["notes"] == [
        "No validation face is fear: how well it is found has no part in choosing the weights."
    ]
