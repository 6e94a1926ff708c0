import inspect

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy
from sklearn.metrics import brier_score_loss, log_loss, top_k_accuracy_score

from mien import metrics as m
from mien.errors import ConfigError
from mien.records import Predictions


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(5), 400)
    labels = np.array([rng.choice(5, p=p) for p in probs])
    return probs, labels, rng.dirichlet(np.ones(5), 400)


def test_against_outside_references(data):
    probs, labels, targets = data
    assert m.top_k_accuracy(probs, labels, 2) == pytest.approx(top_k_accuracy_score(labels, probs, k=2))
    assert m.top_k_accuracy(probs, labels, 1) == pytest.approx((probs.argmax(1) == labels).mean())
    assert m.negative_log_likelihood(probs, labels) == pytest.approx(log_loss(labels, probs, labels=range(5)))
    # sklearn's multiclass Brier score sums over the classes, as Brier did
    assert m.brier(probs, labels) == pytest.approx(brier_score_loss(labels, probs, labels=range(5)))
    assert m.kl_to_targets(probs, targets) == pytest.approx(entropy(targets.T, probs.T).mean(), abs=1e-6)
    one_hot = np.eye(5)[labels]
    assert m.kl_to_targets(probs, one_hot) == pytest.approx(m.negative_log_likelihood(probs, labels))
    assert m.kl_to_targets(targets, targets) == 0
    assert m.kl_to_targets(targets, one_hot, votes=10 * targets) == pytest.approx(0, abs=1e-9)
    assert m.kl_to_targets(probs, one_hot, votes=0 * targets) == m.kl_to_targets(probs, one_hot)


def test_top_k_ties_go_to_the_lower_index():
    probs = np.full((3, 3), 1 / 3)
    assert m.top_k_hits(probs, np.array([0, 1, 2])).tolist() == [True, True, False]
    assert np.isnan(m.top_k_accuracy(np.full((3, 2), 0.5), np.array([0, 1, 1])))


def test_clipping_keeps_extremes_finite():
    sure = np.eye(3)[[0, 1]]
    wrong = np.array([1, 2])
    for value in (m.negative_log_likelihood(sure, wrong), m.kl_to_targets(sure, np.eye(3)[wrong])):
        assert value == pytest.approx(-np.log(1e-7))


def test_calibration_by_hand():
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.0, 1.0]])
    labels = np.array([0, 1, 1, 1])
    table = m.calibration_table(probs, labels, n_bins=10)
    assert table["n"].tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 2, 1]  # bins are closed on the right
    assert table["accuracy"][8] == 0.5
    assert np.isnan(table["accuracy"][0])
    assert m.expected_calibration_error(probs, labels, 10) == pytest.approx((0.4 + 2 * 0.4 + 0) / 4)


def test_a_calibrated_model_has_little_calibration_error():
    rng = np.random.default_rng(1)
    probs = rng.dirichlet(np.ones(4), 40_000)
    labels = (probs.cumsum(1) > rng.random((40_000, 1))).argmax(1)
    assert m.expected_calibration_error(probs, labels) < 0.01
    assert m.expected_calibration_error(probs, np.zeros(40_000, dtype=int)) > 0.1


def test_overconfidence(data):
    probs, labels, _ = data
    predicted = probs.argmax(1)
    rows = m.overconfidence_rows(probs, labels, predicted)
    assert rows.mean() == pytest.approx(probs.max(1).mean() - (predicted == labels).mean())
    assert m.overconfidence_rows(np.eye(2), np.array([0, 0]), np.array([0, 1])).tolist() == [0, 1]
    assert len(m.overconfidence_rows(probs[:0], labels[:0], predicted[:0])) == 0


def test_calibration_intervals_where_there_is_nothing():
    nothing = np.full(15, np.nan)
    assert np.isnan(m.ece_interval(nothing, np.zeros((5, 15)))).all()
    assert np.isnan(m.ece_interval(np.zeros(15), nothing[None])).all()
    assert np.isnan(m.calibration_errors(np.zeros((3, 15)))).all()
    one = np.zeros(15)
    one[13] = -0.1  # one face of confidence 0.9 that is right: a bootstrap sees no noise
    assert m.ece_interval(one, np.stack([one] * 9)) == pytest.approx((0.1, 0.1))
    components = np.zeros((3, 15))
    components[:, 13] = (1, 0.9, 1)
    low, high = m.ece_interval(one, np.stack([one] * 9), 0.95, m.calibration_errors(components))
    assert low == 0 < high


def test_rows_in_any_order_and_no_rows(data):
    probs, labels, targets = data
    order = np.random.default_rng(2).permutation(len(labels))
    for function, other in ((m.brier, labels), (m.kl_to_targets, targets), (m.expected_calibration_error, labels)):
        assert function(probs[order], other[order]) == pytest.approx(function(probs, other))
        assert np.isnan(function(probs[:0], other[:0]))
    assert np.isnan(m.top_k_accuracy(probs[:0], labels[:0]))
    assert np.isnan(m.negative_log_likelihood(probs[:0], labels[:0]))


def test_ties():
    votes = np.array([[5, 5, 0], [4, 3, 3], [0, 0, 0], [0, 1, 9]])
    predicted = np.array([1, 1, 0, 2])
    assert m.tie_accuracy(predicted, votes / 10, votes) == pytest.approx(2 / 3)  # the row without votes is out
    assert m.n_tied(votes / 10, votes) == 1
    assert m.tie_accuracy(predicted, votes / 10) == pytest.approx(2 / 3)
    assert np.isnan(m.tie_accuracy(predicted[2:3], votes[2:3] / 1.0))
    thirds = np.array([[0.333333, 0.333333, 0.333334]])  # as written to a CSV
    assert m.n_tied(np.round(thirds, 5)) == 1


def test_all_metrics_of_a_table(data):
    probs, labels, _ = data
    names = list("abcde")
    frame = pd.DataFrame({f"prob_{c}": probs[:, i] for i, c in enumerate(names)})
    frame["label"] = [names[i] for i in labels]
    values = {name: m.measure(name, Predictions.from_frame(frame)) for name in m.metric_names()}
    assert list(values)[:4] == list(m.HEADLINE)
    assert set(m.METRICS.names()) == set(values)
    assert not any(np.isnan(v) for v in values.values())
    frame = pd.DataFrame({"label": frame["label"], "pred": [names[i] for i in probs.argmax(1)]})
    bare = {name: m.measure(name, Predictions.from_frame(frame)) for name in m.metric_names()}
    assert bare["accuracy"] == values["accuracy"]
    without = {k for k, v in bare.items() if np.isnan(v)}
    assert without >= {"top2", "kl", "nll", "brier", "ece", "overconfidence"}
    assert all("probs" in inspect.signature(m.METRICS.get(name)).parameters for name in without)
    with pytest.raises(ConfigError, match="Did you mean 'accuracy'"):
        m.measure("acuracy", Predictions.from_frame(frame))


def test_every_metric_has_a_summary():
    for name in m.METRICS:
        assert m.METRICS.summary(name)
