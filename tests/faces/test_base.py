from __future__ import annotations

import numpy as np
import pytest

from mien.faces.base import Faces, brightened, joined, kept, overlaps, shrunk


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


def test_overlaps_by_hand() -> None:
    box, others = np.array([0.0, 0, 10, 10]), boxes((0, 0, 10, 10), (5, 0, 15, 10), (20, 20, 30, 30), (2, 2, 6, 6))
    np.testing.assert_allclose(overlaps(box, others), [1, 50 / 150, 0, 16 / 100])
    np.testing.assert_allclose(overlaps(box, others, of_smaller=True), [1, 0.5, 0, 1])
    assert overlaps(np.zeros(4), boxes((0, 0, 0, 0))).tolist() == [0.0]  # no area: nothing to share


def test_the_surest_box_removes_its_neighbours() -> None:
    found = boxes((0, 0, 10, 10), (1, 0, 11, 10), (30, 0, 40, 10), (0.5, 0, 10.5, 10))
    assert kept(found, np.array([0.7, 0.9, 0.6, 0.8]), 0.5).tolist() == [1, 2]
    assert kept(found, np.array([0.7, 0.9, 0.6, 0.8]), 0.5, most=1).tolist() == [1]
    assert kept(boxes().reshape(0, 4), np.empty(0), 0.5).tolist() == []


def test_boxes_of_one_face_are_joined_by_their_scores() -> None:
    points = np.stack([np.full((5, 2), 1.0), np.full((5, 2), 5.0), np.full((5, 2), 9.0)])
    faces = joined(boxes((0, 0, 10, 10), (2, 0, 12, 10), (50, 50, 60, 60)), np.array([0.9, 0.3, 0.5]), points)
    # The first two are one: their mean with weights 3/4 and 1/4, and the score of the surer.
    np.testing.assert_allclose(faces.boxes, [[0.5, 0, 10.5, 10], [50, 50, 60, 60]])
    np.testing.assert_allclose(faces.scores, [0.9, 0.5])
    np.testing.assert_allclose(faces.landmarks[:, 0, 0], [2.0, 9.0])
    assert len(joined(boxes().reshape(0, 4), np.empty(0), np.empty((0, 5, 2)))) == 0


def test_faces_come_the_surest_first_and_move_with_their_picture() -> None:
    faces = Faces.of(boxes((0, 0, 1, 1), (2, 2, 4, 4)), np.array([0.2, 0.8])).moved(3)
    assert faces.boxes.tolist() == [[6, 6, 12, 12], [0, 0, 3, 3]]
    assert np.isnan(faces.landmarks).all()
    assert faces.landmarks.shape == (2, 5, 2)


@pytest.mark.parametrize(
    ("shape", "size", "scale"), [((300, 400), (96, 128), 4.0), ((50, 40), (64, 64), 1.0), ((1, 9), (32, 32), 1.0)]
)
def test_pictures_are_shrunk_and_filled_up_right_and_below(
    shape: tuple[int, int], size: tuple[int, int], scale: float
) -> None:
    picture = np.full((*shape, 3), 200, dtype=np.uint8)
    small, found = shrunk(picture, 100, 32)
    assert small.shape == (*size, 3)
    assert found == scale
    inside = small[: round(shape[0] / scale), : round(shape[1] / scale)]
    assert (inside == 200).all()
    assert small.sum() == inside.sum()


def test_only_dark_pictures_are_brightened() -> None:
    dark = np.random.default_rng(0).integers(0, 30, (64, 64, 3), dtype=np.uint8)
    seen = brightened(dark)
    assert np.percentile(seen.max(axis=2), 99) == pytest.approx(128, abs=5)
    assert (np.diff(seen.ravel().astype(int)[np.argsort(dark.ravel(), kind="stable")]) >= 0).all()
    light = np.full((8, 8, 3), 130, dtype=np.uint8)
    assert brightened(light) is light
    assert brightened(np.zeros((4, 4, 3), dtype=np.uint8)).max() == 0
