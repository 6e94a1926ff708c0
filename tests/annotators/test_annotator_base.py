from __future__ import annotations

import numpy as np

from mien.annotators import ANNOTATORS
from mien.annotators.base import RACE6, age_bins, with_merged
from mien.demographics import AGE, AGE_GROUP, GENDER, RACE, RACE4


def test_merged_heads_are_sums():
    race = np.array([[0.1, 0.2, 0.05, 0.15, 0.25, 0.2, 0.05], [np.nan] * 7], dtype=np.float32)
    probs = with_merged({"race": race})
    assert list(probs) == ["race", "race6", "race4"]
    # White, Black, Latino_Hispanic, Asian, Indian, Middle Eastern; White, Black, Asian, Indian.
    np.testing.assert_allclose(probs["race6"][0], [0.1, 0.2, 0.05, 0.4, 0.2, 0.05], rtol=1e-6)
    np.testing.assert_allclose(probs["race4"][0], [0.2, 0.2, 0.4, 0.2], rtol=1e-6)
    assert np.isnan(probs["race6"][1]).all()
    assert np.isnan(probs["race4"][1]).all()


def test_four_races_are_the_same_from_seven_and_from_six():
    race = np.random.default_rng(0).dirichlet(np.ones(7), 20)
    direct = with_merged({"race": race})
    np.testing.assert_allclose(with_merged({"race6": direct["race6"]})["race4"], direct["race4"], atol=1e-6)
    assert RACE6.head.groups == ("White", "Black", "Latino_Hispanic", "Asian", "Indian", "Middle Eastern")
    assert set(RACE6.to) == set(RACE.groups)
    assert set(RACE6.to.values()) == set(RACE6.head.groups)
    assert RACE4.head.groups == ("White", "Black", "Asian", "Indian")


def test_children_are_below_twenty():
    probs = with_merged({"age": np.eye(9), "gender": np.eye(2)})
    assert [AGE_GROUP.head.groups[i] for i in probs["age_group"].argmax(1)] == ["child"] * 3 + ["adult"] * 6
    assert list(probs) == ["age", "gender", "age_group"]
    assert all(values.dtype == np.float32 for values in probs.values())


def test_ages_fall_in_the_groups_that_their_names_say():
    years = np.array([0, 2.9, 3, 9.99, 10, 19.5, 20, 35, 59, 60, 69, 70, 101])
    groups = ["0-2"] * 2 + ["3-9"] * 2 + ["10-19"] * 2 + ["20-29", "30-39", "50-59", "60-69", "60-69", "70+", "70+"]
    assert [AGE.groups[i] for i in age_bins(years)] == groups


def test_the_catalogue_names_annotators_that_say_what_they_are():
    assert {"deepface", "fairface"} <= set(ANNOTATORS.names())
    assert all(ANNOTATORS.summary(name) for name in ANNOTATORS)
    assert GENDER.groups == ("Male", "Female")
