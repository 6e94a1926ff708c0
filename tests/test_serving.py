"""A picture is the same face to a network whether it comes out of a store or out of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mien.config import parse_config
from mien.data.images import Store
from mien.evaluate import Evaluation, evaluate
from mien.models.weights import CARD, Classifier, load_card, save_weights
from mien.predict import Predictor
from mien.prepare import prepare
from mien.runs import Run
from mien.train import train

SPLITS = ("train", "valid", "test")
STORED, DRAWN = 32, 80


STEPS = ["median", "equalise", "plane"]


@pytest.fixture(scope="module", params=[(1, []), (3, []), (1, STEPS)], ids=["grey", "colour", "steps"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Drawn faces of 80 pixels in files, a store of 32, a network of 40."""
    folder = tmp_path_factory.mktemp("faces")
    channels, steps = request.param
    drawn = prepare("synthetic", folder / "drawn", n=120, size=DRAWN, channels=channels)
    frame = drawn.table.frame
    classes = frame[[f"votes_{c}" for c in drawn.table.vocabulary]].to_numpy().argmax(1)
    lines = ["path,label,split"]
    for i, k in enumerate(classes):
        pixels = drawn.images[frame["image"].iloc[i]]
        Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(folder / f"{i:03}.png")
        lines.append(f"{i:03}.png,{drawn.table.vocabulary[k]},{SPLITS[(i // 30) - 1 if i >= 60 else 0]}")
    (folder / "faces.csv").write_text("\n".join(lines) + "\n")
    prepare(folder / "faces.csv", folder / "store", size=STORED)
    settings = {
        "data": {"store": str(folder / "store")},
        "preprocess": steps,
        "model": {"name": "mienet", "options": {"widths": [8, 16], "depths": [1, 1], "stem": 8}, "size": 40},
        "train": {"epochs": 1, "batch_size": 30, "precision": "fp32", "threads": 1},
    }
    made = train(parse_config(settings), folder / "run")
    classifier = Classifier.load(made.path)
    with torch.no_grad():
        classifier.module.head[-1].weight.mul_(100)  # one that tells faces apart, without the time to learn it
    save_weights(classifier.module, classifier.card, made.path)
    return made


def served(folder: Path, evaluation: Evaluation, run: Run) -> np.ndarray:
    paths = [run.path.parent / str(name) for name in evaluation.predictions.sample_id]
    faces = Predictor.load(folder, detector=None).predict(paths)
    return np.array([[face.probabilities[c] for c in evaluation.predictions.classes] for face in faces])


def test_evaluation_and_prediction_give_one_answer(run: Run) -> None:
    found = evaluate(run)
    probs = found.predictions.probs
    assert probs.std(0).max() > 0.02
    np.testing.assert_allclose(served(run.path, found, run), probs, atol=1e-5, rtol=0)
    # The same pictures in a store of their own size come to the size of the network's store first.
    prepare(run.path.parent / "faces.csv", run.path.parent / "large", size=DRAWN, force=True)
    large = evaluate(run, f"{run.path.parent / 'large'}:test")
    np.testing.assert_allclose(large.predictions.probs, probs, atol=1e-5, rtol=0)


def test_a_card_that_does_not_say_the_size_serves_as_before(run: Run, tmp_path: Path) -> None:
    found = evaluate(run)
    content: dict[str, Any] = json.loads((run.path / CARD).read_text())
    assert content["store_size"] == STORED
    assert content["resampling"] == ["lanczos", "bilinear"]
    for key in ("checksums", "store_size", "resampling", "alignment"):
        content.pop(key)
    content |= {key: content[key][0] for key in ("mean", "std")}
    (tmp_path / CARD).write_text(json.dumps(content))
    (tmp_path / "model.safetensors").write_bytes((run.path / "model.safetensors").read_bytes())
    card, channels = load_card(tmp_path), Store.open(run.trained_on[0]).images.shape[3]
    assert (card.mean, len(card.std), card.store_size) == (load_card(run.path).mean, channels, 0)
    assert np.abs(served(tmp_path, found, run) - found.predictions.probs).max() > 1e-3  # resampled otherwise
