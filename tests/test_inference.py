"""The one protocol: batches, checks, and the pictures that a model wants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien import inference
from mien.errors import DataError, UsageError
from mien.inference import FaceModel, Wants, batches, softmax
from mien.pictures.decode import decode_file
from mien.predict import Predictor

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 6, 6, 1), dtype=np.uint8)


def by_brightness(images: np.ndarray) -> np.ndarray:
    share = images.mean((1, 2, 3)) / 255
    return np.stack([share, 1 - share], axis=1)


def test_every_face_is_in_one_batch_and_progress_comes_after_it() -> None:
    seen: list[tuple[int, int | None]] = []
    rows = np.array([6, 0, 3, 5, 2])
    parts = [(p, crops) for p, crops in batches(IMAGES, rows, 2, lambda *done: seen.append(done))]
    assert [p for p, _ in parts] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    np.testing.assert_array_equal(np.concatenate([c for _, c in parts]), IMAGES[rows])
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert list(batches(IMAGES[:0])) == []
    with pytest.raises(UsageError, match="batch_size: is 0, expected 1 or more"):
        next(batches(IMAGES, batch_size=0))


def test_large_crops_come_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.inputs.AT_ONCE", 2 * IMAGES[0].nbytes)
    assert [len(crops) for _, crops in batches(IMAGES)] == [2, 2, 2, 1]


def test_rows_and_batches_change_no_answer() -> None:
    model = FaceModel("m", ("a", "b"), by_brightness)
    rows = np.array([4, 1])
    np.testing.assert_array_equal(model.probabilities(IMAGES, rows, batch_size=1), model.probabilities(IMAGES)[rows])
    assert model.probabilities(IMAGES[:0]).shape == (0, 2)


def test_a_message_names_the_face_of_its_batch() -> None:
    model = FaceModel("m", ("a", "b"), lambda x: by_brightness(x) * (2 if len(x) == 1 else 1))
    with pytest.raises(DataError, match=r"for the face 'g' \(1 such rows of 1\), .*pass logits=True"):
        model.probabilities(IMAGES, names=list("abcdefg"), batch_size=3)


def test_softmax_keeps_the_kind_of_number_and_bears_large_ones() -> None:
    assert softmax(np.array([[1e4, 0], [np.nan, 0]], np.float32)).dtype == np.float32
    np.testing.assert_allclose(softmax(np.array([[1e4, 1e4 + np.log(3)]])), [[0.25, 0.75]])


def test_features_where_a_model_tells_them() -> None:
    with pytest.raises(UsageError, match="m: tells no features"):
        FaceModel("m", ("a", "b"), by_brightness).features(IMAGES)
    model = FaceModel("m", ("a", "b"), by_brightness, embed=lambda x: x.mean((1, 2)), batch_size=2)
    np.testing.assert_allclose(model.features(IMAGES, np.array([3, 1, 0]))[:, 0], IMAGES[[3, 1, 0]].mean((1, 2, 3)))


def test_any_model_that_says_what_it_wants_predicts_files(tmp_path: Path) -> None:
    for i in range(3):
        pixels = np.full((40 + i, 40 + i, 3), 60 * (i + 1), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    shapes = []

    def model(images: np.ndarray) -> np.ndarray:
        shapes.append(images.shape)
        return by_brightness(images)

    paths = [tmp_path / "0.png", tmp_path / "none.png", tmp_path / "2.png"]
    faces = Predictor(FaceModel("m", ("a", "b"), model, wants=Wants(12, 1, "bicubic"))).predict(paths)
    assert shapes == [(2, 12, 12, 1)]
    expected = decode_file(paths[2], 12, 1, by="bicubic").mean() / 255
    assert faces[2].probs["a"] == pytest.approx(expected)
    assert "no such file" in faces[1].error
    with pytest.raises(UsageError, match="m: does not say which size and colour of pictures it wants"):
        Predictor(FaceModel("m", ("a", "b"), model))


def test_examples() -> None:
    import doctest

    assert doctest.testmod(inference).attempted
    assert not doctest.testmod(inference).failed
