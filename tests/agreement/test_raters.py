"""Summaries, models and raters with codes of their own are told from raters; sound tables are read as ever."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mien.agreement.ratings import read_ratings
from mien.errors import DataError

WORDS = ["anger", "fear", "happiness", "neutral", "sadness", "surprise", "disgust"]


def codes(n=60, raters=3, seed=0, k=7):
    """``(n, raters)`` codes, alike in seven of ten cases."""
    rng = np.random.default_rng(seed)
    hidden = np.r_[np.arange(k), rng.integers(k, size=n - k)]
    own = rng.integers(k, size=(n, raters))
    return np.where(rng.random((n, raters)) < 0.7, hidden[:, None], own)


def table(values, names=("r1", "r2", "r3")):
    frame = pd.DataFrame(values, columns=list(names))
    return frame.assign(item=[f"i{k:02}" for k in range(len(frame))])


def words(**options):
    return table(np.array(WORDS)[codes(**options)])


def read(tmp_path, frame):
    frame.to_csv(tmp_path / "r.csv", index=False)
    return read_ratings(tmp_path / "r.csv")


@pytest.mark.parametrize("name", ["majority", "Consensus", "gold", "label", "majority_vote", "gt", "pred"])
def test_what_raters_add_up_to_is_no_rater(tmp_path, name):
    votes, notes = read(tmp_path, words().assign(**{name: words()["r1"]}))
    assert votes.annotators == ("r1", "r2", "r3")
    assert notes[0] == "The columns r1, r2, r3 were read as one rater each."
    assert notes[1].startswith(f"{name} is what")


def test_a_majority_among_named_raters_is_none(tmp_path):
    frame = words().rename(columns={"r1": "rater_1", "r2": "rater_2", "r3": "rater_majority"})
    assert read(tmp_path, frame)[0].annotators == ("rater_1", "rater_2")


def test_predictions_are_sent_to_the_audit(tmp_path):
    frame = words().rename(columns={"r1": "label", "r2": "pred"})[["item", "label", "pred"]]
    with pytest.raises(DataError, match=r"a model's answers \(pred\) beside label.*mien audit"):
        read(tmp_path, frame)


@pytest.mark.parametrize("names", [("r1", "r2", "r3"), ("rater_1", "rater_2", "rater_3")])
@pytest.mark.parametrize("layout", ["wide", "long"])
def test_a_rater_in_numbers_beside_words_is_refused(tmp_path, names, layout):
    values = np.array(WORDS)[codes()].astype(object)
    values[:, 2] = codes()[:, 2]
    frame = table(values, names)
    if layout == "long":
        frame = frame.melt("item", var_name="rater", value_name="label")
    with pytest.raises(DataError, match=f"'{names[2]}' (answers in numbers|is called like the raters)"):
        read(tmp_path, frame)


def test_columns_that_were_not_read_are_named(tmp_path):
    notes = read(tmp_path, words().assign(gender=["f", "m"] * 30))[1]
    assert notes[1] == "Not read as raters: gender."


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("seed", range(5))
def test_a_rater_who_counts_from_elsewhere_is_refused(tmp_path, step, seed):
    values = codes(seed=seed, raters=4) + (step < 0)
    values[:, 1] += step
    with pytest.raises(DataError, match=r"the rater 'r2' answers . to ., the others . to ."):
        read(tmp_path, table(values, ("r1", "r2", "r3", "r4")))


@pytest.mark.parametrize("seed", range(40))
def test_sound_codes_are_read(tmp_path, seed):
    rng = np.random.default_rng(seed)
    values = codes(int(rng.integers(12, 60)), int(rng.integers(2, 6)), seed, int(rng.integers(3, 8)))
    names = [f"r{k}" for k in range(values.shape[1])]
    votes, notes = read(tmp_path, table(values + int(rng.integers(2)), names))
    assert votes.annotators == tuple(names)
    assert len(notes) == 1


@pytest.mark.parametrize("word", ["don't know", "Not sure", "not_sure", "I"])
def test_who_does_not_know_gives_no_answer(tmp_path, word):
    frame = words()
    frame.loc[[3, 9], "r2"] = word
    votes, notes = read(tmp_path, frame)
    known = word == "I"
    assert (word in votes.vocabulary) == known
    assert any("2 such ratings count as missing" in n for n in notes) != known
