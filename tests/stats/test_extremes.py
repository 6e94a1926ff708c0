"""Bands about many rates at once, and what they leave an extreme."""

from __future__ import annotations

import numpy as np
import pytest

from mien.stats.extremes import band, extreme_bounds, gap_bounds, share_variance


def replicates(rng: np.random.Generator, right: np.ndarray, n: np.ndarray, b: int = 400) -> np.ndarray:
    """``(1 + B, 1, G)`` shares of right answers, and their bootstrap."""
    share = rng.binomial(n, right) / n
    return np.concatenate([share[None], rng.binomial(n, share, (b, len(n))) / n])[:, None]


@pytest.mark.parametrize("right", [[0.7, 0.7, 0.7, 0.7], [0.9, 0.8, 0.6, 0.5], [0.99, 0.99, 1.0, 1.0]])
def test_bounds_hold_the_truth(right: list[float]) -> None:
    rng, n, true = np.random.default_rng(1), np.array([900, 300, 100, 40]), np.array(right)
    want = {"gap": np.ptp(true), "worst": true.min(), "ratio": true.min() / true.max()}
    inside, draws = dict.fromkeys(want, 0), 150
    for _ in range(draws):
        rates = replicates(rng, true, n)
        least = share_variance(rates[0], n)
        found = {k: extreme_bounds(*band(rates, least, 0.95), k) for k in ("worst", "ratio")}
        found["gap"] = gap_bounds(rates, least, 0.95)
        for kind, (low, high) in found.items():
            inside[kind] += low <= want[kind] + 1e-9 and want[kind] - 1e-9 <= high
    assert min(inside.values()) / draws >= 0.91, inside  # 95 % are aimed at; over 400 draws it is 93 % or more


def test_pairs_tell_more_than_the_band() -> None:
    rng, n = np.random.default_rng(2), np.array([400, 400])
    rates = replicates(rng, np.array([0.8, 0.6]), n)
    least = share_variance(rates[0], n)
    low, high = gap_bounds(rates, least, 0.95)
    wide = extreme_bounds(*band(rates, least, 0.95), "gap")
    assert wide[0] < low < high < wide[1]
    # Of two groups it is the interval of one difference.
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt((0.16 + 0.24) / 400), rel=0.25)


def test_what_is_undefined() -> None:
    nan = float("nan")
    assert np.isnan(extreme_bounds([[0.1, nan]], [[0.2, nan]], "gap")).all()
    assert extreme_bounds([[0.1, nan]], [[0.2, nan]], "worst") == (0.1, 0.2)
    assert np.isnan(extreme_bounds([[nan, nan]], [[nan, nan]], "worst")).all()
    # A rate that only one group has takes no part, another does.
    assert extreme_bounds([[0.1, nan], [0.5, 0.7]], [[0.2, nan], [0.6, 0.9]], "gap") == pytest.approx((0.1, 0.4))
    assert extreme_bounds([[0.0, 0.0]], [[0.0, 0.0]], "ratio") == (0.0, 1.0)
    nothing = np.full((11, 1, 2), nan)
    assert np.isnan(gap_bounds(nothing, np.zeros((1, 2)), 0.95)).all()
    assert np.isnan(gap_bounds(np.zeros((11, 1, 1)), np.zeros((1, 1)), 0.95)).all()
    assert np.isnan(band(nothing, np.zeros((1, 2)), 0.95)[0]).all()
