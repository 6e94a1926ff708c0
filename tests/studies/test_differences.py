"""Differences of two procedures over seeds, under a known truth."""

from __future__ import annotations

import numpy as np
import pytest

from mien.audit.seeds.noise import estimate_of, spreads_of
from mien.records import Estimate
from mien.stats.cells import Rows
from mien.stats.settings import Settings

N = 400


def difference_over_seeds(one: list[Rows], two: list[Rows], metric: str, settings: Settings) -> Estimate:
    """As a study's claims are judged: runs in pairs, on the same faces."""
    units = int(one[0].units_per_group()[0])
    return estimate_of(spreads_of(one, two)[metric, 0], len(one[0]), units, settings, "in pairs")


def runs(rng: np.random.Generator, easy: np.ndarray, k: int, seed_sd: float, copies: int) -> list[Rows]:
    """Runs of a procedure that is right on a face with probability ``easy``, moved by each seed as a whole."""
    label = np.arange(len(easy)) % 2
    unit = np.arange(len(easy)) // copies
    found = []
    for _ in range(k):
        luck = np.repeat(rng.random(len(easy) // copies), copies)  # copies of a face are judged alike
        right = luck < np.clip(easy + rng.normal(0, seed_sd), 0, 1)
        found.append(Rows(np.zeros(len(easy), dtype=np.int64), label, np.where(right, label, 1 - label), unit, 1, 2))
    return found


@pytest.mark.parametrize(("k", "seed_sd", "copies"), [(2, 0.0, 1), (3, 0.03, 1), (5, 0.03, 4)])
@pytest.mark.parametrize("gain", [0.0, 0.1])
def test_the_interval_holds_the_true_difference(k: int, seed_sd: float, copies: int, gain: float) -> None:
    rng, inside, sound = np.random.default_rng(k), 0, 300
    for _ in range(sound):
        easy = np.repeat(rng.beta(4, 2, N // copies), copies) * 0.8
        one, two = runs(rng, easy + gain, k, seed_sd, copies), runs(rng, easy, k, seed_sd, copies)
        found = difference_over_seeds(one, two, "accuracy", Settings())
        inside += found.low <= gain <= found.high
        assert (found.n, found.clusters) == (N, N // copies)
    # 95 % are aimed at; with few seeds Student's t makes it more. 300 draws tell 0.92 from 0.95 in most cases.
    assert inside / sound >= 0.92


def test_pairs_on_the_same_faces_tell_more_than_either_mean() -> None:
    rng = np.random.default_rng(0)
    easy = (rng.random(N) < 0.6).astype(float)  # half of the faces are hopeless, for both
    one, two = runs(rng, easy, 3, 0.0, 1), runs(rng, easy, 3, 0.0, 1)
    found = difference_over_seeds(one, two, "accuracy", Settings())
    assert found.high - found.low < 0.02  # one mean alone has 0.096


def test_it_is_the_difference_of_the_means() -> None:
    rng = np.random.default_rng(1)
    easy = rng.random(N)
    one, two = runs(rng, easy, 3, 0.02, 1), runs(rng, easy, 3, 0.02, 1)
    for metric in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1"):
        found, back = (difference_over_seeds(a, b, metric, Settings()) for a, b in ((one, two), (two, one)))
        assert found.value == pytest.approx(-back.value)
        assert found.low == pytest.approx(-back.high)
    right = [np.mean([(r.label == r.predicted).mean() for r in side]) for side in (one, two)]
    assert difference_over_seeds(one, two, "accuracy", Settings()).value == pytest.approx(right[0] - right[1])
