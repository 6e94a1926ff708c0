from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.errors import DataError, OutputError
from mien.records import Estimate, Predictions, RunRecord, plain, write_json

CLASSES = ("angry", "happy", "sad")


def frame(**columns):
    """Four faces of a tool that gives ids, labels, probabilities and a group."""
    return pd.DataFrame(
        {
            "sample_id": ["a", "b", "c", "d"],
            "label": ["angry", "sad", "sad", "happy"],
            "prob_angry": [0.7, 0.2, 0.1, 0.25],
            "prob_happy": [0.2, 0.2, 0.5, 0.5],
            "prob_sad": [0.1, 0.6, 0.4, 0.25],
            "gender": ["female", "male", None, "male"],
            **columns,
        }
    )


def full():
    """Predictions with every field."""
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), 4)
    targets = np.array([[0.5, 0.5, 0], [0, 0, 1], [0.25, 0, 0.75], [1 / 3, 1 / 3, 1 / 3]])
    return Predictions(
        sample_id=np.array(["a", "b", "c", "007"], dtype=object),
        classes=CLASSES,
        labels=np.array([1, 2, 2, 0]),  # the first is not its targets' first maximum
        predicted=probs.argmax(1),
        probs=probs,
        soft_targets=targets,
        votes=(targets * 12).round(),
        groups=pd.DataFrame({"gender": ["female", "male", None, "male"], "gender_source": ["annotated"] * 4}),
        cluster=np.array([0, 0, 1, 2]),
        image=np.array([5, 6, 9, 11]),
        source="made here",
    )


def assert_equal(a, b, atol=0.0):
    assert a.classes == b.classes
    for name in ("sample_id", "labels", "predicted", "cluster", "image"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name in ("probs", "targets", "votes"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=atol, err_msg=name)
    assert a.groups.columns.tolist() == b.groups.columns.tolist()
    for name in b.groups:
        assert [known(v) for v in a.groups[name]] == [known(v) for v in b.groups[name]]


def known(value):
    return None if pd.isna(value) else value


# --- Round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("ending", "atol"), [("csv", 1e-6), ("parquet", 0)])
def test_predictions_come_back_from_disk(tmp_path, ending, atol):
    path = tmp_path / f"p.{ending}"
    full().save(path)
    loaded = Predictions.load(path)
    assert_equal(loaded, full(), atol)
    assert loaded.source == str(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


NUMBERS = pd.DataFrame({"valence": [0.25, -0.5, np.nan, 1.0], "intensity_sad": [0.0, 4.5, 3.0, 0.125]})


def test_numbers_come_back_beside_the_classes(tmp_path):
    told = replace(full(), numbers=NUMBERS)
    told.save(tmp_path / "p.parquet")
    frame = pd.read_parquet(tmp_path / "p.parquet")
    assert frame["number_intensity_sad"].tolist() == [0, 4.5, 3, 0.125]
    loaded = Predictions.load(tmp_path / "p.parquet")
    pd.testing.assert_frame_equal(loaded.numbers, NUMBERS)
    assert_equal(loaded, full())  # they are no groups
    picked = loaded.select(np.array([3, 1]))
    assert picked.numbers["valence"].tolist() == [1, -0.5]
    assert picked.select(np.array([False, True])).numbers["intensity_sad"].tolist() == [4.5]
    # In CSV, where nothing says whose they are, they are columns of numbers as any other.
    told.save(tmp_path / "p.csv")
    assert (
        (tmp_path / "p.csv")
        .read_text()
        .split("\n")[0]
        .endswith("number_valence,number_intensity_sad,gender,gender_source")
    )
    loaded = Predictions.load(tmp_path / "p.csv")
    assert loaded.numbers is None
    assert loaded.groups["number_intensity_sad"].tolist() == [0, 4.5, 3, 0.125]


def test_numbers_of_faces_that_were_not_found_are_nobodys(tmp_path):
    lost = pd.DataFrame({"sample_id": ["lost"], "label": ["sad"], "cluster": [3], "image": [12], "gender": ["female"]})
    replace(full(), numbers=NUMBERS, undetected=lost).save(tmp_path / "p.parquet")
    loaded = Predictions.load(tmp_path / "p.parquet")
    pd.testing.assert_frame_equal(loaded.numbers, NUMBERS)
    assert loaded.undetected["sample_id"].tolist() == ["lost"]
    assert not [c for c in loaded.undetected if c.startswith("number")]


def test_files_without_numbers_are_read_and_written_as_before(tmp_path):
    # A column of that name in a table of anybody is what it always was.
    table = frame(number_of_raters=[3, 4, 5, 6])
    pred = Predictions.from_frame(table)
    assert pred.numbers is None
    assert pred.groups["number_of_raters"].tolist() == [3, 4, 5, 6]
    pred.save(tmp_path / "p.parquet")
    assert Predictions.load(tmp_path / "p.parquet").groups["number_of_raters"].tolist() == [3, 4, 5, 6]
    said = json.loads(pq.read_schema(tmp_path / "p.parquet").metadata[b"mien"])
    assert list(said) == ["notes", "warnings", "annotator_errors"]


def test_numbers_that_are_none_are_named_and_missing_columns_passed_over(tmp_path):
    replace(full(), numbers=NUMBERS).save(tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    fewer = table.drop_columns(["number_valence"])
    pq.write_table(fewer, tmp_path / "fewer.parquet")
    assert list(Predictions.load(tmp_path / "fewer.parquet").numbers) == ["intensity_sad"]
    place = table.schema.get_field_index("number_valence")
    words = table.set_column(place, "number_valence", pa.array(["much", "0.5", "1", "2"]))
    pq.write_table(words, tmp_path / "words.parquet")
    with pytest.raises(
        DataError, match=r"words.parquet row 0: column 'number_valence' holds 'much', expected a number"
    ):
        Predictions.load(tmp_path / "words.parquet")


def test_numbers_that_another_model_told_of_the_same_pictures_do_not_count(tmp_path):
    replace(full(), numbers=NUMBERS).save(tmp_path / "theirs.parquet")
    ours = full().to_frame()[["sample_id", "prob_angry", "prob_happy", "prob_sad"]]
    ours.to_csv(tmp_path / "ours.csv", index=False)
    loaded = Predictions.load(tmp_path / "ours.csv", annotations=tmp_path / "theirs.parquet")
    assert loaded.numbers is None
    assert not [c for c in loaded.groups if c.startswith("number")]


def test_a_prediction_that_is_not_the_largest_probability_stands():
    pred = Predictions.from_frame(frame(pred=["angry", "sad", "sad", "sad"]))
    assert pred.predicted.tolist() == [0, 2, 2, 2]
    assert pred.probs.argmax(1).tolist() == [0, 2, 1, 1]


def test_labels_alone_are_one_hot_targets_made_on_demand():
    pred = Predictions.from_frame(frame())
    assert pred.soft_targets is None
    np.testing.assert_array_equal(pred.targets, np.eye(3)[pred.labels])
    assert replace(pred, cluster=None).soft_targets is None
    assert not [c for c in pred.to_frame() if c.startswith("target_")]
    assert pred.select(np.array([True, False, False, True])).targets.argmax(1).tolist() == [0, 1]


def test_numbers_written_as_text_are_numbers():
    pred = Predictions.from_frame(frame(prob_sad=["0.1", "0.6", "0.4", "0.25"]))
    assert pred.probs[:, 2].tolist() == [0.1, 0.6, 0.4, 0.25]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "p.csv"
    path.write_text("old")

    def fail(self, target, **options):
        Path(target).write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(OutputError, match="could not be written: disk full"):
        full().save(path)
    assert path.read_text() == "old"


# --- Tables of any tool ------------------------------------------------------------------------------


def test_labels_and_predictions_by_name_only(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("id,label,pred,age\n1,sad,happy,old\n2,happy,happy,young\n")
    pred = Predictions.load(path)
    assert pred.classes == ("happy", "sad")
    assert pred.sample_id.tolist() == ["1", "2"]
    assert (pred.labels.tolist(), pred.predicted.tolist()) == ([1, 0], [0, 0])
    assert pred.probs is None
    assert pred.votes is None
    assert pred.cluster is None
    np.testing.assert_array_equal(pred.targets, [[0, 1], [1, 0]])
    assert pred.groups.to_dict("list") == {"age": ["old", "young"]}
    np.testing.assert_array_equal(pred.confusion(), [[1, 0], [1, 0]])


def test_probabilities_give_prediction_and_classes():
    pred = Predictions.from_frame(frame())
    assert pred.classes == CLASSES
    assert pred.predicted.tolist() == [0, 2, 1, 1]
    assert pred.labels.tolist() == [0, 2, 2, 1]
    np.testing.assert_array_equal(pred.confusion(), [[1, 0, 0], [0, 1, 0], [0, 1, 1]])


def test_targets_give_the_label():
    targets = {"target_angry": [0.1, 0, 0, 1], "target_happy": [0.2, 1, 0, 0], "target_sad": [0.7, 0, 1, 0]}
    pred = Predictions.from_frame(frame(**targets).drop(columns="label"))
    assert pred.labels.tolist() == [2, 1, 2, 0]
    np.testing.assert_array_equal(pred.targets[0], [0.1, 0.2, 0.7])


def test_classes_can_be_put_in_order():
    pred = Predictions.from_frame(frame(), ("sad", "angry", "happy"))
    assert pred.classes == ("sad", "angry", "happy")
    assert pred.labels.tolist() == [1, 0, 0, 2]
    np.testing.assert_array_equal(pred.probs[0], [0.1, 0.7, 0.2])


def test_rows_without_an_id_get_numbers():
    assert Predictions.from_frame(frame().drop(columns="sample_id")).sample_id.tolist() == ["0", "1", "2", "3"]


def test_ids_keep_their_leading_zeros(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("sample_id,label,pred\n007,sad,sad\n7,happy,sad\n")
    assert Predictions.load(path).sample_id.tolist() == ["007", "7"]


def test_votes_for_other_words_than_the_classes_are_left_out():
    assert Predictions.from_frame(frame(votes_angry=1, votes_happy=2, votes_unknown=3)).votes is None
    pred = Predictions.from_frame(frame(votes_sad=3, votes_angry=1, votes_happy=2))
    np.testing.assert_array_equal(pred.votes[0], [1, 2, 3])


@pytest.mark.parametrize("column", ["cluster", "identity"])
def test_a_missing_unit_is_a_unit_of_its_own(column):
    cluster = Predictions.from_frame(frame(**{column: ["x", None, "x", ""]})).cluster
    assert cluster[0] == cluster[2]
    assert len(set(cluster.tolist())) == 3


def test_units_are_by_cluster_where_both_are_given():
    pred = Predictions.from_frame(frame(cluster=[1, 1, 2, 2], identity=["a", "b", "c", "d"]))
    assert pred.cluster.tolist() == [0, 0, 1, 1]
    assert pred.groups.columns.tolist() == ["gender"]


def test_an_image_column_of_names_is_a_plain_column():
    pred = Predictions.from_frame(frame(image=["1.png", "2.png", "3.png", "4.png"]))
    assert pred.image is None
    assert pred.groups.columns.tolist() == ["gender", "image"]


def test_select_takes_a_mask_or_rows():
    masked = full().select(np.array([False, True, False, True]))
    assert masked.sample_id.tolist() == ["b", "007"]
    assert masked.groups["gender"].tolist() == ["male", "male"]
    assert masked.groups.index.tolist() == [0, 1]
    picked = full().select(np.array([3, 1, 1]))
    assert picked.image.tolist() == [11, 6, 6]
    np.testing.assert_array_equal(picked.probs[1], full().probs[1])
    assert len(picked) == 3


# --- What cannot be read --------------------------------------------------------------------------------

ERRORS = {
    "unknown class": (
        frame(label=["angry", "hapy", "sad", "sad"]),
        r"t row 1: unknown class 'hapy' in column 'label'.*Did you mean 'happy'\?",
    ),
    "missing class": (frame(label=["angry", "sad", None, "sad"]), r"t row 2: no class in column 'label' \(1 such"),
    "unknown prediction": (
        frame(pred=["angry", "sad", "sad", "angri"]),
        r"t row 3: unknown class 'angri' in column 'pred'.*'angry'\?",
    ),
    "logits": (
        frame(prob_sad=[0.1, 0.9, 0.4, 0.25]),
        r"t row 1: prob_\* values \[0\.2, 0\.2, 0\.9\] sum to 1\.3000 \(1 such rows\).*Mend the row",
    ),
    "negative": (frame(prob_sad=[-0.1, 0.6, 0.4, 0.25], prob_happy=[0.4, 0.2, 0.5, 0.5]), r"t row 0: prob_\*"),
    "nan": (frame(prob_sad=[0.1, 0.6, np.nan, 0.25]), r"t row 2: prob_\*"),
    "text": (frame(prob_sad=["0.1", "x", "0.4", "0.25"]), r"t row 1: column 'prob_sad' holds 'x', expected a number"),
    "a column twice": (
        pd.concat([frame(), frame()[["gender"]]], axis=1),
        "t: two columns are called 'gender', expected each column once",
    ),
    "half a block": (
        frame(target_angry=1.0),
        r"t: columns \['target_happy', 'target_sad'\] do not match the classes",
    ),
    "negative votes": (
        frame(votes_angry=1, votes_happy=[1, 2, -3, 4], votes_sad=0),
        r"t row 2: votes_\* .*expected counts of 0 or more",
    ),
    "id twice": (
        frame(sample_id=["a", "b", "a", "a"]),
        r"t row 2: sample_id 'a' stands there a second time \(2 repeats",
    ),
    "no id": (frame(sample_id=["a", None, "c", "d"]), "t row 1: sample_id is missing"),
    "no truth": (frame().drop(columns="label"), "t: no column 'label', expected 'label' or 'target_<class>' columns"),
    "no rows": (frame().iloc[:0], "t: has no rows, expected one row a face"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_row_and_column(name):
    table, message = ERRORS[name]
    with pytest.raises(DataError, match=f"^{message}"):
        Predictions.from_frame(table, source="t")


def test_missing_columns_are_all_named():
    with pytest.raises(DataError, match=r"no column 'label' and no column 'pred' \(it has sample_id, gender\)"):
        Predictions.from_frame(frame()[["sample_id", "gender"]])
    with pytest.raises(DataError, match="no column 'pred'"):
        Predictions.from_frame(frame()[["sample_id", "label"]])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", "", r"p\.csv: is empty"),
        ("p.csv", "label,pred\n", r"p\.csv: has no rows"),
        ("p.csv", "label,pred\nsad,sad\nsad,sad,sad\n", r"p\.csv: cannot be read \(.*line 3"),
        ("p.parquet", "not parquet", r"p\.parquet: cannot be read"),
    ],
)
def test_files_that_hold_no_table(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        Predictions.load(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        Predictions.load(tmp_path / "none.csv")


# --- Estimates and records ----------------------------------------------------------------------------------


def test_an_estimate_says_how_sure_it_is():
    assert str(Estimate(0.70312, 0.61, 0.7899)) == "0.703 [0.610, 0.790]"
    assert str(Estimate(0.5, note="no interval")) == "0.500 (no interval)"
    assert str(Estimate(math.nan, note="no faces")) == "undefined (no faces)"
    assert str(Estimate(math.nan)) == "undefined"


@pytest.mark.parametrize(
    "estimate",
    [Estimate(0.5, 0.25, 0.75, level=0.9, method="wilson", n=20, clusters=10, seed=3, note="few"), Estimate(math.nan)],
)
def test_an_estimate_goes_through_json_and_back(tmp_path, estimate):
    write_json(tmp_path / "e.json", asdict(estimate))
    content = json.loads((tmp_path / "e.json").read_text())
    if math.isnan(estimate.value):
        assert (content["value"], content["low"], content["high"]) == (None, None, None)
    again = Estimate.from_json(content)
    assert repr(again) == repr(estimate)
    assert isinstance(again.value, float)


def test_a_record_goes_through_json_and_back(tmp_path):
    record = RunRecord(
        name="run",
        config={"train": {"epochs": np.int64(3)}},
        data={"store": Path("a/b"), "counts": np.array([1, 2])},
        seed=7,
        estimates={"test": {"accuracy": asdict(Estimate(0.5)), "gap": asdict(Estimate(math.nan))}},
    )
    record.save(tmp_path / "record.json")
    again = RunRecord.load(tmp_path / "record.json")
    assert (again.name, again.config, again.seed, again.status) == ("run", {"train": {"epochs": 3}}, 7, "running")
    assert again.data == {"store": "a/b", "counts": [1, 2]}
    assert Estimate.from_json(again.estimates["test"]["accuracy"]).value == 0.5
    assert math.isnan(Estimate.from_json(again.estimates["test"]["gap"]).value)
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", " line 1: is no whole JSON .*expected the record of a run"),
        ("[1]", ": holds a list, expected the record of a run"),
        ('{"name": "a"}', ": config: is missing"),
        ('{"name": "a", "config": {}, "colour": 1}', ": colour: unknown key"),
        ('{"name": "a", "config": {}, "seed": "1"}', ": seed: '1', expected a valid integer"),
        ('{"name": "a", "config": {}, "data": {"store": 7}}', ": data.store: 7, expected a valid string"),
        ('{"name": "a", "config": {}, "resumed": [1]}', r": resumed.0: 1, expected an object"),
        ('{"name": "a", "config": {}, "best": {"epoch": []}}', r": best.epoch.*: \[\], expected"),
        ('{"name": "a", "config": {}, "best": {"epoch": 10000000000}}', ": best.epoch: 10000000000, expected an epoch"),
        ('{"name": "a", "config": {}, "estimates": {"test": {"all": {"f1": {"low": 1}}}}}', ".*all.f1.value: is miss"),
        ('{"name": "a", "config": {}, "estimates": {"test": {"all": {"f1": {"value": "x"}}}}}', ".*f1.value: 'x'"),
    ],
)
def test_what_is_no_record_is_refused_with_its_key(tmp_path, content, message):
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(DataError, match=rf"record\.json{message}"):
        RunRecord.load(tmp_path / "record.json")


def test_a_record_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        RunRecord.load(tmp_path / "record.json")


def test_plain_values():
    assert plain({1: (np.float32(0.5), np.inf, np.bool_(True)), "p": Path("x")}) == {"1": [0.5, None, True], "p": "x"}
    assert type(plain(np.int8(3))) is int


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


@pytest.mark.parametrize(
    ("label", "pred", "classes"),
    [
        (["anger", "sad"], ["Angry", "Sad"], ("anger", "sad")),
        (["0", "1"], ["0.0", "1.0"], ("0", "1")),
        (["anger", "sad", "sad"], ["anger", "Sad", "sad"], ("anger", "sad")),
        (["happy", "Happy ", "happy"], ["joy", "happiness", "HAPPY"], ("happy",)),
        (["neutral", "natural"], ["normal", "neutral"], ("natural",)),  # as often as neutral: the alphabet decides
    ],
)
def test_spellings_of_a_class_are_joined_and_said(label, pred, classes):
    found = Predictions.from_frame(pd.DataFrame({"label": label, "pred": pred}))
    assert found.classes == classes
    assert (found.labels == found.predicted).all()
    assert "spelt in more than one way" in found.notes[0]


@pytest.mark.parametrize(
    ("label", "pred", "message"),
    [
        (["happiness", "hapiness", "sad"], ["happiness", "sad", "sad"], "'hapiness' stands in 'label' only"),
        (["happy", "sad", "sad"], ["happy", "sad", "hapiness"], "'hapiness' stands in 'pred' only.*'happiness'"),
        (["1", "2"], ["anger", "sad"], "share no class.*One column holds numbers, the other names"),
        (["one", "two"], ["1", "2"], "share no class.*One column holds numbers, the other names"),
    ],
)
def test_two_spellings_of_a_class_are_refused(label, pred, message):
    with pytest.raises(DataError, match=message):
        Predictions.from_frame(pd.DataFrame({"label": label, "pred": pred}))


def test_a_class_that_is_never_predicted_is_no_misspelling():
    frame = pd.DataFrame({"label": ["anger", "fear", "sad"], "pred": ["anger", "sad", "sad"]})
    assert Predictions.from_frame(frame).classes == ("anger", "fear", "sad")
