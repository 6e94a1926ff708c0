from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from corpus_writers import save
from mien.data.corpus import BadRows
from mien.data.listed import (
    ALL,
    About,
    Listed,
    Shape,
    annotated,
    five_of_68,
    listed_corpus,
    votes_of,
    with_landmarks,
)
from mien.data.text_lists import code, fitting, number, read_list
from mien.errors import DataError
from mien.pictures.decode import Changes, Region, decode_files
from mien.pictures.landmarks import COLUMNS
from writers import faces, read_all

ABOUT = About(name="odd", vocabulary=("sad", "happy"), terms="none")


def listed(root, splits, lines=None, ids=None):
    n = len(splits)
    frame = pd.DataFrame({"sample_id": ids or [f"{i}.png" for i in range(n)], "split": splits})
    frame = pd.concat([frame, votes_of([i % 2 for i in range(n)], ABOUT.vocabulary)], axis=1)
    return Listed(frame=frame, pictures=[root / f"{i}.png" for i in range(n)], lines=lines or [""] * n)


def test_a_region_is_cut_out_of_its_picture_and_black_beyond_it(tmp_path):
    picture = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30).astype(np.uint8)
    path = save(tmp_path / "a.png", picture)
    images, ok = decode_files([Region(path, 4, 2, 10), Region(path, -3, -2, 10)], 10, 1, pytest.fail)
    assert ok.all()
    np.testing.assert_array_equal(images[0], picture[2:12, 4:14])
    expected = np.zeros((10, 10), np.uint8)
    expected[2:, 3:] = picture[:8, :7]
    np.testing.assert_array_equal(images[1], expected)


def test_a_region_is_cut_before_it_is_brought_to_a_size(tmp_path):
    picture = np.zeros((40, 40), np.uint8)
    picture[10:20, 10:20] = 200
    path = save(tmp_path / "a.png", picture)
    images, _ = decode_files([Region(path, 10, 10, 10)], 5, 1, pytest.fail, changes=Changes())
    assert (images == 200).all()


@pytest.mark.parametrize("region", [(50, 0, 5), (0, -5, 5), (-20, -20, 10), (0, 0, 1000)])
def test_a_region_that_misses_its_picture_or_dwarfs_it_is_a_bad_row(tmp_path, region):
    path = save(tmp_path / "a.png", faces(1, 40)[0])
    bad: list[DataError] = []
    _, ok = decode_files([Region(path, *region)], 8, 1, bad.append)
    assert not ok.any()
    assert "40x40" in str(bad[0])


def test_the_square_around_a_box_has_its_middle_and_longer_side():
    assert Region.around(Path("x"), (10, 20, 30, 60)) == Region(Path("x"), 0, 20, 40)
    assert Region.around(Path("x"), (10, 20, 30, 60), 0.5) == Region(Path("x"), -20, 0, 80)


def test_a_split_without_a_picture_is_left_out_and_named(tmp_path):
    for i in range(2):
        save(tmp_path / f"{i}.png", faces(1, 16, seed=i)[0])
    corpus = listed_corpus(listed(tmp_path, ["train", "train", "test"]), ABOUT, Shape(None, None), tmp_path)
    images, frame = read_all(corpus)
    assert images.shape == (2, 16, 16)
    assert frame["split"].tolist() == ["train", "train"]
    assert corpus.detail["rows without pictures, split test absent"] == 1


def test_one_missing_picture_is_a_bad_row_with_its_line(tmp_path):
    save(tmp_path / "1.png", faces(1, 16)[0])
    corpus = listed_corpus(listed(tmp_path, ["train"] * 2, ["l line 1", "l line 2"]), ABOUT, Shape(16, 1), tmp_path)
    with pytest.raises(DataError, match=r"l line 1: .*0\.png: no such file"):
        read_all(corpus)
    bad = BadRows("drop")
    assert len(read_all(corpus, bad)[0]) == len(bad.errors) == 1


def test_no_picture_at_all_and_no_face_at_all_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"labels of 3 faces, and none of their pictures.*0\.png.*Unpack"):
        listed_corpus(listed(tmp_path, ["train"] * 3), ABOUT, Shape(16, 1), tmp_path)
    with pytest.raises(DataError, match="name no face"):
        listed_corpus(listed(tmp_path, []), ABOUT, Shape(16, 1), tmp_path)


def test_an_id_that_comes_again_is_the_later_ones_fault(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", faces(1, 16, seed=i)[0])
    rows = listed(tmp_path, ["train"] * 3, ["l line 1", "l line 2", "l line 3"], ids=["a", "b", "a"])
    corpus = listed_corpus(rows, ABOUT, Shape(16, 1), tmp_path)
    bad = BadRows("drop")
    _, frame = read_all(corpus, bad)
    assert frame["sample_id"].tolist() == ["a", "b"]
    assert str(bad.errors[0]) == "l line 3: 'a' comes again, expected once: l line 1."


def test_what_differs_from_the_published_corpus_is_said(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", faces(1, 16, seed=i)[0])
    for published, said in (
        ({"train": 2, "test": 1}, None),
        ({"train": 12271, "test": 1}, {"train": "2 of 12271"}),
        ({ALL: 4908}, {ALL: "3 of 4908"}),
        ({ALL: 3}, None),
    ):
        about = About(name="odd", vocabulary=ABOUT.vocabulary, terms="none", published=published)
        corpus = listed_corpus(listed(tmp_path, ["train", "train", "test"]), about, Shape(16, 1), tmp_path)
        assert corpus.detail.get("faces listed of those published") == said


def test_landmarks_move_with_the_face_that_is_cut_out(tmp_path):
    """A white pixel and the landmark on it: where the landmark moves to, the white is."""
    picture = np.zeros((60, 60), np.uint8)
    picture[28:32, 38:42] = 255  # its middle lies at 39.5, 29.5 where pixel i has its middle at i
    path = save(tmp_path / "a.png", picture)
    frame = pd.DataFrame({"sample_id": ["a"], "split": [""], "votes_sad": [1], "votes_happy": [0]})
    frame = with_landmarks(frame, np.tile([39.5, 29.5], (1, 5, 1)))
    rows = Listed(frame=frame, pictures=[Region(path, 20, 10, 40)], lines=[""])
    for size in (40, 80, 20):
        images, out = read_all(listed_corpus(rows, ABOUT, Shape(size, 1), tmp_path))
        weights = images[0].astype(float)
        rows_at, columns_at = np.indices(weights.shape)
        x, y = (weights * columns_at).sum() / weights.sum(), (weights * rows_at).sum() / weights.sum()
        np.testing.assert_allclose(out[["landmark_3_x", "landmark_3_y"]].to_numpy()[0], [x, y], atol=0.05)
        assert out["landmark_0_x"][0] == pytest.approx((39.5 - 20 + 0.5) * size / 40 - 0.5)


def test_five_points_come_from_sixty_eight():
    points = np.zeros((1, 68, 2))
    points[0, 36:42] = [[10, 20], [12, 18], [14, 18], [16, 20], [14, 22], [12, 22]]  # the mean is 13, 20
    points[0, 42:48], points[0, 30], points[0, 48], points[0, 54] = (40, 20), (25, 30), (18, 44), (32, 45)
    np.testing.assert_allclose(five_of_68(points)[0], [[13, 20], [40, 20], [25, 30], [18, 44], [32, 45]])
    assert COLUMNS[:3] == ("landmark_0_x", "landmark_0_y", "landmark_1_x")


def test_no_vote_where_no_class_is_known():
    assert votes_of([1, -1], ("a", "b")).to_numpy().tolist() == [[0, 1], [0, 0]]


def test_a_corpus_says_nothing_of_some_faces():
    frame = annotated(pd.DataFrame({"sample_id": ["a", "b"]}), {"gender": ["Male", None]})
    assert frame["gender"].isna().tolist() == [False, True]
    assert set(frame["gender_source"]) == {"annotated"}


def test_lists_are_words_between_blanks_with_their_lines(tmp_path):
    (tmp_path / "l.txt").write_bytes(b"\xef\xbb\xbfhead\n\na.jpg\t1 \n b.jpg  2 3\n")
    rows = read_list(tmp_path / "l.txt", "a list", skip=1)
    assert [(r.where, r.words) for r in rows] == [
        ("l.txt line 3", ("a.jpg", "1")),
        ("l.txt line 4", ("b.jpg", "2", "3")),
    ]
    unread: list[DataError] = []
    assert fitting(rows, 2, "a picture and a code", unread) == rows[:1]
    assert str(unread[0]) == "l.txt line 4: 3 words, expected 2: a picture and a code."
    Image.fromarray(faces(1)[0]).save(tmp_path / "p.png")
    with pytest.raises(DataError, match="no text in UTF-8"):
        read_list(tmp_path / "p.png", "a list")


def test_numbers_and_codes():
    assert [number(w) for w in ("1e-1", "inf", "-2", "", "NULL")] == [0.1, None, -2.0, None, None]
    assert [code(w, "abc") for w in ("0", "2", "3", "1.5", "nan", "1.0000000e+00")] == [0, 2, None, None, None, 1]
