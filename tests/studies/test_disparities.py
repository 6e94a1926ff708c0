"""Columns over groups: how they are written, which groups take part, and what they come to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mien.errors import ConfigError
from mien.metrics import equal_odds_fairness
from mien.records import Predictions
from mien.stats.settings import Settings
from mien.studies.columns import Column, column_of
from mien.studies.disparities import change_of, of_groups

FAST = Settings(n_boot=200)


def told(tables: dict[str, list[list[int]]], start: int = 0) -> Predictions:
    """Faces with these confusion counts."""
    label, predicted, group = [], [], []
    for name, table in tables.items():
        for i, row in enumerate(table):
            for j, n in enumerate(row):
                label += [i] * n
                predicted += [j] * n
                group += [name] * n
    n, k = len(label), len(next(iter(tables.values())))
    return Predictions(
        sample_id=np.arange(start, start + n).astype(str),
        labels=np.array(label),
        predicted=np.array(predicted),
        soft_targets=None,
        votes=None,
        probs=np.eye(k)[predicted],
        classes=tuple("abcdefgh"[:k]),
        groups=pd.DataFrame({"who": group}),
    )


def column(text: str) -> Column:
    return column_of(text, ["test"])


FIRST = {"x": [[90, 10], [20, 80]], "y": [[60, 40], [40, 60]], "few": [[0, 5], [5, 0]]}
SECOND = {"x": [[90, 10], [20, 80]], "y": [[70, 30], [30, 70]], "few": [[0, 5], [5, 0]]}


def test_groups_of_few_faces_take_no_part() -> None:
    run = told(FIRST)
    assert of_groups([run], column("accuracy@who:gap"), FAST).value == pytest.approx(0.85 - 0.6)
    assert of_groups([run], column("accuracy@who:worst"), FAST).value == pytest.approx(0.6)
    assert of_groups([run], column("accuracy@who:ratio"), FAST).value == pytest.approx(0.6 / 0.85)
    alone = of_groups([told({"x": FIRST["x"], "few": FIRST["few"]})], column("accuracy@who:gap"), FAST)
    assert np.isnan(alone.value)
    assert alone.note == "fewer than two groups of 30 faces or more"


def test_several_seeds_are_of_the_mean_rates() -> None:
    turned = {"x": FIRST["y"], "y": FIRST["x"], "few": FIRST["few"]}
    run, other = told(FIRST), told(turned)
    found = of_groups([run, other], column("accuracy@who:gap"), FAST)
    assert found.value == pytest.approx(0.0)  # each seed serves another group worst by 0.25
    assert found.low == 0
    assert found.high > 0.25


def test_a_change_is_of_pairs() -> None:
    one, two = [told(SECOND)] * 3, [told(FIRST)] * 3
    found = change_of(one, two, column("accuracy@who:gap"), FAST)
    assert found.value == pytest.approx(-0.1)
    assert -0.25 < found.low < found.value < found.high < 0.1
    assert change_of(two, two, column("accuracy@who:gap"), FAST).value == 0


def test_the_ratio_of_mean_recalls_is_f_of_the_literature() -> None:
    tables = {"one": [[90, 10, 0], [10, 90, 0], [20, 20, 20]], "two": [[60, 40, 0], [40, 60, 0], [0, 0, 0]]}
    found = of_groups([told(tables)], column("balanced_accuracy@who:ratio"), FAST)
    assert found.value == pytest.approx(float(equal_odds_fairness(np.array(list(tables.values())))))
    assert found.value == pytest.approx(2 / 3)


def test_seeds_of_other_faces() -> None:
    found = of_groups([told(FIRST), told(SECOND, start=1000)], column("accuracy@who:gap"), FAST)
    assert found.value == pytest.approx(0.2)
    assert found.low <= 0.2 <= found.high


@pytest.mark.parametrize(
    ("text", "attribute", "over", "groups"),
    [
        ("accuracy@race:gap", "race", "gap", ()),
        ("test.macro_f1@gender * age:worst", "gender*age", "worst", ()),
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
