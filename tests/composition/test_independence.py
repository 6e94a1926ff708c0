"""Association under known truths: p-values are uniform without one, intervals hold it with one."""

import numpy as np
import pytest
from composition_simulation import draw_cells

from mien.composition.independence import (
    FEWER,
    MORE,
    NOT_SHOWN,
    Setting,
    association,
    cell_p_values,
    independence_tables,
    z_estimates,
)
from mien.composition.shares import count_shares
from mien.metrics.association import cramers_v, duchers_z, normalized_mutual_information

GROUPS, CLASSES = ("a", "b"), ("x", "y", "z")
BASE = np.outer([0.35, 0.65], [0.5, 0.3, 0.2])
LEAN = BASE * [[1.3, 0.75, 0.7], [1, 1, 1]] / (BASE * [[1.3, 0.75, 0.7], [1, 1, 1]]).sum()
STRONG = np.array([[0.3, 0.02, 0.03], [0.05, 0.35, 0.25]])


def judged(rng, probs, n, copies, n_perm=99, cells=False):
    group, label, unit = draw_cells(rng, probs, n, copies)
    names = GROUPS[: probs.shape[0]], CLASSES[: probs.shape[1]]
    return association(group, names[0], label, names[1], unit, Setting(0.95, n_perm, rng), cells)


@pytest.mark.parametrize("copies", [False, True])
def test_p_values_under_independence(copies):
    rng = np.random.default_rng(0)
    found = [judged(rng, BASE, 300, copies) for _ in range(300)]
    for p in (np.array([f.nmi.p for f in found]), np.array([f.cramers_v.p for f in found])):
        assert abs(p.mean() - 0.5) < 0.05
        for level in (0.05, 0.2, 0.5):
            assert abs((p <= level).mean() - level) < 3.2 * np.sqrt(level * (1 - level) / len(p))
    # The plain value is above 0, its expectation says by how much, and the corrected one is next to 0.
    observed, expected = (np.mean([getattr(f.nmi, k) for f in found]) for k in ("observed", "expected"))
    assert observed > 0.002
    assert observed == pytest.approx(expected, rel=0.16)
    assert np.mean([f.nmi.corrected.value for f in found]) < 0.45 * observed


def test_copies_taken_for_faces_would_find_an_association():
    rng, p = np.random.default_rng(1), []
    for _ in range(150):
        group, label, _ = draw_cells(rng, BASE, 300, copies=True)
        p.append(association(group, GROUPS, label, CLASSES, None, Setting(0.95, 99, rng), False).nmi.p)
    assert np.mean(np.array(p) <= 0.05) > 0.15


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("probs", [BASE, LEAN, STRONG], ids=["independent", "lean", "strong"])
def test_intervals_hold_the_truth(probs, copies):
    rng, held = np.random.default_rng(2), np.zeros(2)
    truth = float(normalized_mutual_information(probs)), float(cramers_v(probs))
    n = 200
    for _ in range(n):
        f = judged(rng, probs, 400, copies)
        for i, e in enumerate((f.nmi.corrected, f.cramers_v.corrected)):
            held[i] += e.low - 1e-9 <= truth[i] <= e.high + 1e-9
            assert e.low <= e.value <= e.high
    assert (held / n > 0.915).all()
    if probs is LEAN:  # STRONG is so near 1 that V's interval is wider than it need be
        assert (held / n < 0.99).all()


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("probs", [BASE, LEAN, STRONG], ids=["independent", "lean", "strong"])
def test_intervals_of_z_hold_the_truth(probs, copies):
    # STRONG's first cell is the hardest case: its group and class are equally large.
    rng, n = np.random.default_rng(3), 150
    truth, held = duchers_z(probs), np.zeros((2, 3))
    for _ in range(n):
        group, label, unit = draw_cells(rng, probs, 300, copies)
        z = z_estimates(count_shares(group, 2, label, 3, unit, 0.95), group, label, unit, 0.95)
        low, high = (np.array([[getattr(e, end) for e in row] for row in z]) for end in ("low", "high"))
        held += (low - 1e-9 <= truth) & (truth <= high + 1e-9)
    assert (held / n).min() > 0.88
    assert 0.925 < (held / n).mean() < 0.985


def test_family_of_cells_under_independence():
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(150):
        f = judged(rng, BASE, 200, copies=True, n_perm=99, cells=True)
        wrong += any(c.verdict != NOT_SHOWN for c in f.cells)
    assert wrong / 150 < 0.1


def test_a_planted_cell_is_found_and_has_its_direction():
    rng = np.random.default_rng(5)
    group = rng.integers(0, 4, 4000)
    label = rng.integers(0, 3, 4000)
    label[(group == 2) & (rng.random(4000) < 0.3)] = 1
    f = association(group, list("abcd"), label, CLASSES, None, Setting(0.95, 499, rng))
    by_name = {(c.group, c.class_name): c for c in f.cells}
    assert by_name["c", "y"].verdict == MORE
    assert by_name["c", "x"].verdict == FEWER
    assert by_name["c", "y"].z.low > 0
    assert f.nmi.p == pytest.approx(1 / 500)
    assert sum(c.n for c in f.cells) == 4000
    assert sum(c.expected for c in f.cells) == pytest.approx(4000)


def test_adjusted_p_values_are_a_step_down():
    rng = np.random.default_rng(6)
    group, label = rng.integers(0, 3, 500), rng.integers(0, 4, 500)
    label[(group == 0) & (rng.random(500) < 0.3)] = 0
    table = np.bincount(group * 4 + label, minlength=12).reshape(3, 4)
    null = independence_tables(group, label, None, (3, 4), Setting(0.95, 400, rng))
    p, adjusted = cell_p_values(table, null)
    assert (adjusted >= p - 1e-12).all()
    order = np.argsort(adjusted.ravel(), kind="stable")
    assert (np.diff(adjusted.ravel()[order]) >= 0).all()
    # Never more than Bonferroni would say, up to the permutations' own noise.
    assert (adjusted <= np.minimum(12 * p, 1) + 0.02).all()


def test_dealing_keeps_margins_and_units():
    rng = np.random.default_rng(7)
    group, label, unit = draw_cells(rng, LEAN, 200, copies=True)
    table = np.bincount(group * 3 + label, minlength=6).reshape(2, 3)
    null = independence_tables(group, label, unit, (2, 3), Setting(0.95, 50, rng))
    assert (null.sum(1) == table.sum(0)).all()
    assert (null.sum(2) == table.sum(1)).all()
    # Units of three alone: every cell changes by three faces at a time.
    three = np.isin(unit, np.flatnonzero(np.bincount(unit) == 3))
    codes = np.unique(unit[three], return_inverse=True)[1]
    null = independence_tables(group[three], label[three], codes, (2, 3), Setting(0.95, 50, rng))
    assert (null % 3 == 0).all()
    assert len(np.unique(null[:, 0, 0])) > 3


def test_undefined_says_why():
    one = association(np.zeros(5, dtype=np.int64), GROUPS, np.arange(5) % 3, CLASSES, None, Setting(0.95, 9, None))
    assert "fewer than two groups" in one.note
    assert np.isnan(one.nmi.corrected.value)
    assert one.cells == []
    # Two persons with one and with many faces: nothing can change places.
    unit = np.array([0, *[1] * 9])
    rng = np.random.default_rng(0)
    fixed = association((unit == 0).astype(int), GROUPS, (unit == 0).astype(int), CLASSES, unit, Setting(0.95, 9, rng))
    assert "could exchange" in fixed.note


def test_an_empty_group_takes_no_part():
    rng = np.random.default_rng(8)
    group, label, _ = draw_cells(rng, LEAN, 300)
    f = association(group, ("a", "b", "c"), label, CLASSES, None, Setting(0.95, 99, rng))
    empty = [c for c in f.cells if c.group == "c"]
    assert all(np.isnan(c.z.value) and c.n == 0 and c.verdict == NOT_SHOWN for c in empty)
    assert f.cramers_v.observed == pytest.approx(
        float(cramers_v(np.bincount(group * 3 + label, minlength=6).reshape(2, 3)))
    )
