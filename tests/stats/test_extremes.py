"""Extremes over groups and their changes lie in their intervals, under a known truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mien.stats.extremes import Bounds, Rates, change_of_extreme, extreme, share_variance
from mien.stats.replicates import UnitReplicates

KINDS: tuple[Any, ...] = ("gap", "worst", "ratio")
TRUE = {"gap": np.ptp, "worst": np.min, "ratio": lambda x: x.min() / x.max()}


class World:
    """Faces of some groups; models are right on them with known probabilities, partly by the faces' own luck."""

    def __init__(self, rng: np.random.Generator, sizes: list[int], copies: int = 1) -> None:
        self.rng, self.sizes, self.copies = rng, sizes, copies
        self.group = np.repeat(np.arange(len(sizes)), sizes)
        self.n = len(self.group)
        self.unit = np.arange(self.n) // copies
        self.luck = self.drawn()
        self.replicates = UnitReplicates.draw(self.n, self.unit, 150, rng)

    def drawn(self) -> np.ndarray:
        return np.repeat(self.rng.random(self.n // self.copies + 1), self.copies)[: self.n]

    def model(self, right: list[float], seeds: int, spread: float = 0.0) -> Rates:
        g, found = len(self.sizes), []
        for _ in range(seeds):
            luck = np.where(self.drawn() < 0.7, self.luck, self.drawn())
            moved = np.array(right) + self.rng.normal(0, spread, g)
            hit = (luck < moved[self.group]).astype(np.int64)
            tables = self.replicates.tables(self.group, np.ones(self.n, dtype=np.int64), hit, (g, 2))
            with np.errstate(invalid="ignore"):
                found.append((tables[:, :, 1, 1] / tables.sum((2, 3)))[:, None])
        units = np.array([len(np.unique(self.unit[self.group == i])) for i in range(g)])
        values = np.stack(found)
        return Rates(values, share_variance(values[0, 0], units))


@pytest.mark.parametrize(
    ("sizes", "one", "other", "seeds", "spread", "copies"),
    [
        # Noise widens the gap of the alike more than that of the others: a difference of gaps does not cancel it.
        ([900, 900, 300, 100, 60, 40], [0.7] * 6, [0.85, 0.6, 0.7, 0.7, 0.7, 0.7], 3, 0.0, 1),
        ([300, 100, 60, 40], [0.7] * 4, [0.8, 0.7, 0.7, 0.6], 2, 0.02, 1),
        ([800, 400], [0.8, 0.7], [0.8, 0.6], 5, 0.01, 1),
        ([800, 400], [0.8, 0.7], [0.8, 0.6], 1, 0.0, 1),
        # Few persons with many faces each.
        ([600, 450, 75, 45, 45], [0.7] * 5, [0.7] * 5, 3, 0.0, 15),
    ],
)
def test_intervals_hold_the_truth(
    sizes: list[int], one: list[float], other: list[float], seeds: int, spread: float, copies: int
) -> None:
    rng, draws = np.random.default_rng(3), 50
    held = {kind: [0, 0] for kind in KINDS}
    for draw in range(draws):
        world = World(rng, sizes, copies)
        a, b = world.model(one, seeds, spread), world.model(other, seeds, spread)
        for kind in KINDS:
            value = extreme(a, kind, 0.95, np.random.default_rng(draw))
            change = change_of_extreme(a, b, kind, 0.95, np.random.default_rng(draw))
            want = TRUE[kind](np.array(one)), TRUE[kind](np.array(one)) - TRUE[kind](np.array(other))
            for i, (found, true) in enumerate(zip((value, change), want, strict=True)):
                assert np.isnan(found.low) or found.low <= found.value <= found.high
                held[kind][i] += found.low - 1e-9 <= true <= found.high + 1e-9
    assert min(min(each) for each in held.values()) / draws >= 0.9, held


def test_a_change_of_two_groups_is_told() -> None:
    world = World(np.random.default_rng(0), [2000, 2000])
    a, b = world.model([0.8, 0.78], 5), world.model([0.8, 0.6], 5)
    found = change_of_extreme(a, b, "gap", 0.95, np.random.default_rng(0))
    assert found.high < 0
    assert found.value == pytest.approx(-0.18, abs=0.03)
    back = change_of_extreme(b, a, "gap", 0.95, np.random.default_rng(0))
    assert (back.value, back.low) == pytest.approx((-found.value, -found.high), abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_what_changes_nothing_has_changed_nothing(kind: Any) -> None:
    # As a temperature does: seeds with luck of their own, and the same answers.
    rng = np.random.default_rng(0)
    rates = World(rng, [400, 300]).model([0.8, 0.7], 5, 0.02)
    found = change_of_extreme(rates, rates, kind, 0.95, rng)
    assert found == Bounds(0.0, 0.0, 0.0)


def test_what_is_fitted_to_a_run_shares_its_luck() -> None:
    # Every seed is moved by its own luck, and the same rule turns a few answers of one group right.
    rng = np.random.default_rng(1)
    world, held, widths = World(rng, [900, 800]), 0, []
    for _ in range(40):
        base = world.model([0.8, 0.7], 5, 0.01)
        moved = base.values.copy()
        moved[..., 1] += 0.02 + rng.normal(0, 0.002, (5, 1, 1))
        found = change_of_extreme(Rates(moved, base.least), base, "gap", 0.95, rng)
        held += found.low <= -0.02 <= found.high
        widths.append(found.high - found.low)
    assert held >= 36
    assert np.median(widths) < 0.04  # were the luck of seeds not shared it would be 0.11


def test_by_hand() -> None:
    rates = np.array([[0.8, 0.6, 0.4], [0.5, np.nan, 0.6]])
    still = Rates(np.stack([np.stack([rates] * 11)] * 2), np.zeros((2, 3)))
    rng = np.random.default_rng(0)
    assert _close(extreme(still, "gap", 0.95, rng), 0.4)
    assert _close(extreme(still, "worst", 0.95, rng), 0.4)
    assert _close(extreme(still, "ratio", 0.95, rng), 0.5)
    less = Rates(still.values - 0.1 * np.array([1, 1, 0]), still.least)
    assert _close(change_of_extreme(still, less, "gap", 0.95, rng), 0.1)
    assert _close(change_of_extreme(still, less, "worst", 0.95, rng), 0.0)
    alone = Rates(still.values[..., :1], still.least[..., :1])
    assert np.isnan(extreme(alone, "gap", 0.95, rng).value)
    assert _close(extreme(alone, "worst", 0.95, rng), 0.5)
    nothing = Rates(np.full_like(still.values, np.nan), still.least)
    for kind in KINDS:
        assert np.isnan(extreme(nothing, kind, 0.95, rng).value)
        assert np.isnan(change_of_extreme(nothing, still, kind, 0.95, rng).value)
    zero = Rates(np.zeros((2, 11, 1, 2)), np.zeros((1, 2)))
    assert extreme(zero, "ratio", 0.95, rng).value == 1  # both are served as badly


def _close(found: Bounds, value: float) -> bool:
    return (found.value, found.low, found.high) == pytest.approx((value, value, value), abs=1e-9)


def test_many_groups_fit_into_memory() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0.4, 0.6, (1, 201, 4, 120))
    values[..., 60:] = np.nan  # these take no part
    found = extreme(Rates(values, np.full((4, 120), 1e-4)), "gap", 0.95, rng)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_replicates_that_lack_a_rate_neither_narrow_nor_blow_up_an_interval(kind: Any) -> None:
    rng = np.random.default_rng(8)
    values = np.array([0.9, 0.8, 0.6]) + np.concatenate([np.zeros((1, 3)), rng.normal(0, 0.05, (600, 3))])
    least = np.full((1, 3), 1e-6)

    def ends(lacking: float) -> Bounds:
        each = values.copy()
        each[1 : 1 + int(600 * lacking), 2] = np.nan
        return extreme(Rates(each[None, :, None], least), kind, 0.95, np.random.default_rng(0))

    whole = ends(0)
    for lacking in (0.01, 0.2, 0.45):
        part = ends(lacking)
        assert part.value == whole.value
        assert part.low == pytest.approx(whole.low, abs=0.03), lacking
        assert part.high == pytest.approx(whole.high, abs=0.03), lacking
    # Of a rate that most replicates lack nothing is known.
    unknown = ends(0.7)
    assert unknown.low == 0.0 if kind != "gap" else unknown.high == 1.0
