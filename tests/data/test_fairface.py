from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mien.data.corpus import BadRows
from mien.data.datasets.fairface import detect, fairface
from mien.demographics import AGE, GENDER, RACE
from mien.errors import ConfigError, DataError
from mien.prepare import prepare
from writers import FAIRFACE_AGES, FAIRFACE_RACES, faces, read_all, replace_line, write_fairface

IMAGES = faces(12, 64, 3)
TRAIN_CSV = "fairface_label_train.csv"


@pytest.fixture
def root(tmp_path):
    write_fairface(tmp_path, IMAGES)
    return tmp_path


def edit(root, line, old, new):
    """Replace a text in one line of the labels (line 1 is the header)."""
    replace_line(root / TRAIN_CSV, line, lambda text: text.replace(old, new))


def test_the_groups_are_those_of_the_labels():
    assert AGE.groups == FAIRFACE_AGES
    assert RACE.groups == FAIRFACE_RACES
    assert GENDER.groups == ("Male", "Female")


@pytest.mark.parametrize("service_test", [True, False])
def test_every_face_with_its_groups(tmp_path, service_test):
    rows = write_fairface(tmp_path, IMAGES, service_test=service_test)
    corpus = fairface(tmp_path)
    images, frame = read_all(corpus)
    assert images.shape == (12, 64, 64, 3)
    np.testing.assert_allclose(images.astype(int).mean((1, 2)), IMAGES.astype(int).mean((1, 2)), atol=3)  # JPEG
    decoded = [np.asarray(Image.open(tmp_path / row["file"])) for row in rows]
    np.testing.assert_array_equal(images, decoded)
    assert frame["sample_id"].tolist() == [f"train/{i}.jpg" for i in range(1, 13)]
    for name in ("age", "gender", "race"):
        assert frame[name].tolist() == [row[name] for row in rows]
        assert set(frame[f"{name}_source"]) == {"annotated"}
    assert set(frame["split"]) == {"train"}
    assert (corpus.n_rows, corpus.vocabulary, set(corpus.attributes)) == (12, (), {"age", "gender", "race"})
    assert "CC BY 4.0" in corpus.terms


def test_both_splits(root):
    rows = write_fairface(root, faces(5, 64, 3, seed=1), "val", seed=1)
    corpus = fairface(root)
    images, frame = read_all(corpus)
    assert frame["split"].tolist() == ["train"] * 12 + ["val"] * 5
    assert frame["sample_id"].tolist()[12:] == [row["file"] for row in rows]
    assert frame["race"].tolist()[12:] == [row["race"] for row in rows]
    np.testing.assert_array_equal(images[12], np.asarray(Image.open(root / "val/1.jpg")))
    assert corpus.n_rows == 17


def test_val_alone(tmp_path):
    write_fairface(tmp_path, IMAGES[:3], "val")
    assert read_all(fairface(tmp_path))[1]["split"].tolist() == ["val"] * 3


def test_size_and_grey_as_asked(root):
    assert read_all(fairface(root, size=32))[0].shape == (12, 32, 32, 3)
    grey = read_all(fairface(root, channels=1))[0]
    assert grey.shape == (12, 64, 64)
    with pytest.raises(ConfigError, match="size"):
        fairface(root, size=3)


def test_it_is_recognised_and_prepared_without_expressions(root, tmp_path_factory):
    assert detect(root) == 3
    assert detect(root / "train") == 0
    assert detect(root / TRAIN_CSV) == 0
    table = prepare(root, tmp_path_factory.mktemp("out") / "store").table
    assert (len(table), table.name, table.vocabulary) == (12, "fairface", ())
    assert set(table.attributes) == {"age", "gender", "race"}


def test_a_missing_picture_is_named_or_dropped(root):
    (root / "train/4.jpg").unlink()
    with pytest.raises(DataError, match=r"train/4\.jpg: no such file, expected a picture"):
        read_all(fairface(root))
    bad = BadRows("drop")
    images, frame = read_all(fairface(root), bad)
    assert len(images) == len(frame) == 11
    assert "train/4.jpg" not in set(frame["sample_id"])
    assert len(bad.errors) == 1


def test_the_oldest_are_called_as_the_label_files_or_the_authors_program_call_them(tmp_path):
    rows = write_fairface(tmp_path, IMAGES)
    edit(tmp_path, 4, ",".join(rows[2].values()), ",".join({**rows[2], "age": "more than 70"}.values()))
    _, frame = read_all(fairface(tmp_path))
    assert frame["age"].iloc[2] == "70+"


def test_a_picture_cut_short_is_named(root):
    content = (root / "train/2.jpg").read_bytes()
    (root / "train/2.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"train/2\.jpg: cannot be decoded"):
        read_all(fairface(root))


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("race", "East Asain", r"line 4: race 'East Asain', expected White, Black, Lat"),
        ("gender", "men", r"line 4: gender 'men', expected Male, Female"),
        ("age", "9-Mar", r"line 4: age '9-Mar', expected 0-2, .* A spreadsheet took the ages for dates"),
        ("age", "above 70", r"line 4: age 'above 70', expected 0-2, 3-9,.* 70\+"),
    ],
)
def test_an_unknown_group_is_named_with_its_line_or_dropped(tmp_path, name, wrong, message):
    rows = write_fairface(tmp_path, IMAGES)
    right = ",".join(rows[2].values())
    edit(tmp_path, 4, right, ",".join({**rows[2], name: wrong}.values()))
    with pytest.raises(DataError, match=TRAIN_CSV + " " + message):
        read_all(fairface(tmp_path))
    bad = BadRows("drop")
    images, frame = read_all(fairface(tmp_path), bad)
    assert len(images) == 11
    assert "train/3.jpg" not in set(frame["sample_id"])
    np.testing.assert_array_equal(images[2], np.asarray(Image.open(tmp_path / "train/4.jpg")))
    assert len(bad.errors) == 1
    assert fairface(tmp_path).detail == {"faces without a known group": 1}


@pytest.mark.parametrize("word", ["", "unknown", "N/A", " nan "])
def test_a_group_that_is_missing_is_missing_and_counted(tmp_path, word):
    rows = write_fairface(tmp_path, IMAGES)
    edit(tmp_path, 4, ",".join(rows[2].values()), ",".join({**rows[2], "race": word}.values()))
    corpus = fairface(tmp_path)
    _, frame = read_all(corpus)
    assert frame["race"].isna().tolist() == [i == 2 for i in range(12)]
    assert corpus.detail == {"faces without a known group": 0, "rows without a value": {"race": 1}}


def test_case_and_blanks_make_no_group(tmp_path):
    rows = write_fairface(tmp_path, IMAGES)
    changed = {**rows[2], "race": " east  asian", "gender": "MALE", "age": "More than 70"}
    edit(tmp_path, 4, ",".join(rows[2].values()), ",".join(changed.values()))
    _, frame = read_all(fairface(tmp_path))
    assert frame[["race", "gender", "age"]].iloc[2].tolist() == ["East Asian", "Male", "70+"]


def test_labels_with_semicolons_a_mark_and_capitals_beside_a_folder_of_pictures(tmp_path):
    rows = write_fairface(tmp_path, IMAGES)
    text = (tmp_path / TRAIN_CSV).read_text().replace(",", ";")
    (tmp_path / TRAIN_CSV).unlink()
    (tmp_path / "FairFace_label_train.CSV").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "fairface-img-margin025").mkdir()
    (tmp_path / "train").rename(tmp_path / "fairface-img-margin025" / "train")
    assert detect(tmp_path) == 3
    _, frame = read_all(fairface(tmp_path))
    assert frame["sample_id"].tolist() == [row["file"] for row in rows]
    assert frame["age"].tolist() == [row["age"] for row in rows]


@pytest.mark.parametrize("column", ["file", "age", "gender", "race"])
def test_a_missing_column_is_named(root, column):
    edit(root, 1, column, "x" + column)
    with pytest.raises(DataError, match=f"{TRAIN_CSV} line 1: no column '{column}', expected file, age, gender, race"):
        fairface(root)


def test_what_is_not_fairface_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no label file, expected fairface_label_train\.csv or fairface_label_val"):
        fairface(tmp_path)
    (tmp_path / TRAIN_CSV).write_text("")
    with pytest.raises(DataError, match="is empty"):
        fairface(tmp_path)
    (tmp_path / TRAIN_CSV).write_text("file,age,gender,race\n")
    with pytest.raises(DataError, match="name no face"):
        fairface(tmp_path)
