from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from corpus_writers import write_celeba
from mien.data.corpus import BadRows
from mien.data.datasets.celeba import celeba, detect, lacks
from mien.errors import ConfigError, DataError
from mien.prepare import open_corpus, prepare
from writers import read_all, replace_line

LIST = "Anno/list_attr_celeba.txt"


@pytest.fixture
def root(tmp_path):
    return write_celeba(tmp_path)


@pytest.mark.parametrize("csv", [False, True])
def test_smiling_gender_and_age_of_either_copy(tmp_path, csv):
    """Face i smiles where i is even, is male each third, and not young each fourth."""
    corpus = celeba(write_celeba(tmp_path, csv=csv))
    images, frame = read_all(corpus)
    assert corpus.vocabulary == ("not smiling", "smiling")
    assert frame["votes_smiling"].tolist() == [1, 0] * 6
    assert frame["votes_not smiling"].tolist() == [0, 1] * 6
    assert frame["gender"].tolist() == ["Male", "Female", "Female"] * 4
    assert frame["age"].tolist() == ["Not young", "Young", "Young", "Young"] * 3
    assert set(frame["gender_source"]) == {"annotated"}
    assert frame["split"].tolist() == ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    assert frame["identity"].tolist()[:7] == ["1", "1", "1", "2", "2", "2", "3"]
    assert images.shape == (12, 178, 178, 3)
    assert corpus.detail["faces listed of those published"]["val"] == "3 of 19867"


def test_the_middle_square_with_the_landmarks_in_it(root):
    images, frame = read_all(celeba(root))
    whole = np.asarray(Image.open(root / "Img/img_align_celeba/000003.jpg"))
    np.testing.assert_array_equal(images[2], whole[20:198])
    assert frame[["landmark_0_x", "landmark_0_y", "landmark_4_y"]].iloc[0].tolist() == [69, 89, 134]
    _, half = read_all(celeba(root, size=89))
    assert half["landmark_0_y"][0] == (89 + 0.5) / 2 - 0.5


def test_further_attributes_by_their_names(root):
    corpus = celeba(root, attributes=["Smiling", "Eyeglasses"])
    _, frame = read_all(corpus)
    assert corpus.attributes == ("gender", "age", "Smiling", "Eyeglasses")
    assert frame["Smiling"].tolist() == ["yes", "no"] * 6
    assert set(frame["Eyeglasses"]) == {"no"}
    with pytest.raises(ConfigError, match="no attribute 'Glasses'.*Eyeglasses"):
        open_corpus(root, attributes="Glasses")


def test_lists_that_are_absent_are_said(root):
    (root / "Eval/list_eval_partition.txt").unlink()
    (root / "Anno/identity_CelebA.txt").unlink()
    (root / "Anno/list_landmarks_align_celeba.txt").unlink()
    corpus = celeba(root)
    _, frame = read_all(corpus)
    assert corpus.detail["no list_eval_partition"] == "so no face has a split"
    assert corpus.detail["no identity_CelebA"] == "so splits may tear persons"
    assert set(frame["split"]) == set(frame["identity"]) == {""}
    assert "landmark_0_x" not in frame


def test_bad_rows_are_named_or_dropped(root):
    replace_line(root / LIST, 3, lambda line: line + " 1")
    replace_line(root / LIST, 4, lambda line: line.replace("-1", "2"))
    with pytest.raises(DataError, match=r"list_attr_celeba.txt line 3: 42 words, expected a picture and 40 attr"):
        read_all(celeba(root))
    bad = BadRows("drop")
    assert len(read_all(celeba(root), bad)[0]) == 10


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("Eval/list_eval_partition.txt", "000001.jpg 3", "expected a picture and 0, 1 or 2"),
        ("Anno/list_landmarks_align_celeba.txt", "000001.jpg 1 2 3", "3 numbers, expected 10"),
    ],
)
def test_lists_that_do_not_fit_are_refused(root, name, wrong, message):
    line = 1 if "Eval" in name else 3
    replace_line(root / name, line, lambda text: wrong)
    with pytest.raises(DataError, match=f"line {line}: .*{message}"):
        celeba(root)


def test_half_a_download_says_what_is_missing(root, tmp_path_factory):
    (root / LIST).rename(root / "kept")
    assert (detect(root), lacks(root)) == (0, (4, "CelebA, but there is no list_attr_celeba.txt (nor .csv)"))
    with pytest.raises(DataError, match="nearest to CelebA, but there is no list_attr"):
        open_corpus(root)
    (root / "kept").rename(root / LIST)
    (root / "Img").rename(tmp_path_factory.mktemp("b") / "Img")
    with pytest.raises(DataError, match="is not CelebA: no aligned pictures"):
        open_corpus(root)


def test_a_store_keeps_persons_together(root, tmp_path_factory):
    store = prepare(root, tmp_path_factory.mktemp("out") / "store", size=64)
    assert store.table.attributes == ("gender", "age")
    assert store.table.frame["identity"].nunique() == 4
    assert store.info["classes"] == {"not smiling": 6, "smiling": 6}
