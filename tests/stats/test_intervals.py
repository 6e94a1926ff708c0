import numpy as np
import pytest
from scipy import stats
from scipy.stats import binomtest

from mien.stats.intervals import (
    mean_estimate,
    percentile,
    permutation_p,
    share_estimate,
    wilson,
    wilson_estimate,
)

NONE = np.zeros(0)


@pytest.mark.parametrize(("k", "n", "level"), [(0, 7, 0.95), (7, 7, 0.9), (3, 10, 0.95), (800, 1000, 0.99)])
def test_wilson_against_scipy(k, n, level):
    theirs = binomtest(k, n).proportion_ci(level, method="wilson")
    np.testing.assert_allclose(wilson(k, n, level), theirs, atol=1e-12)
    estimate = wilson_estimate(k, n, level)
    assert estimate.low <= estimate.value <= estimate.high


def test_wilson_without_faces_is_undefined():
    assert np.isnan(wilson(0, 0)).all()
    assert str(wilson_estimate(0, 0)) == "undefined (no faces)"


def test_percentile_notes_undefined_replicates():
    draws = np.linspace(0, 1, 1001)
    whole = percentile(0.5, draws, n=9, clusters=8, seed=3)
    assert (whole.low, whole.high) == pytest.approx((0.025, 0.975))
    assert (whole.n, whole.clusters, whole.seed, whole.note) == (9, 8, 3, "")
    draws[:40] = np.nan
    assert percentile(0.5, draws).note == ""
    draws[:100] = np.nan
    noted = percentile(0.5, draws)
    assert "10% of the bootstrap replicates are undefined" in noted.note
    assert noted.low > 0.1
    assert np.isnan(percentile(0.5, np.full(9, np.nan)).low)
    assert np.isnan(percentile(float("nan"), draws).value)


def test_shares_of_dependent_faces():
    draws = np.linspace(0.4, 0.6, 1000)
    assert share_estimate(5, 10, 10, draws).method == "wilson"
    dependent = share_estimate(5, 10, 6, 0.5 + 3 * (draws - 0.5))  # thrice the spread, less than 10 faces' worth
    assert dependent.method == "wilson, effective trials"
    few = (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 5)) ** 2  # six units
    trials = few * 0.25 / (9 * draws.var())
    assert (dependent.low, dependent.high) == pytest.approx(wilson(trials / 2, trials))
    # Never worth more than the faces.
    assert share_estimate(5, 10, 6, draws).low == pytest.approx(wilson(5 * few, 10 * few)[0])
    one = share_estimate(141, 197, 1, np.full(2000, 141 / 197))  # whose variance is rounding
    assert one.high - one.low > 0.8
    edge = share_estimate(10, 10, 5, np.ones(1000))
    assert edge.low == pytest.approx(wilson(n := 5 * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 4)) ** 2, n)[0])


def test_means_of_dependent_faces():
    rng = np.random.default_rng(0)
    values = rng.normal(size=200)
    alone = mean_estimate(values, None)
    interval = stats.t.interval(0.95, 199, values.mean(), stats.sem(values))
    assert (alone.low, alone.high) == pytest.approx(interval)
    twice = mean_estimate(np.repeat(values, 2), np.repeat(np.arange(200), 2))
    assert (twice.low, twice.high) == pytest.approx((alone.low, alone.high))
    assert np.isnan(mean_estimate(NONE, None).value)
    assert np.isnan(mean_estimate(np.ones(3), np.zeros(3, dtype=int)).low)


def test_permutation_p():
    assert permutation_p(0.5, np.array([0.1, 0.5, 0.6])) == 3 / 4
    assert permutation_p(0.9, np.array([0.1, 0.5, 0.6])) == 1 / 4
    assert permutation_p(0.9, np.array([0.1, np.nan, 0.6])) == 2 / 4
    assert np.isnan(permutation_p(float("nan"), np.array([0.1])))
    assert np.isnan(permutation_p(0.1, NONE))
