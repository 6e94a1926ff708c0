import doctest
import time

import fairlearn.metrics as fairlearn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2_contingency

import mien.metrics.fairness
from mien import metrics as m
from mien.metrics.fairness import DISTANCE, RATIO

OVER_GROUPS = (
    m.equal_odds_fairness,
    m.min_max_accuracy,
    m.demographic_parity_difference,
    m.demographic_parity_ratio,
    m.equalized_odds_difference,
    m.equalized_odds_ratio,
    m.statistical_parity,
)


def of_both_rates(values, pick):
    """``(2 K,)`` values of true and of false positive rates to the worse ``(K,)``."""
    return pick.reduce(values.reshape(2, -1))


PER_CLASS = (
    (lambda t: m.max_min_gap(m.demographic_parity_components(t)), fairlearn.demographic_parity_difference),
    (lambda t: m.min_max_ratio(m.demographic_parity_components(t)), fairlearn.demographic_parity_ratio),
    (
        lambda t: of_both_rates(m.max_min_gap(m.equalized_odds_components(t)), np.fmax),
        fairlearn.equalized_odds_difference,
    ),
    (lambda t: of_both_rates(m.min_max_ratio(m.equalized_odds_components(t)), np.fmin), fairlearn.equalized_odds_ratio),
)


def faces_of(tables):
    """Rows (group, annotated, predicted) whose counts are the tables."""
    index = np.repeat(np.arange(tables.size), tables.ravel())
    return np.unravel_index(index, tables.shape)


def drawn(k, groups=3, seed=0, low=1, high=30):
    return np.random.default_rng(seed).integers(low, high, (groups, k, k))


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize(("ours", "theirs"), PER_CLASS)
def test_per_class_values_equal_fairlearn_one_versus_rest(ours, theirs, k):
    for seed in range(5):
        tables = drawn(k, seed=seed)
        group, true, predicted = faces_of(tables)
        expected = [theirs(true == c, predicted == c, sensitive_features=group) for c in range(k)]
        np.testing.assert_allclose(ours(tables), expected)


@pytest.mark.parametrize("k", [2, 4])
def test_reductions_take_the_worst_class(k):
    tables = drawn(k, seed=3)
    group, true, predicted = faces_of(tables)

    def worst(metric, pick):
        return pick(metric(true == c, predicted == c, sensitive_features=group) for c in range(k))

    assert m.demographic_parity_difference(tables) == pytest.approx(worst(fairlearn.demographic_parity_difference, max))
    assert m.demographic_parity_ratio(tables) == pytest.approx(worst(fairlearn.demographic_parity_ratio, min))
    assert m.equalized_odds_difference(tables) == pytest.approx(worst(fairlearn.equalized_odds_difference, max))
    assert m.equalized_odds_ratio(tables) == pytest.approx(worst(fairlearn.equalized_odds_ratio, min))
    if k == 2:  # both classes show the same differences: fairlearn's one number
        one = fairlearn.equalized_odds_difference(true, predicted, sensitive_features=group)
        assert m.equalized_odds_difference(tables) == pytest.approx(one)


def test_the_examples_hold():
    found = doctest.testmod(mien.metrics.fairness)
    assert found.attempted
    assert not found.failed


def test_shapes_of_components():
    tables = drawn(4, groups=5, seed=4)
    assert m.demographic_parity_components(tables).shape == (4, 5)
    assert m.equalized_odds_components(tables).shape == (8, 5)
    assert m.mean_recalls(np.ones((7, 4, 5)), [True, True, False, True]).shape == (7, 5)


def test_undefined_values_take_no_part():
    nan = np.nan
    values = np.array([[[0.2, nan, 0.6], [nan, nan, 0.1]]])
    assert m.reduce_components(values, "difference")[0] == pytest.approx(0.4)
    assert m.reduce_components(values, RATIO)[0] == pytest.approx(1 / 3)
    assert np.isnan(m.reduce_components(values[:, 1:], RATIO)[0])
    assert np.isnan(m.reduce_components(values[:, 1:], "difference")[0])
    assert m.reduce_components(np.array([[[0.5, 0.1, nan], [0.5, 0.9, nan]]]), DISTANCE)[0] == pytest.approx(0.4)
    # A group without a face in one replicate does not take the others' distances with it.
    distances = m.reduce_components(np.array([[[0.5, 0.1, nan], [0.5, 0.9, nan]], [[0.5, 0.5, 0.3]] * 2]), DISTANCE)
    np.testing.assert_allclose(distances, [0.4, 0.2])


@settings(max_examples=40, deadline=None)
@given(arrays(np.int64, (2, 3, 3, 4, 4), elements=st.integers(0, 3)))
def test_replicates_are_independent_of_each_other(stack):
    support, cells = np.array([True, True, False, True]), np.ones((3, 4), dtype=bool)
    cells[1, 2] = False
    for metric in (
        *OVER_GROUPS,
        lambda c: m.equal_odds_fairness(c, support=support),
        lambda c: m.equal_odds_fairness(c, min_support=2, eligible=[True, False, True]),
        lambda c: m.equalized_odds_difference(c, [True, True, False], cells),
    ):
        single = [[float(metric(stack[i, j])) for j in range(3)] for i in range(2)]
        np.testing.assert_allclose(metric(stack), single)


@settings(max_examples=40, deadline=None)
@given(arrays(np.int64, (3, 4, 4), elements=st.integers(0, 5)), st.permutations(range(4)), st.permutations(range(3)))
def test_order_of_classes_and_of_groups_does_not_matter(tables, classes, groups):
    renamed = tables[groups][:, classes][:, :, classes]
    for metric in OVER_GROUPS:
        np.testing.assert_allclose(metric(renamed), metric(tables))
        assert np.isnan(metric(tables)) or 0 <= metric(tables) <= 1


def test_groups_that_take_no_part_might_as_well_not_be_there():
    tables, eligible = drawn(4, groups=5, seed=5), np.array([True, False, True, True, False])
    tables[1] = np.diag([900, 5, 5, 5])
    for metric in OVER_GROUPS:
        assert metric(tables, eligible=eligible) == pytest.approx(float(metric(tables[eligible])))
        assert metric(tables, eligible=eligible) != pytest.approx(float(metric(tables)))
        nobody = metric(tables, eligible=np.zeros(5, dtype=bool))
        assert np.isnan(nobody)


def test_equal_odds_by_hand():
    tables = np.array([[[8, 2], [5, 5]], [[4, 6], [5, 5]]])
    assert m.equal_odds_fairness(tables) == pytest.approx(0.9 / 1.3)
    recall = m.per_class_recall(tables).T
    np.testing.assert_allclose(m.mean_recalls(recall, [True, True]), [0.65, 0.45])
    np.testing.assert_allclose(m.mean_recalls(recall, [True, False]), [0.8, 0.4])
    assert m.equal_odds_fairness(tables[:1]) == 1
    lacking = tables.copy()
    lacking[1, 1] = 0  # class 1 is dropped from both groups
    assert m.common_support(lacking).tolist() == [True, False]
    assert m.equal_odds_fairness(lacking) == pytest.approx(0.5)
    assert m.common_support(lacking, eligible=[True, False]).tolist() == [True, True]
    assert np.isnan(m.equal_odds_fairness(tables, min_support=11))
    assert np.isnan(m.equal_odds_fairness(tables * np.array([[0, 1], [1, 0]])))
    assert not m.common_support(tables, eligible=[False, False]).any()


def test_replicates_are_compared_over_the_observed_support():
    tables = np.array([[[8, 2], [5, 5]], [[4, 6], [5, 5]]])
    lacking = tables.copy()
    lacking[1, 1] = 0
    stack, support = np.stack([tables, lacking]), m.common_support(tables)
    assert support.all()
    np.testing.assert_allclose(m.equal_odds_fairness(stack, support=support), [0.9 / 1.3, np.nan])
    # a group that takes no part may lack the class
    np.testing.assert_allclose(m.equal_odds_fairness(stack, support=support, eligible=[True, False]), [1, 1])
    np.testing.assert_allclose(m.equal_odds_fairness(stack, support=[True, False]), [0.5, 0.5])
    assert np.isnan(m.equal_odds_fairness(stack, support=[False, False])).all()
    assert np.isnan(m.mean_recalls(np.ones((2, 2)), [False, False])).all()


def test_min_max_accuracy_by_hand():
    tables = np.array([[[8, 2], [5, 5]], [[4, 6], [5, 5]], [[0, 0], [0, 0]]])
    assert m.min_max_accuracy(tables) == pytest.approx(0.45 / 0.65)
    assert m.min_max_accuracy(tables[:1]) == 1
    assert np.isnan(m.min_max_accuracy(tables[2:]))
    # it moves with the class mix, equal-odds fairness does not
    one = np.array([[8, 2], [5, 5]])
    mixed = np.stack([one, one * np.array([[10], [1]])])
    assert m.equal_odds_fairness(mixed) == pytest.approx(1)
    assert m.min_max_accuracy(mixed) < 0.9


def test_undefined_rates_take_no_part():
    tables = np.array(
        [
            [[6, 4, 0], [3, 7, 0], [0, 0, 0]],
            [[9, 1, 0], [2, 8, 0], [0, 0, 0]],
            [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
        ]
    )
    assert np.isnan(m.selection_rates(tables)[2]).all()
    np.testing.assert_allclose(m.selection_rates(tables)[:2].sum(1), 1)
    ratio = m.min_max_ratio(m.demographic_parity_components(tables))
    assert np.isnan(ratio).tolist() == [False, False, True]  # class c is never predicted: 0/0
    assert m.demographic_parity_ratio(tables) == pytest.approx(ratio[:2].min())
    assert m.max_min_gap(m.demographic_parity_components(tables))[2] == 0
    odds = of_both_rates(m.min_max_ratio(m.equalized_odds_components(tables)), np.fmin)
    assert np.isnan(odds).tolist() == [False, False, True]
    assert m.equalized_odds_difference(tables) == pytest.approx(0.3)
    for metric in OVER_GROUPS[2:]:
        assert np.isnan(metric(tables[:1])), "a gap needs two groups"
    assert np.isnan(m.max_min_gap(m.equalized_odds_components(tables[:1]))).all()


def test_a_class_with_a_single_face_decides_unless_it_is_left_out():
    tables = np.stack([np.diag([50, 50, 50]), np.diag([50, 50, 0])])
    tables[1, 2, 0] = 1
    assert m.equalized_odds_difference(tables) == 1
    cells = tables.sum(-1) >= 10
    assert m.equalized_odds_difference(tables, cells=cells) == pytest.approx(1 / 51)  # a false positive


def test_statistical_parity():
    tables = drawn(5, groups=4, seed=6)
    rates = m.selection_rates(tables)
    pairs = [np.abs(rates[g] - rates[h]).sum() / 2 for g in range(4) for h in range(g)]
    assert m.statistical_parity(tables) == pytest.approx(max(pairs))
    assert m.demographic_parity_difference(tables) <= m.statistical_parity(tables)
    for k in (2, 3):
        small = drawn(k, seed=k)
        assert m.statistical_parity(small) == pytest.approx(float(m.demographic_parity_difference(small)))
    apart = np.zeros((2, 3, 3), dtype=int)
    apart[0, :, 0], apart[1, :, 1:] = 4, 2
    assert m.statistical_parity(apart) == 1
    same = np.stack([tables[0], 3 * tables[0]])
    assert m.statistical_parity(same) == pytest.approx(0)
    assert chi2_contingency(same.sum(1), correction=False).pvalue == pytest.approx(1)


def test_parity_asks_nothing_about_the_truth():
    # all right, but the groups are annotated differently
    tables = np.stack([np.diag([80, 20]), np.diag([20, 80])])
    assert m.demographic_parity_difference(tables) == pytest.approx(0.6)
    assert m.equalized_odds_difference(tables) == 0
    assert m.equal_odds_fairness(tables) == 1


def test_ratios():
    np.testing.assert_allclose(
        m.min_max_ratio([[0.5, 1.0, np.nan], [0, 0, 0], [np.nan, 1, np.nan]]), [0.5, np.nan, np.nan]
    )
    np.testing.assert_allclose(m.min_max_ratio([[0.5, 1.0, 0.1]], [True, True, False]), [0.5])


def test_not_counts_of_groups():
    for metric in OVER_GROUPS:
        with pytest.raises(ValueError, match="G, K, K"):
            metric(np.ones((3, 3)))


def test_thousands_of_replicates_are_fast():
    stack = np.random.default_rng(0).integers(0, 40, (2000, 14, 8, 8))
    for metric in OVER_GROUPS:
        start = time.process_time()
        assert metric(stack).shape == (2000,)
        assert time.process_time() - start < 0.6, metric  # 0.05 s on one idle core
