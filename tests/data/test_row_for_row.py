from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from mien.data.corpus import BadRows
from mien.data.datasets.ferplus import ferplus, read_votes
from mien.data.row_for_row import LabelAgreement, check_order
from mien.errors import DataError
from mien.labels import FER2013_CLASSES, FERPLUS_CLASSES
from writers import FERPLUS_HEADER, faces, random_votes, usages, write_challenge, write_votes


def published(n=2000, unnamed=12, numbered=5, seed=0):
    """Names like those of the published file: of the rows without a name, only some used up a number."""
    rng = np.random.default_rng(seed)
    blank = np.zeros(n, bool)
    blank[rng.choice(n, unnamed, replace=False)] = True
    counted = ~blank
    counted[rng.choice(np.flatnonzero(blank), numbered, replace=False)] = True
    number = np.cumsum(counted) - 1
    return [("" if b else f"fer{k:07d}.png") for b, k in zip(blank, number, strict=True)]


def table(names):
    return pd.DataFrame({"image_name": names, "line": np.arange(len(names)) + 2})


def check(names):
    check_order(table(names), "votes.csv")


@pytest.mark.parametrize("seed", range(20))
def test_the_published_order_is_taken(seed):
    check(published(seed=seed))


def test_a_copy_that_bears_its_other_copys_name_is_no_fault():
    names = published()
    named = [i for i, n in enumerate(names) if n]
    names[named[400]] = names[named[1700]]
    names[named[-1]] = names[named[3]]
    check(names)


@pytest.mark.parametrize("seed", range(10))
def test_files_that_were_sorted_trimmed_or_shuffled_are_refused(seed):
    names = published(seed=seed)
    rng = np.random.default_rng(seed)
    changed = {
        "sorted by name": sorted(names),
        "sorted backwards": sorted(names, reverse=True),
        "without the unnamed rows": [n for n in names if n],
        "without one row": names[:700] + names[701:],
        "two blocks exchanged": names[1000:] + names[:1000],
        "shuffled": rng.permutation(names).tolist(),
        "without its first row": names[1:],
    }
    for what, rows in changed.items():
        with pytest.raises(DataError, match=r"votes\.csv line \d+: names the picture fer\d+\.png, expected fer"):
            check(rows)
        assert rows != names, what


def test_a_row_that_stands_twice_makes_the_file_too_long(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 48, 48), dtype=np.uint8)
    write_challenge(tmp_path / "fer2013.csv", images, [0] * 20, ["Training"] * 20)
    votes = random_votes(20)
    write_votes(tmp_path / "fer2013new.csv", votes, ["Training"] * 20)
    lines = (tmp_path / "fer2013new.csv").read_text().splitlines()
    (tmp_path / "fer2013new.csv").write_text("\n".join([*lines[:5], lines[4], *lines[5:]]) + "\n")
    with pytest.raises(
        DataError, match=r"fer2013\.csv: ends after 20 rows, expected a row for fer2013new\.csv line 22"
    ):
        list(ferplus(tmp_path).chunks(BadRows("drop")))


def test_names_without_numbers_prove_nothing():
    check(["b.png", "a.png", ""])
    check(["", "", ""])


# --- Labels of FER2013 beside the votes ---------------------------------------------------------------


def votes_for(emotion, share, seed=0):
    """``(n, 10)`` ten votes for the labelled class in ``share`` of the faces, for any in the others."""
    rng = np.random.default_rng(seed)
    columns = np.array([FERPLUS_CLASSES.index(c) for c in
                        ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")])  # fmt: skip
    told = np.where(rng.random(len(emotion)) < share, emotion, rng.integers(0, 7, len(emotion)))
    votes = np.zeros((len(emotion), 10), dtype=np.uint8)
    votes[np.arange(len(emotion)), columns[told]] = 10
    return votes


def agreement(emotion, votes):
    found = LabelAgreement()
    for part in np.array_split(np.arange(len(emotion)), 3):
        found.add(emotion[part], votes[part])
    found.check("votes.csv", "fer2013.csv")


def test_labels_that_agree_only_by_chance_are_refused():
    emotion = np.random.default_rng(1).integers(0, 7, 3000)
    agreement(emotion, votes_for(emotion, 0.3))
    with pytest.raises(DataError, match=r"votes\.csv: its votes agree with the labels of fer2013\.csv for 1\d%"):
        agreement(emotion, votes_for(emotion, 0.0))
    with pytest.raises(DataError, match="not row for row"):
        agreement(np.roll(emotion, 1), votes_for(emotion, 1.0))


def test_of_few_faces_the_labels_say_nothing():
    emotion = np.random.default_rng(1).integers(0, 7, 999)
    agreement(emotion, votes_for(emotion, 0.0))
    agreement(emotion[:0], votes_for(emotion[:0], 0.0))


def test_pictures_sorted_within_their_splits_are_refused(tmp_path):
    """Splits and counts are right on every line; only the labels tell that the rows are others."""
    n = 1500
    rng = np.random.default_rng(0)
    emotion = rng.integers(0, len(FER2013_CLASSES), n)
    images = rng.integers(0, 256, (n, 48, 48), dtype=np.uint8)
    votes, usage = votes_for(emotion, 0.8), usages(n)
    write_votes(tmp_path / "fer2013new.csv", votes, usage)
    write_challenge(tmp_path / "fer2013.csv", images, emotion, usage)
    assert sum(len(c.frame) for c in ferplus(tmp_path).chunks(BadRows())) == n
    order = sorted(range(n), key=lambda i: (-usages(n).index(usage[i]), emotion[i]))
    order = sorted(order, key=lambda i: ("Training", "PublicTest", "PrivateTest").index(usage[i]))
    write_challenge(tmp_path / "fer2013.csv", images[order], emotion[order], [usage[i] for i in order])
    with pytest.raises(DataError, match="agree with the labels of fer2013.csv"):
        list(ferplus(tmp_path).chunks(BadRows("drop")))


# --- Layouts ----------------------------------------------------------------------------------------


def save_pictures(folder, names):
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        Image.fromarray(np.full((48, 48), 20 * i, np.uint8)).save(folder / name)


def test_the_label_files_in_the_folders_of_the_authors_copy(tmp_path):
    votes = random_votes(5)
    for k, folder in enumerate(("FER2013Train", "FER2013Valid", "FER2013Test")):
        save_pictures(tmp_path / folder, [f"fer{i:07d}.png" for i in range(5)])
        lines = [f'fer{i:07d}.png,"(0, 0, 48, 48)",{",".join(map(str, v))}' for i, v in enumerate(np.roll(votes, k, 0))]
        (tmp_path / folder / "label.csv").write_text("\n".join(lines) + "\n")
    corpus = ferplus(tmp_path)
    chunks = list(corpus.chunks(BadRows()))
    frame = pd.concat([c.frame for c in chunks], ignore_index=True)
    assert frame["split"].tolist() == ["Training"] * 5 + ["PublicTest"] * 5 + ["PrivateTest"] * 5
    assert frame["sample_id"].tolist()[:6] == [*(f"FER2013Train/fer{i:07d}.png" for i in range(5)),
                                               "FER2013Valid/fer0000000.png"]  # fmt: skip
    np.testing.assert_array_equal(frame.filter(like="votes_").to_numpy()[5:10], np.roll(votes, 1, 0))
    assert (corpus.n_rows, corpus.detail) == (15, {})


def test_a_wrong_line_of_a_label_file_is_named_with_its_folder(tmp_path):
    save_pictures(tmp_path / "FER2013Train", ["fer0000000.png"])
    path = tmp_path / "FER2013Train" / "label.csv"
    path.write_text('fer0000000.png,"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,x\n')
    with pytest.raises(DataError, match=r"^FER2013Train/label\.csv line 1: 'nf' is 'x'"):
        ferplus(tmp_path)
    path.write_text('fer0000000.png,"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,0,1\n')
    with pytest.raises(DataError, match=r"label\.csv line 1: 13 cells, expected 12"):
        ferplus(tmp_path)
    path.write_text('fer0000009.png,"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,0\n')
    bad = BadRows()
    assert [len(c.images) for c in ferplus(tmp_path).chunks(bad)] == [0]
    assert re.match(r"FER2013Train/label\.csv line 1: .*fer0000009\.png: no such file", str(bad.errors[0]))
    path.write_text('fer0000000.png,"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,0\n' * 2)
    ids = [i for c in ferplus(tmp_path).chunks(BadRows()) for i in c.frame["sample_id"]]
    assert ids == ["FER2013Train/fer0000000.png", "FER2013Train/fer0000000.png#2"]


@pytest.mark.parametrize("base", ["", "data", "Images"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_votes_as_a_spreadsheet_saves_them_beside_folders(tmp_path, base, separator):
    save_pictures(tmp_path / base / "fer2013train", ["fer0000000.png", "fer0000001.png"])
    lines = [FERPLUS_HEADER, "Training,fer0000000.png,10,0,0,0,0,0,0,0,0,0", "Training,fer0000001.png" + ",1" * 10]
    text = "\r\n".join([*lines, "," * 11, ""]).replace(",", separator)
    (tmp_path / "FER2013new.CSV").write_bytes(b"\xef\xbb\xbf" + text.encode())
    frame = pd.concat([c.frame for c in ferplus(tmp_path).chunks(BadRows())])
    assert frame["sample_id"].tolist() == ["fer0000000", "fer0000001"]
    assert frame.filter(like="votes_").to_numpy().tolist() == [[10] + [0] * 9, [1] * 10]


@pytest.mark.parametrize("path", ["fer2013/fer2013.csv", "FER2013/FER2013.CSV", "icml_face_data.csv", "faces.csv"])
def test_pixels_under_any_name_beside_the_votes(tmp_path, path):
    images = np.random.default_rng(0).integers(0, 256, (4, 48, 48), dtype=np.uint8)
    (tmp_path / path).parent.mkdir(exist_ok=True)
    write_challenge(tmp_path / path, images, [0, 1, 2, 3], usages(4))
    write_votes(tmp_path / "fer2013new.csv", random_votes(4), usages(4))
    np.testing.assert_array_equal(np.concatenate([c.images for c in ferplus(tmp_path).chunks(BadRows())]), images)


@pytest.mark.real_data
def test_the_published_file_is_in_its_order_and_no_change_of_it_is(real_data, tmp_path):
    votes = read_votes(real_data / "fer2013new.csv")
    check_order(votes, "fer2013new.csv")
    named = votes["image_name"] != ""
    for changed in (votes[named], votes.sort_values("image_name"), votes.iloc[1:], votes.drop(index=[20_000])):
        with pytest.raises(DataError, match="names the picture"):
            check_order(changed.reset_index(drop=True), "fer2013new.csv")


#: How somebody may have written the published names anew.
CHANGED = {
    "another ending": lambda name: name.replace("png", "jpg"),
    "the number alone": lambda name: name[3:10],
    "a short number": lambda name: name and f"img_{int(name[3:10])}.png",
    "counted from one": lambda name: name and f"{int(name[3:10]) + 1}",
    "as a spreadsheet writes numbers": lambda name: name and f"{int(name[3:10])}.0",
}


@pytest.mark.parametrize("form", CHANGED)
@pytest.mark.parametrize("seed", range(3))
def test_changed_names_tell_the_order_too(form, seed):
    rng = np.random.default_rng(seed)
    names = [CHANGED[form](n) for n in published(seed=seed)]
    assert check_order(table(names), "votes.csv")
    copied = list(names)
    copied[0], copied[700] = names[900], names[100]
    assert check_order(table(copied), "votes.csv")
    within = [*rng.permutation(names[:1000]), *rng.permutation(names[1000:])]
    for changed in (within, rng.permutation(names).tolist(), names[1000:] + names[:1000], names[::-1]):
        with pytest.raises(DataError, match="not row for row"):
            check(changed)


@pytest.mark.parametrize("name", ["", "face.png", "face_1.png"])
def test_names_without_numbers_cannot_tell(name):
    assert not check_order(table([name and n for n in [name] * 50]), "votes.csv")


def test_that_the_order_could_not_be_checked_is_kept(tmp_path):
    votes = random_votes(20)
    write_challenge(tmp_path / "fer2013.csv", faces(20), [0] * 20, usages(20))
    write_votes(tmp_path / "fer2013new.csv", votes, usages(20))
    key = "whether the votes stand row for row beside the pictures could not be checked"
    assert key not in ferplus(tmp_path).detail
    text = re.sub(r"fer\d{7}\.png", "", (tmp_path / "fer2013new.csv").read_text())
    (tmp_path / "fer2013new.csv").write_text(text)
    assert ferplus(tmp_path).detail[key] == "the picture names do not number the rows"
