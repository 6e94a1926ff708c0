"""Faults that have a name are called by it: a title above the header, an empty column, ``prob_max``."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mien.errors import DataError
from mien.prediction_tables.dialects import dialect_of
from mien.prediction_tables.reading import read_table

CLASSES = ["angry", "happy", "sad"]
P = np.random.default_rng(0).dirichlet(np.ones(3), 12).round(3)
LABELS = [CLASSES[k] for k in P.argmax(1)]


def table(**more):
    return pd.DataFrame({"label": LABELS, **{f"prob_{c}": P[:, k] for k, c in enumerate(CLASSES)}, **more})


def write(path, frame, above="", **options):
    path.write_text(above + frame.to_csv(index=False, **options))
    return path


@pytest.mark.parametrize("sep", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("above", "found"),
    [
        ("Results of run 3\n", r"line 1: is a title \('Results of run 3'\)"),
        ("Results{s}{s}{s}\n", "is a title"),
        ("# model: resnet18\n", "is a comment"),
        ("# run 3, seed 4\n# by me\n", "is a comment"),
    ],
)
def test_lines_above_the_header_are_named(tmp_path, sep, above, found):
    path = write(tmp_path / "p.csv", table(), above.format(s=sep), sep=sep)
    with pytest.raises(DataError, match=f"{found}.*Remove the lines above the header"):
        read_table(path)


def test_a_table_between_blanks_is_named(tmp_path):
    with pytest.raises(DataError, match="has only blanks between its cells.*Save it as CSV"):
        read_table(write(tmp_path / "p.csv", table(), sep=" "))


SOUND = {
    "decimal commas": (table(), {"sep": ";", "decimal": ","}),
    "a row number called #": (table().rename_axis("#").reset_index(), {}),
    "the same, decimal commas": (table().rename_axis("#").reset_index(), {"sep": ";", "decimal": ","}),
    "one column": (pd.DataFrame({"label": LABELS}), {}),
    "one column with blanks in it": (pd.DataFrame({"file name": ["a b", "c d e", "f g"]}), {}),
    "one column of dictionaries": (pd.DataFrame({"emotion": [str({"a": 1, "b": 2, "c": 3})] * 3}), {}),
    "a row number without a name": (pd.DataFrame({"": [0, 1], "label": ["a", "b"]}), {}),
    "one row": (table().iloc[:1], {}),
    "no row": (table().iloc[:0], {}),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_headers_are_read(tmp_path, name):
    frame, options = SOUND[name]
    assert dialect_of(write(tmp_path / "p.csv", frame, **options)).header == tuple(frame.columns)


def test_a_probability_that_is_empty_throughout_is_named(tmp_path):
    with pytest.raises(DataError, match="the column 'prob_sad' is empty throughout"):
        read_table(write(tmp_path / "p.csv", table().assign(prob_sad=np.nan)))


@pytest.mark.parametrize("name", ["prob_max", "prob_top", "prob_top1"])
def test_the_largest_probability_is_no_class(tmp_path, name):
    read = read_table(write(tmp_path / "p.csv", table(**{name: P.max(1)})))
    assert read.blocks["prob_"].names == tuple(CLASSES)
    assert f"The column {name!r} is the largest of the probabilities and no class: left out." in read.notes
    with pytest.raises(DataError, match=f"the column {name!r} is called like no class"):
        read_table(write(tmp_path / "p.csv", table(**{name: 0.1})))


def test_classes_must_be_given_in_the_models_order_and_no_list_is_offered_to_copy(tmp_path):
    np.save(tmp_path / "p.npy", P)
    with pytest.raises(DataError, match=r"order of the model's outputs: --classes CLASS1,CLASS2,\.\.\.") as refused:
        read_table(tmp_path / "p.npy")
    assert "angry" not in str(refused.value)


def test_too_few_names_are_counted(tmp_path):
    rows = [[{"label": f"LABEL_{k}", "score": p} for k, p in enumerate(row)] for row in P.tolist()]
    (tmp_path / "p.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match=r"labels up to LABEL_2, and 2 classes are given \(a, b\), expected 3 classes"):
        read_table(tmp_path / "p.json", classes=["a", "b"])


def test_timms_numbers_become_the_classes_that_are_given(tmp_path):
    frame = pd.DataFrame({"filename": [f"{i}.png" for i in range(12)], "index": P.argmax(1), "prob": P.max(1)})
    write(tmp_path / "p.csv", frame)
    labels = write(tmp_path / "a.csv", pd.DataFrame({"filename": frame["filename"], "label": LABELS}))
    read = read_table(tmp_path / "p.csv", annotations=labels, classes=CLASSES)
    assert read.columns["pred"].astype(str).tolist() == LABELS
    with pytest.raises(DataError, match=r"has the index 2, and 2 classes are given"):
        read_table(tmp_path / "p.csv", annotations=labels, classes=CLASSES[:2])


@pytest.mark.parametrize("failed", ["Face could not be detected", {"error": "Face could not be detected"}])
def test_a_face_that_deepface_did_not_find_gets_one_hint(tmp_path, failed):
    faces = [[{"emotion": dict(zip(CLASSES, row, strict=True))}] for row in P.tolist()]
    (tmp_path / "p.json").write_text(json.dumps([*faces, failed]))
    with pytest.raises(DataError, match="entry 13: .*Where the tool found no face, write an empty list"):
        read_table(tmp_path / "p.json")


@pytest.mark.parametrize("seed", range(200))
def test_drawn_sound_tables_are_read_whole(tmp_path, seed):
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 30)), int(rng.integers(2, 7))
    classes = rng.permutation(["angry", "not sure", "#tired", "top shot", "sad", "Wut", "0", "fear, mild"])[:k]
    p = rng.dirichlet(np.ones(k), n).round(4)
    frame = pd.DataFrame(p, columns=[f"prob_{c}" for c in classes]).assign(label=classes[p.argmax(1)])
    if rng.random() < 0.5:
        frame.insert(0, rng.choice(["#", "# no", "file name", "id"]), [f"a b, {i}" for i in range(n)])
    sep, decimal = [(",", "."), (";", ","), (";", "."), ("\t", ","), ("|", ".")][rng.integers(5)]
    read = read_table(write(tmp_path / "p.csv", frame, sep=sep, decimal=decimal))
    assert sorted(read.blocks["prob_"].names) == sorted(classes)
    assert read.n == n
