"""What ``mien prepare`` says of a corpus: on the screen, in store.json and in the table's history alike."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from mien.cli.app import app
from mien.data.images import INFO, Store
from mien.errors import DataError, UsageError
from mien.prepare import find_dataset, open_corpus, prepare
from writers import faces, random_votes, usages, write_challenge, write_fer2013_folders, write_votes


def put(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def littered(tmp_path):
    """Three pictures of two classes, one grey and small; litter, another file, and a class without pictures."""
    root = tmp_path / "faces"
    for name, image in zip(("anger/a.png", "happy/a.png"), faces(2, 64, 3), strict=True):
        put(root / name, image)
    put(root / "anger" / "old.png", faces(1, 48)[0])
    put(root / ".ipynb_checkpoints" / "a-checkpoint.png", faces(1, 48)[0])
    (root / "sad").mkdir()
    (root / "sad" / "a.dng").write_bytes(b"x")
    return root


SAID = {
    "folders without a picture": ["sad"],
    "files that are no pictures, not read": {".dng": 1},
    "litter of programs and systems, left out": {".ipynb_checkpoints": 1},
    "brought to 64x64 pixels": 1,
    "grey pictures stored as colour": 1,
}


def test_what_was_said_stands_in_the_store_for_later_readers(littered, tmp_path):
    prepare(littered, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert store.images.shape == (3, 64, 64, 3)
    assert json.loads((tmp_path / "store" / INFO).read_text())["detail"] == SAID
    assert SAID.items() <= store.table.history[0].detail.items()
    assert store.info["classes"] == {"anger": 2, "happy": 1}
    assert "classes" not in store.description


def test_what_was_said_is_on_the_screen(littered, tmp_path, capsys):
    app(["prepare", str(littered), "--out", str(tmp_path / "store")], result_action="return_value")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for line in (
        "classes: anger 2, happy 1",
        "folders without a picture: sad",
        "files that are no pictures, not read: .dng 1",
        "litter of programs and systems, left out: .ipynb_checkpoints 1",
        "brought to 64x64 pixels: 1",
        "grey pictures stored as colour: 1",
    ):
        assert line in lines


def test_what_was_said_is_on_the_page_of_the_store(littered, tmp_path):
    from mien.report.store_page import table_history

    store = prepare(littered, tmp_path / "store")
    said = " ".join(map(str, table_history(store)[0]))
    for words in ("folders without a picture: sad", ".dng 1", ".ipynb_checkpoints 1", "brought to 64x64 pixels: 1"):
        assert words in said


def test_votes_are_counted_by_the_class_with_the_most(tmp_path, capsys):
    votes = np.zeros((4, 10), int)
    votes[0, 0] = votes[1, 1] = votes[2, 1] = 10
    votes[3, :2] = 5
    write_votes(tmp_path / "fer2013new.csv", votes, usages(4))
    write_challenge(tmp_path / "fer2013.csv", faces(4), [0] * 4, usages(4))
    app(["prepare", str(tmp_path), "--out", str(tmp_path / "store")], result_action="return_value")
    out = capsys.readouterr().out
    assert "classes, by most votes: neutral 1, happiness 2, surprise 0" in out
    assert "no single class 1\n" in out


# --- Layouts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", ["archive", "archive/images", "a/b/c"])
def test_folders_that_an_archive_puts_around_a_corpus_are_looked_through(tmp_path, wrap):
    write_fer2013_folders(tmp_path / "in" / wrap, faces(7), list(range(7)), ["Training"] * 4 + ["PublicTest"] * 3)
    put(tmp_path / "in" / "__MACOSX" / wrap / "._0.png", faces(1)[0])
    store = prepare(tmp_path / "in", tmp_path / "store")
    assert (store.info["corpus"], store.info["n"]) == ("fer2013", 7)
    assert store.info["detail"] == {"read from the folder": wrap}
    assert open_corpus(tmp_path / "in", "folder").detail["read from the folder"] == wrap


def test_two_folders_are_not_looked_through(tmp_path):
    for name in ("one", "two"):
        write_fer2013_folders(tmp_path / name / "archive", faces(2), [0, 1], ["Training", "PublicTest"])
    with pytest.raises(DataError, match="pictures, but they lie 4 folders deep"):
        find_dataset(tmp_path)


def votes_alone(root):
    write_votes(root / "fer2013new.csv", random_votes(3), usages(3))
    return "FERPlus, but beside fer2013new.csv there is neither fer2013.csv nor FER2013Train"


def pixels_without_usage(root):
    (root / "train.csv").write_text("emotion,pixels\n0,1 2\n")
    return "FER2013, but train.csv has no column Usage"


def an_archive_in_a_folder(root):
    (root / "more.zip").write_bytes(b"x")
    return "a folder of pictures, but none is there (files found: .zip 1)"


def empty_classes(root):
    (root / "sad").mkdir()
    (root / "happy").mkdir()
    return "a folder of pictures, but none is there (empty folders: happy, sad)"


@pytest.mark.parametrize("make", [votes_alone, pixels_without_usage, an_archive_in_a_folder, empty_classes])
def test_a_layout_that_is_not_known_says_what_the_nearest_lacks(tmp_path, make):
    root = tmp_path / "in"
    root.mkdir()
    message = make(root)
    with pytest.raises(DataError) as caught:
        prepare(root, tmp_path / "store")
    assert f"It is nearest to {message}" in str(caught.value)
    assert "--dataset" in str(caught.value)


def test_files_that_are_nearly_a_corpus_say_what_to_give(tmp_path):
    (tmp_path / "faces.zip").write_bytes(b"x")
    with pytest.raises(DataError, match="It is an archive: unpack it"):
        find_dataset(tmp_path / "faces.zip")
    (tmp_path / "faces.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="save the table as CSV, with a column path"):
        find_dataset(tmp_path / "faces.parquet")
    (tmp_path / "fairface_label_train.csv").write_text("file,age,gender,race\n")
    with pytest.raises(DataError, match="nearest to FairFace, but it is the folder"):
        find_dataset(tmp_path / "fairface_label_train.csv")


def test_pictures_of_ferplus_without_votes_say_so(tmp_path):
    put(tmp_path / "FER2013Train" / "fer0000000.png", faces(1)[0])
    with pytest.raises(DataError, match=r"right under FER2013Train.*put fer2013new\.csv beside the folders"):
        prepare(tmp_path, tmp_path.parent / "store")


# --- The place of the store -------------------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr("mien.prepare.open_corpus", lambda *a, **k: pytest.fail("the corpus was opened"))
    with pytest.raises(UsageError, match="file is a file, not a folder"):
        prepare("synthetic", tmp_path / "file" / "store")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        prepare("synthetic", tmp_path / "file")
