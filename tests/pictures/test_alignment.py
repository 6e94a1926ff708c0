"""Eyes level, at the template's places; faces without eyes stay and are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mien.data.images import Store
from mien.errors import DataError
from mien.pictures.alignment import IN_WORDS, TEMPLATE, Aligner, similarity
from mien.pictures.landmarks import COLUMNS
from mien.prepare import prepare

SIDE = 60
PLACES = np.array(TEMPLATE) * SIDE - 0.5


def turned(angle: float, scale: float = 1.0, move: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """``(5, 2)``: the template's points turned about the middle, clockwise as one sees it."""
    z = (PLACES - 29.5) @ np.array([1, 1j]) * scale * np.exp(1j * np.radians(angle))
    return np.stack([z.real, z.imag], axis=1) + 29.5 + np.array(move)


def spots(points: np.ndarray) -> np.ndarray:
    """``(SIDE, SIDE)``: a soft bright spot at each eye."""
    y, x = np.mgrid[:SIDE, :SIDE]
    found = sum(200 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 8) for px, py in points[:2])
    return np.asarray(found).clip(0, 255).round().astype(np.uint8)


def rows(points: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(points.reshape(len(points), -1), columns=list(COLUMNS))
    return frame.assign(sample_id=[f"f{i}" for i in range(len(points))])


def test_a_turned_face_comes_back_to_the_template() -> None:
    points = np.stack([turned(20), turned(-35, 0.7, (3, -4)), turned(0)])
    scale, move = similarity(points, SIDE)
    np.testing.assert_allclose(np.abs(scale), [1, 1 / 0.7, 1], rtol=1e-9)
    np.testing.assert_allclose(np.degrees(np.angle(scale)), [-20, 35, 0], atol=1e-9)
    moved = scale[:, None] * (points @ np.array([1, 1j])) + move[:, None]
    np.testing.assert_allclose(moved, np.tile(PLACES @ np.array([1, 1j]), (3, 1)), atol=1e-9)


def test_the_eyes_are_level_whatever_the_mouth_says_and_two_points_are_enough() -> None:
    skewed = turned(10)
    skewed[3:] += [4, 2]  # a crooked mouth
    eyes_alone = turned(25)
    eyes_alone[2:] = np.nan
    scale, move = similarity(np.stack([skewed, eyes_alone]), SIDE)
    left, right = (scale * (p @ np.array([1, 1j])) + move for p in (
        np.stack([skewed[0], eyes_alone[0]]), np.stack([skewed[1], eyes_alone[1]])))  # fmt: skip
    np.testing.assert_allclose(left.imag, right.imag, atol=1e-9)
    assert left[1] == pytest.approx(complex(*PLACES[0]))


def test_pixels_go_where_their_landmarks_go() -> None:
    points = np.stack([turned(20), turned(-15, 0.8, (2, 5)), np.full((5, 2), np.nan)])
    images = np.stack([spots(p) for p in (*points[:2], turned(7))])
    aligner = Aligner()
    out, frame = aligner(images, rows(points))
    for image in out[:2]:
        y, x = np.mgrid[:SIDE, :SIDE]
        for side, place in zip((x < 29.5, x > 29.5), PLACES[:2], strict=True):
            weight = image * side
            centre = (x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()
            np.testing.assert_allclose(centre, place, atol=0.3)
    np.testing.assert_array_equal(out[2], images[2])
    np.testing.assert_allclose(frame[list(COLUMNS)].to_numpy()[0].reshape(5, 2), PLACES, atol=1e-9)
    assert frame[list(COLUMNS)].isna().all(axis=1).tolist() == [False, False, True]
    assert aligner.facts() == {
        "aligned by their landmarks": 2,
        "not aligned, for an eye is not known": "1 (f2)",
    }
    colour, _ = Aligner()(np.repeat(images[..., None], 3, axis=3), rows(points))
    np.testing.assert_array_equal(colour[..., 1], out)


def test_points_that_are_no_face_are_left() -> None:
    one_place = turned(0)
    one_place[1] = one_place[0]
    half_an_eye = turned(0)
    half_an_eye[0, 1] = np.nan
    on_its_head = turned(0)
    on_its_head[:2] = on_its_head[1::-1]  # eyes exchanged: the turn would put the mouth above them
    scale, _ = similarity(np.stack([one_place, half_an_eye, on_its_head, np.full((5, 2), 7.0)]), SIDE)
    assert np.isnan(scale[[0, 1, 3]]).all()


def manifest(folder: Path, points: np.ndarray) -> Path:
    lines = [f"path,label,{','.join(COLUMNS)}"]
    for i, p in enumerate(points):
        Image.fromarray(spots(np.nan_to_num(p))).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{'ab'[i % 2]},{','.join('' if np.isnan(v) else f'{v:.3f}' for v in p.ravel())}")
    (folder / "faces.csv").write_text("\n".join(lines) + "\n")
    return folder / "faces.csv"


def test_prepare_aligns_and_says_so(tmp_path: Path) -> None:
    points = np.stack([turned(20), turned(-20), turned(5), np.full((5, 2), np.nan)])
    source = manifest(tmp_path, points)
    plain = prepare(source, tmp_path / "plain")
    assert plain.table.attributes == ()  # numbers, no groups
    assert "alignment" not in plain.info
    store = prepare(source, tmp_path / "aligned", align=True)
    assert store.info["detail"]["aligned by their landmarks"] == 3
    assert store.info["detail"]["not aligned, for an eye is not known"] == "1 (3.png)"
    assert len(store.table) == 4
    again = Store.open(tmp_path / "aligned")
    assert again.info["alignment"] == IN_WORDS
    eyes = again.table.frame[["landmark_0_y", "landmark_1_y"]].to_numpy()
    np.testing.assert_allclose(eyes[:3], PLACES[0, 1], atol=1e-2)
    assert np.array_equal(again.images[3], plain.images[3])
    assert not np.array_equal(again.images[0], plain.images[0])
    assert again.fingerprint != plain.fingerprint


def test_landmarks_that_are_none_or_of_another_size_are_refused(tmp_path: Path) -> None:
    source = manifest(tmp_path, np.stack([turned(20), turned(3)]))
    with pytest.raises(DataError, match="has landmark_0_x in pixels, but not all pictures are of 32x32"):
        prepare(source, tmp_path / "small", size=32)
    source.write_text(source.read_text().replace("\n0.png,a,", "\n0.png,a,left", 1))
    with pytest.raises(DataError, match=r"line 2: 'landmark_0_x' is 'left.*a number of pixels, or nothing"):
        prepare(source, tmp_path / "bad")
    with pytest.raises(DataError, match="align: the corpus has no landmark_0_x.*without aligning"):
        prepare("synthetic", tmp_path / "drawn", n=20, align=True)
    assert not (tmp_path / "drawn").exists()
