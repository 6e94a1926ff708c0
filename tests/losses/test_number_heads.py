"""Numbers learnt beside the expression: from columns of a store to outputs, validation, card and prediction."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from commands import mien
from mien.config import parse_config
from mien.data.images import Store, StoreWriter
from mien.errors import ConfigError, DataError, WeightsError
from mien.evaluate import evaluate
from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Batch, Mitigation, Step
from mien.models.blocks import ExpressionModel
from mien.models.weights import Classifier, load_card, save_weights
from mien.own_files import SUMS
from mien.records import Predictions
from mien.train import train

VALENCE = {"bright": 0.8, "dark": -0.8, "split": 0.0}


@pytest.fixture(scope="session")
def numbered_store(easy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The easy store with valence, arousal of every other face (as text, as manifests give it), and intensities."""
    opened = Store.open(easy_store)
    frame = opened.table.frame.copy()
    rng = np.random.default_rng(0)
    label = np.array(opened.table.vocabulary)[opened.table.votes.argmax(1)]
    frame["valence"] = np.array([VALENCE[name] for name in label]) + rng.normal(0, 0.1, len(frame))
    arousal = [f"{v:.3f}" if i % 2 else None for i, v in enumerate(-frame["valence"])]
    frame["arousal"] = np.array(arousal, dtype=object)
    for name in ("bright", "dark"):
        frame[f"intensity_{name}"] = np.where(label == name, rng.integers(3, 6, len(frame)), 0.0)
    frame.loc[frame.index[::5], "intensity_dark"] = np.nan
    folder = tmp_path_factory.mktemp("numbered") / "store"
    with StoreWriter(folder) as writer:
        writer.append(np.asarray(opened.images))
        writer.commit(opened.table.derive("numbers", frame), opened.info)
    return folder


@pytest.fixture
def numbered(settings: dict[str, Any], numbered_store: Path) -> dict[str, Any]:
    labels = {"numbers": ["valence", "arousal"], "intensity": True}
    return settings | {"data": {"store": str(numbered_store)}, "labels": labels}


def test_columns_alone_and_true_are_short_for_sections(numbered: dict[str, Any]) -> None:
    labels = parse_config(numbered).labels
    assert labels.numbers is not None
    assert labels.intensity is not None
    assert (labels.numbers.columns, labels.numbers.loss, labels.numbers.weight) == (
        ("valence", "arousal"),
        "concordance",
        1.0,
    )
    assert (labels.intensity.loss, labels.intensity.delta) == ("squared_error", 1.0)
    assert parse_config(numbered | {"labels": {"intensity": False}}).labels.intensity is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"numbers": {"columns": []}}, r"labels\.numbers\.columns: \[\], expected a list of one or more texts"),
        ({"numbers": {"columns": ["a"], "weight": 0}}, r"weight: 0, expected a number above 0"),
        ({"numbers": ["a"], "attributes": ["gender"]}, "learnt beside expressions, not beside attributes"),
        ({"intensity": {"loss": "concordance"}}, r"labels\.intensity\.loss: 'concordance', expected one of"),
    ],
)
def test_what_cannot_be_asked_for(labels: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"data": {"store": "s"}, "labels": labels})


def test_numbers_are_learnt_validated_and_told(numbered: dict[str, Any], tmp_path: Path) -> None:
    numbered["train"] |= {"epochs": 12, "monitor": "last"}
    run = train(parse_config(numbered), tmp_path / "run")
    history = run.history
    names = ["valence", "arousal", "intensity_bright", "intensity_dark"]
    for name in names:
        assert history[f"val_rmse_{name}"].iloc[-1] < history[f"val_rmse_{name}"].iloc[0]
        assert history[f"val_ccc_{name}"].iloc[-1] > 0.6
    assert history["val_accuracy"].iloc[-1] > 0.85
    assert run.record.model["numbers"] == names
    assert run.record.model["classes"] == ["bright", "dark", "split"]
    card = load_card(run.path)
    assert card.numbers == {
        "valence": "any",
        "arousal": "any",
        "intensity_bright": "positive",
        "intensity_dark": "positive",
    }
    # The weights hold the numbers, and who asks for classes sees none of them.
    store = Store.open(numbered["data"]["store"])
    held = (run.splits["split"] == "validation").to_numpy()
    images = store.images[held]
    classifier = Classifier.load(run.path)
    told = classifier.numbers(images)
    assert told.shape == (45, 4)
    assert (told[:, 2:] >= 0).all()
    true = store.table.frame["valence"].to_numpy()[held]
    error = math.sqrt(((told[:, 0] - true) ** 2).mean())
    assert error == pytest.approx(history["val_rmse_valence"].iloc[-1], rel=1e-4)
    assert classifier.logits(images).shape == (45, 3)
    assert classifier.face_model().probabilities(images).shape == (45, 3)


def test_a_network_with_terms_of_its_own_learns_numbers_too(numbered: dict[str, Any], tmp_path: Path) -> None:
    """DAN's centres are those of the classes: what it says beside them has none."""
    numbered |= {"model": {"name": "dan", "options": {"small": True, "width": 8, "depths": [1, 1, 1, 1], "narrow": 8}}}
    numbered["labels"] = {"numbers": ["valence", "arousal"]}
    numbered["train"]["epochs"] = 1
    assert train(parse_config(numbered), tmp_path / "run").record.status == "finished"


def test_evaluation_and_prediction_tell_the_numbers(numbered: dict[str, Any], tmp_path: Path) -> None:
    numbered["labels"] = {"numbers": ["valence"], "intensity": True}
    numbered["train"] |= {"epochs": 1}
    run = train(parse_config(numbered), tmp_path / "run")
    found = evaluate(run).predictions
    saved = Predictions.load(run.predictions["test"])
    images = Store.open(numbered["data"]["store"]).images[found.image]
    names = ["valence", "intensity_bright", "intensity_dark"]
    for told in (found.numbers, saved.numbers):
        assert told is not None
        assert list(told) == names
        np.testing.assert_allclose(told, Classifier.load(run.path).numbers(images), atol=1e-5)
    assert saved.numbers["valence"].std() > 0.01
    assert not set(names) & {c.removeprefix("number_") for c in saved.groups}

    # A head that is all bias says the same of every face: softmax of the classes, softplus of the intensities.
    classifier = Classifier.load(run.path)
    with torch.no_grad():
        head: Any = classifier.module.head
        head[1].weight.zero_()
        head[1].bias.copy_(torch.tensor([math.log(2), 0, 0, -0.25, 0, math.log(math.e - 1)]))
    save_weights(classifier.module, classifier.card, run.path)
    evaluate(run)
    frame = pd.read_parquet(run.predictions["test"])
    told = frame[["prob_bright", "prob_split", *(f"number_{name}" for name in names)]].to_numpy()
    np.testing.assert_allclose(told, np.tile([0.5, 0.25, -0.25, math.log(2), 1], (len(frame), 1)), atol=1e-6)
    Image.fromarray(images[0, :, :, 0]).save(tmp_path / "face.png")
    pictures = [tmp_path / "face.png", tmp_path / "none.png"]
    shown = json.loads(mien("predict", *pictures, "--crops", "--model", run.path, "--json", code=1).stdout)
    assert shown[0]["numbers"] == pytest.approx(dict(zip(names, [-0.25, math.log(2), 1], strict=True)), abs=1e-6)
    assert shown[1]["numbers"] == {}
    header, first, lost = mien("predict", *pictures, "--crops", "--model", run.path, code=1).stdout.splitlines()
    assert header.split("\t")[5:] == [f"number_{name}" for name in names]
    assert first.split("\t")[5:] == ["-0.250", "0.693", "1.000"]
    assert lost.split("\t")[5:] == ["", "", ""]


def test_a_run_is_resumed_with_its_numbers(numbered: dict[str, Any], tmp_path: Path) -> None:
    numbered["train"] |= {"epochs": 2}
    whole = train(parse_config(numbered), tmp_path / "whole")
    numbered["train"]["max_minutes"] = 1e-9
    for _ in range(2):
        parts = train(parse_config(numbered), tmp_path / "parts")
    columns = ["train_loss", "val_loss", "val_rmse_valence"]
    np.testing.assert_array_equal(parts.history[columns], whole.history[columns])


def test_a_weight_scales_the_loss_of_numbers(
    numbered: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Step] = []

    class Looking(Mitigation):
        def loss(self, step: Step) -> torch.Tensor:
            seen.append(step)
            return step.mean()

    monkeypatch.setitem(MITIGATIONS._entries, "looking", Looking)
    monkeypatch.setitem(MITIGATIONS._tiny, "looking", {})
    numbered |= {"mitigation": "looking", "augment": {"enabled": False}}
    numbered["train"] |= {"epochs": 1}
    losses = []
    for weight in (1.0, 3.0):
        seen.clear()
        numbered["labels"] = {"numbers": {"columns": ["valence"], "loss": "squared_error", "weight": weight}}
        train(parse_config(numbered), tmp_path / str(weight))
        losses.append(seen[0].losses.detach())
        assert seen[0].logits.shape == (30, 3)  # a mitigation sees the logits of the classes
        assert seen[0].batch.numbers is not None
    # The first step sees the same network twice: what the weight changes is the squared error.
    squared = (losses[1] - losses[0]) / 2
    assert (squared > 0).all()
    assert (losses[0] > squared).all()  # the rest is the cross-entropy


def test_a_face_without_a_number_adds_nothing(numbered: dict[str, Any], tmp_path: Path) -> None:
    # One of the two spellings of missing in the fixture is None among texts, the other NaN among numbers.
    numbered["labels"] = {"numbers": {"columns": ["arousal"], "loss": "huber"}}
    numbered["train"] |= {"epochs": 1}
    run = train(parse_config(numbered), tmp_path / "run")
    assert math.isfinite(run.history["train_loss"].iloc[0])


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ({"numbers": ["valense"]}, ConfigError, "no column of numbers 'valense'. Did you mean 'valence'"),
        ({"numbers": ["gender"]}, ConfigError, "no column of numbers 'gender'"),
        (
            {"numbers": ["valence", "intensity_dark"], "intensity": True},
            ConfigError,
            "'intensity_dark' is asked for tw",
        ),
    ],
)
def test_columns_that_cannot_be_learnt(
    numbered: dict[str, Any], tmp_path: Path, labels: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(parse_config(numbered | {"labels": labels}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_store_without_intensities_says_where_they_come_from(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no intensities of these classes, expected columns such as intensity_bright"):
        train(parse_config(settings | {"labels": {"intensity": True}}), tmp_path / "run")


def _changed(store: Path, out: Path, column: str, values: Any) -> str:
    opened = Store.open(store)
    frame = opened.table.frame.assign(**{column: values(opened.table.frame)})
    with StoreWriter(out) as writer:
        writer.append(np.asarray(opened.images))
        writer.commit(opened.table.derive("changed", frame), opened.info)
    return str(out)


def test_a_value_that_is_no_number_is_named(numbered: dict[str, Any], numbered_store: Path, tmp_path: Path) -> None:
    def words(frame: Any) -> Any:
        return frame["arousal"].where(frame.index != 7, "much")

    numbered["data"] = {"store": _changed(numbered_store, tmp_path / "store", "arousal", words)}
    with pytest.raises(DataError, match=r"column 'arousal' of 7.png: holds 'much', expected a finite number"):
        train(parse_config(numbered), tmp_path / "run")


def test_a_number_that_no_training_face_has_is_refused(
    numbered: dict[str, Any], numbered_store: Path, tmp_path: Path
) -> None:
    def held_out(frame: Any) -> Any:
        return frame["valence"].where(frame["split"] != "train")

    numbered["data"] = {"store": _changed(numbered_store, tmp_path / "store", "valence", held_out)}
    with pytest.raises(DataError, match="column 'valence': is missing for all training faces"):
        train(parse_config(numbered), tmp_path / "run")


def test_methods_that_cannot_go_with_numbers_are_refused(
    numbered: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mixing(Mitigation):
        def mix(self, batch: Batch) -> Batch:
            return batch

    class Replacing(Mitigation):
        def adapt(self, model: ExpressionModel) -> ExpressionModel:
            model.head = torch.nn.Linear(model.feature_dim, 6)
            return model

    for entry, message in (
        (Mixing, "'mixing' mixes pictures and targets, but not numbers"),
        (Replacing, "'replacing' makes a network of 6 outputs, which hold no numbers"),
    ):
        name = entry.__name__.lower()
        monkeypatch.setitem(MITIGATIONS._entries, name, entry)
        monkeypatch.setitem(MITIGATIONS._tiny, name, {})
        with pytest.raises(ConfigError, match=message):
            train(parse_config(numbered | {"mitigation": name}), tmp_path / "run")


def test_a_card_with_another_scale_is_refused(numbered: dict[str, Any], tmp_path: Path) -> None:
    numbered["train"] |= {"epochs": 1}
    run = train(parse_config(numbered), tmp_path / "run")
    path = run.path / "model.json"
    card = json.loads(path.read_text())
    card["numbers"]["valence"] = "log"
    path.write_text(json.dumps({k: v for k, v in card.items() if k != SUMS}))  # as cards of older versions are
    with pytest.raises(WeightsError, match=r"numbers\.valence: 'log', expected any or positive"):
        load_card(run.path)
