from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mien.data.corpus import BadRows
from mien.data.datasets.folder import detect, image_folder
from mien.errors import ConfigError, DataError
from mien.prepare import find_dataset, prepare
from writers import faces, read_all


def write(root, *names, images=None):
    images = faces(len(names), 32) if images is None else images
    for name, image in zip(names, images, strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / name)
    return images


def test_classes_without_splits(tmp_path):
    images = write(tmp_path, "sad/b.png", "angry/a.png", "sad/a.png")
    corpus = image_folder(tmp_path)
    read, frame = read_all(corpus)
    assert frame["sample_id"].tolist() == ["angry/a.png", "sad/a.png", "sad/b.png"]
    np.testing.assert_array_equal(read, images[[1, 2, 0]])
    assert corpus.vocabulary == ("angry", "sad")
    np.testing.assert_array_equal(frame[["votes_angry", "votes_sad"]], [[1, 0], [0, 1], [0, 1]])
    assert set(frame["split"]) == {""}
    assert corpus.n_rows == 3


def test_splits_above_classes(tmp_path):
    images = write(tmp_path, "train/sad/a.png", "test/happy/a.png", "train/happy/c.png")
    read, frame = read_all(image_folder(tmp_path, name="mine", terms="CC0"))
    assert frame["split"].tolist() == ["test", "train", "train"]
    np.testing.assert_array_equal(frame[["votes_happy", "votes_sad"]], [[1, 0], [1, 0], [0, 1]])
    np.testing.assert_array_equal(read, images[[1, 2, 0]])


def test_colour_is_kept_and_grey_can_be_asked_for(tmp_path):
    images = write(tmp_path, "sad/a.png", "sad/b.png", images=faces(2, 32, 3))
    np.testing.assert_array_equal(read_all(image_folder(tmp_path))[0], images)
    grey = read_all(image_folder(tmp_path, channels=1))[0]
    assert grey.shape == (2, 32, 32)
    np.testing.assert_allclose(grey, images @ [0.299, 0.587, 0.114], atol=1)


def test_pictures_are_brought_to_the_size_of_most_or_as_asked(tmp_path):
    write(tmp_path, "sad/a.png", images=faces(1, 80))
    write(tmp_path, "sad/b.png", "sad/c.png", images=faces(2, 32))
    corpus = image_folder(tmp_path)
    assert read_all(corpus)[0].shape == (3, 32, 32)
    assert corpus.detail == {"brought to 32x32 pixels": 1}
    assert read_all(image_folder(tmp_path, size=16))[0].shape == (3, 16, 16)


@pytest.mark.parametrize("name", ["sad/0.png", "sad/z.png"])
def test_a_picture_that_is_no_square_crop_is_treated_alike_wherever_it_stands(tmp_path, name):
    write(tmp_path, "sad/a.png", "sad/b.png", images=faces(2, 32))
    write(tmp_path, name, images=faces(1, 64)[:, :20])
    corpus = image_folder(tmp_path)
    assert read_all(corpus)[0].shape == (3, 32, 32)
    assert corpus.detail == {"no square crop, squeezed to 32x32 pixels": f"1 ({name})"}


def test_pictures_that_are_not_square_need_a_size_and_a_size_is_enough(tmp_path):
    write(tmp_path, "sad/a.png", images=faces(1, 40)[:, :30])
    with pytest.raises(DataError, match=r"a\.png: is 40x30 pixels, expected a square crop\. Pass size \(--size 96\)"):
        image_folder(tmp_path)
    assert read_all(image_folder(tmp_path, size=32))[0].shape == (1, 32, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"size": 0}, "size: 0, expected 8 to"), ({"size": -5}, "size: -5"), ({"channels": 2}, "channels: 2, expected 1")],
)
def test_impossible_sizes_are_refused(tmp_path, options, message):
    write(tmp_path, "sad/a.png")
    with pytest.raises(ConfigError, match=f"^option.{message}"):
        image_folder(tmp_path, **options)


def test_the_vocabulary_gives_order_and_spelling(tmp_path):
    write(tmp_path, "anger/a.png", "Happy/a.png")
    corpus = image_folder(tmp_path, vocabulary=("happiness", "sad", "angry"))
    _, frame = read_all(corpus)
    assert frame["sample_id"].tolist() == ["Happy/a.png", "anger/a.png"]
    np.testing.assert_array_equal(frame[["votes_happiness", "votes_sad", "votes_angry"]], [[1, 0, 0], [0, 0, 1]])


def test_two_spellings_of_a_class_are_one_class(tmp_path):
    write(tmp_path, "train/angry/a.png", "test/anger/a.png", "test/sad/b.png")
    corpus = image_folder(tmp_path)
    _, frame = read_all(corpus)
    assert corpus.vocabulary == ("anger", "sad")
    assert frame["votes_anger"].tolist() == [1, 0, 1]
    assert corpus.detail == {"folders read as one class": {"anger": "(anger, angry)"}}


def test_classes_that_are_numbers_are_told(tmp_path):
    write(tmp_path, "train/0/a.png", "train/1/a.png", "val/0/b.png")
    assert image_folder(tmp_path).detail["classes are numbers"].startswith("0, 1: which expression each is")
    assert "classes are numbers" not in image_folder(tmp_path, vocabulary=("0", "1")).detail
    write(tmp_path, "train/sad/a.png")
    assert "classes are numbers" not in image_folder(tmp_path).detail


def test_two_spellings_of_a_split_are_one_split(tmp_path):
    write(tmp_path, "Train/sad/a.png", "train/sad/b.png", "train/happy/c.png", "test/sad/d.png")
    corpus = image_folder(tmp_path)
    assert sorted(read_all(corpus)[1]["split"]) == ["test", "train", "train", "train"]
    assert corpus.detail == {"split, spellings read as one": {"train": "(train, Train)"}}


PLACEHOLDERS = {
    "a pointer of Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n",
        "it only says where its picture is stored",
    ),
    "a pointer of git-annex": (b"/annex/objects/SHA256E-s1--abc.png\n", "it only says where its picture is stored"),
    "a web page": (b"\n<!DOCTYPE html><html>404</html>", "it is a web page under a picture's name"),
    "nothing": (b"", "it is empty"),
}


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_what_stands_in_the_place_of_a_picture_is_named(tmp_path, name):
    content, found = PLACEHOLDERS[name]
    write(tmp_path, "sad/a.png")
    (tmp_path / "sad" / "b.png").write_bytes(content)
    bad = BadRows("drop")
    read_all(image_folder(tmp_path), bad)
    assert bad.errors[0].found == f"cannot be decoded ({found})"
    assert bad.errors[0].fix


def test_a_folder_that_is_no_class_is_named(tmp_path):
    write(tmp_path, "angry/a.png", "cats/a.png")
    with pytest.raises(DataError, match="folder 'cats' is not a class, expected angry, sad"):
        image_folder(tmp_path, vocabulary=("angry", "sad"))


def test_bad_pictures_are_named_and_dropped(tmp_path):
    images = write(tmp_path, "sad/a.png", "sad/b.png", "sad/c.png")
    (tmp_path / "sad" / "b.png").write_bytes((tmp_path / "sad" / "b.png").read_bytes()[:200])
    with pytest.raises(DataError, match=r"sad/b\.png: cannot be decoded"):
        read_all(image_folder(tmp_path))
    bad = BadRows("drop")
    read, frame = read_all(image_folder(tmp_path), bad)
    assert len(bad.errors) == 1
    np.testing.assert_array_equal(read, images[[0, 2]])
    assert frame["sample_id"].tolist() == ["sad/a.png", "sad/c.png"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no picture, expected <class>/picture or <split>/<class>/picture"),
        (["x/train/sad/a.png"], "lies 3 folders deep"),
        (["sad/a.png", "train/sad/a.png"], r"has pictures at two depths, such as sad/a\.png and train/sad/a\.png"),
        (["a.png", "sad/b.png"], r"has pictures at two depths, such as a\.png and sad/b\.png, expected .* Move those"),
        (["z.png", "train/sad/b.png"], r"has pictures at two depths, such as z\.png and train/sad/b\.png"),
        (
            ["FER2013Train/a.png", "FER2013Valid/b.png"],
            "pictures lie right under FER2013Train, FER2013Valid, expected a fo",
        ),
        (["train/a.png", "test/b.png"], "pictures lie right under test, train, expected a folder for each expression"),
    ],
)
def test_other_layouts_are_refused(tmp_path, names, message):
    write(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        image_folder(tmp_path)


def test_detection(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    assert detect(tmp_path) == 0
    write(tmp_path, "loose/a.PNG", "two/train/sad/A.PNG")
    assert [detect(tmp_path / name) for name in ("loose", "two", "two/train", "notes")] == [1, 1, 1, 0]
    assert detect(tmp_path / "loose" / "a.PNG") == 0


def test_loose_pictures_have_no_label(tmp_path):
    images = write(tmp_path / "faces", "b.png", "a.png", "c.JPG")
    (tmp_path / "faces" / "b.png").write_bytes(b"no picture")
    assert find_dataset(tmp_path / "faces") == "folder"
    store = prepare(tmp_path / "faces", tmp_path / "store", on_bad_row="drop")
    table = store.table
    assert (table.vocabulary, table.votes.shape, table.attributes) == ((), (2, 0), ())
    assert table.frame["sample_id"].tolist() == ["a.png", "c.JPG"]
    assert table.splits == {"": 2}
    np.testing.assert_array_equal(store.images[0].squeeze(), images[1])
    assert store.info["detail"] == {"pictures without a label": 3}


def test_classes_without_loose_pictures_have_labels(tmp_path):
    write(tmp_path, "faces/a.png", "faces/b.png")
    corpus = image_folder(tmp_path, vocabulary="faces")
    assert corpus.vocabulary == ("faces",)
    assert corpus.detail == {}
    assert read_all(corpus)[1]["votes_faces"].tolist() == [1, 1]


@pytest.mark.parametrize("name", ["fer2013new.csv", "Labels.CSV"])
def test_loose_pictures_beside_what_may_be_their_labels_are_refused(tmp_path, name):
    write(tmp_path, "a.png")
    (tmp_path / name).write_text("path,label\na.png,sad\n")
    assert find_dataset(tmp_path) == "folder"
    with pytest.raises(DataError, match=rf"in no class folder beside {name}, .* prepare a CSV with path and label"):
        image_folder(tmp_path)


def test_a_vocabulary_asks_for_class_folders(tmp_path):
    write(tmp_path, "a.png")
    with pytest.raises(DataError, match="in no class folder, expected folders called angry, sad"):
        image_folder(tmp_path, vocabulary=("angry", "sad"))
