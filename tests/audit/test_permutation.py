from itertools import permutations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from mien.audit import permutation as module
from mien.audit.cells import Rows
from mien.audit.permutation import hypergeometric_tables, permuted_tables, plan_permutation
from mien.metrics import accuracy, macro_f1, max_min_gap


def draw(rows, n, seed=0):
    return np.concatenate(list(permuted_tables(plan_permutation(rows), n, np.random.default_rng(seed))))


def test_tables_with_fixed_margins_follow_their_exact_law():
    types, groups = np.array([2, 1, 2]), np.array([3, 2])
    kinds = np.repeat([0, 1, 2], types)
    law = {}
    for order in permutations(range(5)):
        table = np.zeros((3, 2), dtype=int)
        np.add.at(table, (kinds, np.repeat([0, 1], groups)[list(order)]), 1)
        law[table.tobytes()] = law.get(table.tobytes(), 0) + 1 / 120
    drawn = hypergeometric_tables(types, groups, 20_000, np.random.default_rng(0))
    assert (drawn.sum(2) == types).all()
    assert (drawn.sum(1) == groups).all()
    counts = {}
    for table in drawn:
        counts[table.astype(int).tobytes()] = counts.get(table.astype(int).tobytes(), 0) + 1
    assert set(counts) == set(law)
    for key, p in law.items():
        assert counts[key] / 20_000 == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 20_000))


def single_rows(rng, n=400, g=3, k=3):
    label = rng.integers(0, k, n)
    hit = rng.random(n) < 0.6
    return Rows(rng.integers(0, g, n), label, np.where(hit, label, (label + 1) % k), None, g, k)


def brute_force(rows, rng, n_perm, strata, units):
    """Shuffle the units' groups within strata, row by row."""
    out = []
    first = np.unique(units, return_index=True)[1]
    for _ in range(n_perm):
        of_unit = rows.group[first].copy()
        for s in np.unique(strata):
            inside = np.flatnonzero(strata == s)
            of_unit[inside] = of_unit[rng.permutation(inside)]
        out.append(Rows(of_unit[units], rows.label, rows.predicted, None, rows.n_groups, rows.n_classes).tables())
    return np.array(out)


def assert_same_law(ours, theirs):
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=5 * (theirs.std() + 1) / np.sqrt(len(theirs)))
    for metric in (accuracy, macro_f1):
        assert ks_2samp(max_min_gap(metric(ours)), max_min_gap(metric(theirs))).pvalue > 0.001


def test_single_rows_against_a_shuffle_of_rows():
    rng = np.random.default_rng(5)
    rows = single_rows(rng)
    theirs = brute_force(rows, rng, 1000, rows.label, np.arange(len(rows)))
    ours = draw(rows, 2000)
    assert_same_law(ours, theirs)
    np.testing.assert_array_equal(ours.sum(1), np.broadcast_to(rows.tables().sum(0), (2000, 3, 3)))
    np.testing.assert_array_equal(ours.sum(3), np.broadcast_to(rows.tables().sum(2), (2000, 3, 3)))


@pytest.mark.parametrize("many", [0, 10**9])
def test_pairs_against_a_shuffle_of_units(many, monkeypatch):
    """Both ways to permute units of two rows: hypergeometric draws, and shuffles."""
    monkeypatch.setattr(module, "_MANY", many)
    rng = np.random.default_rng(6)
    units = np.repeat(np.arange(150), 2)
    group = np.repeat(rng.integers(0, 3, 150), 2)
    label = np.repeat(rng.integers(0, 3, 150), 2)
    hit = np.repeat(rng.random(150) < 0.6, 2) ^ (rng.random(300) < 0.1)
    rows = Rows(group, label, np.where(hit, label, (label + 1) % 3), units, 3, 3)
    plan = plan_permutation(rows)
    assert (len(plan.exact), len(plan.shuffles)) == ((3, 0) if not many else (0, 1))
    ours = draw(rows, 1500)
    assert_same_law(ours, brute_force(rows, rng, 1000, label[::2], units))
    np.testing.assert_array_equal(ours.sum(3), np.broadcast_to(rows.tables().sum(2), (1500, 3, 3)))


def test_a_cluster_across_groups_is_split():
    rows = Rows(
        np.array([0, 1, 0, 1]), np.zeros(4, dtype=np.int64), np.array([0, 1, 1, 0]), np.zeros(4, dtype=np.int64), 2, 2
    )
    plan = plan_permutation(rows)  # two units of two rows in one stratum, of one type
    assert plan.n_fixed == 0
    assert (draw(rows, 20) == rows.tables()).all()


def test_rows_without_counterpart_stay_where_they_are():
    rows = Rows(np.array([0] * 5 + [1] * 5), np.array([0] * 5 + [1] * 5), np.arange(10) % 2, None, 2, 2)
    plan = plan_permutation(rows)
    assert plan.n_fixed == 10
    assert (draw(rows, 7) == rows.tables()).all()


def persons(rng, n_persons=120, n_faces=8, k=5):
    """Persons of whom no two have the same set of classes, with a recall of their own."""
    unit = np.repeat(np.arange(n_persons), n_faces)
    group = (rng.random(n_persons) < 0.4).astype(np.int64)[unit]
    label = rng.choice(k, len(unit), p=np.arange(k, 0, -1) / (k * (k + 1) / 2))
    recall = rng.beta(7, 3, n_persons)[unit]
    hit = rng.random(len(unit)) < recall
    return Rows(group, label, np.where(hit, label, (label + rng.integers(1, k, len(unit))) % k), unit, 2, k)


def test_persons_are_exchanged_and_keep_the_class_mix():
    rows = persons(np.random.default_rng(0))
    plan = plan_permutation(rows)
    assert plan.n_pooled > 0.5 * len(rows)
    tables = draw(rows, 50)
    np.testing.assert_allclose(tables.sum(3), np.broadcast_to(rows.tables().sum(2), (50, 2, 5)), atol=2.5)
    assert accuracy(tables).std(0).min() > 0.005


def test_p_values_of_persons_are_honest():
    """The persons' own recalls make their faces dependent; a test of faces rejects too often."""
    rng = np.random.default_rng(1)
    dependent, naive = [], []
    for seed in range(150):
        rows = persons(rng)
        alone = Rows(rows.group, rows.label, rows.predicted, None, 2, 5)
        for r, out in ((rows, dependent), (alone, naive)):
            observed = max_min_gap(accuracy(r.tables()))
            out.append((max_min_gap(accuracy(draw(r, 99, seed))) >= observed - 1e-12).mean())
    assert np.mean(np.array(dependent) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert abs(np.mean(dependent) - 0.5) < 4 * np.sqrt(1 / 12 / 150)
    assert np.mean(np.array(naive) <= 0.05) > 0.07
