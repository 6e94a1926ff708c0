from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from mien.stats.selective import Step, risk_threshold, surest_steps, upper_limit


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 40), (40, 100), (9, 10)])
def test_the_limit_is_clopper_and_pearsons(k: int, n: int) -> None:
    theirs = binomtest(k, n, alternative="less").proportion_ci(0.95, method="exact").high
    assert upper_limit(k, n) == pytest.approx(theirs)
    assert upper_limit(n, n) == 1


def test_faces_of_one_confidence_come_all_or_none() -> None:
    steps = surest_steps(np.array([0.9, 0.9, 0.9, 0.5]), np.array([True, False, True, True]), 4)
    assert steps == (Step(0.9, 3, 1), Step(0.5, 4, 1))
    assert surest_steps(np.empty(0), np.empty(0, dtype=bool)) == ()


def test_a_threshold_by_hand() -> None:
    steps = (Step(0.9, 100, 0), Step(0.8, 200, 10), Step(0.6, 300, 60))
    assert upper_limit(10, 200) < 0.1 < upper_limit(60, 300)
    assert risk_threshold(steps, 0.1) == 0.8
    assert risk_threshold(steps, 0.03) == 0.9
    assert risk_threshold(steps, 0.3) == 0.0  # all may be answered
    assert risk_threshold(steps, 0.001) == math.inf  # 100 faces promise no more than 3 in 100
    assert risk_threshold(steps, 0.0) == math.inf
    assert risk_threshold((), 0.5) == math.inf
    assert risk_threshold((), 1.0) == 0.0


def test_a_step_that_fails_ends_the_search() -> None:
    steps = (Step(0.9, 100, 30), Step(0.8, 1000, 30))  # the second would pass: but it was not its turn
    assert risk_threshold(steps, 0.1) == math.inf


@pytest.mark.parametrize("risk", [0.05, 0.1, 0.2])
def test_the_promise_is_kept_as_often_as_it_says(risk: float) -> None:
    """A known truth: a face of confidence c is right with probability g(c), below c for an overconfident classifier."""
    rng = np.random.default_rng(3)

    def truth(c: np.ndarray) -> np.ndarray:
        return 0.3 + 0.7 * c**2

    everyone = rng.beta(4, 1.2, 400_000)
    broken = answered = 0
    for _ in range(400):
        c = rng.beta(4, 1.2, 600)
        threshold = risk_threshold(surest_steps(c, rng.random(600) < truth(c)), risk)
        if math.isinf(threshold):
            continue
        kept = everyone[everyone >= threshold]
        answered += len(kept) / len(everyone)
        broken += (1 - truth(kept)).mean() > risk
    assert broken / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert answered / 400 > 0.01  # and it is not kept by silence
