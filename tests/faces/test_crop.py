from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from mien.faces.base import Faces
from mien.faces.crop import FAIRFACE_POINTS, CropRule, Square, aligned_squares, cut, lean, squares, squares_by_points
from mien.pictures.alignment import TEMPLATE


def faces(box: tuple[float, float, float, float], points: np.ndarray | None = None) -> Faces:
    marks = np.full((1, 5, 2), np.nan) if points is None else points[None]
    return Faces(np.array([box], dtype=np.float64), np.array([0.9]), marks)


def eyes(left: tuple[float, float], right: tuple[float, float]) -> np.ndarray:
    points = np.full((5, 2), np.nan)
    points[:2] = left, right
    return points


def test_a_rule_is_in_sides_of_the_box() -> None:
    (place,) = squares(faces((10, 20, 50, 60)), CropRule(side=1.5, right=0.1, down=-0.2))
    assert (place.x, place.y, place.side, place.turn) == pytest.approx((34, 32, 60, 0))
    (wider,) = squares(faces((10, 20, 50, 60)), CropRule(side=1.5), margin=0.25)
    assert wider.side == pytest.approx(90)
    (oblong,) = squares(faces((0, 0, 20, 45)), CropRule())
    assert oblong.side == pytest.approx(30)  # of a square of the same area


def test_a_box_of_no_area_still_gives_a_pixel() -> None:
    (place,) = squares(faces((5, 5, 5, 5)), CropRule(side=1.2))
    assert place.side == pytest.approx(1.2)
    assert cut(np.zeros((9, 9, 3), np.uint8), [place], 8, 1).shape == (1, 8, 8, 1)


@pytest.mark.parametrize(
    ("right", "turn"), [((20, 10), 0.0), ((20, 11), 0.0), ((20, 16), 30.96), ((20, 4), -30.96), ((10, 20), 90.0)]
)
def test_faces_are_levelled_where_they_lean_by_more_than_training_turns_them(
    right: tuple[float, float], turn: float
) -> None:
    (place,) = squares(faces((0, 0, 40, 40), eyes((10, 10), right)), CropRule())
    assert place.turn == pytest.approx(turn, abs=0.01)


def test_down_is_down_the_face() -> None:
    (place,) = squares(faces((0, 0, 40, 40), eyes((10, 10), (10, 20))), CropRule(down=0.5))
    assert (place.x, place.y) == pytest.approx((0, 20))  # a face whose chin points left


def test_an_eye_that_is_not_known_leans_nowhere() -> None:
    assert lean(np.full((5, 2), np.nan)) == 0
    assert lean(eyes((3, 3), (3, 3))) == 0


def test_a_leaning_face_is_cut_out_upright() -> None:
    upright = np.zeros((200, 200, 3), dtype=np.uint8)
    upright[60:90, 70:90] = 255  # the onlooker's left half alone is bright, above
    turned = np.asarray(Image.fromarray(upright).rotate(-30, Image.Resampling.BICUBIC))  # clockwise
    a = math.radians(30)
    c, s = math.cos(a), math.sin(a)

    def moved(x: float, y: float) -> tuple[float, float]:
        return 100 + c * (x - 100) - s * (y - 100), 100 + s * (x - 100) + c * (y - 100)

    points = eyes(moved(80, 75), moved(120, 75))
    assert lean(points) == pytest.approx(30)
    (place,) = squares(faces((50, 50, 150, 150), points), CropRule())
    seen = cut(turned, [place], 50, 1)[0, :, :, 0].astype(int)
    expected = np.asarray(
        Image.fromarray(upright[50:150, 50:150, 0]).resize((50, 50), Image.Resampling.LANCZOS)
    ).astype(int)
    assert np.abs(seen - expected).mean() < 4


def test_beyond_the_picture_stands_its_nearest_pixel() -> None:
    picture = np.tile(np.arange(10, dtype=np.uint8)[None, :, None] * 20, (10, 1, 3))
    found = cut(picture, [Square(0, 5, 10)], 10, 1)[0, :, :, 0]
    assert (found[:, :5] == 0).all()
    assert found[0, 5:].tolist() == [0, 20, 40, 60, 80]
    assert cut(picture, [Square(-500, -500, 4)], 4, 3).tolist() == np.zeros((1, 4, 4, 3)).tolist()


def test_the_share_of_a_square_inside_its_picture() -> None:
    picture = np.zeros((100, 200, 3), dtype=np.uint8)
    assert Square(100, 50, 40).inside(picture) == 1
    assert Square(0, 50, 40).inside(picture) == pytest.approx(0.5)
    assert Square(0, 0, 40).inside(picture) == pytest.approx(0.25)
    assert Square(-50, 0, 40).inside(picture) == 0


def test_no_faces_are_no_crops() -> None:
    assert squares(Faces.none(), CropRule()) == []
    assert cut(np.zeros((4, 4, 3), np.uint8), [], 8, 3).shape == (0, 8, 8, 3)


@pytest.mark.parametrize("turn", [0.0, 8.0, -25.0, 70.0])
def test_landmarks_come_to_lie_where_fairface_has_them(turn: float) -> None:
    side, middle = 120.0, np.array([200.0, 160.0])
    angle = np.radians(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (np.array(FAIRFACE_POINTS) - 0.5) * side @ rotation.T + middle
    picture = np.zeros((320, 400, 3), dtype=np.uint8)
    for x, y in points[[0, 1, 3, 4]]:
        picture[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4] = 255
    box = np.array([[150.0, 100.0, 250.0, 230.0]], dtype=np.float64)
    seen = Faces(boxes=box, scores=np.ones(1, dtype=np.float64), landmarks=points[None].astype(np.float64))
    (place,) = squares_by_points(seen, CropRule())
    assert (place.x, place.y, place.side) == pytest.approx((*middle, side), abs=1e-3)
    assert place.turn == pytest.approx(turn, abs=1e-3)
    crop = cut(picture, [place], 96, 1)[0, :, :, 0]
    for x, y in np.array(FAIRFACE_POINTS)[[0, 1, 3, 4]] * 96:
        assert crop[round(y - 0.5), round(x - 0.5)] > 200


def test_faces_with_few_landmarks() -> None:
    points = np.full((3, 5, 2), np.nan, dtype=np.float64)
    points[1, :3] = np.array(FAIRFACE_POINTS, dtype=np.float64)[:3] * 100  # eyes and nose: the eyes alone count
    points[2, 2:4] = np.array(FAIRFACE_POINTS, dtype=np.float64)[2:4] * 100  # nose and one corner: the box does
    boxes = np.tile(np.array([[20.0, 20.0, 80.0, 80.0]], dtype=np.float64), (3, 1))
    seen = Faces(boxes=boxes, scores=np.ones(3, dtype=np.float64), landmarks=points)
    none, eyes, one = squares_by_points(seen, CropRule(side=1.2))
    assert none == one == squares(seen, CropRule(side=1.2))[0]
    assert (eyes.x, eyes.y, eyes.side, eyes.turn) == pytest.approx((50, 50, 100, 0), abs=1e-3)
    together = np.zeros((1, 5, 2), dtype=np.float64)  # all in one place: no square
    seen = Faces(boxes=boxes[:1], scores=np.ones(1, dtype=np.float64), landmarks=together)
    assert squares_by_points(seen, CropRule()) == squares(seen, CropRule())


@pytest.mark.parametrize("turn", [-70.0, 0.0, 12.0, 160.0])
def test_aligned_crops_have_their_landmarks_where_aligned_stores_have_them(turn: float) -> None:
    points = np.array(TEMPLATE) * 90
    spun = np.exp(1j * np.radians(turn)) * (points[:, 0] + 1j * points[:, 1] - (45 + 45j)) + (150 + 140j)
    places = np.column_stack([spun.real, spun.imag])
    picture = np.zeros((300, 300, 3), dtype=np.uint8)
    for x, y in places[:2].round().astype(int):
        picture[y - 2 : y + 3, x - 2 : x + 3] = 255
    seen = faces((100, 100, 200, 200), places)
    (square,) = aligned_squares(seen)
    assert square is not None
    assert square.side == pytest.approx(90, abs=0.1)
    assert (square.x, square.y) == pytest.approx((150, 140), abs=0.6)
    (crop,) = cut(picture, [square], 100, 1)[..., 0].astype(float)
    for half, (x, y) in ((slice(0, 50), TEMPLATE[0]), (slice(50, 100), TEMPLATE[1])):
        part = np.zeros_like(crop)
        part[:, half] = crop[:, half]
        rows, columns = np.indices(part.shape)
        found = (columns * part).sum() / part.sum(), (rows * part).sum() / part.sum()
        assert found == pytest.approx((100 * x, 100 * y), abs=2)
    (wide,) = aligned_squares(seen, margin=0.5)
    assert wide is not None
    assert wide.side == pytest.approx(180, abs=0.2)
    (unseen,) = aligned_squares(faces((100, 100, 200, 200)))
    assert unseen is None  # nobody knows where its eyes are
    # Nose and mouth that were found above the eyes: a crop of millions of pixels a side tells nothing of the face.
    upset = np.array(TEMPLATE) * 90 + 105
    upset[2:, 1] = upset[0, 1] - 0.6 * (upset[2:, 1] - upset[0, 1])
    assert aligned_squares(faces((100, 100, 200, 200), upset)) == [None]
