"""One list of words for missing, one rule for spellings."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest

import mien.missing
import mien.spellings
from mien.missing import is_missing, missing_mask
from mien.spellings import canonical, folded, spellings


@pytest.mark.parametrize("module", [mien.missing, mien.spellings])
def test_the_examples_hold(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize(
    "word", ["", " ", "NA", "n/a", "N.A.", "NaN", "-", "Unknown", " unknown ", "<NA>", "NULL", "?", "\u2013"]
)
def test_words_that_mean_missing_everywhere(word: str) -> None:
    assert is_missing(word)
    assert is_missing(word, group=True)


@pytest.mark.parametrize(
    "word", ["0", "no", "other", "nannan", "-1", "n", "unknown person 3", "known", "not", "available", "defined"]
)
def test_words_that_do_not(word: str) -> None:
    assert not is_missing(word)


def test_none_is_a_group_but_no_person_and_minus_one_is_no_cluster() -> None:
    assert is_missing("None")
    assert not is_missing("None", group=True)
    assert is_missing("-1", cluster=True)
    assert is_missing("-1.0", cluster=True)
    assert not is_missing("-1", group=True)


def test_objects_are_looked_at_too() -> None:
    values = [None, np.nan, pd.NaT, pd.NA, "unknown", 3, "female", -1]
    assert missing_mask(values, group=True).tolist() == [True] * 5 + [False] * 3
    assert missing_mask(values, cluster=True)[-1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("male", "MALE"),
        ("male", " Male\u00a0"),
        ("3-9", "3-9 "),
        ("1", "1.0"),
        ("Stra\u00dfe", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("\uff11", "1"),
        ("east  asian", "East Asian"),
        ("20-29", "20\u201329"),
        ("20 - 29", "20-29"),
        ("middle\u2013eastern", "middle-eastern"),
    ],
)
def test_spellings_of_one_word(one: str, other: str) -> None:
    assert folded(one) == folded(other)
    assert list(spellings([one, other, one, "x"]).values()) == [[one, other]]


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.5", "1"), ("10", "1"), ("male", "female"), ("1.01", "1"), ("a b", "ab"), ("a - b", "a-b"), ("-1", "1")],
)
def test_different_words_stay_different(one: str, other: str) -> None:
    assert folded(one) != folded(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("angry", "anger"),
        ("Happy", "HAPPINESS"),
        ("sad", "sadness"),
        ("fear", "fearful"),
        ("surprise", "Surprised"),
        ("disgust", "disgusted"),
        ("neutral", "natural"),
        ("neutral", "Normal"),
        ("contempt", "contemptuous"),
        ("0", "0.0"),
    ],
)
def test_synonyms_of_expressions(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize("word", ["not known", "Undefined", " unspecified ", "Not Available", "\u2014"])
def test_further_words_that_mean_missing(word: str) -> None:
    assert is_missing(word)
    assert is_missing(word, group=True)
