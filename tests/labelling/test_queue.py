from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from labelling_store import CLASSES

from mien.data.images import Store
from mien.errors import DataError, UsageError
from mien.labelling.queue import QueuedFace, build_queue, cell_sizes, queue_digest
from mien.labelling.task import AskedAttribute, LabelTask, asked_attributes, classes_of
from mien.records import Predictions
from mien.samples import SampleTable


def predictions(table: SampleTable, top: np.ndarray) -> Predictions:
    """A model that says ``sadness`` with the given probability, the rest shared equally."""
    probs = np.stack([(1 - top) / 2, (1 - top) / 2, top], axis=1)
    frame = pd.DataFrame(probs, columns=[f"prob_{c}" for c in CLASSES])
    frame["sample_id"] = table.frame["sample_id"].to_numpy()[: len(top)]
    frame["label"] = "neutral"
    return Predictions.from_frame(frame, CLASSES)


def ids(queue: list[QueuedFace]) -> list[int]:
    return [int(face.sample_id[-4:]) for face in queue]


def without_confidence(table: SampleTable) -> SampleTable:
    return replace(table, frame=table.frame.drop(columns=["perceived_gender_confidence"]))


def test_in_turn(people_store: Store) -> None:
    table = people_store.table
    assert ids(build_queue(table, LabelTask(classes=CLASSES, seed=None))) == list(range(30))
    mixed = build_queue(table, LabelTask(classes=CLASSES, seed=3))
    assert sorted(ids(mixed)) == list(range(30)) != ids(mixed)
    turned = replace(table, frame=table.frame.iloc[::-1].reset_index(drop=True))
    assert build_queue(turned, LabelTask(classes=CLASSES, seed=3)) == mixed
    assert queue_digest(mixed) != queue_digest(mixed[::-1])


def test_a_split_and_a_number(people_store: Store) -> None:
    queue = build_queue(people_store.table, LabelTask(classes=CLASSES, seed=None, split="test", n_faces=3))
    assert ids(queue) == [0, 5, 10]
    with pytest.raises(DataError, match="no face in split 'nowhere'"):
        build_queue(people_store.table, LabelTask(classes=CLASSES, split="nowhere"))


def test_uncertain_first(people_store: Store) -> None:
    table = without_confidence(people_store.table)
    top = np.linspace(0.99, 0.4, 29)  # the last face has no prediction
    said: list[str] = []
    queue = build_queue(table, LabelTask(classes=CLASSES, uncertain_first=True), predictions(table, top), said.append)
    assert ids(queue) == [*range(28, -1, -1), 29]
    assert said == ["1 faces have no prediction: they come last"]
    said.clear()
    build_queue(table, LabelTask(classes=CLASSES), predictions(table, top), said.append)
    assert not said


def test_the_least_sure_of_expression_and_attribute_counts(people_store: Store) -> None:
    table = people_store.table
    sure = np.ones(30)
    sure[20] = 0.34
    task = LabelTask(classes=CLASSES, attributes=asked_attributes(["gender"]), uncertain_first=True, n_faces=2)
    assert ids(build_queue(table, task, predictions(table, sure))) == [20, 0]  # entropy, then confidence in gender


def test_what_is_not_asked_for_does_not_count(people_store: Store) -> None:
    table = people_store.table
    sure = np.linspace(0.9, 0.4, 30)
    first = LabelTask(classes=CLASSES, uncertain_first=True, seed=None)
    assert ids(build_queue(table, first, predictions(table, sure))) == list(range(29, -1, -1))  # expressions alone
    assert ids(build_queue(table, first)) == list(range(30))  # no predictions: all attributes
    age = replace(first, attributes=asked_attributes(["age"]))
    with pytest.raises(UsageError, match="of an attribute asked for"):
        build_queue(table, age)


def test_only_what_the_model_was_unsure_of(people_store: Store) -> None:
    table = people_store.table
    by_attribute = build_queue(table, LabelTask(classes=CLASSES, below=0.6, seed=None))
    assert ids(by_attribute) == list(range(10))
    plain = without_confidence(table)
    task, said = LabelTask(classes=CLASSES, below=0.6, seed=None), []
    queue = build_queue(plain, task, predictions(plain, np.linspace(0.9, 0.4, 29)), said.append)
    assert ids(queue) == list(range(17, 29))
    assert said == ["1 faces have no prediction: they are left out"]
    with pytest.raises(DataError, match="no face is left"):
        build_queue(table, LabelTask(classes=CLASSES, below=0.4))


@pytest.mark.parametrize("setting", [{"uncertain_first": True}, {"below": 0.5}])
def test_uncertainty_needs_somebody_who_was_unsure(people_store: Store, setting: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="nobody said how sure"):
        build_queue(without_confidence(people_store.table), LabelTask(classes=CLASSES, **setting))


def test_predictions_of_other_faces(people_store: Store) -> None:
    said = predictions(people_store.table, np.full(30, 0.9))
    with pytest.raises(DataError, match="no sample_id of the store"):
        build_queue(
            people_store.table,
            LabelTask(classes=CLASSES),
            replace(said, sample_id=np.array([f"x{i}" for i in range(30)])),
        )


def test_thin_cells_first(people_store: Store) -> None:
    table = people_store.table  # Female: 0, 7, 14, 21, 28, with classes 0, 1, 2, 0, 1
    queue = build_queue(table, LabelTask(classes=CLASSES, thin_cells_first=True, thin_cell=2, seed=None))
    assert ids(queue)[:6] == [14, 0, 7, 21, 28, 1]
    both = build_queue(table, LabelTask(classes=CLASSES, thin_cells_first=True, uncertain_first=True, thin_cell=2))
    assert ids(both)[:5] == [14, 0, 7, 21, 28]
    assert ids(both)[5:8] == [1, 2, 3]


def test_the_predicted_class_where_there_is_no_label(people_store: Store) -> None:
    table = people_store.table
    empty = replace(table, frame=table.frame.assign(**{f"votes_{c}": 0.0 for c in CLASSES}))
    predicted = np.array(["neutral"] * 29 + [None], dtype=object)
    sizes = cell_sizes(empty, predicted)
    assert sizes[:3].tolist() == [5, 24, 24]
    assert np.isinf(sizes[29])
    with pytest.raises(UsageError, match="no attribute with groups"):
        cell_sizes(replace(empty, attributes=()), predicted)


def test_thin_cells_need_classes(people_store: Store) -> None:
    table = people_store.table
    task = LabelTask(classes=CLASSES, thin_cells_first=True, thin_cell=5, seed=None)
    unvoted = replace(table, frame=table.frame.assign(**{f"votes_{c}": 0.0 for c in CLASSES}))
    for without in (replace(table, vocabulary=()), unvoted):
        with pytest.raises(UsageError, match=r"no face has a class: .* \(--predictions FILE\), or leave --thin-cells"):
            build_queue(without, task)
        queue = build_queue(without, task, predictions(table, np.full(30, 0.9)))  # all sadness, five of them Female
        assert ids(queue)[:6] == [0, 7, 14, 21, 28, 1]
    with pytest.raises(UsageError, match="Add perceived ones"):
        build_queue(replace(table, attributes=()), task)


def test_suggestions_are_shown_only_when_asked(people_store: Store) -> None:
    table, said = people_store.table, predictions(people_store.table, np.full(30, 0.75))
    task = LabelTask(classes=CLASSES, seed=None)
    assert all(face.suggestion is None for face in build_queue(table, task, said))
    shown = build_queue(table, replace(task, show_suggestion=True), said)
    assert shown[0].suggestion == {"label": "sadness", "confidence": 0.75}


def test_settings_survive_json(people_store: Store) -> None:
    attributes = asked_attributes(["gender", "glasses"], {"glasses": ("yes", "no")})
    task = LabelTask(classes=classes_of(people_store.table), intensity=True, attributes=attributes, below=0.7)
    assert LabelTask.from_json(task.to_json()) == task
    assert classes_of(people_store.table) == CLASSES
    assert replace(task, consent="Other words.").consent_version != task.consent_version


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"classes": ("anger",)}, "two or more"),
        ({"classes": ("anger", "angry")}, "each expression once"),
        ({"classes": ("anger", "unknown")}, "always there"),
        ({"votes_per_face": 5}, "10 or 1"),
        ({"labels_per_face": 0}, "1 or more"),
        ({"below": 1.2}, "up to 1"),
        ({"consent": " "}, "Annotators must know"),
        ({"attributes": (AskedAttribute("image", "Image", ("a", "b")),)}, "no name in use"),
        ({"attributes": (AskedAttribute("age_source", "Age", ("a", "b")),)}, "no name in use"),
        ({"attributes": (AskedAttribute("age", "Age", ("a", "unsure")),)}, "none of them 'unsure'"),
        ({"attributes": (AskedAttribute("age", "Age", ("a", "b")),) * 2}, "each once"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        LabelTask(**{"classes": CLASSES, **settings})


def test_an_attribute_without_groups() -> None:
    with pytest.raises(UsageError, match="Did you mean 'gender'"):
        asked_attributes(["gendre"])
