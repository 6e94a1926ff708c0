from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from corpus_writers import raf_name, save, text, write_raf_db, write_raf_kaggle
from mien.data.corpus import BadRows
from mien.data.datasets.raf_db import CLASSES, COMPOUND, detect, lacks, raf_db
from mien.errors import ConfigError, DataError
from mien.prepare import open_corpus, prepare
from writers import faces, read_all, replace_line

LIST = "basic/EmoLabel/list_patition_label.txt"


@pytest.fixture
def root(tmp_path):
    return write_raf_db(tmp_path)


def classes_of(frame, classes=CLASSES):
    return [classes[k] for k in frame[[f"votes_{c}" for c in classes]].to_numpy().argmax(1)]


def test_the_labels_one_to_seven_in_their_order(root):
    corpus = raf_db(root)
    images, frame = read_all(corpus)
    assert corpus.vocabulary == ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
    assert classes_of(frame)[:8] == [*CLASSES, "surprise"]
    assert frame["sample_id"].tolist() == [raf_name(i, 16) for i in range(16)]
    assert frame["split"].tolist() == ["train"] * 12 + ["test"] * 4
    assert images.shape == (16, 100, 100, 3)
    stored = np.asarray(Image.open(root / "basic/Image/aligned/test_0001_aligned.jpg"))
    np.testing.assert_array_equal(images[12], stored)
    assert "agreement" in corpus.terms
    assert corpus.detail["faces listed of those published"] == {"train": "12 of 12271", "test": "4 of 3068"}


def test_gender_race_and_age_as_they_are_annotated(root):
    corpus = raf_db(root)
    _, frame = read_all(corpus)
    assert corpus.attributes == ("gender", "race", "age")
    assert frame["gender"].tolist()[:2] == ["Male", "Female"]
    assert frame["gender"].isna().tolist() == [i % 3 == 2 for i in range(16)]  # code 2: nobody was sure
    assert frame["race"].tolist()[:9:3] == ["Caucasian", "African-American", "Asian"]
    assert frame["age"].tolist()[:5] == ["0-3", "4-19", "20-39", "40-69", "70+"]
    assert set(frame["gender_source"]) == {"annotated"}
    assert corpus.detail["rows without a value"] == {"gender": 5}
    assert not [c for c in frame if c.startswith("landmark")]  # they count in the original's pixels


def test_who_is_unsure_may_be_a_group(root):
    _, frame = read_all(raf_db(root, unsure="group"))
    assert frame["gender"].tolist()[:3] == ["Male", "Female", "Unsure"]
    assert frame["gender"].notna().all()


def test_faces_cut_out_of_the_originals_with_their_landmarks(root):
    """The box (40, 10, 120, 110) is 80 wide and 100 high: the square begins at (30, 10) with 100 pixels a side."""
    images, frame = read_all(raf_db(root, images="original"))
    whole = np.asarray(Image.open(root / "basic/Image/original/train_00003.jpg"))
    np.testing.assert_array_equal(images[2], whole[10:110, 30:130])
    assert frame[["landmark_0_x", "landmark_0_y"]].iloc[0].tolist() == [30.5, 20.5]
    assert frame[["landmark_4_x", "landmark_4_y"]].iloc[0].tolist() == [70.5, 60.5]
    _, half = read_all(raf_db(root, images="original", size=50))
    assert half[["landmark_0_x", "landmark_0_y"]].iloc[0].tolist() == [15.0, 10.0]
    _, wide = read_all(raf_db(root, images="original", margin=0.5, size=200))  # from (-20, -40), 200 a side
    assert wide[["landmark_0_x", "landmark_0_y"]].iloc[0].tolist() == [80.5, 70.5]


def test_the_compound_expressions_are_a_second_set(tmp_path):
    write_raf_db(tmp_path)
    write_raf_db(tmp_path, 22, "compound", 11)
    corpus = open_corpus(tmp_path, compound=True)
    _, frame = read_all(corpus)
    assert corpus.name == "raf_db_compound"
    assert len(corpus.vocabulary) == 11
    assert classes_of(frame, COMPOUND) == [*COMPOUND, *COMPOUND]
    assert COMPOUND[0] == "happily surprised"
    assert COMPOUND[10] == "disgustedly surprised"
    assert len(read_all(open_corpus(tmp_path))[0]) == 16


def test_compound_labels_read_as_basic_ones_are_named(tmp_path):
    root = write_raf_db(tmp_path, 22, "basic", 11)
    with pytest.raises(DataError, match=r"line 8: label '8', as 8 of 22 rows above 7, expected 1 to 7.*compound=true"):
        read_all(raf_db(root))


def test_the_folder_copy_of_kaggle(tmp_path):
    root = write_raf_kaggle(tmp_path)
    corpus = raf_db(root)
    _, frame = read_all(corpus)
    assert len(frame) == 16
    rows = frame.set_index("sample_id")
    assert rows.loc["train_00002.jpg", "votes_fear"] == 1
    assert (rows.loc["test_0001.jpg", "split"], rows.loc["test_0001.jpg", "votes_anger"]) == ("test", 1)
    assert corpus.attributes == ()
    assert "Annotation/manual" in corpus.detail["gender, race and age"]
    with pytest.raises(DataError, match="basic/Image/original"):
        raf_db(root, images="original")


def test_a_folder_of_kaggle_that_its_csv_contradicts(tmp_path):
    root = write_raf_kaggle(tmp_path)
    replace_line(root / "train_labels.csv", 2, lambda line: "train_00001_aligned.jpg,5")
    replace_line(root / "test_labels.csv", 2, lambda line: "test_0009_aligned.jpg,1")
    bad = BadRows("drop")
    images, frame = read_all(raf_db(root), bad)
    assert len(images) == 15  # the test picture is there, its line names another
    assert "train_00001.jpg" not in set(frame["sample_id"])
    assert sorted(str(e.found) for e in bad.errors) == [
        "test_0009_aligned.jpg: no such picture",
        "train_00001_aligned.jpg has the label 5 and lies in the folder 1",
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("train_00003.jpg 8", "label '8', expected 1 surprise"),
        ("train_00003.jpg 0", "label '0', expected 1 surprise"),
        ("train_00003.jpg x", "label 'x'"),
        ("train_00003.jpg", "1 words, expected 2"),
        ("val_00003.jpg 3", "'val_00003.jpg', expected a picture called train_"),
        ("train_00002.jpg 3", "'train_00002.jpg' comes again"),
        ("train_99999.jpg 3", "train_99999_aligned.jpg: no such file"),
    ],
)
def test_a_bad_line_is_named_or_dropped(root, wrong, message):
    replace_line(root / LIST, 3, lambda line: wrong)
    with pytest.raises(DataError, match=f"list_patition_label.txt line 3: .*{message}"):
        read_all(raf_db(root))
    bad = BadRows("drop")
    assert len(read_all(raf_db(root), bad)[0]) == 15
    assert len(bad.errors) == 1


def test_annotations_that_are_wrong_or_absent(root):
    notes = root / "basic/Annotation/manual"
    (notes / "train_00001_manu_attri.txt").unlink()
    replace_line(notes / "train_00002_manu_attri.txt", 7, lambda line: "3")  # race goes to 2
    text(notes / "train_00004_manu_attri.txt", "1 2\n")
    bad = BadRows("drop")
    corpus = raf_db(root)
    _, frame = read_all(corpus, bad)
    assert frame["sample_id"].tolist()[:3] == ["train_00001.jpg", "train_00003.jpg", "train_00005.jpg"]
    assert frame[["gender", "race", "age"]].iloc[0].isna().all()
    assert corpus.detail["faces without an annotation file"] == 1
    assert [e.where for e in bad.errors] == ["manual/train_00002_manu_attri.txt", "manual/train_00004_manu_attri.txt"]


def test_a_box_that_is_wrong_is_a_bad_row(root):
    text(root / "basic/Annotation/boundingbox/train_00001_boundingbox.txt", "40 10 30 110\n")
    (root / "basic/Annotation/boundingbox/train_00002_boundingbox.txt").unlink()
    bad = BadRows("drop")
    assert len(read_all(raf_db(root, images="original"), bad)[0]) == 14
    assert [e.found for e in bad.errors] == ["holds '40 10 30 110'", "no such file"]


def test_half_a_download_says_what_is_missing(tmp_path):
    root = write_raf_db(tmp_path / "a", original=False, notes=False)
    with pytest.raises(DataError, match="no folder of original pictures"):
        raf_db(root, images="original")
    (root / LIST).unlink()
    assert detect(root / "basic") == 0
    assert lacks(root / "basic") == (4, "RAF-DB, but there is no list_patition_label.txt in EmoLabel")
    with pytest.raises(DataError, match="is not RAF-DB.*EmoLabel"):
        raf_db(root / "basic")
    other = write_raf_db(tmp_path / "b")
    for path in (other / "basic/Image/aligned").glob("test_*"):
        path.unlink()
    corpus = raf_db(other)
    assert len(read_all(corpus)[0]) == 12
    assert corpus.detail["rows without pictures, split test absent"] == 4


def test_lists_beside_the_pictures_as_people_move_them(tmp_path):
    root = write_raf_db(tmp_path, notes=False)
    (root / LIST).rename(root / "list_partition_label.txt")
    (root / "basic/Image/aligned").rename(root / "aligned")
    save(root / "aligned/train_00001_aligned.jpg", faces(1, 100, 3)[0])
    assert detect(root) == 3
    assert len(read_all(raf_db(root))[0]) == 16


def test_options_have_bounds(root):
    for options in ({"margin": 3}, {"size": 4}, {"unsure": "female"}, {"images": "cropped"}):
        with pytest.raises(ConfigError):
            open_corpus(root, **options)


def test_a_store_keeps_attributes_and_landmarks(root, tmp_path_factory):
    store = prepare(root, tmp_path_factory.mktemp("out") / "store", images="original", size=64)
    assert store.table.attributes == ("gender", "race", "age")
    assert store.table.frame["landmark_0_x"].iloc[0] == pytest.approx((30.5 + 0.5) * 0.64 - 0.5)
    assert store.info["classes"]["surprise"] == 3
