"""Columns over groups hold the true gap, worst group and ratio, and their changes, under a known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mien.audit.seeds.noise import over_run_intervals
from mien.errors import ConfigError, DataError
from mien.records import Estimate, Predictions
from mien.stats.intervals import wilson
from mien.stats.settings import Settings
from mien.studies.columns import OVER, Column, column_of
from mien.studies.disparities import change_of, faces_of_groups, of_groups, over_groups

SIZES = {"a": 400, "b": 150, "c": 60, "d": 20}  # the last has too few to take part
GROUP = np.repeat(list(SIZES), list(SIZES.values()))


def runs(rng: np.random.Generator, right: dict[str, float], seeds: int, spread: float) -> list[Predictions]:
    """One model trained several times: right on a face of a group with its probability, moved by each seed."""
    n = len(GROUP)
    label, luck = np.arange(n) % 2, rng.random(n)  # what makes a face hard is the same for all seeds
    found = []
    for _ in range(seeds):
        chance = np.array([right[g] for g in GROUP])
        moved = {g: rng.normal(0, spread) for g in SIZES}
        own = np.where(rng.random(n) < 0.7, luck, rng.random(n))
        correct = own < chance + np.array([moved[g] for g in GROUP])
        found.append(
            Predictions(
                sample_id=np.arange(n).astype(str),
                labels=label.astype(np.int64),
                predicted=np.where(correct, label, 1 - label).astype(np.int64),
                soft_targets=None,
                votes=None,
                probs=np.eye(2)[np.where(correct, label, 1 - label)],
                classes=("no", "yes"),
                groups=pd.DataFrame({"who": GROUP}),
            )
        )
    return found


def groups_of_run(run: Predictions) -> list[Estimate]:
    parts = faces_of_groups(run, "who")
    level = 1 - 0.05 / len(parts)
    return [accuracy_estimate(run, faces, level) for faces in parts.values()]


def accuracy_estimate(run: Predictions, faces: np.ndarray, level: float) -> Estimate:
    n = int(faces.sum())
    hits = float((run.labels == run.predicted)[faces].sum())
    low, high = wilson(hits, float(n), level)
    return Estimate(hits / n, low, high, level=level, n=n)


def column(over: str) -> Column:
    return column_of(f"accuracy@who:{over}", ["test"])


EQUAL = dict.fromkeys(SIZES, 0.7)
UNEQUAL = {"a": 0.8, "b": 0.7, "c": 0.55, "d": 0.1}
TRUE = {"gap": (0.0, 0.25), "worst": (0.7, 0.55), "ratio": (1.0, 0.55 / 0.8)}


@pytest.mark.parametrize(("seeds", "spread"), [(2, 0.0), (3, 0.02)])
@pytest.mark.parametrize("unequal", [False, True])
def test_the_interval_holds_the_true_disparity(seeds: int, spread: float, unequal: bool) -> None:
    rng, draws = np.random.default_rng(seeds), 80
    inside = dict.fromkeys(OVER, 0)
    for _ in range(draws):
        told = [groups_of_run(run) for run in runs(rng, UNEQUAL if unequal else EQUAL, seeds, spread)]
        for over in OVER:
            found = over_run_intervals([of_groups(groups, over, 0.95) for groups in told], 0.95)
            inside[over] += found.low <= TRUE[over][unequal] <= found.high
    # 95 % are aimed at, and Bonferroni and Student's t make it more.
    assert min(inside.values()) / draws >= 0.95, inside


def test_the_interval_of_a_gap_about_its_value_would_not_hold() -> None:
    # Why the ends are of the groups': with equal groups every gap is above 0, and 0 is far from its middle.
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(100):
        told = of_groups(groups_of_run(runs(rng, EQUAL, 1, 0.0)[0]), "gap", 0.95)
        gaps.append(told.value)
        assert told.low == 0.0 <= told.value <= told.high
    assert np.mean(gaps) > 1.5 * np.std(gaps)


@pytest.mark.parametrize("gain", [0.0, 0.15])
def test_the_change_of_a_disparity_holds_the_true_one(gain: float) -> None:
    rng, draws = np.random.default_rng(7), 50
    better = UNEQUAL | {"c": UNEQUAL["c"] + gain}
    true = {
        over: float(np.subtract(*(over_groups(np.array([p["a"], p["b"], p["c"]]), over) for p in (better, UNEQUAL))))
        for over in OVER
    }
    inside = dict.fromkeys(OVER, 0)
    for i in range(draws):
        one, two = runs(rng, better, 3, 0.01), runs(rng, UNEQUAL, 3, 0.01)
        for over in OVER:
            found = change_of(one, two, column(over), Settings(n_boot=200, seed=i))
            inside[over] += found.low <= true[over] <= found.high
    assert min(inside.values()) / draws >= 0.9, inside


def test_groups_of_few_faces_take_no_part() -> None:
    (run,) = runs(np.random.default_rng(0), EQUAL, 1, 0.0)
    assert list(faces_of_groups(run, "who")) == ["a", "b", "c"]
    few = run.select(np.isin(GROUP, ["c", "d"]))
    with pytest.raises(DataError, match=r"'who': 1 groups of 30 faces or more"):
        faces_of_groups(few, "who")


def test_by_hand() -> None:
    groups = [Estimate(0.8, 0.7, 0.9, n=50), Estimate(0.6, 0.5, 0.7, n=50), Estimate(0.4, 0.3, 0.6, n=50)]
    gap, worst, ratio = (of_groups(groups, over, 0.95) for over in OVER)
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.4, 0.1, 0.6))
    assert (worst.value, worst.low, worst.high) == pytest.approx((0.4, 0.3, 0.6))
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.5, 0.3 / 0.9, 0.6 / 0.7))
    assert gap.n == 150
    none = [Estimate(0.0, 0.0, 0.0, n=50), Estimate(0.0, 0.0, 0.0, n=50)]
    assert np.isnan(of_groups(none, "ratio", 0.95).value)


@pytest.mark.parametrize(
    ("text", "attribute", "over", "groups"),
    [
        ("accuracy@race:gap", "race", "gap", ()),
        ("test.macro_f1@gender*age:worst", "gender*age", "worst", ()),
        ("accuracy@brightness:3:ratio", "brightness:3", "ratio", ()),
        ("accuracy@race=gap", "race", None, ("gap",)),
        ("accuracy@race=a:gap", "race", None, ("a:gap",)),
    ],
)
def test_how_columns_are_written(text: str, attribute: str, over: str | None, groups: tuple[str, ...]) -> None:
    found = column_of(text, ["test"])
    assert (found.attribute, found.over, found.groups) == (attribute, over, groups)


@pytest.mark.parametrize("text", ["accuracy@race:most", "accuracy@:gap", "kl@race:gap", "run.val_loss@race:gap"])
def test_what_is_no_column_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        column_of(text, ["test"])
