"""Many tests at once, against values worked out by hand, scipy, and what each promises."""

import doctest

import numpy as np
import pytest
from scipy.stats import false_discovery_control

import mien.stats.multiplicity
from mien.stats.multiplicity import adjust_bh, bonferroni, bonferroni_level, holm, westfall_young


def test_the_examples_hold():
    found = doctest.testmod(mien.stats.multiplicity)
    assert found.attempted == 6
    assert not found.failed


def test_benjamini_hochberg_by_hand():
    # Sorted 0.005, 0.011, 0.02, 0.04, 0.13 times 5 / rank: 0.025, 0.0275, 0.0333, 0.05, 0.13.
    p = [0.04, 0.005, 0.13, 0.02, 0.011]
    np.testing.assert_allclose(adjust_bh(p), [0.05, 0.025, 0.13, 0.1 / 3, 0.0275])


def test_benjamini_hochberg_against_scipy():
    p = np.random.default_rng(0).random(30) ** 3
    np.testing.assert_allclose(adjust_bh(p), false_discovery_control(p))
    holes = np.insert(p, [3, 10], np.nan)
    np.testing.assert_allclose(adjust_bh(holes)[~np.isnan(holes)], false_discovery_control(p))
    assert np.isnan(adjust_bh(holes)[np.isnan(holes)]).all()
    assert np.isnan(adjust_bh([float("nan")])).all()
    assert adjust_bh([]).shape == (0,)


def test_holm():
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.04, 0.03])), [0.03, np.nan, 0.06, 0.06])
    assert holm(np.array([0.9, 0.9])).max() == 1


@pytest.mark.parametrize("adjust", [adjust_bh, holm])
def test_adjusting_without_known_p_values(adjust):
    assert adjust([]).shape == (0,)
    assert np.isnan(adjust([np.nan, np.nan])).all()


def test_holm_by_hand():
    # Sorted 0.005, 0.011, 0.02, 0.04, 0.13 times 5, 4, 3, 2, 1: 0.025, 0.044, 0.06, 0.08, 0.13.
    p = [0.04, 0.005, 0.13, 0.02, 0.011]
    np.testing.assert_allclose(holm(p), [0.08, 0.025, 0.13, 0.06, 0.044])
    assert (holm(p) <= [bonferroni(x, 5) for x in p]).all()
    assert (adjust_bh(p) <= holm(p)).all()


def test_bonferroni():
    assert bonferroni(0.011, 5) == pytest.approx(0.055)
    assert bonferroni(0.3, 5) == 1
    assert np.isnan(bonferroni(float("nan"), 5))
    assert bonferroni_level(0.9, 4) == pytest.approx(0.975)
    assert bonferroni_level(0.9, 0) == bonferroni_level(0.9, 1) == pytest.approx(0.9)


def test_westfall_young_by_hand():
    # Observed 1, 5, 4; the second is held against the largest of all three, the third against the larger of itself
    # and the first, the first against itself.
    observed, null = [1.0, 5.0, 4.0], [[6.0, 0.0, 0.0], [0.0, 2.0, 4.0], [2.0, 1.0, 0.0], [0.0, 5.0, 1.0]]
    #           largest of all: 5, 6, 4, 2, 5 -> 3 of 5; of the third and first: 4, 6, 4, 2, 1 -> 3 of 5
    #           the first alone: 1, 6, 0, 2, 0 -> 3 of 5
    np.testing.assert_allclose(westfall_young(np.array([observed, *null])), [0.6, 0.6, 0.6])
    # The first of the null tables less extreme: 2 of 5, 2 of 5, and 2 of 5 alone.
    null[0] = [0.0, 0.0, 0.0]
    np.testing.assert_allclose(westfall_young(np.array([observed, *null])), [0.4, 0.4, 0.4])


def test_westfall_young_never_decreases_down_the_order():
    # Alone the second would have p = 1 / 3; it is not named before the first, whose p is 2 / 3.
    np.testing.assert_allclose(westfall_young(np.array([[3.0, 2.0], [4.0, 0.0], [0.0, 0.0]])), [2 / 3, 2 / 3])


def test_identical_tests_cost_nothing_and_ties_count():
    rng = np.random.default_rng(0)
    one = rng.random(200)
    alone = (one >= one[0]).mean()
    np.testing.assert_allclose(westfall_young(np.repeat(one[:, None], 8, axis=1)), alone)
    nudged = np.array([[1.0], [1.0 - 1e-12], [0.5]])  # the same number, but for its last bits
    assert westfall_young(nudged)[0] == pytest.approx(2 / 3)


def test_westfall_young_keeps_the_chance_of_any_false_alarm():
    rng = np.random.default_rng(1)
    alarms = [westfall_young(np.abs(rng.standard_normal((100, 6)))).min() <= 0.1 for _ in range(600)]
    assert 0.06 < np.mean(alarms) < 0.14  # 0.1 give or take three standard errors
