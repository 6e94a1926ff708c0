import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from mien import metrics as m

AVERAGES = ("macro", "weighted")


def _labels_of(matrix):
    true, predicted = np.divmod(np.repeat(np.arange(matrix.size), matrix.ravel()), len(matrix))
    return true, predicted


@settings(max_examples=60, deadline=None)
@given(arrays(np.int64, (4, 4), elements=st.integers(0, 5)))
def test_against_sklearn_over_the_classes_present(matrix):
    if not matrix.sum():
        return
    true, predicted = _labels_of(matrix)
    present = np.unique(true)
    np.testing.assert_array_equal(confusion_matrix(true, predicted, labels=range(4)), matrix)
    assert m.accuracy(matrix) == pytest.approx(accuracy_score(true, predicted))
    per_class = precision_recall_fscore_support(true, predicted, labels=present, zero_division=0)
    np.testing.assert_allclose(m.per_class_precision(matrix)[present], per_class[0])
    np.testing.assert_allclose(m.per_class_recall(matrix)[present], per_class[1])
    np.testing.assert_allclose(m.per_class_f1(matrix)[present], per_class[2])
    assert m.balanced_accuracy(matrix) == pytest.approx(per_class[1].mean())
    for average in AVERAGES:
        ours = [getattr(m, f"{average}_{x}")(matrix) for x in ("precision", "recall", "f1")]
        theirs = precision_recall_fscore_support(true, predicted, labels=present, average=average, zero_division=0)
        np.testing.assert_allclose(ours, theirs[:3])
    micro = f1_score(true, predicted, labels=range(4), average="micro", zero_division=0)
    for name in ("micro_precision", "micro_recall", "micro_f1"):
        assert getattr(m, name)(matrix) == pytest.approx(micro)


@settings(max_examples=30, deadline=None)
@given(arrays(np.int64, (2, 3, 4, 4), elements=st.integers(0, 4)))
def test_leading_axes_are_independent(stack):
    for name in (n for n in m.METRICS if n.startswith(("acc", "bal", "macro", "micro", "weighted"))):
        function = m.METRICS.get(name)
        single = [[float(function(stack[i, j])) for j in range(3)] for i in range(2)]
        np.testing.assert_allclose(function(stack), single)


@settings(max_examples=30, deadline=None)
@given(arrays(np.int64, (4, 4), elements=st.integers(0, 5)), st.permutations(range(4)))
def test_order_of_classes_does_not_matter(matrix, order):
    renamed = matrix[np.ix_(order, order)]
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "macro_precision"):
        np.testing.assert_allclose(m.METRICS.get(name)(renamed), m.METRICS.get(name)(matrix))


def test_undefined_cases():
    # class 0 present and predicted, 1 present and never predicted, 2 absent but predicted, 3 neither
    matrix = np.array([[3, 0, 1, 0], [2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(m.per_class_recall(matrix), [0.75, 0, np.nan, np.nan])
    np.testing.assert_allclose(m.per_class_precision(matrix), [0.6, 0, 0, np.nan])
    np.testing.assert_allclose(m.per_class_f1(matrix), [6 / 9, 0, np.nan, np.nan])
    assert m.macro_precision(matrix) == pytest.approx(0.3)
    assert m.balanced_accuracy(matrix) == pytest.approx(0.375)
    empty = np.zeros((4, 4), dtype=int)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "macro_precision"):
        assert np.isnan(m.METRICS.get(name)(empty)), name
    assert np.isnan(m.per_class_recall(empty)).all()


def test_not_a_confusion_matrix():
    with pytest.raises(ValueError, match="K, K"):
        m.accuracy(np.zeros((2, 3)))


def test_gap_and_equal_odds():
    values = np.array([[0.7, 0.9, np.nan, 0.2], [np.nan, 0.5, np.nan, 0.1]])
    eligible = np.array([True, True, True, False])
    np.testing.assert_allclose(m.max_min_gap(values, eligible), [0.2, np.nan])
    np.testing.assert_allclose(m.max_min_gap(values), [0.7, 0.4])
    np.testing.assert_allclose(m.max_min_gap(values.T, eligible[:, None], axis=0), [0.2, np.nan])
    tables = np.array([[[8, 2], [5, 5]], [[4, 6], [5, 5]]])
    assert m.equal_odds_fairness(tables) == pytest.approx(0.9 / 1.3)
    assert m.equal_odds_fairness(tables[:1]) == 1
    lacking = tables.copy()
    lacking[1, 1] = 0  # class 1 is dropped from both groups
    assert m.equal_odds_fairness(lacking) == pytest.approx(0.5)
    assert np.isnan(m.equal_odds_fairness(tables, min_support=11))
    assert np.isnan(m.equal_odds_fairness(tables * np.array([[0, 1], [1, 0]])))
