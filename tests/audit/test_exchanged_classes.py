"""Exchanged names of classes are found in small tables too, and models that confuse classes are no fault."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest

import mien.audit.exchanged_classes
from mien.audit.exchanged_classes import exchanged
from mien.audit.table_checks import table_warnings
from mien.records import Predictions
from whole_tables import CLASSES, drawn

TWO = [0, 1, 6, 3, 4, 5, 2]  # fear and surprise
THREE = [0, 1, 4, 3, 6, 5, 2]
FOUR = [1, 5, 2, 0, 4, 3, 6]
PAIRS = [1, 0, 6, 3, 4, 5, 2]


def counts(labels, predicted):
    return np.bincount(labels * 7 + predicted, minlength=49).reshape(7, 7)


def test_the_examples_hold():
    found = doctest.testmod(mien.audit.exchanged_classes)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize(
    ("n", "accuracy", "order", "least"),
    [
        (400, 0.72, TWO, 97),
        (300, 0.72, THREE, 97),
        (400, 0.65, THREE, 95),
        (250, 0.75, FOUR, 95),
        (700, 0.65, TWO, 97),
        (300, 0.8, PAIRS, 95),
    ],
)
def test_exchanged_names_are_found_in_small_tables(n, accuracy, order, least):
    moved = [k for k, v in enumerate(order) if k != v]
    hits = 0
    for seed in range(100):
        labels, predicted, _ = drawn(n, accuracy, seed)
        hits += exchanged(counts(labels, np.array(order)[predicted])) == moved
    assert hits >= least


def confused(rng, n, share, right, pairs):
    """A model that takes the classes of each pair for each other in a share of their faces."""
    labels = rng.choice(7, n, p=rng.dirichlet(np.full(7, 3.0)))
    other = np.arange(7)
    for a, b in pairs:
        other[[a, b]] = b, a
    u = rng.random(n)
    stray = (labels + rng.integers(1, 7, n)) % 7
    confused_to = np.where(other[labels] == labels, stray, other[labels])
    return labels, np.where(u < right, labels, np.where(u < right + share, confused_to, stray))


def test_heavy_mutual_confusion_is_no_exchange():
    rng = np.random.default_rng(3)
    alarms = 0
    for i in range(1000):
        share = rng.uniform(0.2, 0.45)
        right = rng.uniform(max(0.35, share - 0.05), 1 - share)
        pairs = [(2, 6)] if i % 2 else [(2, 6), (0, 1), (4, 5)]
        labels, predicted = confused(rng, int(rng.integers(20, 3000)), share, right, pairs)
        alarms += bool(exchanged(counts(labels, predicted)))
    assert alarms <= 1


def test_a_class_that_is_never_predicted_is_no_exchange():
    rng = np.random.default_rng(4)
    for _ in range(300):
        labels, predicted, _ = drawn(int(rng.integers(30, 2000)), rng.uniform(0.3, 0.9), int(rng.integers(1 << 30)))
        assert exchanged(counts(labels, np.where(predicted == 1, 0, predicted))) == []
        assert exchanged(counts(labels, np.where(labels == 1, 0, predicted))) == []  # disgust always for anger


def test_models_that_know_little_are_no_exchange():
    rng = np.random.default_rng(5)
    for _ in range(300):
        n, k = int(rng.integers(2, 500)), int(rng.integers(2, 7))
        assert exchanged(counts(rng.integers(0, k, n), rng.integers(0, k, n))) == []
        assert exchanged(counts(rng.integers(0, k, n), np.full(n, 3))) == []


def test_frames_of_few_persons_are_no_proof():
    # Two persons' fear and two persons' surprise, 30 frames each, all taken for the other.
    labels = np.repeat([2, 2, 6, 6], 30)
    table = counts(labels, np.where(labels == 2, 6, 2))
    assert exchanged(table) == [2, 6]
    assert exchanged(table, np.array([0, 0, 2, 0, 0, 0, 2])) == []
    frame = pd.DataFrame({"label": CLASSES[labels], "pred": CLASSES[np.where(labels == 2, 6, 2)]})
    rest = pd.DataFrame({"label": CLASSES[[0, 1, 3]].repeat(200), "pred": CLASSES[[0, 1, 3]].repeat(200)})
    whole = pd.concat([frame.assign(identity=np.repeat([*"abcd"], 30)), rest.assign(identity=range(600))])
    assert not any("ring" in w for w in table_warnings(Predictions.from_frame(whole)))
    assert any("ring" in w for w in table_warnings(Predictions.from_frame(whole.drop(columns="identity"))))


def test_the_sentence_says_how_many_would_be_right():
    labels, predicted, gender = drawn(400, 0.72, 1)
    frame = pd.DataFrame({"label": CLASSES[labels], "pred": CLASSES[np.array(TWO)[predicted]], "gender": gender})
    warnings = table_warnings(Predictions.from_frame(frame), ["gender"])
    at = np.isin(labels, [2, 6])
    assert len(warnings) == 1
    back, stands = (labels == predicted)[at].mean(), (labels == np.array(TWO)[predicted])[at].mean()
    assert f"{at.sum()} of 400 faces are annotated with these; {100 * stands:.0f} % of them are right" in warnings[0]
    assert f"{100 * back:.0f} % would be if the names were exchanged back" in warnings[0]
