"""Shares and evenness: their intervals hold the truth, also where faces are copies."""

import numpy as np
import pytest
from composition_simulation import draw_cells

from mien.composition.shares import count_shares, distributions, divergence_interval, representation, share_of
from mien.metrics.association import effective_number
from mien.stats.intervals import wilson
from mien.stats.settings import Settings

N_SIM = 250


def codes(rng, shares, n, copies):
    probs = np.asarray(shares)[None]
    _, category, unit = draw_cells(rng, probs, n, copies)
    return category, unit


def test_shares_without_copies_are_wilsons():
    base, category = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 1, 0, 0])
    found = distributions(base, ["a", "b", "c"], category, ["x", "y"], None, 0.95)
    assert found["a"].counts == {"x": 1, "y": 2}
    e = found["a"].shares["y"]
    assert (e.value, e.low, e.high) == pytest.approx((2 / 3, *wilson(2, 3)))
    assert (e.n, e.clusters, e.method) == (3, 3, "wilson")
    assert np.isnan(found["c"].shares["x"].value)
    assert found["c"].shares["x"].note == "no faces"


def test_units_are_counted_once():
    base = np.zeros(6, dtype=np.int64)
    category, unit = np.array([0, 0, 0, 1, 1, 0]), np.array([0, 0, 0, 1, 1, 2])
    counted = count_shares(base, 1, category, 2, unit, 0.95)
    assert counted.units.tolist() == [[2, 1]]
    assert counted.total_units.tolist() == [3]
    # By hand: departures 3 - 2, -4/3, 1 - 2/3 squared, times 3 / 2, over 36.
    variance = 1.5 * (1 + (4 / 3) ** 2 + (1 / 3) ** 2) / 36
    assert variance > (2 / 3) * (1 / 3) / 6
    assert counted.trials[0, 0] < 3


def test_a_unit_of_two_groups_counts_in_both():
    base, category, unit = np.zeros(4, dtype=np.int64), np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    counted = count_shares(base, 1, category, 2, unit, 0.95)
    assert counted.units.tolist() == [[2, 2]]
    assert share_of(counted, 0, 0, 0.95).clusters == 2


@pytest.mark.parametrize("copies", [False, True])
def test_share_intervals_hold_the_truth(copies):
    rng, truth, held, naive = np.random.default_rng(0), np.array([0.6, 0.3, 0.1]), 0, 0
    for _ in range(N_SIM):
        category, unit = codes(rng, truth, 200, copies)
        counted = count_shares(np.zeros_like(category), 1, category, 3, unit, 0.95)
        for g, share in enumerate(truth):
            e = share_of(counted, 0, g, 0.95)
            held += e.low <= share <= e.high
            low, high = wilson((category == g).sum(), len(category))
            naive += low <= share <= high
    assert 0.925 < held / (3 * N_SIM) < 0.98
    if copies:
        assert naive / (3 * N_SIM) < 0.88  # what counting copies as faces would do


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("shares", [[0.25] * 4, [0.3, 0.28, 0.22, 0.2], [0.85, 0.1, 0.04, 0.01]], ids=str)
def test_representation_intervals_hold_the_truth(shares, copies):
    rng, truth = np.random.default_rng(1), np.asarray(shares)
    held = np.zeros(2)
    for _ in range(N_SIM):
        category, unit = codes(rng, truth, 600, copies)
        r = representation(category, list("abcd"), unit, settings=Settings(level=0.95, n_boot=300), rng=rng)
        effective, ratio = effective_number(truth), truth.max() / truth.min()
        held[0] += r.effective.low <= effective <= r.effective.high
        held[1] += np.isnan(r.imbalance.low) or r.imbalance.low <= ratio <= r.imbalance.high
        assert r.evenness.value == pytest.approx(np.log(r.effective.value) / np.log(4))
    assert held[0] / N_SIM > 0.92
    assert held[1] / N_SIM > 0.92


def test_representation_names_the_ends_and_says_what_is_undefined():
    rng = np.random.default_rng(0)
    r = representation(np.array([0] * 8 + [1] * 2), ["a", "b"], None, settings=Settings(level=0.95, n_boot=50), rng=rng)
    assert (r.largest, r.smallest, r.imbalance.value) == ("a", "b", 4)
    empty = representation(
        np.array([0, 1, 1]), ["a", "b", "c"], None, settings=Settings(level=0.95, n_boot=50), rng=rng
    )
    assert np.isnan(empty.imbalance.value)
    assert "no face of c" in empty.imbalance.note
    assert empty.effective.value < 2
    none = representation(
        np.zeros(0, dtype=np.int64), ["a", "b"], None, settings=Settings(level=0.95, n_boot=50), rng=rng
    )
    assert np.isnan(none.effective.value)
    assert none.effective.note == "no faces"


def test_divergence_interval_at_its_ends():
    assert divergence_interval(0.0, 0.01, 3, 0.0, 0.95) == (0.0, 0.0)
    low, high = divergence_interval(0.0, 0.01, 3, 1e-35, 0.95)  # classes that are dealt out to groups exactly evenly
    assert 0 <= low <= high < 0.01
    low, high = divergence_interval(0.01, 0.01, 3, 0.0, 0.95)
    assert low == 0
    assert high > 0.01
    # Far away it is the normal one of the statistic's own variance.
    low, high = divergence_interval(0.5, 0.0005, 3, 0.0004, 0.95)
    assert (low, high) == pytest.approx((0.4995 - 1.96 * 0.02, 0.4995 + 1.96 * 0.02), abs=0.002)
