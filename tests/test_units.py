"""Independent units: what agrees, and what means nobody and so agrees with nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mien.units import joined_units


def same(units):
    return units[:, None] == units


@pytest.mark.parametrize("word", ["", " ", "unknown", "N.A.", "-", "None", None, np.nan])
def test_words_for_missing_join_nobody(word):
    units = joined_units([pd.Series(["a", word, "a", word, "b"])])
    np.testing.assert_array_equal(same(units), same(np.array([0, 1, 0, 2, 3])))


@pytest.mark.parametrize("minus", [[-1, -1, 5, 5], [-1.0, -1.0, 5.0, 5.0], ["-1", "-1", "5", "5"]])
def test_minus_one_is_nobody_in_cluster_only(minus):
    cluster, persons = pd.Series(minus, name="cluster"), pd.Series(minus, name="identity")
    np.testing.assert_array_equal(same(joined_units([cluster])), same(np.array([0, 1, 2, 2])))
    np.testing.assert_array_equal(same(joined_units([persons])), same(np.array([0, 0, 1, 1])))


def test_rows_hang_together_through_either_column():
    cluster, persons = pd.Series([1, 1, 2, 3, 4], name="cluster"), pd.Series(["x", "y", "y", "unknown", "unknown"])
    np.testing.assert_array_equal(joined_units([cluster, persons]), [0, 0, 0, 1, 2])


def test_nobody_at_all():
    units = joined_units([pd.Series([None, None, "unknown"], dtype=object)])
    assert sorted(units.tolist()) == [0, 1, 2]
