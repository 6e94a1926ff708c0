import numpy as np
import pytest

from mien.errors import DataError
from mien.metrics import accuracy, macro_f1
from mien.stats import cells
from mien.stats import cells as cells_module
from mien.stats.cells import MOST_CLASSES, Rows, bootstrap_tables, chunk_sizes, signatures


def make_rows(rng, n, clustered, g=3, k=4):
    """Rows of which about half belong to units of two to five rows, alike in part."""
    cluster = np.sort(rng.integers(0, n // 2, n)) if clustered else None
    shared = rng.random(n)[cluster] if clustered else rng.random(n)
    group = (shared * g).astype(np.int64)
    label = rng.integers(0, k, n)
    hit = rng.random(n) < np.where(shared * 7 % 1 < 0.5, 0.9, 0.5)
    return Rows(group, label, np.where(hit, label, (label + 1) % k), cluster, g, k)


def by_hand(rows, rng, n_boot):
    """The bootstrap that the counts stand in for: draw units with replacement, gather their rows."""
    units = np.arange(len(rows)) if rows.cluster is None else rows.cluster
    members = [np.flatnonzero(units == u) for u in np.unique(units)]
    out = []
    for _ in range(n_boot):
        drawn = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        picked = Rows(rows.group[drawn], rows.label[drawn], rows.predicted[drawn], None, rows.n_groups, rows.n_classes)
        out.append(picked.tables())
    return np.array(out)


@pytest.mark.parametrize("clustered", [False, True])
def test_counts_bootstrap_is_the_row_bootstrap(clustered):
    rng = np.random.default_rng(3)
    rows = make_rows(rng, 300, clustered)
    ours = np.concatenate(list(bootstrap_tables(rows, 4000, rng)))
    theirs = by_hand(rows, rng, 1500)
    assert ours.shape == (4000, 3, 4, 4)
    se = theirs.std(0) / np.sqrt(1500) + ours.std(0) / np.sqrt(4000)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 5 * se + 1e-9).all()
    for metric in (accuracy, macro_f1):
        a, b = metric(ours), metric(theirs)
        np.testing.assert_allclose(a.mean(0), b.mean(0), atol=0.006)
        np.testing.assert_allclose(a.std(0), b.std(0), rtol=0.1)


def test_signatures_hold_every_row_once():
    rows = make_rows(np.random.default_rng(0), 500, True)
    sig = signatures(rows.cells, rows.cluster, 3 * 16)
    assert sig.n_units == len(np.unique(rows.cluster))
    np.testing.assert_array_equal(sig.cells_of(sig.counts[None])[0].reshape(3, 4, 4), rows.tables())


def test_copies_in_one_cluster_leave_the_bootstrap_as_it_was():
    rows = make_rows(np.random.default_rng(0), 200, False)
    twice = [np.repeat(a, 2) for a in (rows.group, rows.label, rows.predicted, np.arange(200))]
    copied = Rows(*twice, rows.n_groups, rows.n_classes)
    one = np.concatenate(list(bootstrap_tables(rows, 50, np.random.default_rng(1))))
    two = np.concatenate(list(bootstrap_tables(copied, 50, np.random.default_rng(1))))
    np.testing.assert_array_equal(two, 2 * one)


@pytest.mark.parametrize("clustered", [False, True])
def test_order_of_rows_does_not_matter(clustered):
    rng = np.random.default_rng(0)
    rows = make_rows(rng, 300, clustered)
    order = rng.permutation(300)
    names = rng.permutation(300)
    moved = Rows(
        rows.group[order],
        rows.label[order],
        rows.predicted[order],
        names[rows.cluster[order]] if clustered else None,
        rows.n_groups,
        rows.n_classes,
    )
    one, two = (next(bootstrap_tables(r, 20, np.random.default_rng(1))) for r in (rows, moved))
    np.testing.assert_array_equal(one, two)


def test_chunks_hold_all_replicates(monkeypatch):
    assert chunk_sizes(10, 1) == [10]
    assert sum(chunk_sizes(1001, 100_000)) == 1001
    rows = make_rows(np.random.default_rng(0), 200, True)
    whole = np.concatenate(list(bootstrap_tables(rows, 30, np.random.default_rng(1))))
    monkeypatch.setattr(cells_module, "_CHUNK", 3000)
    parts = list(bootstrap_tables(rows, 30, np.random.default_rng(1)))
    assert len(parts) > 3
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_units_are_counted():
    rows = Rows(
        np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), np.zeros(4, dtype=np.int64), np.array([7, 7, 7, 3]), 2, 2
    )
    assert rows.units_per_group().tolist() == [1, 2]
    assert rows.units_per_class().tolist() == [[1, 0], [1, 1]]


def test_units_that_are_all_different_are_drawn_in_blocks(monkeypatch):
    """The same means and spreads as drawing the units themselves."""
    rng = np.random.default_rng(3)
    unit = np.repeat(np.arange(3000), 4)
    skill = rng.beta(4, 2, 3000)[unit]  # faces of a person stand or fall together
    label = rng.integers(0, 3, len(unit))
    predicted = np.where(rng.random(len(unit)) < skill, label, (label + 1) % 3)
    rows = Rows(rng.integers(0, 2, 3000)[unit], label, predicted, unit, 2, 3)
    exact = np.concatenate(list(bootstrap_tables(rows, 3000, np.random.default_rng(1))))
    monkeypatch.setattr(cells, "_MANY_SIGNATURES", 100)
    blocks = np.concatenate(list(bootstrap_tables(rows, 3000, np.random.default_rng(2))))
    hits = [t.trace(axis1=2, axis2=3) / t.sum((2, 3)) for t in (exact, blocks)]
    np.testing.assert_allclose(hits[1].mean(0), hits[0].mean(0), atol=0.001)
    np.testing.assert_allclose(hits[1].std(0), hits[0].std(0), rtol=0.08)
    order = rng.permutation(len(unit))
    moved = Rows(rows.group[order], label[order], predicted[order], unit[order], 2, 3)
    again = np.concatenate(list(bootstrap_tables(moved, 50, np.random.default_rng(2))))
    np.testing.assert_array_equal(again, blocks[:50])


def test_distinct_rows_by_number_and_by_sorting():
    table = np.random.default_rng(0).integers(0, 5, (200, 3))
    for n_values in (5, 1 << 30):
        distinct, number = cells._distinct_rows(table, n_values)
        expected, counts = np.unique(table, axis=0, return_counts=True)
        np.testing.assert_array_equal(distinct, expected)
        np.testing.assert_array_equal(number, counts)


def test_what_units_of_unlike_sizes_are_worth():
    """Three bursts of five and fifteen single faces are worth ten units of equal size; by class and by the others."""
    size = np.r_[np.full(3, 5), np.ones(15, dtype=int)]
    unit = np.repeat(np.arange(18), size)
    label = np.where(unit < 3, 0, 1)
    label[unit == 0] = [0, 0, 1, 1, 1]
    group = np.zeros(30, dtype=np.int64)
    counts = Rows(group, label, label, unit, 1, 2).unit_counts()
    assert counts.groups.tolist() == [18]
    assert counts.annotated.tolist() == [[3, 16]]
    assert counts.others.tolist() == [[16, 3]]
    assert counts.either.tolist() == [[3, 16]]
    assert not counts.crossed
    whole, annotated, others = counts.worth
    np.testing.assert_allclose(whole, [[30**2 / (3 * 25 + 15)]])
    np.testing.assert_allclose(annotated, [[12**2 / (4 + 25 + 25), 18**2 / (9 + 15)]])
    np.testing.assert_allclose(others, annotated[:, ::-1])
    alone = Rows(group, label, label, None, 1, 2).unit_counts()
    assert alone.groups.tolist() == [30]
    np.testing.assert_allclose(alone.worth[1], [[12, 18]])


def test_units_in_two_groups_are_crossed():
    rows = Rows(np.array([0, 1, 0]), np.zeros(3, dtype=np.int64), np.array([0, 1, 1]), np.array([0, 0, 1]), 2, 2)
    assert rows.unit_counts().crossed
    assert rows.unit_counts().either.tolist() == [[2, 1], [1, 1]]


def test_more_classes_than_can_be_counted_are_refused() -> None:
    nobody = np.zeros(2, dtype=np.int64)
    Rows(nobody, nobody, nobody, None, 1, MOST_CLASSES)
    with pytest.raises(DataError, match="classes: the predictions have 800, expected at most 256. Join rare classes"):
        Rows(nobody, nobody, nobody, None, 1, 800)
