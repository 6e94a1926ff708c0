"""What the columns beside annotation and prediction put in doubt: training faces, persons, groups of two words."""

from __future__ import annotations

import numpy as np
import pytest

from mien.audit import audit
from mien.audit.attributes import resolve_attribute
from mien.audit.table_checks import table_warnings
from mien.errors import DataError
from mien.records import Predictions
from mien.stats.settings import Settings
from whole_tables import faces, read_as

N = 300
WAYS = ["csv", "parquet", "frame"]


def warnings(by=("gender",), **columns):
    return table_warnings(Predictions.from_frame(faces(N, **columns)), by)


# --- Training faces ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"partition": ["trainset", "testset"] * 150}, "The column 'partition' says that 150 of 300"),
        ({"phase": ["TRAINING SET"] * 300}, "The column 'phase' says that 300 of 300"),
        ({"phase": ["train_set", "Validation Set"] * 150}, "(150 train, 150 validation)"),
        ({"usage": ["FER2013Train", "FER2013Test"] * 150}, "(150 train, 150 test)"),
        ({"is_train": [0, 1, 0] * 100}, "The column 'is_train' says that 100 of 300 faces"),
        ({"is_train": [True, False] * 150}, "(150 train, 150 other)"),
        ({"Is Training": ["yes", "no", "no"] * 100}, "(100 train, 200 other)"),
        ({"in_train": ["1", "1"] * 150}, "300 of 300"),
        ({"path": [f"{['train', 'test'][i % 2]}/{i}.jpg" for i in range(N)]}, "The names in 'path' say that 150"),
        ({"path": [f"train/fear/{i}.jpg" for i in range(N)]}, "300 of 300"),
        ({"file": [rf"D:\faces\{['Train', 'Test'][i % 2]}\{i}.jpg" for i in range(N)]}, "The names in 'file' say"),
        ({"image": [f"/d/{['training', 'val'][i % 2]}/{i}.png" for i in range(N)]}, "(150 train, 150 validation)"),
        ({"sample_id": [f"train/{i}.jpg" if i < 20 else f"t/{i}.jpg" for i in range(N)]}, "'sample_id' say that 20 of"),
        (
            {"name": ["x"] * N, "img": [f"{['train', 'test'][i % 2]}_{i:05d}_aligned.jpg" for i in range(N)]},
            "'img' say",
        ),
    ],
)
def test_training_faces_are_named_however_they_are_marked(tmp_path, way, columns, said):
    found = table_warnings(read_as(faces(N, **columns), way, tmp_path), ["gender"])
    assert len(found) == 1
    assert said in found[0]
    assert "of the training split" in found[0]


@pytest.mark.parametrize(
    "columns",
    [
        {"path": [f"/home/me/train/faces/{i}.jpg" for i in range(N)]},  # where the files lie
        {"path": [f"test/{i}.jpg" for i in range(N)]},
        {"path": [f"training_day/{i}.jpg" for i in range(N)]},
        {"path": [f"trains/{i}.jpg" for i in range(N)]},
        {"path": [f"train/{i}.jpg" for i in range(N)], "split": ["test"] * N},  # a corpus that was split anew
        {"is_train": [0] * N},
        {"is_trained": ["yes", "no"] * 150},
        {"posture": ["fit", "unfit"] * 150},
        {"set": ["set", "data"] * 150},
        {"sample_id": [f"t{i}" for i in range(N)]},
    ],
)
def test_what_only_resembles_a_training_split_is_no_fault(columns):
    assert warnings(**columns) == []


# --- Persons under other names -----------------------------------------------------------------------------

PERSONS = [f"p{i // 5}" for i in range(N)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "name",
    [
        *("subject_id", "subject", "person", "person_id", "participant", "actor", "speaker", "video", "video_id"),
        *("clip", "track_id", "user_id", "patient", "Subject", " Person ", "subjectId", "Video Name", "clip-nr"),
    ],
)
@pytest.mark.parametrize("numbers", [False, True])
def test_columns_that_look_like_persons_are_named(tmp_path, way, name, numbers):
    values = [i // 5 for i in range(N)] if numbers else PERSONS
    found = table_warnings(read_as(faces(N, **{name: values}), way, tmp_path), ["gender"])
    assert len(found) == 1
    name = name.strip() if way == "csv" else name  # a header's blanks are nobody's choice
    assert found[0].startswith(f"The column '{name}' looks like persons or videos: 60 values stand in 300 rows.")
    assert "Call the column 'identity'" in found[0]


def test_several_such_columns_are_named_together():
    found = warnings(subject=PERSONS, video=[f"v{i // 2}" for i in range(N)])
    assert len(found) == 1
    assert "looks like persons or videos (and so does 'video')" in found[0]


@pytest.mark.parametrize(
    "columns",
    [
        {"subject": [f"p{i}" for i in range(N)]},  # each face is a person
        {"subject": [f"p{i // 5}" if i < 20 else f"q{i}" for i in range(N)]},
        {"subject": PERSONS, "identity": PERSONS},
        {"subject": PERSONS, "Cluster": range(N)},
        {"speaker": ["yes", "no"] * 150},
        {"video": [True, False] * 150},
        {"clip": [0, 1] * 150},
        {"track": [i // 5 + 0.25 for i in range(N)]},
        {"subject": ["unknown", None, "-"] * 100},
        {"subject": ["p1"] * N},
        {"subjective": PERSONS},
        {"personality": ["open", "shy"] * 150},
        {"video_quality": ["low", "high"] * 150},
        {"track_id": [-1] * 200 + list(range(100))},  # nobody, and each alone
    ],
)
def test_what_only_resembles_persons_is_no_fault(columns):
    assert warnings(**columns) == []


@pytest.mark.parametrize("by", ["actor", "gender*actor", "actor:3"])
def test_a_column_that_was_asked_for_is_no_fault(by):
    actor = [i // 100 for i in range(N)] if ":" in by else [f"a{i // 100}" for i in range(N)]
    pred = Predictions.from_frame(faces(N, actor=actor))
    assert table_warnings(pred, [by]) == []
    assert len(table_warnings(pred, ["gender"])) == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["Identity", "IDENTITY", " identity ", "Cluster", "cluster "])
def test_identity_and_cluster_are_read_in_any_case_and_with_blanks_around(tmp_path, way, name):
    found = read_as(faces(N, **{name: PERSONS}), way, tmp_path)
    assert len(set(found.cluster.tolist())) == 60
    assert name not in found.groups
    if way != "csv":
        assert found.notes[0] == f"The column {name!r} was read as {name.strip().lower()!r}."
    assert audit(found, ["gender"], settings=Settings(n_boot=50, n_perm=99)).warnings == []


def test_two_columns_called_identity_are_refused():
    with pytest.raises(DataError, match="columns 'identity' and 'Identity' are both 'identity'"):
        Predictions.from_frame(faces(N, identity=PERSONS, Identity=PERSONS))


# --- Groups under two words ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "ways",
    [
        ["20-29", "20\u201329", "20 - 29"],
        ["20-29 ", "20\u201429"],
        ["20\u221229", "20-29"],
        ["20 \u2013 29", "20-29", "20\u201029"],
        ["20- 29", "20-29"],
    ],
)
def test_ranges_are_joined_whatever_their_dash(tmp_path, way, ways):
    ages = ["30-39" if i % 2 else ways[i % len(ways)] for i in range(2 * N)][:N]
    found = resolve_attribute(read_as(faces(N, age=ages), way, tmp_path), "age")
    assert [g.replace("\u2013", "-").replace(" ", "") for g in found.groups][-1] == "30-39"
    assert len(found.groups) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["F", "female", "male"], "'F' and 'female' in the column 'sex' may be one group; they count as two (200"),
        (["woman", "Female", "man"], "'Female' and 'woman' in the column 'sex' may be one group"),
        (["m", "men", "women"], "'m' and 'men' in the column 'sex'"),
        (["w", "woman", "x"], "'w' and 'woman' in"),
        (["FEMALE", "women", "woman"], "they count as three (300 faces in all)"),
    ],
)
def test_probable_synonyms_are_named_and_not_joined(words, said):
    pred = Predictions.from_frame(faces(N, sex=sorted((words * N)[:N])))
    found = table_warnings(pred, ["sex"])
    assert len(found) == 1
    assert said in found[0]
    assert len(resolve_attribute(pred, "sex").groups) == 3
    assert table_warnings(pred, ["gender"]) == []  # the column has no part in what is asked


@pytest.mark.parametrize(
    "words",
    [
        ["F", "M"],
        ["female", "male", "Female", "other"],
        ["f", "w", "a"],  # codes of something else
        ["W", "B", "A", "M"],
        ["man", "boy", "girl", "woman"],
        ["none", "m"],
    ],
)
def test_other_groups_are_no_synonyms(words):
    assert warnings(["sex"], sex=(words * N)[:N]) == []


# --- Drawn tables --------------------------------------------------------------------------------------------


def test_hundreds_of_sound_tables_raise_none():
    rng = np.random.default_rng(8)
    words = {
        "age": ["0-9", "10-19", "20-29", "30+"],
        "race": ["White", "Black", "Asian", "W", "none"],
        "split": ["test", "val", "holdout"],
        "glasses": ["none", "glasses"],
        "speaker": ["yes", "no"],
        "role": ["actor", "subject", "patient"],
        "sex": ["F", "M", "X"],
    }
    for _ in range(200):
        n = int(rng.integers(2, 400))
        some = rng.choice(list(words), int(rng.integers(1, 5)), replace=False)
        columns = {c: rng.choice(words[c], n) for c in some}
        if rng.random() < 0.5:
            columns["path"] = [f"{rng.choice(['test', 'val', 'faces'])}/{i}.jpg" for i in range(n)]
        if rng.random() < 0.5:
            columns["subject"] = [f"s{i}" for i in rng.permutation(n)]
        frame = faces(n, **columns)
        if frame["label"].isin(frame["pred"]).any():
            assert table_warnings(Predictions.from_frame(frame), [str(c) for c in some]) == []
