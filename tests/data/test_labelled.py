from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mien.data.labelled import labelled_faces
from mien.errors import DataError, LabelError
from mien.samples import VOTES_EACH, SampleTable, Step

WORDS = ("anger", "happiness", "contempt", "unknown")
VOTES = np.array([[6, 2, 2, 0], [0, 1, 9, 0], [1, 8, 1, 3], [0, 0, 0, 9], [4, 4, 0, 0]])


def table():
    frame = pd.DataFrame(
        {
            "sample_id": list("abcde"),
            "image": [9, 8, 7, 6, 5],
            "split": "test",
            "identity": ["p", "", "p", "", ""],
            "cluster": [0, 1, 2, 3, 3],
            "gender": ["female", None, "male", "male", "female"],
            "gender_source": "annotated",
            **{f"votes_{w}": VOTES[:, k] for k, w in enumerate(WORDS)},
        }
    )
    return SampleTable(frame, "made", WORDS, ("gender",))


def test_labels_in_a_models_order_and_spelling():
    faces = labelled_faces(table(), "distribution", ("happy", "contempt", "Angry"), where="here")
    assert faces.classes == ("happy", "contempt", "Angry")
    assert faces.kept.tolist() == [True, True, True, False, True]
    np.testing.assert_allclose(faces.targets[0], [0.2, 0.2, 0.6], atol=1e-7)
    np.testing.assert_array_equal(faces.votes[0], [2, 2, 6])
    assert faces.left_out == {"no votes": 1}
    assert faces.rows.tolist() == [9, 8, 7, 5]


def test_faces_of_other_classes_are_left_out_and_the_rest_of_their_votes_cut():
    faces = labelled_faces(table(), "distribution", ("happy", "angry"), where="here", leave_out=True)
    assert faces.left_out == {"no votes": 1, "labelled contempt": 1}
    np.testing.assert_allclose(faces.targets, [[0.25, 0.75], [8 / 9, 1 / 9], [0.5, 0.5]], atol=1e-6)
    np.testing.assert_array_equal(faces.votes, [[2, 6], [8, 1], [4, 4]])


def test_a_class_of_the_model_alone_has_no_faces():
    faces = labelled_faces(table(), "majority", ("anger", "happiness", "contempt", "bored"), where="x", leave_out=True)
    assert faces.left_out == {"no votes": 1, "tied votes": 1}
    np.testing.assert_array_equal(faces.targets.sum(0), [1, 1, 1, 0])


def test_predictions_carry_groups_units_and_pictures():
    faces = labelled_faces(table(), "majority", where="here")
    probs = np.array([[0.2, 0.3, 0.5], [np.nan, np.nan, np.nan], [0.9, 0.1, 0.0]])
    found = np.array([True, False, True])
    pred = faces.predictions(probs, "a tool", detected=found, attributes={"site": ["x", "y", "z"]}, notes=["one"])
    assert pred.sample_id.tolist() == ["a", "c"]
    assert pred.predicted.tolist() == [2, 0]
    assert pred.cluster.tolist() == [0, 0]  # one person
    assert pred.image.tolist() == [9, 7]
    assert pred.groups.columns.tolist() == ["gender", "gender_source", "complexity", "n_modes", "site"]
    assert pred.groups["complexity"].tolist() == [3, 3]
    assert pred.undetected["site"].tolist() == ["y"]
    assert pred.undetected["label"].tolist() == ["contempt"]
    assert (pred.source, pred.notes) == ("a tool", ("one",))


def test_votes_that_one_person_spreads_are_not_those_of_many():
    history = (Step("labels by people", 5, 5, {}, {VOTES_EACH: 10}),)
    faces = labelled_faces(replace(table(), history=history), "majority", where="here")
    pred = faces.predictions(np.full((len(faces.targets), 3), 1 / 3), "a model")
    assert pred.votes is None
    assert "spread 10 votes over a face" in pred.notes[0]
    assert pred.soft_targets.tolist() == faces.targets.tolist()


def test_errors():
    with pytest.raises(
        LabelError, match="labels of here: classes anger, happiness, contempt, expected those of the mo"
    ):
        labelled_faces(table(), "majority", ("anger", "happiness"), where="here")
    with pytest.raises(DataError, match="here: no face has a label, expected faces that 'majority' can label as fear"):
        labelled_faces(table(), "majority", ("fear", "disgust"), where="here", leave_out=True)
