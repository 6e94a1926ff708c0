"""What every metric must do: forget the order of the faces, and be undefined where there are none."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pandas as pd
import pytest

from mien.metrics import METRICS, measure
from mien.records import Predictions

CLASSES = ("a", "b", "c", "d")
K = len(CLASSES)


def table(n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    votes = rng.multinomial(10, np.full(K, 1 / K), n)
    votes[np.arange(n), np.arange(n) % K] += 6  # each class is somewhere the commonest
    probs = rng.dirichlet(np.full(K, 0.6), n)
    frame = pd.DataFrame({"label": np.array(CLASSES)[votes.argmax(1)]})
    for k, name in enumerate(CLASSES):
        frame[f"target_{name}"] = votes[:, k] / votes.sum(1)
        frame[f"votes_{name}"] = votes[:, k]
        frame[f"prob_{name}"] = probs[:, k]
    return frame.drop(columns="label")


def predictions(frame: pd.DataFrame) -> Predictions:
    return Predictions.from_frame(frame.reset_index(drop=True))


@pytest.mark.parametrize("name", METRICS.names())
def test_the_order_of_the_faces_says_nothing(name: str) -> None:
    frame = table()
    value = measure(name, predictions(frame))
    assert math.isfinite(value)
    for seed in range(3):
        shuffled = frame.iloc[np.random.default_rng(seed).permutation(len(frame))]
        assert measure(name, predictions(shuffled)) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("name", METRICS.names())
def test_other_faces_give_another_value(name: str) -> None:
    assert measure(name, predictions(table())) != measure(name, predictions(table(seed=1)))


@pytest.mark.parametrize("name", METRICS.names())
def test_no_faces_give_no_number(name: str) -> None:
    nobody = {
        "confusion": np.zeros((K, K), int),
        "labels": np.zeros(0, int),
        "predicted": np.zeros(0, int),
        "probs": np.zeros((0, K)),
        "targets": np.zeros((0, K)),
        "votes": np.zeros((0, K), int),
    }
    takes = inspect.signature(METRICS.get(name)).parameters
    found = np.asarray(METRICS.get(name)(**{k: v for k, v in nobody.items() if k in takes}))
    assert found.shape == (0,) or math.isnan(float(found))  # a metric of faces has a value of none of them


OF_COUNTS = [n for n in METRICS.names() if "confusion" in inspect.signature(METRICS.get(n)).parameters]


@pytest.mark.parametrize("name", OF_COUNTS)
def test_a_metric_of_counts_takes_leading_axes(name: str) -> None:
    counts = np.random.default_rng(0).integers(0, 9, (2, 3, K, K))
    counts[1, 2] = 0
    values = METRICS.get(name)(counts)
    assert values.shape == (2, 3)
    for at in np.ndindex(2, 3):
        np.testing.assert_allclose(values[at], METRICS.get(name)(counts[at]), equal_nan=True)
    assert np.isnan(values[1, 2])


@pytest.mark.parametrize("name", METRICS.names())
def test_what_a_table_lacks_makes_a_metric_undefined(name: str) -> None:
    takes = inspect.signature(METRICS.get(name)).parameters
    frame = table()
    labelled = pd.DataFrame({"label": frame.filter(like="target_").to_numpy().argmax(1).astype(str)})
    labelled["pred"] = frame.filter(like="prob_").to_numpy().argmax(1).astype(str)
    assert math.isnan(measure(name, Predictions.from_frame(labelled))) == ("probs" in takes)
