"""Rates of the true groups behind perceived ones."""

from __future__ import annotations

import numpy as np
import pytest

from mien.metrics import (
    accuracy,
    demographic_parity_components,
    equalized_odds_components,
    per_class_recall,
)
from mien.mitigate.behind import GroupRates
from mien.stats.mixture import true_counts

RATES = np.array([[0.90, 0.06, 0.04], [0.10, 0.85, 0.05], [0.20, 0.10, 0.70]])  # rows true, columns perceived


def drawn(rng: np.random.Generator, sizes: tuple[int, ...], right: float, k: int = 7) -> np.ndarray:
    """``(1, G, K, K)`` counts by perceived group; all true groups are served alike."""
    true = np.repeat(range(len(sizes)), sizes)
    seen = (rng.random(len(true))[:, None] > RATES.cumsum(1)[true]).sum(1)
    label = rng.integers(0, k, len(true))
    said = np.where(rng.random(len(true)) < right, label, (label + rng.integers(1, k, len(true))) % k)
    out = np.zeros((1, len(sizes), k, k))
    np.add.at(out[0], (seen, label, said), 1)
    return out


def test_a_rare_group_is_not_drawn_down() -> None:
    rng = np.random.default_rng(0)
    found, by_cells = [], []
    for _ in range(60):
        tables = drawn(rng, (2400, 600, 70), 0.7)
        found.append(GroupRates.of(tables, RATES[None]).right[0])
        cells = true_counts(tables.reshape(1, 3, -1), RATES[None]).reshape(tables.shape)
        by_cells.append(accuracy(cells)[0])
    assert np.nanmean(found, 0) == pytest.approx(0.7, abs=0.025)
    assert np.nanmean(by_cells, 0)[2] < 0.62  # what correcting every cell made of it


def test_rates_are_those_of_the_metrics_where_nothing_is_corrected() -> None:
    tables = drawn(np.random.default_rng(1), (500, 200, 40), 0.6, k=4)
    tables[0, 2, 3] = 0  # a group without a face of a class
    told = GroupRates.of(tables, None)
    np.testing.assert_array_equal(told.right, accuracy(tables))
    np.testing.assert_array_equal(told.recall, per_class_recall(tables))
    odds = np.concatenate([told.recall, told.alarms], -1)
    np.testing.assert_allclose(np.swapaxes(odds, -1, -2), equalized_odds_components(tables))
    np.testing.assert_allclose(np.swapaxes(told.answered, -1, -2), demographic_parity_components(tables))
    np.testing.assert_array_equal(told.annotated, tables[0].sum(-1))


def test_what_is_corrected_by_hand() -> None:
    # Of 100 men and 100 women an annotator takes a fifth for the other; men are right on 80 %, women on 40 %.
    rates = np.array([[0.8, 0.2], [0.2, 0.8]])
    true = np.array([[[80, 20], [0, 0]], [[40, 60], [0, 0]]], dtype=float)
    seen = np.einsum("gh,gkl->hkl", rates, true)[None]
    told = GroupRates.of(seen, rates[None])
    np.testing.assert_allclose(told.right, [[0.8, 0.4]])
    np.testing.assert_allclose(told.recall[0, :, 0], [0.8, 0.4])
    np.testing.assert_allclose(told.answered[0], [[0.8, 0.2], [0.4, 0.6]])
    np.testing.assert_allclose(told.annotated, [[100, 0], [100, 0]])
    assert np.isnan(told.recall[0, :, 1]).all()
    assert np.isnan(told.alarms[0, :, 0]).all()
