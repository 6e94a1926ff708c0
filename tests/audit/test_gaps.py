import numpy as np
import pytest
from audit_simulation import noisy, predictions

import mien.metrics as m
from mien.audit import audit
from mien.audit.gaps import rates_of, table_measures
from mien.stats.settings import Settings

CLASSES = ["a", "b", "c"]


def settings(min_n, min_class_n):
    return Settings(n_boot=100, n_perm=100, min_n=min_n, min_class_n=min_class_n)


def tables(seed=0, g=4, k=3, n=200):
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, rng.dirichlet(np.ones(k * k) * 2), size=g).reshape(g, k, k)


def test_measures_equal_the_public_metrics():
    counts = tables()
    rates = rates_of(counts[None])
    measures = table_measures(counts, CLASSES, settings(1, 1))
    found = {x.name: float(x.statistic(rates)[0]) for x in measures if not x.class_name}
    assert found["accuracy"] == pytest.approx(np.ptp(m.accuracy(counts)))
    for name in (
        "equal_odds_fairness",
        "min_max_accuracy",
        "equalized_odds_difference",
        "equalized_odds_ratio",
        "demographic_parity_difference",
        "demographic_parity_ratio",
        "statistical_parity",
    ):
        assert found[name] == pytest.approx(float(getattr(m, name)(counts))), name


def test_what_takes_part_is_decided_on_the_observed_counts():
    counts = tables()
    counts[0, 2] = 0  # nobody of the first group is annotated with the last class
    counts[1] = 0
    counts[1, 0, 0] = 5
    measures = {(x.name, x.class_name): x for x in table_measures(counts, CLASSES, settings(30, 10))}
    assert measures["accuracy", ""].eligible.tolist() == [[True, False, True, True]]
    assert measures["recall", "c"].eligible.tolist() == [[False, False, True, True]]
    odds = measures["equal_odds_fairness", ""]
    assert "without c" in odds.note
    rates = rates_of(counts[None])
    assert odds.statistic(rates)[0] == pytest.approx(
        m.equal_odds_fairness(counts, 10, eligible=np.array([True, False, True, True]))
    )
    assert measures["equalized_odds_difference", ""].eligible[2].tolist() == [False, False, True, True]


def test_rates_too_rare_to_compare_enter_no_ratio():
    counts = tables()
    counts[:, :, 2] = 0
    counts[0, 0, 2] = 2  # two predictions of c in all
    measure = next(x for x in table_measures(counts, CLASSES, settings(1, 1)) if x.name == "demographic_parity_ratio")
    assert "c" in measure.note
    assert measure.statistic(rates_of(counts[None]))[0] > 0


@pytest.fixture(scope="module")
def served():
    """Half of the first group's faces of class c1 are taken for c0."""
    rng = np.random.default_rng(3)
    n = 1500
    group, labels = rng.integers(0, 2, n), rng.integers(0, 3, n)
    predicted = noisy(rng, labels, 0.85, 3)
    hurt = (group == 0) & (labels == 1) & (rng.random(n) < 0.5)
    pred = predictions(labels, np.where(hurt, 0, predicted), {"g": np.array(["x", "y"])[group]}, n_classes=3)
    return audit(pred, "g", settings=Settings(n_boot=300, n_perm=999)).attribute("g")


def test_every_disparity_is_found_where_it_is(served):
    for name in ("equalized_odds_difference", "equal_odds_fairness", "min_max_accuracy", "statistical_parity"):
        gap = served.gap(name)
        assert gap.verdict == "disparity", name
        assert gap.value.low <= gap.value.value <= gap.value.high
    odds = served.gap("equalized_odds_difference")
    assert (odds.worst, odds.note, odds.kind) == ("x", "recall of c1", "difference")
    assert odds.worst_value.value < 0.5 < odds.best_value.value
    assert served.gap("demographic_parity_difference").note in ("predictions of c0", "predictions of c1")
    ratio = served.gap("equal_odds_fairness")
    assert ratio.value.high < ratio.expected_high <= ratio.expected <= 1
    assert served.gap("recall", "c2").verdict == "no disparity shown"
    assert served.gap("recall", "c1").detectable < 0.2
