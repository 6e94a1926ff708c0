from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from mien.metrics import accuracy, macro_f1, max_min_gap
from mien.stats import permutation as module
from mien.stats.cells import Rows
from mien.stats.permutation import hypergeometric_tables, permuted_tables, plan_permutation
from mien.stats.unit_departures import departure_tables, unit_departures


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


def test_persons_stay_and_keep_the_class_mix():
    rows = persons(np.random.default_rng(0))
    assert plan_permutation(rows).weighted is not None
    tables = draw(rows, 4000)
    np.testing.assert_allclose(tables.sum(3), np.broadcast_to(rows.tables().sum(2), (4000, 2, 5)), atol=1e-9)
    # On average each group is served as all faces annotated alike.
    pooled = rows.tables().sum(0)
    chance = pooled / pooled.sum(1, keepdims=True)
    expected = rows.tables().sum(2)[..., None] * chance
    np.testing.assert_allclose(tables.mean(0), expected, atol=5 * tables.std(0).max() / np.sqrt(4000))


def test_a_departure_by_hand():
    """Two persons of two faces in one group, four single faces in the other, one class of two."""
    group = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    unit = np.array([0, 0, 1, 1, 2, 3, 4, 5])
    label = np.zeros(8, dtype=np.int64)
    predicted = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    units = unit_departures(Rows(group, label, predicted, unit, 2, 2))
    np.testing.assert_allclose(units.chance[0], [0.5, 0.5])
    np.testing.assert_allclose(units.freedom, [3, 3])  # four single faces; two persons would be one, and 3 is the least
    # A person holds a quarter of the class, a single face an eighth: 2 / sqrt(3/4) and 1 / sqrt(7/8).
    weights = sorted(set(np.round(units.sums.data, 6)))
    assert weights == pytest.approx([1 / np.sqrt(7 / 8), 2 / np.sqrt(3 / 4)], abs=1e-6)
    endless = replace(units, freedom=np.full(2, np.inf))
    drawn = np.concatenate(list(departure_tables(endless, 40_000, np.random.default_rng(0))))
    # Hits vary by the sum of squares of (hits - half of the faces) of each unit, with those weights; half of what
    # both groups show together is nobody's departure.
    persons, single = 2 * 1 / (3 / 4), 4 * 0.25 / (7 / 8)
    np.testing.assert_allclose(drawn[:, 0, 0, 0].var(), (persons + single) / 4, rtol=0.03)
    np.testing.assert_allclose(drawn[:, 0].sum(0), 40_000 * np.array([[2, 2], [0, 0]]), atol=5 * 200)
    np.testing.assert_allclose(drawn.sum(1), np.broadcast_to([[4, 4], [0, 0]], (40_000, 2, 2)), atol=1e-9)
    few = np.concatenate(list(departure_tables(units, 40_000, np.random.default_rng(0))))
    # Student's t with three degrees of freedom reaches farther than the normal.
    assert np.quantile(few[:, 0, 0, 0] - 2, 0.975) > 1.2 * np.quantile(drawn[:, 0, 0, 0] - 2, 0.975)


def lonely(rng, shares, copies=4, n=400):
    """One group's faces all in copies, the other's all single: nothing can be exchanged."""
    k = 3
    label = [rng.integers(0, k, n // copies), rng.integers(0, k, n)]
    predicted = [np.where(rng.random(len(y)) < s, y, (y + 1) % k) for y, s in zip(label, shares, strict=True)]
    size = [copies, 1]
    return Rows(
        np.repeat([0, 1], n),
        np.concatenate([np.repeat(y, s) for y, s in zip(label, size, strict=True)]),
        np.concatenate([np.repeat(p, s) for p, s in zip(predicted, size, strict=True)]),
        np.concatenate([np.repeat(np.arange(n // copies), copies), n + np.arange(n)]),
        2,
        k,
    )


def p_of(rows, seed, n=199):
    observed = max_min_gap(accuracy(rows.tables()))
    return float((1 + (max_min_gap(accuracy(draw(rows, n, seed))) >= observed - 1e-12).sum()) / (n + 1))


def test_where_nothing_can_be_exchanged_a_gap_is_found_and_none_is_not():
    rng = np.random.default_rng(4)
    shares = {"gap": (0.8, 0.6), "the other way": (0.6, 0.8), "none": (0.7, 0.7)}
    found = {name: np.array([p_of(lonely(rng, s), i) for i in range(150)]) for name, s in shares.items()}
    assert (found["gap"] <= 0.05).mean() > 0.9  # a Welch test over units finds 98 %
    assert (found["the other way"] <= 0.05).mean() > 0.9
    assert (found["none"] <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert abs(found["none"].mean() - 0.5) < 4 * np.sqrt(1 / 12 / 150)


def test_units_of_unlike_sizes_that_go_with_the_group_are_not_exchanged():
    """Nine in ten units of one group are pairs, one in ten of the other: shuffles would carry 64 % of a gap along."""
    rng, parts = np.random.default_rng(5), []
    for g, pairs in ((0, 180), (1, 20)):
        size = np.r_[np.full(pairs, 2), np.ones(400 - 2 * pairs, dtype=int)]
        parts.append((np.full(len(size), g), size))
    group, size = (np.concatenate(x) for x in zip(*parts, strict=True))
    label = rng.integers(0, 2, len(group))
    predicted = np.where(rng.random(len(group)) < np.array([0.85, 0.70])[group], label, 1 - label)
    group, label, predicted, unit = (np.repeat(x, size) for x in (group, label, predicted, np.arange(len(size))))
    rows = Rows(group, label, predicted, unit, 2, 2)
    assert plan_permutation(rows).weighted is not None
    assert p_of(rows, 0, 999) < 0.01
    even = Rows(np.repeat(rng.permutation(group[np.r_[True, np.diff(unit) > 0]]), size), label, predicted, unit, 2, 2)
    assert plan_permutation(even).weighted is None


def test_groups_without_a_common_class_are_compared_with_nobody():
    rows = Rows(np.array([0] * 5 + [1] * 5 + [2]), np.array([0] * 5 + [1] * 5 + [1]), np.arange(11) % 2, None, 3, 2)
    assert plan_permutation(rows).comparable.tolist() == [0, 5, 1]


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


def test_of_many_kinds_of_units_a_group_of_few_is_still_known():
    """60,000 kinds of units in one group do not make twelve persons of another any more."""
    rng = np.random.default_rng(0)
    big = np.arange(60_000)
    faces = rng.integers(1, 5, len(big))
    group = np.concatenate([np.zeros(faces.sum(), dtype=np.int64), np.ones(120, dtype=np.int64)])
    unit = np.concatenate([np.repeat(big, faces), 60_000 + np.repeat(np.arange(12), 10)])
    label, predicted = rng.integers(0, 8, (2, len(group)))
    found = unit_departures(Rows(group, label, predicted, unit, 2, 8))
    np.testing.assert_allclose(found.freedom, [faces.sum() ** 2 / (faces**2).sum() - 1, 11])
