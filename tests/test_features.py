"""Features of a model: as the head sees them, and as evaluation leaves them for the leakage probe."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.adapters.loading import run_model
from mien.audit.leakage import load_features
from mien.config import parse_config
from mien.data.images import Store
from mien.evaluate import evaluate
from mien.models import MODELS
from mien.models.blocks import only_linear
from mien.models.weights import Classifier, WeightCard
from mien.records import Predictions
from mien.runs import Run
from mien.stats.settings import Settings
from mien.train import train


@pytest.fixture(params=MODELS.names())
def classifier(request: pytest.FixtureRequest) -> Classifier:
    torch.manual_seed(0)
    name = str(request.param)
    options = MODELS.tiny(name)
    return Classifier(
        MODELS.get(name)(3, 1, **options),
        WeightCard(
            model=name, options=options, classes=("a", "b", "c"), size=32, in_channels=1, mean=(0.5,), std=(0.25,)
        ),
    )


def test_features_are_what_the_head_turns_into_probabilities(classifier: Classifier) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 1), dtype=np.uint8)
    rows = np.array([5, 0, 3, 6])
    calls: list[tuple[int, int | None]] = []
    model = classifier.face_model()
    few = dataclasses.replace(model, batch_size=3)
    features = few.features(images, rows, progress=lambda i, n: calls.append((i, n)))
    assert features.shape == (4, classifier.module.feature_dim)
    assert features.dtype == np.float32
    assert calls == [(3, 4), (4, 4)]
    with torch.no_grad():
        probs = classifier.module.head(torch.from_numpy(features)).double().softmax(1).numpy()
    np.testing.assert_allclose(probs, model.probabilities(images, rows), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(features, model.features(images)[rows], rtol=1e-4, atol=1e-5)


def test_what_no_class_reads_leaks_nowhere() -> None:
    torch.manual_seed(0)
    module = MODELS.get("mienet")(3, 1, **MODELS.tiny("mienet"))
    card = WeightCard(
        model="mienet", options={}, classes=("a", "b", "c"), size=32, in_channels=1, mean=(0.5,), std=(0.25,)
    )
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 1), dtype=np.uint8)
    whole = Classifier(module, card).features(images)
    with torch.no_grad():
        only_linear(module.head).weight[:, :3] = 0  # as 'disentangled' leaves the features of the attributes
        only_linear(module.head).weight[0, 4] = 0
    read = Classifier(module, card).features(images)
    assert (whole[:, :3] != 0).any()
    assert (read[:, :3] == 0).all()
    np.testing.assert_array_equal(read[:, 3:], whole[:, 3:])  # also the one that two of three classes read
    with torch.no_grad():
        only_linear(module.head).weight[:] = 0  # what reads nothing says nothing of its features
    assert (Classifier(module, card).features(images) == 0).all()


@pytest.fixture(scope="module")
def trained(easy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings: dict[str, Any] = {
        "data": {"store": str(easy_store)},
        "model": {"name": "mienet", "options": {"widths": [8], "depths": [1], "stem": 8}},
        "train": {"epochs": 1, "batch_size": 30, "precision": "fp32", "threads": 1},
    }
    return train(parse_config(settings), tmp_path_factory.mktemp("features") / "run")


def test_evaluation_writes_features_row_by_row_as_the_predictions(trained: Run, easy_store: Path) -> None:
    result = evaluate(trained, settings=Settings(n_boot=50), features=True)
    assert set(trained.features) == {"test"}
    predictions = Predictions.load(trained.predictions["test"])
    read = load_features(trained.features["test"], predictions.sample_id[::-1])[::-1]
    np.testing.assert_array_equal(read, result.features)
    own = run_model(trained.path).features(Store.open(easy_store).images, predictions.image)
    np.testing.assert_allclose(read, own, rtol=1e-5, atol=1e-6)
    assert not list(trained.path.rglob("*.partial"))


def test_features_never_stay_beside_predictions_made_without_them(trained: Run) -> None:
    evaluate(trained, settings=Settings(n_boot=50), features=True)
    assert evaluate(trained, settings=Settings(n_boot=50)).features is None
    assert trained.features == {}


def test_nothing_is_unpickled(trained: Run) -> None:
    evaluate(trained, settings=Settings(n_boot=50), features=True)
    with np.load(trained.features["test"], allow_pickle=False) as content:
        assert content["sample_id"].dtype.kind == "U"
        assert content["features"].dtype == np.float32
