"""A store whose faces were aligned: places by landmarks of a detector, everything else as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.align import align, landmarks_of
from mien.cli.stores import align as command
from mien.data.images import Store, StoreWriter
from mien.errors import DataError, UsageError
from mien.faces import DETECTORS
from mien.faces.base import FaceDetector, Faces
from mien.merge import merge
from mien.pictures.alignment import TEMPLATE
from mien.pictures.landmarks import COLUMNS
from mien.prepare import prepare
from photographs import EYES, FACE, photograph

SIDE = 40


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return prepare("synthetic", tmp_path_factory.mktemp("faces") / "store", n=30, size=SIDE)


def told(points: np.ndarray, box: tuple[float, float, float, float] = (0.1, 0.1, 0.9, 0.9)) -> FaceDetector:
    """One that finds a face with landmarks at these shares of the side of the crop, wherever its margin lies."""

    def find(picture: np.ndarray) -> Faces:
        side = picture.shape[0] / 2  # half of the side is added on each side
        return Faces.of(np.array([box]) * side + side / 2, np.array([0.9]), points[None] * side + side / 2)

    return FaceDetector("told", find, "by hand")


def test_landmarks_are_in_pixels_of_the_face(store: Store) -> None:
    found = landmarks_of(told(np.array(TEMPLATE)), store.images[0])
    np.testing.assert_allclose(found, np.array(TEMPLATE) * SIDE - 0.5, atol=1e-9)
    # A face beside the middle is another person's.
    assert np.isnan(landmarks_of(told(np.array(TEMPLATE), (0.8, 0.2, 1.2, 0.6)), store.images[0])).all()
    nobody = FaceDetector("nobody", lambda picture: Faces.none())
    assert np.isnan(landmarks_of(nobody, store.images[0])).all()


def test_the_largest_face_in_the_middle_is_the_face(store: Store) -> None:
    def find(picture: np.ndarray) -> Faces:
        side = picture.shape[0] / 2
        boxes = np.array([[0.4, 0.4, 0.6, 0.6], [0.1, 0.1, 0.9, 0.9], [-0.5, -0.5, 1.0, 0.4]]) * side + side / 2
        points = np.stack([np.full((5, 2), share) for share in (0.1, 0.2, 0.3)]) * side + side / 2
        return Faces.of(boxes, np.array([0.9, 0.8, 0.7]), points)

    np.testing.assert_allclose(landmarks_of(FaceDetector("three", find), store.images[0]), 0.2 * SIDE - 0.5)


def test_a_real_detector_finds_a_small_crop() -> None:
    """A photograph's face cut out and shrunk to 48 pixels: eyes where they are, within a pixel and a half."""
    left, top, right, bottom = FACE
    side = max(right - left, bottom - top)
    crop = Image.fromarray(photograph()).crop((left, top, left + side, top + side)).resize((48, 48))
    found = landmarks_of(DETECTORS.get("mtcnn")(), np.asarray(crop))
    np.testing.assert_allclose(found[:2], (np.array(EYES) - [left, top]) * 48 / side - 0.5, atol=1.5)


def test_faces_at_the_template_stay_and_all_else_does(store: Store, tmp_path: Path) -> None:
    made = align(store, tmp_path / "made", told(np.array(TEMPLATE)))
    np.testing.assert_array_equal(np.asarray(made.images), np.asarray(store.images))
    for column in store.table.frame:
        assert made.table.frame[column].equals(store.table.frame[column]), column
    assert made.table.attributes == store.table.attributes
    assert made.info["alignment"].endswith("told; by hand")
    step = made.table.history[-1]
    assert (step.name, step.detail["aligned by their landmarks"]) == ("align", 30)
    with pytest.raises(UsageError, match="is aligned already"):
        align(made, tmp_path / "again", told(np.array(TEMPLATE)))
    assert not (tmp_path / "again").exists()


def test_a_turned_face_is_turned_back_and_one_that_is_not_found_stays(store: Store, tmp_path: Path) -> None:
    z = (np.array(TEMPLATE) - 0.5) @ np.array([1, 1j]) * np.exp(1j * np.radians(90))
    sideways = np.stack([z.real, z.imag], axis=1) + 0.5
    turn, nobody = told(sideways), Faces.none()
    images = np.asarray(store.images)
    first = turn.find  # the picture of the first face alone is not found
    large = np.asarray(
        Image.fromarray(images[0, ..., 0] if images.shape[3] == 1 else images[0]).resize((SIDE * 3,) * 2, 3)
    )

    def find(picture: np.ndarray) -> Faces:
        middle = picture[SIDE * 3 // 2 : -SIDE * 3 // 2, SIDE * 3 // 2 : -SIDE * 3 // 2]
        same = np.array_equal(middle[..., 0], large if large.ndim == 2 else large[..., 0])
        return nobody if same else first(picture)

    made = align(store, tmp_path / "made", FaceDetector("some", find, "by hand", {"least": 0.5}))
    assert made.info["alignment"].endswith("some; least 0.5; by hand")
    assert made.table.history[-1].options == {"landmarks": "some", "least": 0.5}
    assert made.info["detail"]["aligned by their landmarks"] == 29
    assert made.info["classes"] == store.info["classes"]
    now = np.asarray(made.images)
    np.testing.assert_array_equal(now[0], images[0])
    np.testing.assert_allclose(now[1].astype(int), np.rot90(images[1], 1, (0, 1)).astype(int), atol=1)
    detail = made.table.history[-1].detail
    assert detail["aligned by their landmarks"] == 29
    assert store.table.frame["sample_id"][0] in detail["not aligned, for an eye is not known"]
    landmarks = made.table.frame[list(COLUMNS)].to_numpy()
    assert np.isnan(landmarks[0]).all()
    np.testing.assert_allclose(landmarks[1].reshape(5, 2), np.array(TEMPLATE) * SIDE - 0.5, atol=1e-6)


def test_the_command(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"has no landmark_0_x[\s\S]*--detector mtcnn"):
        command(store.path, out=tmp_path / "made")
    with pytest.raises(UsageError, match="--option"):
        command(store.path, out=tmp_path / "made", option=("side=200",))
    command(store.path, out=tmp_path / "made", detector="mtcnn", option=("side=200",))
    assert "30 faces in" in capsys.readouterr().out
    made = Store.open(tmp_path / "made")
    assert "mtcnn" in made.info["alignment"]


def test_landmarks_of_the_store_are_used_where_no_detector_is_named(store: Store, tmp_path: Path) -> None:
    z = (np.array(TEMPLATE) - 0.5) @ np.array([1, 1j]) * np.exp(1j * np.radians(90))
    points = (np.stack([z.real, z.imag], axis=1) + 0.5) * SIDE - 0.5
    columns = dict(zip(COLUMNS, points.reshape(-1), strict=True))
    frame = store.table.frame.sample(frac=1, random_state=0).assign(
        **columns
    )  # rows in another order than the pictures
    with StoreWriter(tmp_path / "told") as writer:
        writer.copy(store)
        with_landmarks = writer.commit(store.table.derive("told", frame), store.description)
    with_landmarks.table.frame.loc[0, COLUMNS[0]] = np.nan
    made = align(with_landmarks, tmp_path / "made")
    unknown = int(frame["image"].iloc[0])
    for i in range(3):
        expected = store.images[i] if i == unknown else np.rot90(store.images[i], 1, (0, 1))
        np.testing.assert_allclose(made.images[i].astype(int), expected.astype(int), atol=1)
    assert made.table.frame["sample_id"].tolist() == frame["sample_id"].tolist()
    assert made.table.history[-1].detail["aligned by their landmarks"] == 29
    # With a detector they still serve for faces that it does not find.
    nobody = FaceDetector("nobody", lambda picture: Faces.none())
    again = align(with_landmarks, tmp_path / "again", nobody)
    np.testing.assert_array_equal(np.asarray(again.images), np.asarray(made.images))


def test_a_detector_that_finds_no_eyes_leaves_nothing(store: Store, tmp_path: Path) -> None:
    blind = FaceDetector("blind", lambda picture: Faces.of(np.array([[30.0, 30, 90, 90]]), np.array([0.9])))
    with pytest.raises(DataError, match="no eyes were found in 30 faces by blind"):
        align(store, tmp_path / "made", blind)
    assert not list(tmp_path.iterdir())


def test_pictures_that_are_no_squares_are_refused(store: Store, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "wide") as writer:
        writer.append(np.asarray(store.images)[:, :30])
        wide = writer.commit(store.table, store.description)
    with pytest.raises(DataError, match=r"pictures of 30x40, expected squares"):
        align(wide, tmp_path / "made", told(np.array(TEMPLATE)))


def test_merged_stores_keep_their_landmarks_and_say_how_they_are_aligned(store: Store, tmp_path: Path) -> None:
    made = align(store, tmp_path / "made", told(np.array(TEMPLATE)))
    larger = prepare("synthetic", tmp_path / "larger", n=30, size=2 * SIDE, seed=1)
    both = merge([made.path, larger.path], tmp_path / "both", size=2 * SIDE)
    assert both.info["alignment"].count("not aligned") == 1
    landmarks = both.table.frame[list(COLUMNS)].to_numpy()[:30].reshape(-1, 5, 2)
    np.testing.assert_allclose(landmarks, np.tile(np.array(TEMPLATE) * 2 * SIDE - 0.5, (30, 1, 1)), atol=1e-6)
    with pytest.raises(UsageError, match="is aligned already"):
        align(both, tmp_path / "again")
