import numpy as np
import pytest

from mien.audit.score_gaps import dealt_shares
from mien.audit.scores import Units, group_means


def data(rng, n=600, g=3, k=4):
    return rng.integers(0, g, n), rng.integers(0, k, n), rng.gamma(1.0, size=n)


def test_means_and_errors_of_independent_faces():
    group, label, x = data(np.random.default_rng(0))
    x[:40] = np.nan
    found = group_means(x, Units.of(group, label, None, 3, 4))
    for g in range(3):
        own = x[(group == g) & ~np.isnan(x)]
        assert found.n[g] == found.units[g] == len(own)
        assert found.mean[g, 0] == pytest.approx(own.mean())
        assert found.error[g, 0, 0] == pytest.approx(own.var(ddof=1) / len(own))


def test_the_null_is_that_of_exchanging_faces_annotated_alike():
    rng = np.random.default_rng(1)
    group, label, x = data(rng)
    x += label  # classes differ, and so do the groups' mixes
    label = np.where((group == 0) & (rng.random(600) < 0.5), 0, label)
    found = group_means(x, Units.of(group, label, None, 3, 4))
    shuffled = []
    for _ in range(4000):
        moved = group.copy()
        for c in range(4):
            index = np.flatnonzero(label == c)
            moved[index] = rng.permutation(group[index])
        shuffled.append(np.bincount(moved, weights=x, minlength=3) / np.bincount(moved, minlength=3))
    shuffled = np.array(shuffled)
    np.testing.assert_allclose(found.null_mean[:, 0], shuffled.mean(0), atol=0.01)
    np.testing.assert_allclose(found.null_error[:, :, 0, 0], np.cov(shuffled.T), rtol=0.12, atol=1e-4)
    drawn = found.null(4000, rng)[:, :, 0]
    np.testing.assert_allclose(np.cov(drawn.T), found.null_error[:, :, 0, 0], rtol=0.12, atol=1e-4)


def test_copies_change_no_error():
    group, label, x = data(np.random.default_rng(2))
    alone = group_means(x, Units.of(group, label, None, 3, 4))
    unit = np.tile(np.arange(600), 2)
    twice = group_means(np.tile(x, 2), Units.of(np.tile(group, 2), np.tile(label, 2), unit, 3, 4))
    np.testing.assert_allclose(twice.error, alone.error, rtol=1e-9)
    assert twice.units.tolist() == alone.n.tolist()
    np.testing.assert_allclose(twice.null_error, alone.null_error, rtol=0.02)


def test_vectors_of_scores():
    rng = np.random.default_rng(3)
    group, label, x = data(rng)
    slot = rng.integers(0, 2, 600)
    found = group_means(x, Units.of(group, label, None, 3, 4), slot, 2)
    rows = np.stack([x * (slot == 0), x * (slot == 1)], axis=1)
    for g in range(3):
        own = rows[group == g]
        np.testing.assert_allclose(found.mean[g], own.mean(0))
        np.testing.assert_allclose(found.error[g], np.cov(own.T) / len(own))
    unit = np.arange(600)
    same = group_means(x, Units.of(group, label, unit, 3, 4), slot, 2)
    np.testing.assert_allclose(same.error, found.error)
    assert found.replicates(5000, rng).mean(0) == pytest.approx(found.mean, abs=0.02)


def test_groups_without_faces():
    found = group_means(np.array([1.0, 2.0]), Units.of(np.array([0, 0]), np.array([0, 0]), None, 2, 1))
    assert found.n.tolist() == [2, 0]
    assert np.isnan(found.mean[1, 0])
    assert np.isnan(found.error[1, 0, 0])


def test_shares_are_dealt_by_the_exact_law():
    rng = np.random.default_rng(4)
    group, label, _ = data(rng, 400)
    rare = (rng.random(400) < 0.03).astype(float)
    rare[:20] = np.nan
    drawn = dealt_shares(rare, Units.of(group, label, None, 3, 4), 4000, rng)
    shuffled = []
    for _ in range(4000):
        moved = rare.copy()
        for c in range(4):
            index = np.flatnonzero((label == c) & ~np.isnan(rare))
            moved[index] = rng.permutation(rare[index])
        shuffled.append([np.nanmean(moved[group == g]) for g in range(3)])
    np.testing.assert_allclose(drawn.mean(0), np.mean(shuffled, 0), atol=0.001)
    np.testing.assert_allclose(np.quantile(drawn, 0.99, 0), np.quantile(shuffled, 0.99, 0), atol=0.01)
