"""Outputs of a model that are not finite are refused by evaluate, predict and the adapters, with the first face."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mien.adapters.predictions import predictions_from
from mien.config import parse_config
from mien.data.images import Store
from mien.errors import DataError
from mien.evaluate import evaluate
from mien.inference import FaceModel, refuse_not_finite
from mien.models.weights import Classifier
from mien.predict import Predictor
from mien.prepare import prepare
from mien.runs import Run
from mien.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one epoch on noise."""
    folder, rng = tmp_path_factory.mktemp("finite"), np.random.default_rng(0)
    lines = ["path,label,split"]
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{'happy' if i % 2 else 'sad'},{('train', 'valid', 'test')[i % 3]}")
    (folder / "faces.csv").write_text("\n".join(lines))
    prepare(folder / "faces.csv", folder / "store")
    settings = {
        "data": {"store": str(folder / "store")},
        "model": {"name": "mienet", "options": {"widths": [8], "depths": [1], "stem": 4}},
        "train": {"epochs": 1, "batch_size": 8, "threads": 1},
    }
    return train(parse_config(settings), folder / "run")


@pytest.fixture(params=[float("nan"), float("inf"), float("-inf")], ids=str)
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models whose logit of the first class is not finite; of minus infinity the softmax is."""
    real = Classifier.load.__func__  # type: ignore[attr-defined]

    def load(cls: type[Classifier], *args: Any, **options: Any) -> Classifier:
        found: Classifier = real(cls, *args, **options)
        with torch.no_grad():
            list(found.module.head.parameters())[-1][0] = request.param
        return found

    monkeypatch.setattr(Classifier, "load", classmethod(load))


MESSAGE = r"returned \[.*(nan|inf).*\] for the face '.*\.png' \({n} such rows of {n}\), expected finite numbers"


def test_evaluate_refuses_them(run: Run, broken: None) -> None:
    before = sorted(p.name for p in run.path.rglob("*"))
    with pytest.raises(DataError, match=r"^run: " + MESSAGE.replace("{n}", "13")):
        evaluate(run)
    assert sorted(p.name for p in run.path.rglob("*") if p.name != "predictions") == before


def test_predict_refuses_them(run: Run, broken: None) -> None:
    folder = run.path.parent
    with pytest.raises(DataError, match="^run: " + MESSAGE.replace("{n}", "2")):
        Predictor.load(run.path, detector=None).predict([folder / "0.png", folder / "1.png"])
    lost = Predictor.load(run.path, detector=None).predict([folder / "none.png"])
    assert lost[0].reason.endswith("expected a picture.")


def test_adapters_refuse_them_with_the_face(run: Run) -> None:
    store = Store.open(run.record.data["store"])
    called = 0

    def model(images: Any) -> Any:
        nonlocal called
        called += len(images)
        out = np.full((len(images), 2), 0.5)
        if called > 16:
            out[3, 1] = np.inf
        return out

    for logits in (False, True):
        called = 0
        with pytest.raises(DataError, match=r"tool: returned \[0.5, inf\] for the face '19.png' \(1 such rows of 8\)"):
            predictions_from(FaceModel("tool", ("happy", "sad"), model, logits=logits), store, batch_size=8)


def test_finite_outputs_pass() -> None:
    refuse_not_finite(np.array([[1e300, -1e300], [0, 0]]), ["a", "b"], "m")
    refuse_not_finite(np.empty((0, 3)), [], "m")
