"""Weights that a run may begin with, and attributes that it may learn."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mien.config import parse_config
from mien.data.images import Store, StoreWriter
from mien.errors import ConfigError
from mien.train import train

HASH = {"name": "hash", "options": {"validation": 60}}


@pytest.fixture
def first(settings: dict[str, Any], tmp_path: Path) -> Path:
    """A run to begin with; its held-out faces were drawn by hash."""
    settings["train"] |= {"epochs": 1}
    settings["split"] = HASH
    return train(parse_config(settings), tmp_path / "first").path


def starting(settings: dict[str, Any], folder: Path, **changes: Any) -> dict[str, Any]:
    return settings | {"model": settings["model"] | {"weights": str(folder)}} | changes


def test_weights_that_learnt_held_out_faces_are_refused(settings: dict[str, Any], first: Path, tmp_path: Path) -> None:
    begun = pd.read_parquet(first / "splits.parquet").set_index("sample_id")["split"]
    ids = Store.open(settings["data"]["store"]).table.frame["sample_id"]
    validation, test = (int((begun[ids[part]] == "train").sum()) for part in (slice(150, 195), slice(195, 240)))
    assert 0 < validation < 45
    words = rf"model.weights: {validation} of 45 validation and {test} of 45 test faces were learnt"
    with pytest.raises(ConfigError, match=words + ".*the same split, options and seed"):
        train(parse_config(starting(settings, first, split={"name": "corpus"})), tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_weights_of_the_same_split_are_welcome_and_resumed_runs_too(
    settings: dict[str, Any], first: Path, tmp_path: Path
) -> None:
    second = starting(settings, first)
    second["train"] = second["train"] | {"epochs": 2, "max_minutes": 1e-9}
    assert train(parse_config(second), tmp_path / "second").record.status == "stopped"
    splits = pd.read_parquet(first / "splits.parquet")
    splits["split"] = "train"
    splits.to_parquet(first / "splits.parquet")
    assert train(parse_config(second), tmp_path / "second").record.status == "finished"
    with pytest.raises(ConfigError, match="60 of 60 validation faces were learnt"):
        train(parse_config(second), tmp_path / "third")


def test_an_annotator_is_known_by_the_faces_held_out_from_it(
    settings: dict[str, Any], first: Path, tmp_path: Path
) -> None:
    begun, annotator = pd.read_parquet(first / "splits.parquet"), tmp_path / "annotator"
    annotator.mkdir()
    for name in ("model.json", "model.safetensors"):
        shutil.copy(first / name, annotator / name)
    held = begun.loc[begun["split"] == "validation", ["sample_id"]]
    held.to_parquet(annotator / "holdout.parquet")
    assert train(parse_config(starting(settings, annotator)), tmp_path / "same").record.status == "finished"
    held[5:].to_parquet(annotator / "holdout.parquet")
    with pytest.raises(ConfigError, match=r"5 of 60 validation faces are not among those held out from '.*annotator'"):
        train(parse_config(starting(settings, annotator)), tmp_path / "other")
    pd.DataFrame({"sample_id": ["another corpus"]}).to_parquet(annotator / "holdout.parquet")
    assert train(parse_config(starting(settings, annotator)), tmp_path / "strange").record.status == "finished"


def test_weights_that_are_none_are_named_by_their_key(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.weights: no such folder 'nope', expected a run, weights or"):
        train(parse_config(starting(settings, Path("nope"))), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"model.weights: '.*store' cannot be read"):
        train(parse_config(starting(settings, settings["data"]["store"])), tmp_path / "run")


@pytest.mark.parametrize("name", ["perceived_gender", "gender"])
def test_what_a_model_perceived_is_not_learnt(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    store = Store.open(settings["data"]["store"])
    frame = store.table.frame.rename(columns={"gender": name})
    if name == "gender":
        frame["gender_source"] = ["annotated"] * (len(frame) - 1) + ["perceived"]
    with StoreWriter(tmp_path / "store") as writer:
        writer.append(store.images)
        writer.commit(store.table.derive("see", frame, attributes=(name,)), store.info)
    settings |= {"data": {"store": str(tmp_path / "store")}, "labels": {"attributes": name}}
    with pytest.raises(
        ConfigError, match=f"labels.attributes: '{name}' is what a model or an onlooker perceived. Learn from"
    ):
        train(parse_config(settings), tmp_path / "run")


def test_attributes_are_one_name_or_several_different_ones(settings: dict[str, Any]) -> None:
    assert parse_config(settings | {"labels": {"attributes": "gender"}}).labels.attributes == ("gender",)
    with pytest.raises(ConfigError, match=r"labels.attributes: .*each attribute can be learnt once"):
        parse_config(settings | {"labels": {"attributes": ["gender", "gender"]}})
