from __future__ import annotations

import numpy as np
import pytest

from corpus_writers import text, write_raf_ml
from mien.data.corpus import BadRows
from mien.data.datasets.raf_ml import CLASSES, detect, lacks, raf_ml
from mien.errors import DataError
from mien.labels import label_scheme
from mien.prepare import prepare
from writers import read_all, replace_line


@pytest.fixture
def root(tmp_path):
    return write_raf_ml(tmp_path)


def test_shares_are_kept_as_votes_that_sum_to_one(root):
    corpus = raf_ml(root)
    images, frame = read_all(corpus)
    assert images.shape == (12, 100, 100, 3)
    assert corpus.vocabulary == ("surprise", "fear", "disgust", "happiness", "sadness", "anger")
    votes = frame[[f"votes_{c}" for c in CLASSES]].to_numpy()
    np.testing.assert_allclose(votes.sum(1), 1)
    line = (root / "EmoLabel/distribution.txt").read_text().split("\n")[4].split()
    np.testing.assert_allclose(votes[4], [float(v) for v in line[1:]], atol=1e-9)
    assert frame["sample_id"].tolist()[4] == line[0]
    scheme = label_scheme("distribution", corpus.vocabulary)
    np.testing.assert_allclose(scheme.targets(votes, corpus.vocabulary).probs, votes, atol=1e-6)


def test_the_larger_part_is_the_training_set_and_that_is_said(root):
    corpus = raf_ml(root)
    _, frame = read_all(corpus)
    assert frame["split"].tolist() == ["train"] * 9 + ["test"] * 3
    assert corpus.detail["parts of the corpus"] == "0 read as train, 1 as test"
    path = root / "EmoLabel/partition_label.txt"
    text(path, path.read_text().replace("jpg 0", "jpg a").replace("jpg 1", "jpg 0").replace("jpg a", "jpg 1"))
    assert read_all(raf_ml(root))[1]["split"].tolist() == ["train"] * 9 + ["test"] * 3
    text(path, path.read_text().replace("jpg 0", "jpg test").replace("jpg 1", "jpg train"))
    assert "parts of the corpus" not in raf_ml(root).detail
    text(path, "".join(f"{i:04d}.jpg {i % 2}\n" for i in range(12)))
    with pytest.raises(DataError, match="parts 0 6, 1 6, expected train and test"):
        raf_ml(root)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("0002.jpg 0.5 0.5 0 0 0", "6 words, expected 7"),
        ("0002.jpg 0.5 0.5 0.5 0 0 0", "shares 0.5 0.5 0.5"),
        ("0002.jpg 1.5 -0.5 0 0 0 0", "none negative"),
        ("0002.jpg 1 0 0 0 0 x", "shares 1 0 0 0 0 x"),
        ("0099.jpg 1 0 0 0 0 0", "0099.jpg has no part"),
    ],
)
def test_a_bad_line_is_named_or_dropped(root, wrong, message):
    replace_line(root / "EmoLabel/distribution.txt", 3, lambda line: wrong)
    with pytest.raises(DataError, match=f"distribution.txt line 3: .*{message}"):
        read_all(raf_ml(root))
    bad = BadRows("drop")
    assert len(read_all(raf_ml(root), bad)[0]) == 11


def test_half_a_download_says_what_is_missing(root):
    (root / "EmoLabel/partition_label.txt").unlink()
    assert (detect(root), lacks(root)) == (0, (4, "RAF-ML, but there is no partition_label.txt"))
    with pytest.raises(DataError, match=r"nearest to RAF-ML, but there is no partition_label"):
        prepare(root, root.parent / f"{root.name}_store")


def test_it_is_prepared_by_its_layout(root, tmp_path_factory):
    store = prepare(root, tmp_path_factory.mktemp("out") / "store")
    assert (store.info["corpus"], len(store.table)) == ("raf_ml", 12)
