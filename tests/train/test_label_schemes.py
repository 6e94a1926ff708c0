"""Labels and splits of the sources as a run uses them: what is learnt, what judges, and what is drawn."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.config import parse_config
from mien.data.images import Store
from mien.errors import DataError, LabelError
from mien.evaluate import evaluate
from mien.labels.posterior import fitted_prior
from mien.losses import LOSSES
from mien.mitigation.base import Batch, Mitigation
from mien.prepare import prepare
from mien.records import RunRecord
from mien.report import render_report
from mien.runs import RECORD, Run
from mien.train import train
from mien.train.components import check_components
from mien.train.targets import load_training_data

Configure = Callable[..., Any]


@pytest.fixture(scope="module")
def voted_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces with ten votes each."""
    out = tmp_path_factory.mktemp("voted") / "store"
    prepare("synthetic", out, size=24, n=300, seed=1, splits={"train": 0.7, "valid": 0.3})
    return out


@pytest.fixture
def configure(settings: dict[str, Any], voted_store: Path) -> Configure:
    def configured(labels: dict[str, Any], **others: Any) -> Any:
        settings["data"]["store"] = str(voted_store)
        settings["train"]["epochs"] = 2
        return check_components(parse_config(settings | {"labels": labels} | others))

    return configured


def test_ties_that_are_learnt_are_drawn_by_the_run_and_those_that_judge_by_the_scheme(configure: Configure) -> None:
    labels = {"train": {"name": "n_hot", "options": {"n": 2}}}
    split = {"name": "ratio", "options": {"seed": 0}}
    one, other = (load_training_data(configure(labels, split=split, seed=seed)) for seed in (1, 2))
    np.testing.assert_array_equal(one.train.rows, other.train.rows)
    changed = (one.train.targets != other.train.targets).any(1)
    assert 0 < changed.sum() < 0.5 * len(changed)
    np.testing.assert_array_equal(one.validation.targets, other.validation.targets)
    again = load_training_data(configure(labels, split=split, seed=1))
    np.testing.assert_array_equal(one.train.targets, again.train.targets)


def test_a_prior_is_fitted_to_the_votes_of_the_training_part_alone(configure: Configure) -> None:
    data = load_training_data(configure({"train": "posterior_mean", "evaluate": "majority"}))
    faces = data.table.in_split("train")
    prior = fitted_prior(faces.votes)
    expected = (faces.votes + prior) / (faces.votes.sum(1, keepdims=True) + prior.sum())
    np.testing.assert_allclose(data.train.targets, expected, atol=1e-6)
    with pytest.raises(LabelError, match=r"labels\.evaluate: 'posterior_mean' learns from training votes.*majority"):
        load_training_data(configure({"train": "posterior_mean"}))
    given = {"train": {"name": "posterior_mean", "options": {"prior": 0.2}}}
    assert len(load_training_data(configure(given)).validation.rows)


def test_the_fitted_prior_stands_in_the_record_and_on_the_page(configure: Configure, tmp_path: Path) -> None:
    run = train(configure({"train": "posterior_mean", "evaluate": "majority"}), tmp_path / "fitted")
    faces = load_training_data(run.config).table.in_split("train")
    prior = fitted_prior(faces.votes)
    found = Run.open(run.path).record
    assert found.data["label_prior"]["classes"] == list(faces.vocabulary)
    np.testing.assert_allclose(found.data["label_prior"]["concentrations"], prior)
    page = Path(render_report(run)).read_text()
    first = f"{faces.vocabulary[0]} {prior[0]:.3g}, {faces.vocabulary[1]} {prior[1]:.3g}, "
    assert first in page
    assert f"; {prior.sum():.3g} votes in all" in page
    given = {"train": {"name": "posterior_mean", "options": {"prior": 0.2}}}
    run = train(configure(given), tmp_path / "given")
    assert "label_prior" not in run.record.data
    assert "Prior of the labels" not in Path(render_report(run)).read_text()
    # A record that somebody changed is refused with the place.
    content = json.loads((tmp_path / "fitted" / RECORD).read_text())
    content["data"]["label_prior"]["concentrations"] = ["much"]
    (tmp_path / "fitted" / RECORD).write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"data\.label_prior\.concentrations\.0: 'much', expected a valid number"):
        RunRecord.load(tmp_path / "fitted" / RECORD)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize(
    "scheme",
    [
        {"name": "n_hot", "options": {"n": 2}},
        {"name": "distribution", "options": {"classes": {"up": ["happy"], "other": ["sad", "neutral", "fear"]}}},
        {"name": "posterior_mean", "options": {"prior": 0.2}},
    ],
    ids=lambda scheme: scheme["name"],
)
def test_labels_are_drawn_anew_each_epoch_with_any_loss_and_scheme(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: dict[str, Any], loss: str
) -> None:
    drawn: dict[int, list[torch.Tensor]] = defaultdict(list)

    def mix(self: Mitigation, batch: Batch) -> Batch:
        for row, target in zip(batch.rows.tolist(), batch.targets, strict=True):
            drawn[row].append(target.clone())
        return batch

    monkeypatch.setattr(Mitigation, "mix", mix)
    options = {"name": loss, "options": LOSSES.tiny(loss)}
    config = configure({"train": scheme, "evaluate": scheme, "draw": True}, loss=options)
    run = train(config, tmp_path / "run")
    assert np.isfinite(run.history["train_loss"]).all()
    twice = [labels for labels in drawn.values() if len(labels) == 2]
    assert all(sorted(label.tolist())[-2:] == [0.0, 1.0] for labels in twice for label in labels)
    changed = np.mean([not torch.equal(*labels) for labels in twice])
    assert 0.05 < changed < 0.95


def test_a_run_is_evaluated_on_either_test(configure: Configure, tmp_path: Path) -> None:
    labels = {"train": {"name": "n_hot", "options": {"n": 3}}, "evaluate": {"name": "n_hot", "options": {"n": 1}}}
    config = configure(labels, split={"name": "complex", "options": {"above": 2, "ordinary": 0.2}})
    run = train(config, tmp_path / "run")
    store = run.trained_on[0]
    assert set(run.splits["split"]) == {"train", "validation", "test", "test_complex"}
    ordinary, complex_faces = evaluate(run), evaluate(run, f"{store}:test_complex")
    assert (ordinary.name, complex_faces.name) == ("test", "test_complex")
    table = Store.open(store).table
    held = set(run.splits["sample_id"][run.splits["split"] == "test_complex"])
    assert set(complex_faces.predictions.sample_id) == held & set(table.frame["sample_id"])
    assert complex_faces.predictions.groups["complexity"].min() == 3
    assert set(run.record.estimates) == {"test", "test_complex"}
    assert "tie_accuracy" in complex_faces.all


def test_two_classes_of_a_configuration(configure: Configure) -> None:
    classes = {"glad": ["happy"], "not glad": ["sad", "angry"]}
    data = load_training_data(configure({"train": {"name": "majority", "options": {"classes": classes}}}))
    assert data.heads == {"expression": ("glad", "not glad")}
    assert sum(data.dropped["train"].values()) + len(data.train.rows) == len(data.table.in_split("train"))
    assert any("which is none of the classes" in reason for reason in data.dropped["train"])


def test_mistakes_of_labels_say_which(easy_store: Path) -> None:
    def load(**labels: Any) -> None:
        load_training_data(parse_config({"data": {"store": str(easy_store)}, "labels": labels}))

    some = {"name": "majority", "options": {"classes": ["bright", "darkk"]}}
    with pytest.raises(LabelError, match=r"^labels\.train: classes: 'darkk' is none .* Did you mean 'dark'"):
        load(train=some)
    with pytest.raises(LabelError, match=r"^labels\.evaluate: classes: 'darkk' is none"):
        load(train="majority", evaluate=some)
    two = {"name": "majority", "options": {"classes": ["bright", "dark"]}}
    with pytest.raises(LabelError, match=r"learns bright, dark, and labels\.evaluate judges bright, dark, split"):
        load(train=two, evaluate="majority")
