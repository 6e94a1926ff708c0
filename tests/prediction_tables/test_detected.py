"""Faces that a tool did not find are kept apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mien.errors import DataError
from mien.metrics import measure, metric_names
from mien.records import Predictions


def measures(pred):
    """Every metric of a table."""
    return {name: measure(name, pred) for name in metric_names()}


def frame(**columns):
    """Five faces, of which the tool found the first, third and fourth."""
    return pd.DataFrame(
        {
            "sample_id": ["a", "b", "c", "d", "e"],
            "label": ["happy", "sad", "sad", "happy", "happy"],
            "prob_happy": [0.9, np.nan, 0.4, 0.7, np.nan],
            "prob_sad": [0.1, np.nan, 0.6, 0.3, np.nan],
            "detected": [1, 0, 1, 1, 0],
            "gender": ["female", "female", "male", None, "male"],
            "cluster": [7, 3, 7, 9, 3],
            **columns,
        }
    )


def test_faces_not_found_stand_apart():
    pred = Predictions.from_frame(frame())
    assert pred.sample_id.tolist() == ["a", "c", "d"]
    assert pred.predicted.tolist() == [0, 1, 0]
    assert pred.probs.shape == (3, 2)
    assert pred.groups["gender"].tolist()[:2] == ["female", "male"]
    assert pred.groups.index.tolist() == [0, 1, 2]
    assert "detected" not in pred.groups
    lost = pred.undetected
    assert lost.columns.tolist() == ["sample_id", "label", "cluster", "gender"]
    assert lost["sample_id"].tolist() == ["b", "e"]
    assert lost["label"].tolist() == ["sad", "happy"]
    assert lost["gender"].tolist() == ["female", "male"]


def test_units_of_found_faces_have_no_holes_and_agree_with_the_others():
    pred = Predictions.from_frame(frame())
    assert pred.cluster.tolist() == [0, 0, 1]
    assert pred.undetected["cluster"].tolist() == [2, 2]
    shared = Predictions.from_frame(frame(cluster=[5, 4, 4, 1, 5]))
    assert shared.cluster.tolist() == [2, 1, 0]
    assert shared.undetected["cluster"].tolist() == [1, 2]


def test_metrics_see_found_faces_only():
    pred = Predictions.from_frame(frame())
    only = Predictions.from_frame(frame().iloc[[0, 2, 3]].drop(columns="detected"))
    assert only.undetected is None
    assert measures(pred) == pytest.approx(measures(only), nan_ok=True)


@pytest.mark.parametrize(
    "written", [[1, 0, 1, 1, 0], [True, False, True, True, False], ["yes", "No", "TRUE", "1", "0"]]
)
def test_spellings_of_found(written):
    assert len(Predictions.from_frame(frame(detected=written)).undetected) == 2


def test_all_found_is_not_the_same_as_not_told():
    pred = Predictions.from_frame(frame(prob_happy=0.5, prob_sad=0.5, detected=1))
    assert len(pred) == 5
    assert pred.undetected is not None
    assert pred.undetected.columns.tolist() == ["sample_id", "label", "cluster", "gender"]
    assert len(pred.undetected) == 0


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_they_come_back_from_disk(tmp_path, ending):
    pred = Predictions.from_frame(
        frame(target_happy=[1, 0, 0.5, 0.8, 1.0], target_sad=[0, 1, 0.5, 0.2, 0.0], image=[4, 5, 6, 7, 8])
    )
    pred.save(tmp_path / f"p.{ending}")
    again = Predictions.load(tmp_path / f"p.{ending}")
    assert again.sample_id.tolist() == ["a", "c", "d"]
    np.testing.assert_allclose(again.probs, pred.probs)
    np.testing.assert_allclose(again.targets, pred.targets)
    assert again.cluster.tolist() == pred.cluster.tolist()
    for column in ("sample_id", "label", "cluster", "image", "gender"):
        assert again.undetected[column].tolist() == pred.undetected[column].tolist()


def test_a_selection_leaves_them_behind():
    assert Predictions.from_frame(frame()).select(np.array([0, 1])).undetected is None


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"detected": [1, 0, "maybe", 1, 0]}, "t row 2: column 'detected' holds 'maybe', expected 1 or 0"),
        ({"detected": [1, 0, None, 1, 0]}, "t row 2: column 'detected' holds nothing"),
        ({"detected": 0}, "t: no row has detected=1"),
        ({"detected": [1, 0, 1, 1, 1]}, r"t row 4: prob_\* values \[nan, nan\]"),
        ({"label": ["happy", None, "sad", "happy", "happy"]}, "t row 1: no class in column 'label'"),
        ({"pred": ["happy", "hapy", "sad", "happy", None]}, "t row 1: unknown class 'hapy' in column 'pred'"),
        ({"pred": ["happy", None, None, "happy", None]}, r"t row 2: no class in column 'pred' \(1 such rows\)"),
    ],
)
def test_errors(columns, message):
    with pytest.raises(DataError, match=f"^{message}"):
        Predictions.from_frame(frame(**columns), source="t")


WORDS = ["no face", "noface", "Not Detected", "NO_FACE", "no face found", "undetected"]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("detected", [False, True])
def test_a_prediction_of_no_face_is_a_face_that_was_not_found(word, detected):
    table = frame(pred=["happy", word, "sad", "happy", word])
    table = table if detected else table.drop(columns="detected")
    for given in (table, table.drop(columns=["prob_happy", "prob_sad"])):
        pred = Predictions.from_frame(given)
        assert pred.classes == ("happy", "sad")
        assert pred.sample_id.tolist() == ["a", "c", "d"]
        assert pred.undetected["sample_id"].tolist() == ["b", "e"]
        assert f"In 2 rows 'pred' says {word!r}: they count as faces that were not found (detected = 0)." in pred.notes


def test_what_pred_and_detected_say_is_put_together():
    pred = Predictions.from_frame(frame(pred=["happy", None, "sad", "noface", None]))
    assert pred.undetected["sample_id"].tolist() == ["b", "d", "e"]


@pytest.mark.parametrize(
    "columns",
    [
        {"label": ["happy", "sad", "not a face", "happy", "happy"]},
        {"label": ["happy", "sad", "NF", "happy", "happy"]},
    ],
)
def test_no_face_is_a_class_where_it_was_annotated(columns):
    table = frame(pred=["happy", "no face", "sad", "happy", "sad"], **columns)
    table = table.drop(columns=["detected", "prob_happy", "prob_sad"])
    pred = Predictions.from_frame(table)
    assert (len(pred), len(pred.classes), pred.undetected) == (5, 3, None)


def test_no_face_is_a_class_where_it_has_a_probability_or_was_given():
    table = frame(pred=["happy", "no face", "sad", "happy", "sad"]).drop(columns=["detected", "prob_happy", "prob_sad"])
    assert len(Predictions.from_frame(table, classes=["happy", "sad", "nf"])) == 5
    probs = {"prob_happy": [0.9, 0, 0.4, 0.7, 0.1], "prob_sad": [0.1, 0, 0.6, 0.3, 0.9], "prob_nf": [0, 1.0, 0, 0, 0]}
    assert len(Predictions.from_frame(table.assign(**probs))) == 5


def test_nothing_but_no_face_is_refused():
    with pytest.raises(DataError, match="share no class"):
        Predictions.from_frame(frame(pred=["no face"] * 5).drop(columns=["detected", "prob_happy", "prob_sad"]))
