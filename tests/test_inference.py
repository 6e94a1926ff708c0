"""The one protocol: batches, checks, and the pictures that a model wants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def with_numbers(images: np.ndarray) -> np.ndarray:
    """Two classes, and after them the brightness from -1 to 1, and a constant."""
    share = images.mean((1, 2, 3)) / 255
    return np.stack([share, 1 - share, 2 * share - 1, np.full(len(images), 3.5)], axis=1)


def test_numbers_stand_beside_the_probabilities_of_their_face() -> None:
    model = FaceModel("m", ("a", "b"), with_numbers, numbers=("valence", "intensity"))
    black, white = np.zeros((1, 6, 6, 1), np.uint8), np.full((1, 6, 6, 1), 255, np.uint8)
    images = np.concatenate([black, white, black])
    probs, numbers = model.answers(images, np.array([1, 0]), batch_size=1)
    assert probs.tolist() == [[1, 0], [0, 1]]
    assert numbers.tolist() == [[1, 3.5], [-1, 3.5]]
    assert model.probabilities(images).tolist() == [[0, 1], [1, 0], [0, 1]]
    # softmax is of the classes alone
    logits = FaceModel("m", ("a", "b"), lambda x: np.array([[0, np.log(3), -7.0]]), logits=True, numbers=("v",))
    probs, numbers = logits.answers(black)
    np.testing.assert_allclose(probs, [[0.25, 0.75]])
    assert numbers.tolist() == [[-7]]
    assert FaceModel("m", ("a", "b"), by_brightness).answers(images)[1].shape == (3, 0)


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (by_brightness, r"shape \(7, 2\), expected \(7, 3\), one row an image .* \(a, b\), then one a number \(v\)"),
        (lambda x: np.full((len(x), 3), [0.5, 0.5, np.nan]), "nan.* for the face 'g0' .7 such rows"),
    ],
)
def test_numbers_that_are_missing_or_none(predict: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        FaceModel("m", ("a", "b"), predict, numbers=("v",)).answers(IMAGES, names=[f"g{i}" for i in range(7)])


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
    assert faces[2].probabilities["a"] == pytest.approx(expected)
    assert "no such file" in faces[1].reason
    assert [face.numbers for face in faces] == [{}, {}, {}]
    told = Predictor(FaceModel("m", ("a", "b"), with_numbers, wants=Wants(12, 1), numbers=("v", "w"))).predict(paths)
    assert told[0].numbers == {"v": pytest.approx(2 * 60 / 255 - 1), "w": 3.5}
    assert told[1].numbers == {}
    assert told[2].numbers["v"] == pytest.approx(2 * 180 / 255 - 1)
    with pytest.raises(UsageError, match="m: does not say which size and colour of pictures it wants"):
        Predictor(FaceModel("m", ("a", "b"), model))


def test_examples() -> None:
    import doctest

    assert doctest.testmod(inference).attempted
    assert not doctest.testmod(inference).failed
