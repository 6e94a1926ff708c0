"""Measures of tables: against scikit-learn, scipy and hand computations; undefined is NaN."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency
from scipy.stats import entropy as scipy_entropy
from scipy.stats.contingency import association as scipy_association
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

from mien.metrics import association as a

TABLES = [
    np.array([[10, 0, 5], [3, 8, 2]]),
    np.array([[40, 30], [20, 15], [4, 3]]),
    np.random.default_rng(0).integers(1, 50, (5, 7)),
]
OF_TABLES = [
    a.mutual_information,
    a.normalized_mutual_information,
    a.mean_square_contingency,
    a.cramers_v,
    a.duchers_z,
    a.normalized_pointwise_mutual_information,
]


def columns(table):
    r, c = np.indices(table.shape)
    return np.repeat(r.ravel(), table.ravel()), np.repeat(c.ravel(), table.ravel())


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_mutual_information_is_scikit_learns(table):
    rows, cols = columns(table)
    assert a.mutual_information(table) == pytest.approx(mutual_info_score(rows, cols), abs=1e-12)
    for norm in ("arithmetic", "geometric", "min", "max"):
        expected = normalized_mutual_info_score(rows, cols, average_method=norm)
        assert a.normalized_mutual_information(table, norm) == pytest.approx(expected, abs=1e-9)
    joint = mutual_info_score(rows, cols) / scipy_entropy(table.ravel())
    assert a.normalized_mutual_information(table) == pytest.approx(joint, abs=1e-12)


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_contingency_is_scipys(table):
    chi2, _, _, expected = chi2_contingency(table, correction=False)
    assert a.mean_square_contingency(table) == pytest.approx(chi2 / table.sum(), abs=1e-12)
    assert a.cramers_v(table) == pytest.approx(scipy_association(table, method="cramer"), abs=1e-12)
    np.testing.assert_allclose(a.expected_counts(table), expected)


def test_diversity():
    counts = [6, 3, 1]
    assert a.entropy(counts) == pytest.approx(scipy_entropy(counts))
    assert a.effective_number(counts) == pytest.approx(np.exp(scipy_entropy(counts)))
    assert a.effective_number([5, 5, 0]) == pytest.approx(2)
    assert a.evenness([5, 5, 0]) == pytest.approx(np.log(2) / np.log(3))
    assert a.evenness([5, 5]) == pytest.approx(1)
    assert a.imbalance_ratio(counts) == 6


def test_duchers_z_by_hand():
    # P = 0.4, a = 0.5, b = 0.6: (0.4 - 0.3) / (0.5 - 0.3) above; 0.1 of (0.1, 0.5, 0.4): -0.1 / 0.2 below.
    z = a.duchers_z([[40, 10], [20, 30]])
    np.testing.assert_allclose(z, [[0.5, -0.5], [-0.5, 0.5]])
    # a + b > 1: the cell cannot be emptier than 0.8 + 0.7 - 1.
    z = a.duchers_z([[52, 28], [18, 2]])
    assert z[0, 0] == pytest.approx((0.52 - 0.56) / (0.56 - 0.5))
    assert a.duchers_z([[50, 30], [20, 0]])[0, 0] == pytest.approx(-1)
    # Independent to the last face, also where the products are large: exactly 0.
    big = np.outer([3_000_000, 7_000_000], [1, 2, 4])
    assert (a.duchers_z(big) == 0).all()
    assert (a.duchers_z(np.outer([0.1, 0.2, 0.7], [0.3, 0.7])) == 0).all()


def test_pointwise_information_by_hand():
    npmi = a.normalized_pointwise_mutual_information([[40, 10], [20, 30]])
    assert npmi[0, 0] == pytest.approx(np.log(0.4 / 0.3) / -np.log(0.4))
    assert a.normalized_pointwise_mutual_information([[5, 0], [0, 5]]).tolist() == [[1, -1], [-1, 1]]


def test_ends_of_the_scales():
    independent, exact = np.outer([10, 20], [1, 2, 3]), np.diag([5, 7, 9])
    assert a.normalized_mutual_information(independent) == pytest.approx(0, abs=1e-12)
    assert a.cramers_v(independent) == pytest.approx(0, abs=1e-7)
    for norm in a.NORMALISATIONS:
        assert a.normalized_mutual_information(exact, norm) == pytest.approx(1)
    assert a.cramers_v(exact) == pytest.approx(1)
    np.testing.assert_allclose(a.duchers_z(exact), 2 * np.eye(3) - 1)


@pytest.mark.parametrize("f", OF_TABLES, ids=lambda f: f.__name__)
def test_tables_in_any_leading_axes_transposed_and_permuted(f):
    rng = np.random.default_rng(1)
    tables = rng.integers(0, 9, (2, 3, 4, 5))
    together = f(tables)
    for i in range(2):
        for j in range(3):
            np.testing.assert_allclose(together[i, j], f(tables[i, j]))
    cells = together.ndim == 4
    turned = f(np.swapaxes(tables, -1, -2))
    np.testing.assert_allclose(np.swapaxes(turned, -1, -2) if cells else turned, together, atol=1e-12)
    rows, cols = rng.permutation(4), rng.permutation(5)
    moved = f(tables[..., rows, :][..., cols])
    np.testing.assert_allclose(moved, together[..., rows, :][..., cols] if cells else together, atol=1e-12)
    np.testing.assert_allclose(f(tables / 7), together, atol=1e-12)


def test_empty_groups_change_nothing_but_are_nan_themselves():
    table = np.array([[10, 4, 0], [3, 8, 0], [0, 0, 0]])
    for f in OF_TABLES[:4]:
        assert f(table) == pytest.approx(f(table[:2, :2]))
    for f in OF_TABLES[4:]:
        found = f(table)
        np.testing.assert_allclose(found[:2, :2], f(table[:2, :2]))
        assert np.isnan(found[2]).all()
        assert np.isnan(found[:, 2]).all()


def test_undefined_is_nan():
    assert np.isnan(a.entropy([0, 0]))
    assert np.isnan(a.effective_number([0, 0]))
    assert np.isnan(a.evenness([5]))
    assert np.isnan(a.evenness([0, 0]))
    assert np.isnan(a.imbalance_ratio([[5, 0], [0, 0]])).all()
    for f in OF_TABLES:
        assert np.isnan(f(np.zeros((2, 3)))).all()
    assert np.isnan(a.cramers_v([[5, 3]]))
    assert np.isnan(a.normalized_mutual_information([[5, 3]], "min"))


def test_wrong_arguments():
    with pytest.raises(ValueError, match="norm is 'mean'"):
        a.normalized_mutual_information([[1, 2], [3, 4]], "mean")
    with pytest.raises(ValueError, match="shape"):
        a.cramers_v([1, 2])
