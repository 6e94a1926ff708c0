from __future__ import annotations

import numpy as np
import pytest

from mien.data.corpus import BadRows
from mien.data.datasets.manifest import detect, lacks, manifest
from mien.errors import DataError
from mien.prepare import prepare
from writers import faces, read_all, replace_line, write_manifest

N = 6
IMAGES = faces(N, 32)


def rows(**columns):
    """Rows of a manifest; each column is a list or one value for all."""
    columns = {"path": [f"pictures/{i}.png" for i in range(N)]} | columns
    return [{k: v[i] if isinstance(v, list) else v for k, v in columns.items()} for i in range(N)]


@pytest.fixture
def write(tmp_path):
    def write(**columns):
        write_manifest(tmp_path / "faces.csv", rows(**columns), IMAGES)
        return tmp_path / "faces.csv"

    return write


LABELS = ["sad", "happy", "sad", "angry", "happy", "sad"]


def test_labels(write):
    corpus = manifest(write(label=LABELS))
    images, frame = read_all(corpus)
    np.testing.assert_array_equal(images, IMAGES)
    assert (corpus.name, corpus.vocabulary, corpus.attributes) == ("faces", ("angry", "happy", "sad"), ())
    np.testing.assert_array_equal(
        frame[["votes_angry", "votes_happy", "votes_sad"]].to_numpy().argmax(1), [2, 1, 2, 0, 1, 2]
    )
    assert (frame.filter(like="votes_").sum(axis=1) == 1).all()
    assert frame["sample_id"].tolist() == [f"pictures/{i}.png" for i in range(N)]
    assert set(frame["split"]) == {""}
    assert set(frame["identity"]) == {""}


def test_a_probability_that_is_none_is_told(write):
    path = write(label="sad", gender="male", gender_prob_male=["0.5", "1.5", "high", "1", "", "0"])
    bad = BadRows("drop")
    read_all(manifest(path), bad)
    told = [str(error) for error in bad.errors]
    assert len(told) == 2
    assert "'gender_prob_male' is '1.5', expected a number from 0 to 1" in told[0]


def test_everything_a_manifest_can_say(write):
    path = write(
        sample_id=[f"{i:03d}" for i in range(N)],
        split=["train"] * 4 + ["test"] * 2,
        identity=["p1", "p1", "", "p2", "p3", "p3"],
        votes_sad=["1", "0", "2.5", "0", "7", "1"],
        votes_happy=["0", "3", "0", "1", "1", "1"],
        gender=["female", "", "male", "female", "male", "NA"],
        gender_source="perceived",
        gender_confidence=["0.9", "", "0.5", "1", "0", "0.25"],
        gender_prob_female=["0.9", "", "0.5", "1", "0", "0.25"],
        age="adult",
        data_source="web",
    )
    corpus = manifest(path, name="mine", terms="CC0")
    images, frame = read_all(corpus)
    np.testing.assert_array_equal(images, IMAGES)
    assert corpus.vocabulary == ("sad", "happy")
    # data_source is no source of another column, so it is an attribute like any other
    assert corpus.attributes == ("gender", "age", "data_source")
    assert (corpus.name, corpus.terms, corpus.n_rows) == ("mine", "CC0", N)
    assert frame["votes_sad"].tolist() == [1, 0, 2.5, 0, 7, 1]
    assert frame["votes_happy"].tolist() == [0, 3, 0, 1, 1, 1]
    assert frame["sample_id"].tolist() == ["000", "001", "002", "003", "004", "005"]
    assert frame["split"].tolist() == ["train"] * 4 + ["test"] * 2
    assert frame["identity"].tolist() == ["p1", "p1", "", "p2", "p3", "p3"]
    assert frame["gender"].isna().tolist() == [False, True, False, False, False, True]
    assert corpus.detail == {"rows without a value": {"identity": 1, "gender": 2}}
    assert set(frame["gender_source"]) == {"perceived"}
    for column in ("gender_confidence", "gender_prob_female"):
        np.testing.assert_array_equal(frame[column], [0.9, np.nan, 0.5, 1, 0, 0.25])
    assert set(frame["data_source"]) == {"web"}


def test_the_vocabulary_gives_order_and_spelling(write):
    corpus = manifest(write(label=LABELS), vocabulary=("happiness", "anger", "fear", "sadness"))
    frame = read_all(corpus)[1]
    assert frame.filter(like="votes_").to_numpy().argmax(1).tolist() == [3, 0, 3, 1, 0, 3]
    with pytest.raises(DataError, match=r"^faces\.csv line 1: no column 'votes_fear', expected votes for every class"):
        manifest(write(votes_sad="1"), vocabulary=("sad", "fear"))


def test_two_spellings_of_a_label_are_one_class(write):
    corpus = manifest(write(label=["anger", "Angry", "sad", "angry", "sad", "sad"]))
    assert corpus.vocabulary == ("Angry", "sad")
    assert read_all(corpus)[1]["votes_Angry"].tolist() == [1, 1, 0, 1, 0, 0]


def test_colour_pictures_and_absolute_paths(tmp_path):
    images = faces(2, 32, 3)
    table = [{"path": str(tmp_path / "far" / f"{i}.png"), "label": "sad"} for i in range(2)]
    write_manifest(tmp_path / "list" / "faces.csv", table, images)
    np.testing.assert_array_equal(read_all(manifest(tmp_path / "list" / "faces.csv"))[0], images)


def edit(**changes):
    """An edit of one line of a manifest, by column name."""

    def change(header, line):
        fields = dict(zip(header, line.split(","), strict=True)) | changes
        return ",".join(fields.values())

    return change


CHANGES = {
    "a picture that is not there": (edit(path="nothing.png"), "no such file"),
    "no path": (edit(path=""), "'path' is empty"),
    "a vote that is no number": (edit(votes_sad="x"), "votes ['x', '1']"),
    "a vote below 0": (edit(votes_happy="-1"), "votes ['1', '-1']"),
    "an endless vote": (edit(votes_happy="inf"), "votes ['1', 'inf']"),
    "a source that is none": (edit(gender_source="guessed"), "'gender_source' is 'guessed'"),
    "a confidence above 1": (edit(gender_confidence="1.5"), "'gender_confidence' is '1.5'"),
    "a confidence that is no number": (edit(gender_confidence="high"), "'gender_confidence' is 'high'"),
    "a line that ends early": (lambda header, line: line.split(",")[0], "votes ['', '']"),
    "two faults are one bad row": (edit(path="nothing.png", votes_sad="x"), "votes ['x', '1']"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_bad_rows_are_reported_with_their_line_once(write, name):
    change, found = CHANGES[name]
    path = write(votes_sad="1", votes_happy="1", gender="male", gender_source="annotated", gender_confidence="")
    header = path.read_text().split("\n")[0].strip().split(",")
    replace_line(path, 4, lambda line: change(header, line.strip()))
    bad = BadRows("drop")
    images, frame = read_all(manifest(path), bad)
    assert len(bad.errors) == 1
    assert bad.errors[0].where.startswith("faces.csv line 4")
    assert bad.errors[0].found == found
    others = np.delete(np.arange(N), 2)
    np.testing.assert_array_equal(images, IMAGES[others])
    assert frame["sample_id"].tolist() == [f"pictures/{i}.png" for i in others]
    with pytest.raises(DataError, match=r"^faces\.csv line 4"):
        read_all(manifest(path))


def test_an_unknown_label_is_answered_with_the_nearest(write):
    path = write(label=LABELS)
    with pytest.raises(
        DataError, match=r"^faces\.csv line 5: 'label' is 'angry', expected a class\. Known: happy, sad\."
    ):
        read_all(manifest(path, vocabulary=("happy", "sad")))
    replace_line(path, 3, lambda s: s.replace("happy", "hapy"))
    bad = BadRows("drop")
    read_all(manifest(path, vocabulary=("happy", "sad", "angry")), bad)
    assert [(e.where, e.fix) for e in bad.errors] == [("faces.csv line 3", "Did you mean 'happy'?")]


def test_a_label_that_ends_early_is_a_bad_row(write):
    path = write(label=LABELS)
    replace_line(path, 4, lambda s: s.split(",")[0])
    with pytest.raises(DataError, match=r"^faces\.csv line 4: 'label' is '', expected a class"):
        read_all(manifest(path))


@pytest.mark.parametrize("column", ["image", "cluster", "hash", "fold", "pred", "id", "prob_sad", "target_sad"])
def test_columns_that_have_a_meaning_later_are_refused(write, column):
    with pytest.raises(DataError, match=rf"^faces\.csv line 1: column '{column}', expected another name"):
        manifest(write(label="sad", **{column: "x"}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("path,label\n", "0 rows with the columns path, label, expected rows with a 'path' column"),
        ("file,label\na.png,sad\n", "1 rows with the columns file, label, expected rows with a 'path' column"),
        ("path,Emotion\na.png,sad\n", "line 1: no label, but a column 'Emotion', expected .* Call it 'label'"),
        ("path,Votes_sad\na.png,3\n", "line 1: no label, but a column 'Votes_sad'"),
        ("path, emotion\na.png,sad\n", "line 1: no label, but a column 'emotion'"),
        ("path,label\na.png,sad\na.png,sad,1\n", "line 3: 3 cells, expected 2, one a column"),
        ("path,label,path\na.png,sad,b.png\n", "line 1: two columns called 'path', expected each name once"),
        ('path,label\n"a.png,sad\nb.png,sad\n', "cannot be read .*unexpected end"),
        ("path,votes_anger,votes_angry\na.png,1,0\n", "the classes anger, angry, expected each expression once"),
        ("path,label\na.png,sad\n", "no picture can be opened"),
    ],
)
def test_a_csv_that_is_no_manifest(tmp_path, content, message):
    (tmp_path / "faces.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        manifest(tmp_path / "faces.csv")


@pytest.mark.parametrize("labels", [{}, {"label": ""}, {"label": ["", " ", "", "", "  ", ""]}])
def test_pictures_that_nobody_has_labelled(write, labels):
    path = write(**labels, gender=["female", "", "male", "male", "", ""], split="train")
    corpus = manifest(path)
    images, frame = read_all(corpus)
    np.testing.assert_array_equal(images, IMAGES)
    assert (corpus.vocabulary, corpus.attributes) == ((), ("gender",))
    assert corpus.detail == {"pictures without a label": N, "rows without a value": {"gender": 3}}
    assert not list(frame.filter(like="votes_")) + list(frame.filter(like="label"))
    assert frame["gender"].tolist()[2] == "male"
    assert set(frame["split"]) == {"train"}
    with pytest.raises(DataError, match=r"neither a 'label' nor 'votes_<class>', expected one of them, with a voc"):
        manifest(path, vocabulary=("sad", "happy"))


def test_some_labels_that_are_missing_are_bad_rows(write):
    path = write(label=["sad", "", "sad", " ", "happy", "sad"])
    bad = BadRows("drop")
    corpus = manifest(path)
    assert read_all(corpus, bad)[1]["votes_sad"].tolist() == [1, 1, 0, 1]
    assert (corpus.vocabulary, corpus.detail) == (("happy", "sad"), {})
    assert [(e.where, e.found) for e in bad.errors] == [
        ("faces.csv line 3", "'label' is ''"),
        ("faces.csv line 5", "'label' is ' '"),
    ]


def test_votes_are_enough_without_labels(write):
    corpus = manifest(write(label="", votes_sad="1", emotion="x"))
    assert (corpus.vocabulary, corpus.attributes, corpus.detail) == (("sad",), ("emotion",), {})


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"faces\.csv: cannot be read"):
        manifest(tmp_path / "faces.csv")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_detection(tmp_path, mark):
    (tmp_path / "a.csv").write_text(f'{mark}"path",label\n', encoding="utf-8")
    (tmp_path / "b.csv").write_text("paths,label\n")
    assert detect(tmp_path / "a.csv") == 1
    assert detect(tmp_path / "b.csv") == 0
    assert detect(tmp_path) == 0
    assert detect(tmp_path / "none.csv") == 0


# --- As people write them ---------------------------------------------------------------------------


def written(tmp_path, text, encoding="utf-8", name="faces.csv"):
    """A manifest as bytes beside pictures 0.png to 5.png, and what comes of it."""
    write_manifest(tmp_path / "pictures.csv", [{"path": f"{i}.png"} for i in range(N)], IMAGES)
    (tmp_path / name).write_bytes(text.encode(encoding))
    corpus = manifest(tmp_path / name)
    bad = BadRows("drop")
    images, frame = read_all(corpus, bad)
    return images, frame, corpus, bad.errors


PLAIN = "path,label,gender\n0.png,sad,male\n1.png,happy,female\n2.png,sad,\n"
WAYS = {
    "as it is": (PLAIN, "utf-8"),
    "a byte-order mark": (PLAIN, "utf-8-sig"),
    "semicolons": (PLAIN.replace(",", ";"), "utf-8"),
    "tabs": (PLAIN.replace(",", "\t"), "utf-8"),
    "Excel's Unicode text": (PLAIN.replace(",", "\t").replace("\n", "\r\n"), "utf-16"),
    "Excel's sep=": ("sep=;\r\n" + PLAIN.replace(",", ";"), "utf-8"),
    "a column of row numbers": ("," + PLAIN.replace("\n", "\n7,").removesuffix("7,"), "utf-8"),
    "empty lines and cells": (PLAIN.replace("\n", "\n\n") + ",,\n\n", "utf-8"),
    "capitals and blanks in its names": (PLAIN.replace("path,label", " Path , LABEL"), "utf-8"),
    "blanks around the paths": (PLAIN.replace(".png", ".png "), "utf-8"),
    "quotes": (PLAIN.replace("0.png", '"0.png"'), "utf-8"),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_table_in_many_ways(tmp_path, way):
    images, frame, corpus, errors = written(tmp_path, *WAYS[way])
    assert errors == []
    np.testing.assert_array_equal(images, IMAGES[:3])
    assert frame[["votes_happy", "votes_sad"]].to_numpy().tolist() == [[0, 1], [1, 0], [0, 1]]
    assert (corpus.attributes, frame["gender"].tolist()[:2]) == (("gender",), ["male", "female"])
    assert corpus.detail["rows without a value"] == {"gender": 1}


def test_how_the_file_was_read_is_said(tmp_path):
    _, frame, corpus, _ = written(tmp_path, "path;label\n0.png;müde\n", "latin-1")
    assert frame["votes_müde"].tolist() == [1]
    assert "semicolons" in corpus.detail["how the file was read"][0]
    assert "cp1252" in corpus.detail["how the file was read"][1]


def test_decimal_commas_are_read_as_is_said(tmp_path):
    text = (
        "path;votes_happy;votes_sad;age;gender;gender_confidence;place\n"
        "0.png;0,5;1,5;20,5;male;0,9;Rome, 3,5 km\n1.png;1;0;27,25;female;,75;Rome\n"
    )
    _, frame, corpus, errors = written(tmp_path, text)
    assert errors == []
    assert "decimal commas" in " ".join(corpus.detail["how the file was read"])
    assert frame[["votes_happy", "votes_sad"]].to_numpy().tolist() == [[0.5, 1.5], [1, 0]]
    assert frame["age"].tolist() == ["20.5", "27.25"]
    assert frame["gender_confidence"].tolist() == [0.9, 0.75]
    assert frame["place"].tolist() == ["Rome, 3,5 km", "Rome"]
    assert corpus.detail["columns read as numbers with decimal commas"] == "age, gender_confidence"


def test_lists_of_numbers_are_no_decimal_commas(tmp_path):
    text = "path;label;action_units;eyes;valence\n0.png;sad;6,12;12,20;0,25\n1.png;happy;4,15;13,21;1,5\n"
    _, frame, corpus, _ = written(tmp_path, text)
    assert frame["action_units"].tolist() == ["6,12", "4,15"]
    assert frame["eyes"].tolist() == ["12,20", "13,21"]
    assert frame["valence"].tolist() == ["0.25", "1.5"]
    assert corpus.detail["columns read as numbers with decimal commas"] == "valence"


def test_nobodys_cluster_is_no_person(tmp_path):
    text = "path,label,identity\n0.png,sad,-1\n1.png,sad,-1\n2.png,happy,7\n3.png,happy,-1.0\n"
    _, frame, corpus, _ = written(tmp_path, text)
    assert frame["identity"].tolist() == ["", "", "7", ""]
    assert corpus.detail["rows without a value"] == {"identity": 3}


def test_ranges_that_a_spreadsheet_took_for_dates_are_named(tmp_path):
    text = "path,label,age\n0.png,sad,20-29\n1.png,sad,9-Mar\n2.png,happy,Oct-19\n3.png,happy,May\n"
    *_, corpus, _ = written(tmp_path, text)
    assert corpus.detail["age: words that a spreadsheet may have made of ranges"] == ["9-Mar", "Oct-19"]
    *_, corpus, _ = written(tmp_path, text.replace("20-29", "adult"))
    assert not any("spreadsheet" in what for what in corpus.detail)


def test_a_face_without_a_name_is_its_rows_fault(tmp_path):
    text = "path,label,sample_id\n0.png,sad,a\n1.png,sad,\n2.png,happy, \n"
    images, frame, _, errors = written(tmp_path, text)
    assert frame["sample_id"].tolist() == ["a"]
    assert [str(e).split(":")[0] for e in errors] == ["faces.csv line 3", "faces.csv line 4"]


@pytest.mark.parametrize("name", ["FACES.CSV", "faces.tsv"])
def test_other_endings(tmp_path, name):
    text = PLAIN.replace(",", "\t") if name.endswith("tsv") else PLAIN
    images, *_ = written(tmp_path, text, name=name)
    assert (len(images), detect(tmp_path / name)) == (3, 1)


@pytest.mark.parametrize("word", ["unknown", "N/A", "nan", "none", "-", " n.a. ", "NULL"])
def test_words_that_mean_missing_mean_it_in_every_column(tmp_path, word):
    header = "path,label,identity,split,brightness,eyewear"
    text = f"{header}\n0.png,sad,p1,train,0.5,glasses\n1.png,sad,{word},{word},{word},{word}\n"
    _, frame, corpus, errors = written(tmp_path, text)
    assert errors == []
    assert frame[["identity", "split"]].iloc[1].tolist() == ["", ""]
    assert np.isnan(frame["brightness"].iloc[1])
    # no glasses is an answer: "none" is a group there
    assert frame["eyewear"].isna().iloc[1] == (word != "none")
    columns = ["identity", "split", "brightness", *(["eyewear"] if word != "none" else [])]
    assert corpus.detail["rows without a value"] == dict.fromkeys(columns, 1)


@pytest.mark.parametrize("word", ["unknown", "N/A", "none"])
def test_a_label_that_means_missing_is_none(tmp_path, word):
    _, frame, corpus, errors = written(tmp_path, f"path,label\n0.png,sad\n1.png,{word}\n")
    assert (corpus.vocabulary, len(frame)) == (("sad",), 1)
    assert [(e.where, e.fix) for e in errors] == [("faces.csv line 3", "This means that it has no label.")]
    _, _, corpus, errors = written(tmp_path, f"path,label\n0.png,{word}\n1.png,\n")
    assert (corpus.vocabulary, corpus.detail, errors) == ((), {"pictures without a label": 2}, [])


def test_spellings_of_one_group_are_joined_under_the_commonest_and_that_is_said(tmp_path):
    words = ["male", "Male", "MALE ", "male", "fe\u0301minin", "f\u00e9minin"]
    ages = ["2", "2.0", "3", "3", "3", "3"]
    rows = zip(range(6), words, ages, strict=True)
    text = "path,label,gender,age\n" + "".join(f"{i}.png,sad,{w},{a}\n" for i, w, a in rows)
    _, frame, corpus, _ = written(tmp_path, text)
    assert frame["gender"].tolist()[:4] == ["male"] * 4
    assert frame["gender"].nunique() == 2
    assert frame["age"].tolist() == ["2", "2", "3", "3", "3", "3"]
    assert corpus.detail["gender, spellings read as one"]["male"] == "(male, MALE, Male)"
    assert list(corpus.detail["age, spellings read as one"]) == ["2"]


def test_measured_numbers_stay_as_they_are(tmp_path):
    _, frame, corpus, _ = written(tmp_path, "path,label,brightness\n0.png,sad,0.5\n1.png,sad,1\n2.png,sad,1.0\n")
    assert frame["brightness"].tolist() == ["0.5", "1", "1.0"]
    assert corpus.detail == {}


def test_splits_in_two_spellings_are_one_split(tmp_path):
    _, frame, corpus, _ = written(tmp_path, "path,label,split\n0.png,sad,train\n1.png,sad,Train\n2.png,sad,train \n")
    assert frame["split"].tolist() == ["train"] * 3
    assert corpus.detail == {"split, spellings read as one": {"train": "(train, Train)"}}


def test_labels_in_two_spellings_are_one_class_and_that_is_said(tmp_path):
    _, frame, corpus, _ = written(tmp_path, "path,label\n0.png,Angry\n1.png,anger\n2.png,sad\n")
    assert corpus.vocabulary == ("Angry", "sad")
    assert frame["votes_Angry"].tolist() == [1, 1, 0]
    assert corpus.detail == {"labels read as one class": {"Angry": "(Angry, anger)"}}


@pytest.mark.parametrize("path", ["far\\0.png", "./far/0.png", "far//0.png", " far/0.png"])
def test_paths_of_another_system_are_found(tmp_path, path):
    write_manifest(tmp_path / "x.csv", [{"path": "far/0.png"}], IMAGES[:1])
    (tmp_path / "faces.csv").write_text(f"path,label\n{path},sad\n")
    np.testing.assert_array_equal(read_all(manifest(tmp_path / "faces.csv"))[0], IMAGES[:1])


def test_a_backslash_may_be_part_of_a_name(tmp_path):
    write_manifest(tmp_path / "x.csv", [{"path": "a\\b.png"}], IMAGES[:1])
    (tmp_path / "faces.csv").write_text("path,label\na\\b.png,sad\n")
    np.testing.assert_array_equal(read_all(manifest(tmp_path / "faces.csv"))[0], IMAGES[:1])


def test_a_drive_of_another_computer_is_named(tmp_path):
    *_, errors = written(tmp_path, "path,label\n0.png,sad\nC:\\data\\1.png,sad\nD:/data/2.png,sad\n")
    assert [(e.where, e.expected) for e in errors] == [
        (f"faces.csv line {i}", "a path on this computer") for i in (3, 4)
    ]


def test_a_row_that_stands_twice_is_read_once_and_named(tmp_path):
    images, _, _, errors = written(tmp_path, "path,label\n0.png,sad\n1.png,sad\n0.png,sad\n")
    np.testing.assert_array_equal(images, IMAGES[:2])
    assert [(e.where, e.found) for e in errors] == [("faces.csv line 4", "path '0.png' occurs twice, first in line 2")]
    *_, errors = written(tmp_path, "path,sample_id,label\n0.png,a,sad\n1.png,a,sad\n")
    assert errors[0].found == "sample_id 'a' occurs twice, first in line 2"


@pytest.mark.parametrize("again", ["0.png", "./0.png", ".\\0.png"])
def test_one_picture_with_two_labels_is_named_and_neither_is_kept(tmp_path, again):
    images, _, _, errors = written(tmp_path, f"path,label\n0.png,sad\n1.png,sad\n{again},happy\n")
    np.testing.assert_array_equal(images, IMAGES[1:2])
    assert [e.where for e in errors] == ["faces.csv line 2", "faces.csv line 4"]
    assert errors[0].found == "one picture has two labels: 0.png is 'sad' in line 2, 'happy' in line 4"


def test_one_picture_under_two_ids_with_one_label_stays_two_samples(tmp_path):
    images, frame, _, errors = written(tmp_path, "path,sample_id,label\n0.png,a,sad\n0.png,b,Sad\n")
    assert (len(images), frame["sample_id"].tolist(), errors) == (2, ["a", "b"], [])


def test_a_header_among_the_rows_is_named(tmp_path):
    images, _, corpus, errors = written(tmp_path, "path,label\n0.png,sad\npath,label\n1.png,sad\n")
    assert len(images) == 2
    assert [(e.where, e.found) for e in errors] == [("faces.csv line 3", "the header stands here again")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,label\na.png,sad\n", "no column 'path' (it has file, label; if 'file' names the pictures, call it"),
        ("x,y\n1,2\n", "no column 'path' (it has x, y)"),
        ("", "faces.csv is empty"),
    ],
)
def test_what_a_csv_lacks_is_said(tmp_path, content, message):
    (tmp_path / "faces.csv").write_text(content)
    assert message in lacks(tmp_path / "faces.csv")[1]
    with pytest.raises(DataError) as caught:
        prepare(tmp_path / "faces.csv", tmp_path / "store")
    assert message in str(caught.value)
