from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx")

from commands import mien  # noqa: E402
from mien.adapters.onnx import onnx_model  # noqa: E402
from mien.confidence import Confidence  # noqa: E402
from mien.config import parse_config  # noqa: E402
from mien.data.images import Store  # noqa: E402
from mien.errors import DataError, UsageError  # noqa: E402
from mien.evaluate import evaluate  # noqa: E402
from mien.export import export_onnx  # noqa: E402
from mien.faces.base import Faces  # noqa: E402
from mien.pictures.alignment import IN_WORDS  # noqa: E402
from mien.predict import Predictor  # noqa: E402
from mien.runs import Run  # noqa: E402
from mien.serve.browsing import browser_card  # noqa: E402
from mien.train import train  # noqa: E402
from photographs import HOPPER  # noqa: E402


@pytest.fixture(scope="module")
def run(easy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings: dict[str, Any] = {
        "data": {"store": str(easy_store)},
        "model": {"name": "mienet", "options": {"widths": [8, 16], "depths": [1, 1], "stem": 8}},
        "train": {"epochs": 3, "batch_size": 30, "optimizer": {"lr": 0.05}, "precision": "fp32", "threads": 1},
    }
    return train(parse_config(settings), tmp_path_factory.mktemp("export") / "run")


def rows_of(run: Run) -> tuple[Store, np.ndarray, np.ndarray]:
    found = evaluate(run).predictions
    store = Store.open(run.record.data["store"])
    assert found.image is not None
    return store, found.image, found.probs


def test_an_exported_run_says_what_the_run_says(run: Run, tmp_path: Path) -> None:
    found = export_onnx(run, tmp_path / "m.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.json", "m.onnx"]
    assert found.difference < 1e-5
    assert found.agreement == 1
    store, rows, probs = rows_of(run)
    model = onnx_model(tmp_path / "m.onnx")
    np.testing.assert_allclose(model.probabilities(store.images, rows), probs, atol=1e-5)
    for n in (1, 3):  # any number of faces
        np.testing.assert_allclose(model.probabilities(store.images, rows[:n]), probs[:n], atol=1e-5)
    card = json.loads((tmp_path / "m.json").read_text())
    # Of the 45 test faces every other one is counted; the rest fitted the scale.
    assert found.faces == 45
    assert card["confidence"]["faces"] == card["confidence"]["steps"][-1]["faces"] == 22
    wrong = probs[1::2].argmax(1) != evaluate(run).predictions.labels[1::2]
    assert card["confidence"]["steps"][-1]["wrong"] == wrong.sum()
    assert str(run.path) not in (tmp_path / "m.json").read_text()


def test_predict_goes_by_the_card(run: Run, tmp_path: Path) -> None:
    found = export_onnx(run, tmp_path / "m.onnx")
    predictor = Predictor.load(tmp_path / "m.onnx", detector=None, risk=0.5)
    assert predictor.confidence == found.confidence
    assert predictor.sha256


def test_crops_follow_the_card(run: Run, tmp_path: Path) -> None:
    export_onnx(run, tmp_path / "m.onnx")
    card = json.loads((tmp_path / "m.json").read_text())

    def of(**more: Any) -> Predictor:
        (tmp_path / "m.json").write_text(json.dumps(card | more))
        return Predictor.load(tmp_path / "m.onnx", options={"smallest": 48})

    plain = of(data={"corpus": "ferplus"})
    assert (plain.aligned, plain.notes) == (False, ())
    aligned = of(alignment=f"{IN_WORDS}; landmarks by mtcnn")
    assert (aligned.aligned, aligned.notes) == (True, ())
    assert "eyes level" in browser_card(aligned)["why_not"]
    leaning = Image.open(HOPPER).convert("RGB").rotate(9, fillcolor=(90, 110, 120))
    (before,), (after,) = (found.look(leaning, "leaning").crops for found in (plain, aligned))
    assert np.abs(before.astype(float) - after).mean() > 3
    # Turned by less than training turns faces: only who learnt aligned ones is given one that stands level.
    upright = aligned.look(Image.open(HOPPER), "upright").crops
    assert upright is not None
    assert np.abs(upright[0].astype(float) - after).mean() < np.abs(upright[0].astype(float) - before).mean()
    (row,) = replace(aligned, detector=NoEyes()).predict(HOPPER)
    assert row.reason.startswith("not aligned, as the model learnt faces")
    (note,) = of(alignment="by dlib").notes
    assert "aligned otherwise (by dlib)" in note
    (note,) = of(data={"corpus": "raf_db"}).notes
    assert "the model learnt raf_db" in note
    assert "the model learnt raf_db" in mien("predict", HOPPER, "--model", tmp_path / "m.onnx").stderr
    assert of(data={"corpus": "raf_db+ferplus"}).notes == ()
    with pytest.raises(UsageError, match="'cuda' computes no ONNX file"):
        Predictor.load(tmp_path / "m.onnx", device="cuda")


class NoEyes:
    """A detector of boxes alone."""

    name = "boxes"

    def find(self, pixels: np.ndarray) -> Faces:
        return Faces(np.array([[150.0, 100.0, 380.0, 380.0]]), np.array([0.9]), np.full((1, 5, 2), np.nan))


def test_a_file_that_goes_the_whole_way_takes_faces_as_they_are_stored(run: Run, tmp_path: Path) -> None:
    import onnxruntime

    scale = export_onnx(run, tmp_path / "plain.onnx").confidence.scale
    assert abs(scale - 1) > 0.01
    found = export_onnx(run, tmp_path / "m.onnx", whole_way=True)
    assert found.confidence.scale == 1  # the file itself is as sure as it is right
    store, rows, probs = rows_of(run)
    probs = Confidence(scale).calibrated(probs)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    (told,) = session.run(["probabilities"], {"faces": store.images[rows]})
    np.testing.assert_allclose(told, probs, atol=1e-5)
    np.testing.assert_allclose(onnx_model(tmp_path / "m.onnx").probabilities(store.images, rows), probs, atol=1e-5)


def test_eight_bits_are_smaller_and_nearly_right(run: Run, tmp_path: Path) -> None:
    large, small = export_onnx(run, tmp_path / "m.onnx"), export_onnx(run, tmp_path / "small.onnx", int8=True)
    assert small.agreement > 0.9
    assert small.difference > large.difference
    with pytest.raises(UsageError, match="does not go with the whole way"):
        export_onnx(run, tmp_path / "both.onnx", int8=True, whole_way=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.json", "m.onnx", "small.json", "small.onnx"]


def test_a_file_that_answers_otherwise_is_not_kept(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.onnx").write_bytes(b"older")
    monkeypatch.setattr("mien.export._LARGEST", 0.0)
    with pytest.raises(DataError, match="answers differ by up to"):
        export_onnx(run, tmp_path / "m.onnx", force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    assert (tmp_path / "m.onnx").read_bytes() == b"older"


def test_of_faces_that_it_learnt_from_nothing_is_promised(run: Run, tmp_path: Path) -> None:
    store = run.record.data["store"]
    for split in ("train", "validation"):
        found = export_onnx(run, tmp_path / f"{split}.onnx", on=f"{store}:{split}")
        assert found.confidence.steps == ()
        with pytest.raises(UsageError, match="says nothing of what its confidence is worth"):
            Predictor.load(tmp_path / f"{split}.onnx", risk=0.1)
    assert (
        "nothing can be promised"
        in mien("export", run.path, "--out", tmp_path / "v.onnx", "--on", f"{store}:train").stdout
    )


def test_slips(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ends in .onnx"):
        export_onnx(run, tmp_path / "model")
    (tmp_path / "m.json").write_text("{}")
    with pytest.raises(UsageError, match="exists already"):
        export_onnx(run, tmp_path / "m.onnx")


def test_the_command(run: Run, tmp_path: Path) -> None:
    said = mien("export", run.path, "--out", tmp_path / "m.onnx").stdout
    assert "mien predict PHOTO --model" in said
    assert "100.0% of the answers are the run's" in said
    told = json.loads(mien("export", run.path, "--out", tmp_path / "n.onnx", "--json").stdout)
    assert told["bytes"] == (tmp_path / "n.onnx").stat().st_size
