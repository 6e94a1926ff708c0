from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from corpus_writers import write_expw
from mien.data.corpus import BadRows
from mien.data.datasets.expw import CLASSES, detect, expw, lacks
from mien.errors import DataError
from mien.prepare import open_corpus, prepare
from writers import read_all, replace_line


@pytest.fixture
def root(tmp_path):
    return write_expw(tmp_path)


def test_each_face_is_cut_out_of_its_picture(root):
    """Boxes of 60x70: top 20, bottom 90, left 30 or 90; the squares of 70 begin at 25 and 85."""
    corpus = expw(root, size=70)
    images, frame = read_all(corpus)
    assert corpus.vocabulary == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert frame["sample_id"].tolist()[:3] == ["some_word_0.jpg#0", "some_word_0.jpg#1", "some_word_1.jpg#0"]
    whole = np.asarray(Image.open(root / "image/origin/some_word_1.jpg"))
    np.testing.assert_array_equal(images[2], whole[20:90, 25:95])
    np.testing.assert_array_equal(images[3], whole[20:90, 85:155])
    assert frame[[f"votes_{c}" for c in CLASSES]].to_numpy().argmax(1).tolist() == [*range(7), *range(7)]
    assert read_all(expw(root))[0].shape[1] == 100
    np.testing.assert_array_equal(read_all(expw(root, size=140, margin=0.5))[0][2][15:, 10:], whole[:125, :130])


def test_faces_of_little_confidence_are_left_out_and_counted(root):
    """Confidences are 50.25, 51.25, ... 63.25."""
    corpus = expw(root, confidence=60)
    assert len(read_all(corpus)[0]) == 4
    assert corpus.detail["faces of a confidence below 60, left out"] == 10


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("some_word_1.jpg 0 20 30 90 90 52.25 7", "label '7', expected 0 angry"),
        ("some_word_1.jpg 0 20 90 30 90 52.25 2", "a box from"),
        ("some_word_1.jpg 0 20 30 90 90 2", "expected picture, face, top, left, right, bottom"),
        ("some_word_1.jpg 0 20 30 x 90 52.25 2", "expected picture, face, top"),
        ("some_word_0.jpg 1 20 30 90 90 52.25 2", "'some_word_0.jpg#1' comes again"),
        ("some_word_1.jpg 0 520 530 590 590 52.25 2", "200x150 pixels"),
        ("absent.jpg 0 20 30 90 90 52.25 2", "absent.jpg: no such file"),
    ],
)
def test_a_bad_line_is_named_or_dropped(root, wrong, message):
    replace_line(root / "label/label.lst", 3, lambda line: wrong)
    with pytest.raises(DataError, match=f"label.lst line 3: .*{message}"):
        read_all(expw(root))
    assert len(read_all(expw(root), BadRows("drop"))[0]) == 13


def test_a_name_may_hold_blanks(root):
    (root / "image/origin/some_word_1.jpg").rename(root / "image/origin/some word 1.jpg")
    path = root / "label/label.lst"
    path.write_text(path.read_text().replace("some_word_1.jpg", "some word 1.jpg"))
    assert "some word 1.jpg#0" in set(read_all(expw(root))[1]["sample_id"])


def test_list_and_pictures_in_one_folder(root):
    (root / "label/label.lst").rename(root / "label.lst")
    for path in (root / "image/origin").iterdir():
        path.rename(root / path.name)
    (root / "image/origin").rmdir()
    (root / "image").rmdir()
    assert len(read_all(open_corpus(root))[0]) == 14


def test_half_a_download_says_what_is_missing(root, tmp_path_factory):
    store = prepare(root, tmp_path_factory.mktemp("out") / "store")
    assert (store.info["corpus"], len(store.table)) == ("expw", 14)
    (root / "label/label.lst").unlink()
    assert (detect(root), lacks(root)[0]) == (0, 4)
    with pytest.raises(DataError, match="is not ExpW.*there is no label.lst"):
        expw(root)
