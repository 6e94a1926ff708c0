from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from corpus_writers import points_68, write_affectnet, write_affectnet_sets
from mien.data.corpus import BadRows
from mien.data.datasets import DATASETS
from mien.data.datasets.affectnet import CLASSES, affectnet, detect, lacks
from mien.errors import ConfigError, DataError
from mien.prepare import open_corpus, prepare
from writers import read_all, replace_line

LIST = "Manually_Annotated/Manually_Annotated_file_lists/training.csv"


@pytest.fixture
def root(tmp_path):
    return write_affectnet(tmp_path)


@pytest.fixture
def sets(tmp_path):
    return write_affectnet_sets(tmp_path)


def codes_of(frame):
    votes = frame[[f"votes_{c}" for c in CLASSES]].to_numpy()
    return np.where(votes.sum(1) > 0, votes.argmax(1), -1).tolist()


def test_eight_expressions_in_the_corpuss_order_and_the_others_counted(root):
    """Codes 0 to 10 twice: 8 none, 9 uncertain and 10 no face are no expressions."""
    corpus = affectnet(root)
    _, frame = read_all(corpus)
    assert corpus.vocabulary == ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
    assert codes_of(frame) == [*range(8), *range(8)]
    assert frame["split"].tolist() == ["train"] * 11 + ["val"] * 5  # 14 rows and 8, of which 3 and 3 are left out
    others = corpus.detail["faces without one of the expressions, left out"]
    assert others == {"none": 2, "uncertain": 2, "no face": 2}
    assert corpus.detail["faces listed of those published"] == {"train": "11 of 287651", "val": "5 of 4000"}


def test_valence_and_arousal_are_numbers_and_missing_where_there_is_none(root):
    _, frame = read_all(affectnet(root, others="keep"))
    assert len(frame) == 22
    assert codes_of(frame) == [*range(8), -1, -1, -1] * 2
    assert frame["valence"].tolist()[:5] == [-0.5, -0.25, 0.0, 0.25, 0.5]
    assert frame["arousal"].isna().tolist() == [i % 11 > 8 for i in range(22)]  # -2 in the list
    assert frame["valence"].dtype == np.float64
    assert "valence" not in affectnet(root).attributes


def test_the_lists_are_shown_as_they_are_read(root, tmp_path, monkeypatch):
    monkeypatch.setattr("mien.data.datasets.affectnet._TOLD", 5)
    told = []
    prepare(root, tmp_path / "out", size=32, progress=lambda *done: told.append(done))
    expected = told[0][1]
    assert abs(expected - 22) <= 1
    assert told == [*((n, expected) for n in (5, 10, 15, 20)), (22, 22), (16, 16)]  # rows, then faces
    with pytest.raises(ConfigError, match=r"option\.progress: dataset 'affectnet' has no such option"):
        DATASETS.check_options("affectnet", {"progress": "1"}, "option")


def test_faces_are_cut_by_their_boxes_with_five_landmarks(root):
    """Boxes of 80x80 at (30, 20); the eyes lie at (20, 30) and (60, 30) in them."""
    images, frame = read_all(affectnet(root, size=80))
    whole = np.asarray(Image.open(root / f"Manually_Annotated/Manually_Annotated_Images/{frame['sample_id'][1]}"))
    np.testing.assert_array_equal(images[1], whole[20:100, 30:110])
    points = frame.iloc[0][[f"landmark_{i}_{a}" for i in range(5) for a in "xy"]].tolist()
    assert points == [20, 30, 60, 30, 40, 50, 40, 50, 40, 50]
    assert read_all(affectnet(root))[0].shape[1:] == (224, 224, 3)
    _, wide = read_all(affectnet(root, size=160, margin=0.5))  # begins at (-10, -20)
    assert wide["landmark_0_x"][0] == 60
    assert wide["landmark_0_y"][0] == 70


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",1,-0.25", ",11,-0.25", "expression '11' .it counts 0 neutral"),
        (",1,-0.25", ",1,-1.5", "valence '-1.5.*' .it goes from -1 to 1"),
        ("80,80", "80,NULL", "the box .30 20 80 NULL"),
        ("80,80", "0,80", "the box .30 20 0 80"),
        ("70.00;70.00,1", "70.00,1", "135 values of landmarks"),
    ],
)
def test_a_bad_row_is_named_or_dropped(root, old, new, message):
    replace_line(root / LIST, 3, lambda line: line.replace(old, new, 1))
    with pytest.raises(DataError, match=f"training.csv line 3: {message}"):
        read_all(affectnet(root))
    bad = BadRows("drop")
    assert len(read_all(affectnet(root), bad)[0]) == 15


def test_rows_of_no_face_may_lack_box_and_landmarks(root):
    replace_line(root / LIST, 12, lambda line: line.split(",")[0] + ",NULL,NULL,NULL,NULL,NULL,10,-2,-2")
    assert len(read_all(affectnet(root))[0]) == 16
    assert len(read_all(affectnet(root, others="keep"))[0]) == 21


def test_the_folders_of_the_later_release(sets):
    corpus = affectnet(sets)
    images, frame = read_all(corpus)
    assert images.shape == (16, 64, 64, 3)
    by_id = frame.set_index("sample_id")
    assert set(frame["split"]) == {"train", "val"}
    for i in range(16):
        row = by_id.loc[f"{'train' if i < 12 else 'val'}/{i}.jpg"]
        assert row[f"votes_{CLASSES[i % 8]}"] == 1
        assert row["valence"] == (i % 5) / 4 - 0.5
    assert np.isnan(by_id.loc["train/1.jpg", "arousal"])
    assert by_id.loc["train/0.jpg", ["landmark_0_x", "landmark_1_x", "landmark_1_y"]].tolist() == [20, 60, 30]
    _, half = read_all(affectnet(sets, size=32))
    assert half["landmark_0_x"][0] == (20 + 0.5) / 2 - 0.5


def test_annotations_of_the_later_release_that_are_wrong_are_named(sets):
    notes = sets / "train_set/annotations"
    (notes / "0_val.npy").unlink()
    np.save(notes / "1_exp.npy", np.array("12"))
    np.save(notes / "2_exp.npy", np.array({"a": 1}, dtype=object), allow_pickle=True)
    np.save(notes / "3_lnd.npy", points_68(0, 0)[:60].ravel())
    (notes / "4_aro.npy").write_bytes(b"")
    np.save(notes / "5_exp.npy", np.array("9"))
    bad = BadRows("drop")
    corpus = affectnet(sets)
    images, _ = read_all(corpus, bad)
    assert len(images) == 10
    found = "\n".join(map(str, bad.errors))
    for said in ("0_val.npy: no such file", "expression '12'", "2_exp.npy: cannot be read", "120 values", "4_aro.npy"):
        assert said in found
    assert corpus.detail["faces without one of the expressions, left out"] == {"uncertain": 1}
    assert len(read_all(affectnet(sets, others="keep"), BadRows("drop"))[0]) == 11


def test_half_a_download_says_what_is_missing(sets, tmp_path_factory):
    for path in (sets / "train_set/annotations").iterdir():
        path.unlink()
    (sets / "train_set/annotations").rmdir()
    corpus = open_corpus(sets)
    assert set(read_all(corpus)[1]["split"]) == {"val"}
    assert corpus.detail["faces listed of those published"]["train"] == "0 of 287651"
    other = tmp_path_factory.mktemp("b")
    (other / "train_set/images").mkdir(parents=True)
    assert (detect(other), lacks(other)) == (0, (4, "AffectNet, but train_set has no folder annotations"))
    with pytest.raises(DataError, match="AffectNet, but train_set has no folder annotations"):
        affectnet(other)
    lists = write_affectnet(tmp_path_factory.mktemp("c"))
    (lists / LIST).unlink()
    (lists / LIST).with_name("validation.csv").unlink()
    with pytest.raises(DataError, match="nearest to AffectNet, but there is no training.csv"):
        open_corpus(lists)


def test_a_store_keeps_the_numbers(root, tmp_path_factory):
    store = prepare(root, tmp_path_factory.mktemp("out") / "store", size=48)
    assert store.table.frame["valence"].between(-1, 1).all()
    assert (store.info["corpus"], store.info["shape"][1]) == ("affectnet", 48)
