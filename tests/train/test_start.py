"""Weights that a run may begin with, and attributes that it may learn."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from easy_store import CLASSES
from mien.config import parse_config
from mien.data.cleaning import exact_hashes
from mien.data.images import Store, StoreWriter
from mien.errors import ConfigError
from mien.merge import merge
from mien.records import RunRecord
from mien.samples import SampleTable
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
    pd.DataFrame({"sample_id": ["of another"]}).to_parquet(annotator / "holdout.parquet")
    with pytest.raises(ConfigError, match="60 of 60 validation faces are not among those held out"):
        train(parse_config(starting(settings, annotator)), tmp_path / "none")
    strange = starting(settings, annotator, split={"name": "corpus"})
    strange["data"] = {"store": str(other_store(tmp_path / "b", "b", 60))}
    assert train(parse_config(strange), tmp_path / "strange").record.status == "finished"


def other_store(folder: Path, name: str, n: int = 12) -> Path:
    """Other pictures under the names of the easy faces."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"sample_id": [f"{i}.png" for i in range(n)], "image": range(n)})
    frame = frame.assign(split=["train", "validation", "test"] * (n // 3), identity="", cluster=range(n))
    images = rng.integers(0, 256, (n, 24, 24, 1)).astype(np.uint8)
    frame = frame.assign(**{f"votes_{c}": [float(i // 3 % 3 == k) for i in range(n)] for k, c in enumerate(CLASSES)})
    frame = frame.assign(hash=exact_hashes(images), phash=exact_hashes(images))
    with StoreWriter(folder) as writer:
        writer.append(images)
        info = {"corpus": name, "terms": "", "vocabulary": CLASSES, "attributes": ()}
        return writer.commit(SampleTable(frame, name, CLASSES), info).path


@pytest.mark.parametrize("size", [24, 32])
def test_what_was_learnt_is_known_in_a_merged_store_too(
    size: int, settings: dict[str, Any], first: Path, tmp_path: Path
) -> None:
    """At another size the pictures have other hashes, and their names tell."""
    begun = pd.read_parquet(first / "splits.parquet").set_index("sample_id")["split"]
    ids = Store.open(settings["data"]["store"]).table.frame["sample_id"]
    n = int((begun[ids[150:195]] == "train").sum())
    merge([settings["data"]["store"], other_store(tmp_path / "b", "b")], tmp_path / "merged", size=size)
    again = starting(settings, first, split={"name": "corpus"}, data={"store": str(tmp_path / "merged")})
    with pytest.raises(ConfigError, match=rf"{n} of 49 validation and .* of 49 test faces were learnt by"):
        train(parse_config(again), tmp_path / "second")


def test_what_was_learnt_before_the_last_run_is_known_too(
    settings: dict[str, Any], first: Path, tmp_path: Path
) -> None:
    elsewhere = starting(settings, first, split={"name": "corpus"})
    elsewhere["data"] = {"store": str(other_store(tmp_path / "b", "b", 60))}
    second = train(parse_config(elsewhere), tmp_path / "second").path
    with pytest.raises(ConfigError, match="validation and .* test faces were learnt by '.*second'"):
        train(parse_config(starting(settings, second, split={"name": "corpus"})), tmp_path / "third")
    record = RunRecord.load(second / "record.json")
    record.data.pop("pictures")
    record.save(second / "record.json")
    with pytest.raises(ConfigError, match="were learnt by"):  # a run of a version that told less of its pictures
        train(parse_config(starting(settings, second, split={"name": "corpus"})), tmp_path / "third")


def test_a_run_between_that_named_a_file_or_began_with_an_annotator_hides_nothing(
    settings: dict[str, Any], first: Path, tmp_path: Path
) -> None:
    annotator = tmp_path / "annotator"
    annotator.mkdir()
    for name in ("model.json", "model.safetensors"):
        shutil.copy(first / name, annotator / name)
    pd.DataFrame({"sample_id": ["150.png"]}).to_parquet(annotator / "holdout.parquet")
    store = str(other_store(tmp_path / "b", "b", 60))
    for i, weights in enumerate((first / "model.safetensors", annotator)):
        between = starting(settings, weights, split={"name": "corpus"}, data={"store": store})
        second = train(parse_config(between), tmp_path / f"second{i}").path
        with pytest.raises(ConfigError, match="45 test faces were learnt by"):
            train(parse_config(starting(settings, second, split={"name": "corpus"})), tmp_path / "third")


def test_splits_without_a_record_tell_by_names(settings: dict[str, Any], first: Path, tmp_path: Path) -> None:
    (first / "record.json").unlink()
    splits = pd.read_parquet(first / "splits.parquet").drop(columns="hash")  # as older versions wrote them
    splits.to_parquet(first / "splits.parquet")
    with pytest.raises(ConfigError, match="test faces were learnt by"):
        train(parse_config(starting(settings, first, split={"name": "corpus"})), tmp_path / "second")


def test_other_pictures_of_the_same_names_were_not_learnt(
    settings: dict[str, Any], first: Path, tmp_path: Path
) -> None:
    corpus = Store.open(settings["data"]["store"]).table.name
    other = starting(settings, first, split={"name": "corpus"})
    other["data"] = {"store": str(other_store(tmp_path / "b", corpus, 60))}
    assert train(parse_config(other), tmp_path / "second").record.status == "finished"


def test_pictures_that_were_cut_otherwise_are_known_by_their_names(
    settings: dict[str, Any], first: Path, tmp_path: Path
) -> None:
    corpus = Store.open(settings["data"]["store"]).table.name
    folder = other_store(tmp_path / "b", corpus, 60)
    store = Store.open(folder)
    assert "cut" not in store.info
    with StoreWriter(tmp_path / "wide") as writer:
        writer.copy(store)
        writer.commit(store.table, {**store.info, "cut": {"margin": 0.2}})
    assert Store.open(tmp_path / "wide").fingerprint == store.fingerprint
    other = starting(settings, first, split={"name": "corpus"}, data={"store": str(tmp_path / "wide")})
    with pytest.raises(ConfigError, match="were learnt by"):
        train(parse_config(other), tmp_path / "second")
    merge([tmp_path / "wide", other_store(tmp_path / "c", "c")], tmp_path / "merged")
    assert Store.open(tmp_path / "merged").info["cut"] == {corpus: {"margin": 0.2}}
    with pytest.raises(ConfigError, match="were learnt by"):
        train(parse_config(other | {"data": {"store": str(tmp_path / "merged")}}), tmp_path / "third")


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
