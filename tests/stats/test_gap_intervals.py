"""Intervals of gaps under a known truth, with sizes as unequal as people have them."""

import doctest

import numpy as np
import pytest
from scipy.stats import beta

import mien.stats.gap_intervals
import mien.stats.limits
from mien.records import Estimate
from mien.stats.gap_intervals import gap_interval, implied_errors, ratio_interval, separate_gap
from mien.stats.intervals import mean_interval, wilson, wilson_estimate
from mien.stats.limits import at_level, estimate_limits, implied_trials, jeffreys_bounds, share_limits

Z = 1.959964


@pytest.mark.parametrize("module", [mien.stats.gap_intervals, mien.stats.limits])
def test_the_examples_hold(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def held(sizes, share, sims=400, with_limits=True, seed=0):
    """How often the interval of a gap holds 0, where all groups have one share."""
    rng, sizes, hits = np.random.default_rng(seed), np.asarray(sizes), 0
    for _ in range(sims):
        observed = rng.binomial(sizes, share) / sizes
        replicates = rng.binomial(sizes, observed, size=(400, len(sizes))) / sizes
        limits = share_limits(observed[None], sizes[None]) if with_limits else None
        low, high = gap_interval(observed, replicates, limits=limits)
        assert 0 <= low <= np.ptp(observed) <= high <= 1
        hits += low <= 1e-12
    return hits / sims


@pytest.mark.parametrize(
    ("sizes", "share"),
    [
        ((5000, 40), 0.955),
        ((5000, 40), 0.75),
        ((5000, 200, 40), 0.95),
        ((60, 70, 80, 90, 100, 120, 150, 180, 220, 280, 350, 450, 600, 800), 0.95),
        ((300, 300), 0.99),
        ((40,) * 7, 0.9),
    ],
)
def test_unequal_groups_without_a_gap(sizes, share):
    assert held(sizes, share) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 400)


def test_symmetric_errors_would_not_hold():
    """What the limits are for: with the bootstrap's standard errors one in six intervals ends above 0."""
    assert held((5000, 40), 0.955, with_limits=False) < 0.9


def test_forty_of_forty_leave_room_below_only():
    observed = np.array([4775 / 5000, 1.0])
    replicates = np.random.default_rng(0).binomial([5000, 40], observed, size=(2000, 2)) / [5000, 40]
    low, _ = gap_interval(observed, replicates, limits=share_limits(observed[None], np.array([[5000, 40]])))
    assert low == 0  # Fisher's exact p is 0.26


@pytest.mark.parametrize("truth", [[0.7] * 7, [0.7, 0.7], [0.6, 0.8], [0.6, 0.7, 0.9, 0.7], [0.7, 0.72, 0.74]])
def test_gap_intervals_cover_and_hold_the_observed_gap(truth):
    """Near zero too, where percentiles of bootstrapped gaps hardly ever cover."""
    rng = np.random.default_rng(0)
    truth = np.array(truth)
    n_sims, covered = 300, 0
    for _ in range(n_sims):
        observed = rng.binomial(250, truth) / 250
        replicates = rng.binomial(250, observed, size=(400, len(truth))) / 250
        low, high = gap_interval(observed, replicates)
        assert 0 <= low <= np.ptp(observed) <= high
        covered += low <= np.ptp(truth) <= high
    assert covered / n_sims >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / n_sims)
    if len(set(truth)) == 1 or len(truth) == 2:  # elsewhere it is conservative
        assert covered / n_sims <= 0.95 + 4 * np.sqrt(0.05 * 0.95 / n_sims)


def test_where_a_bootstrap_sees_no_spread():
    same = np.ones((50, 2))
    assert gap_interval(np.ones(2), same) == (0.0, 0.0)
    limits = estimate_limits([wilson_estimate(10, 10), wilson_estimate(12, 12)])
    low, high = gap_interval(np.ones(2), same, limits=limits)
    assert low == 0
    assert high == pytest.approx(1 - beta.ppf(0.025, 10.5, 0.5))  # as far as ten of ten may reach
    undefined = np.where(np.arange(50)[:, None] > 0, np.nan, same)
    assert np.isnan(gap_interval(np.ones(2), undefined)).all()
    assert implied_errors([Estimate(0.5, 0.4, 0.6), Estimate(0.5)]) == pytest.approx([0.1 / Z, 0.0])


def test_units_in_both_groups_make_the_difference_surer():
    """Each face shown as both groups: the same 8 % differ, whatever the level is."""
    rng = np.random.default_rng(3)
    hard, wide, narrow, hits = 400, [], [], 0
    for _ in range(150):
        level = rng.random(hard)
        a, b = level < 0.75, np.where(rng.random(hard) < 0.8, level, rng.random(hard)) < 0.67
        observed = np.array([a.mean(), b.mean()])
        draw = rng.integers(0, hard, (300, hard))
        replicates = np.stack([a[draw].mean(1), b[draw].mean(1)], axis=1)
        limits = share_limits(observed[None], np.full((1, 2), float(hard)))
        low, high = gap_interval(observed, replicates, limits=limits, crossed=True)
        plain = gap_interval(observed, replicates, limits=limits)
        hits += low <= 0.08 <= high
        narrow.append(high - low)
        wide.append(plain[1] - plain[0])
    assert np.mean(narrow) < 0.7 * np.mean(wide)
    assert hits / 150 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 150)


def test_jeffreys_bounds_are_beta_quantiles_and_keep_the_point():
    shares, n = np.array([0.0, 0.1, 0.5, 1.0, np.nan]), np.array([30.0, 30.0, 7.5, 30.0, 30.0])
    low, high = jeffreys_bounds(shares, n, 2.5)
    tail = 1 - 0.993790334674224
    assert low[1] == pytest.approx(beta.ppf(tail, 3.5, 27.5))
    assert high[1] == pytest.approx(beta.isf(tail, 3.5, 27.5))
    assert low[0] == 0
    assert high[3] == 1
    assert np.isnan(low[4])
    assert (low[:4] <= shares[:4]).all()
    assert (high[:4] >= shares[:4]).all()
    assert np.isnan(jeffreys_bounds(0.5, 0.0, 2.0)).all()


@pytest.mark.parametrize(("k", "n"), [(0, 20), (3, 20), (10, 20), (20, 20), (141, 197.4), (0.5, 3)])
def test_trials_are_read_off_an_interval(k, n):
    assert implied_trials(Estimate(k / n, *wilson(k, n))) == pytest.approx(n)


def test_an_estimate_at_another_level():
    share = at_level(wilson_estimate(30, 100), 0.999)
    assert share.level == 0.999
    assert (share.low, share.high) == pytest.approx(
        tuple(float(x) for x in jeffreys_bounds(0.3, 100, 3.290526731)), rel=1e-6
    )
    mean = mean_interval(2.0, 0.04, 50, 6)
    wider = at_level(mean, 0.99)
    assert (wider.high - 2) / (mean.high - 2) == pytest.approx(4.0321 / 2.5706, abs=1e-3)  # Student, five degrees
    bare = Estimate(0.5)
    assert at_level(bare, 0.99) is bare
    assert at_level(mean, 0.95) is mean
    macro = Estimate(0.9, 0.8, 0.96, method="logit bootstrap, at least wilson by class")
    far = at_level(macro, 0.9999)
    assert 0.5 < far.low < 0.8
    assert 0.96 < far.high < 1


def test_ratios_of_unequal_groups():
    rng, sizes, hits = np.random.default_rng(5), np.array([5000, 40]), 0
    for _ in range(300):
        observed = (rng.binomial(sizes, 0.3) / sizes)[None]
        drawn = (rng.binomial(sizes, observed[0], size=(400, 2)) / sizes)[:, None]
        low, high = ratio_interval(observed, drawn, np.array([[5000.0, 40.0]]))
        assert 0 < low <= high <= 1
        hits += high >= 1 - 1e-12
    assert hits / 300 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 300)
    nothing = ratio_interval(np.array([[0.0, 0.5]]), np.zeros((20, 1, 2)) + [0.0, 0.5], np.array([[30.0, 30.0]]))
    assert nothing[0] < 0.15


def test_gaps_of_separate_intervals():
    assert separate_gap([0.1, 0.4, np.nan], [0.2, 0.5, np.nan]) == pytest.approx((0.2, 0.4))
    assert separate_gap([0.1, 0.1], [0.3, 0.2])[0] == 0
    assert np.isnan(separate_gap([0.1], [0.2])).all()


@pytest.mark.parametrize(("k", "n"), [(0, 60), (60, 60), (59, 60), (30, 60), (3, 3)])
def test_a_higher_level_is_never_nearer(k, n):
    own = wilson_estimate(k, n)
    for level in (0.951, 0.975, 0.99, 0.9999):
        wider = at_level(own, level)
        assert wider.low <= own.low
        assert wider.high >= own.high
