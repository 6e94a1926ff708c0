from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data.datasets.ferplus import read_votes
from mien.errors import LabelError
from mien.labels import (
    EDUCATION_CLASSES,
    FER2013_CLASSES,
    FERPLUS_CLASSES,
    FERPLUS_VOCABULARY,
    SCHEMES,
    label_scheme,
    scheme_names,
)
from mien.spellings import canonical, distinct

NEUTRAL, HAPPINESS, SURPRISE, SADNESS, ANGER, DISGUST, FEAR, CONTEMPT, UNKNOWN, NF = range(10)


def votes(**counts):
    """One row of FER+ votes by name."""
    row = np.zeros(10)
    for name, count in counts.items():
        row[FERPLUS_VOCABULARY.index(name)] = count
    return row


def encode(scheme, *rows):
    return label_scheme(scheme, FERPLUS_VOCABULARY).targets(np.array(rows), FERPLUS_VOCABULARY)


def expression(**shares):
    """Targets over the eight expressions by name."""
    return votes(**shares)[:8]


# --- FER+, worked out by hand -------------------------------------------------------------------
# S is the sum that is left once entries of a single vote are struck out.

MAJORITY = {
    "6 of 10": (votes(anger=6, sadness=4), expression(anger=1)),
    "exactly half is no majority": (votes(anger=5, sadness=5), "no majority"),
    "exactly half, not tied": (votes(anger=5, sadness=3, fear=2), "no majority"),
    "single votes do not count against it: 4 of S=6": (
        votes(anger=4, sadness=2, fear=1, disgust=1, neutral=1, surprise=1),
        expression(anger=1),
    ),
    "4 of S=8 is half again": (votes(anger=4, sadness=2, fear=2, disgust=1, neutral=1), "no majority"),
    "ten single votes": (votes(**dict.fromkeys(FERPLUS_VOCABULARY, 1)), "no majority"),
    "no votes at all": (votes(), "no majority"),
    "unknown wins": (votes(unknown=7, anger=3), "unknown or not a face"),
    "not a face wins": (votes(nf=10), "unknown or not a face"),
    "unknown second does not matter": (votes(fear=6, unknown=4), expression(fear=1)),
    "contempt is an expression": (votes(contempt=9, nf=1), expression(contempt=1)),
}
DISTRIBUTION = {
    # 5 + 3 = 8 >= 7.5: stops at two labels, the 2 never enter
    "until three quarters": (votes(neutral=5, sadness=3, anger=2), expression(neutral=5 / 8, sadness=3 / 8)),
    # 5 < 7.5, then the two 2s together make 9, and S is 9 as the single vote is out
    "ties enter together": (
        votes(neutral=5, sadness=2, anger=2, fear=1),
        expression(neutral=5 / 9, sadness=2 / 9, anger=2 / 9),
    ),
    # S=10, 4 + 2 + 2 + 2: the tie brings a fourth label
    "more than three labels": (votes(neutral=4, sadness=2, anger=2, fear=2), "too little agreement"),
    # S=9, 4 < 6.75, 4+3=7 >= 6.75
    "a single vote lowers the bar": (
        votes(happiness=4, neutral=3, sadness=2, fear=1),
        expression(happiness=4 / 7, neutral=3 / 7),
    ),
    "exactly three quarters stop": (votes(neutral=6, sadness=2), expression(neutral=1)),
    # S=10: 5 kept, unknown's 3 reached second and kept out, stop; 5 <= 5
    "unknown reached second, half kept": (votes(anger=5, unknown=3, fear=2), "too little agreement"),
    # S=10: 6 kept, unknown's 4 kept out, 6 > 5
    "unknown reached second, more kept": (votes(anger=6, unknown=4), expression(anger=1)),
    # S=10: 4, 3 make 7 < 7.5; not-a-face third: out; 7 > 5
    "not a face reached third": (
        votes(anger=4, fear=3, nf=2, unknown=0, sadness=1),
        expression(anger=4 / 7, fear=3 / 7),
    ),
    "unknown first": (votes(unknown=6, anger=4), "unknown or not a face"),
    # unknown first and alone: 5 <= 5
    "unknown first with half": (votes(unknown=5, anger=3, fear=2), "too little agreement"),
    # tie at 5: anger's column comes first and is kept, unknown is then kept out; 5 <= 5
    "tied with unknown": (votes(anger=5, unknown=5), "too little agreement"),
    # S=11: anger 4 and fear 4 lead unknown 3: 8 < 8.25, unknown out, 8 > 5.5
    "two before unknown": (votes(anger=4, fear=4, unknown=3), expression(anger=0.5, fear=0.5)),
    "three tied": (votes(anger=3, fear=3, sadness=3, neutral=1), expression(anger=1 / 3, fear=1 / 3, sadness=1 / 3)),
    "four tied": (votes(anger=2, fear=2, sadness=2, disgust=2), "too little agreement"),
    "ten single votes": (votes(**dict.fromkeys(FERPLUS_VOCABULARY, 1)), "too little agreement"),
    "no votes at all": (votes(), "too little agreement"),
}
MULTI_TARGET = {
    # S=10, the bar is at 3
    "three tenths are in": (votes(anger=5, sadness=3, fear=2), expression(anger=5 / 8, sadness=3 / 8)),
    "six tenths together": (
        votes(anger=3, sadness=3, fear=2, neutral=2),
        expression(anger=0.5, sadness=0.5),
    ),
    # S=8, the bar is at 2.4, and 4 <= 4
    "exactly half": (votes(anger=4, sadness=2, fear=2, neutral=1, unknown=1), "too little agreement"),
    # S=12, the bar is at 3.6, and 6 <= 6
    "exactly half of twelve": (votes(anger=6, sadness=2, fear=2, neutral=2), "too little agreement"),
    # S=9 as the single vote is out, the bar is at 2.7, and 5 > 4.5
    "five of nine": (votes(anger=5, sadness=2, fear=2, neutral=1), expression(anger=1)),
    "four of ten": (votes(anger=4, sadness=2, fear=2, neutral=2), "too little agreement"),
    # unknown is kept, but does not lead: it is cut off afterwards
    "unknown second": (votes(anger=6, unknown=4), expression(anger=1)),
    "unknown first": (votes(anger=4, unknown=6), "unknown or not a face"),
    "tied with unknown, the first column leads": (votes(anger=5, unknown=5), expression(anger=1)),
    "ten single votes": (votes(**dict.fromkeys(FERPLUS_VOCABULARY, 1)), "too little agreement"),
    "no votes at all": (votes(), "too little agreement"),
}


@pytest.mark.parametrize(
    ("scheme", "row", "expected"),
    [
        pytest.param(f"ferplus_{scheme}", row, expected, id=f"{scheme}: {name}")
        for scheme, cases in (
            ("majority", MAJORITY),
            ("distribution", DISTRIBUTION),
            ("multi_target", MULTI_TARGET),
        )
        for name, (row, expected) in cases.items()
    ],
)
def test_ferplus_rules_by_hand(scheme, row, expected):
    result = encode(scheme, row)
    if isinstance(expected, str):
        assert result.dropped == {expected: 1}
        assert result.keep.tolist() == [False]
        assert not result.probs.any()
    else:
        assert result.dropped == {}
        np.testing.assert_allclose(result.probs[0], expected, atol=1e-6)


def published(row, mode):
    """The published processing of one row, step by step over plain lists; None where it is dropped."""
    left = [v if v > 1 else 0.0 for v in row]
    total = sum(left)
    taken = [0.0] * 10
    dropped = False
    if mode == "majority":
        peak = max(left)
        dropped = not peak > 0.5 * total
        taken[left.index(peak)] = peak
    elif mode == "distribution":
        reached, labels, stopped = 0.0, 0, False
        while not stopped and labels < 3 and reached < 0.75 * total:
            peak = max(left)
            for i in range(10):
                if left[i] != peak:
                    continue
                taken[i], left[i] = peak, 0
                reached += peak
                labels += 1
                if i >= 8:
                    stopped = True
                    if sum(taken) > peak:
                        taken[i] = 0.0
                        labels -= 1
                    break
        dropped = sum(taken) <= 0.5 * total or labels > 3
    else:
        for i in range(10):
            if left[i] >= 0.3 * total:
                taken[i] = left[i]
        dropped = sum(taken) <= 0.5 * total
    if dropped or taken.index(max(taken)) >= 8:
        return None
    return [v / sum(taken[:8]) for v in taken[:8]]


def random_votes(n, seed):
    """Rows of ten votes (some of fewer), from unanimous to scattered."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(10, 0.25), size=n)
    return np.array([rng.multinomial(rng.choice([10, 10, 9, 12, 20]), p) for p in shares], dtype=float)


@pytest.mark.parametrize("mode", ["majority", "distribution", "multi_target"])
def test_ferplus_rules_agree_with_the_published_loop(mode):
    rows = random_votes(3000, seed=5)
    result = encode(f"ferplus_{mode}", *rows)
    expected = [published(row.tolist(), mode) for row in rows]
    kept = np.array([e is not None for e in expected])
    assert 0.3 < kept.mean() < 0.95
    np.testing.assert_array_equal(result.keep, kept)
    np.testing.assert_allclose(result.probs[kept], [e for e in expected if e is not None], atol=1e-6)
    assert sum(result.dropped.values()) == (~kept).sum()


# --- Education ------------------------------------------------------------------------------------
# Columns: the row, then the label under edu_code, edu_table and edu_text.

EDUCATION = {
    "anger leads with 3": (votes(anger=3, neutral=2), "angry", "angry", "angry"),
    # or >2 although neutral leads; without it neutral leads with 7 > 6
    "anger 3, neutral 7": (votes(anger=3, neutral=7), "angry", "neutral", "neutral"),
    # leads with 2: code by dominance, text by >= 2, table needs > 2
    "anger leads with 2": (votes(anger=2, neutral=1, unknown=4), "angry", None, "angry"),
    # leads with 1: code by dominance only
    "anger leads with 1": (votes(anger=1, unknown=4), "angry", None, None),
    # tied leaders are not dominant, but 3 > 2
    "anger tied at 3": (votes(anger=3, sadness=3), "angry", None, None),
    "neutral alone": (votes(neutral=10), *["focused"] * 3),
    "neutral leads, no sadness or anger": (votes(neutral=3, surprise=2, fear=2, happiness=2), *["focused"] * 3),
    "neutral 7 with sadness": (votes(neutral=7, sadness=3), *["neutral"] * 3),
    "neutral 7 with one anger": (votes(neutral=7, anger=1, happiness=2), *["neutral"] * 3),
    # 6 is not more than 6; then sadness 4 > anger 0 + 2
    "neutral 6 with sadness": (votes(neutral=6, sadness=4), *["bored"] * 3),
    "sadness 2 is not above anger + 2": (votes(neutral=6, sadness=2, surprise=2), None, None, None),
    "sadness 3 is": (votes(neutral=5, sadness=3, surprise=2), *["bored"] * 3),
    "bored needs some neutral": (votes(sadness=8, surprise=2), None, None, None),
    "bored allows no happiness": (votes(neutral=4, sadness=5, happiness=1), None, None, None),
    "bored allows no fear": (votes(neutral=4, sadness=5, fear=1), None, None, None),
    "bored with anger 1 and sadness 4": (votes(neutral=5, sadness=4, anger=1), *["bored"] * 3),
    "not with anger 2 and sadness 4": (votes(neutral=4, sadness=4, anger=2), None, None, None),
    # contempt has most votes, but never enters a comparison
    "contempt is not compared": (votes(contempt=5, neutral=4, surprise=1), *["focused"] * 3),
    "one vote for not a face": (votes(neutral=9, nf=1), "not a face", "not a face", "not a face"),
    "five unknown": (votes(neutral=5, unknown=5), *["five or more unknown votes"] * 3),
    "four unknown": (votes(neutral=6, unknown=4), *["focused"] * 3),
    "not a face is asked before unknown": (votes(unknown=9, nf=1), *["not a face"] * 3),
}


@pytest.mark.parametrize("reading", ["code", "table", "text"])
@pytest.mark.parametrize("name", EDUCATION)
def test_education_labels_by_hand(name, reading):
    row, *labels = EDUCATION[name]
    expected = labels[("code", "table", "text").index(reading)]
    result = encode(f"edu_{reading}", row)
    if expected in EDUCATION_CLASSES:
        assert result.keep.tolist() == [True]
        np.testing.assert_array_equal(result.probs, [np.array(EDUCATION_CLASSES) == expected])
    else:
        assert result.dropped == {expected or "no education rule matches": 1}


def test_education_counts_of_the_small_fixture():
    counts = {r: encode(f"edu_{r}", *(row for row, *_ in EDUCATION.values())) for r in ("code", "table", "text")}
    # angry, neutral, focused, bored; the rest of the 22 rows is dropped
    assert counts["code"].counts().tolist() == [5, 2, 4, 3]
    assert counts["table"].counts().tolist() == [1, 3, 4, 3]
    assert counts["text"].counts().tolist() == [2, 3, 4, 3]
    assert [sum(c.dropped.values()) for c in counts.values()] == [8, 11, 10]


# --- The real votes ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_votes(real_data: Path):
    frame = read_votes(real_data / "fer2013new.csv")
    return frame["usage"].to_numpy(), frame[[f"votes_{v}" for v in FERPLUS_VOCABULARY]].to_numpy(float)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("ferplus_majority", (25_060, 3_199, 3_153)),
        ("ferplus_distribution", (27_956, 3_505, 3_505)),
        ("ferplus_multi_target", (27_671, 3_472, 3_472)),
    ],
)
def test_ferplus_keeps_the_published_numbers_of_real_faces(real_votes, scheme, expected):
    usage, rows = real_votes
    assert len(rows) == 35_887
    kept = encode(scheme, *rows).keep
    assert tuple(int(kept[usage == u].sum()) for u in ("Training", "PublicTest", "PrivateTest")) == expected


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("reading", "angry", "focused", "neutral", "bored"),
    [("code", 3_954, 4_553, 3_789, 3_960), ("table", 3_049, 4_553, 3_818, 3_962), ("text", 3_055, 4_553, 3_818, 3_962)],
)
def test_education_labels_have_the_published_counts(real_votes, reading, angry, focused, neutral, bored):
    result = encode(f"edu_{reading}", *real_votes[1])
    assert dict(zip(EDUCATION_CLASSES, result.counts().tolist(), strict=True)) == {
        "angry": angry,
        "neutral": neutral,
        "focused": focused,
        "bored": bored,
    }
    cleaned_away = result.dropped["not a face"] + result.dropped["five or more unknown votes"]
    assert 35_887 - cleaned_away == 35_459
    assert result.keep.sum() == angry + focused + neutral + bored


# --- Schemes for any vocabulary -----------------------------------------------------------------------


def test_majority_takes_the_most_and_drops_ties_and_empty_rows():
    scheme = label_scheme("majority", ("sad", "happy", "unknown"))
    result = scheme.targets(np.array([[2, 1, 9], [1, 1, 0], [0, 0, 3], [0, 4, 0]]), ("sad", "happy", "unknown"))
    assert scheme.classes == ("sad", "happy")
    np.testing.assert_array_equal(result.probs, [[1, 0], [0, 0], [0, 0], [0, 1]])
    assert result.keep.tolist() == [True, False, False, True]
    assert result.dropped == {"tied votes": 1, "no votes": 1}


def test_distribution_divides_by_the_votes_for_expressions():
    scheme = label_scheme("distribution", ("sad", "happy", "nf"))
    result = scheme.targets(np.array([[3, 1, 4], [0, 0, 2]]), ("sad", "happy", "nf"))
    np.testing.assert_allclose(result.probs, [[0.75, 0.25], [0, 0]])
    assert result.dropped == {"no votes": 1}


def test_fer2013_reads_its_one_vote_in_the_challenges_order():
    result = label_scheme("fer2013", FER2013_CLASSES).targets(np.eye(7), FER2013_CLASSES)
    np.testing.assert_array_equal(result.probs, np.eye(7))
    assert FER2013_CLASSES == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@given(
    st.lists(st.lists(st.integers(0, 12), min_size=10, max_size=10), min_size=1, max_size=8),
    st.sampled_from(scheme_names()),
)
@settings(max_examples=60, deadline=None)
def test_each_row_is_kept_and_sums_to_one_or_is_dropped_and_counted(rows, name):
    if name == "fer2013":
        rows, vocabulary = [r[:7] for r in rows], FER2013_CLASSES
    else:
        vocabulary = FERPLUS_VOCABULARY
    result = label_scheme(name, vocabulary, SCHEMES.tiny(name)).targets(np.array(rows), vocabulary)
    np.testing.assert_allclose(result.probs.sum(1), result.keep.astype(float), atol=1e-6)
    assert sum(result.dropped.values()) == len(rows) - result.keep.sum()
    assert result.counts().sum() == result.keep.sum()


def test_no_rows_give_no_targets():
    result = label_scheme("ferplus_majority", FERPLUS_VOCABULARY).targets(np.zeros((0, 10)), FERPLUS_VOCABULARY)
    assert result.probs.shape == (0, 8)
    assert result.dropped == {}


# --- Columns and spellings ----------------------------------------------------------------------------


def test_columns_are_found_by_name_whatever_their_order_and_spelling():
    rows = random_votes(50, seed=2)
    shuffled = np.random.default_rng(0).permutation(10)
    spelt = np.array(
        ["Neutral", "happy", "surprised", "sad", "Angry", "disgusted", "afraid", "contempt", "UNKNOWN", "Not a face"]
    )
    a = encode("ferplus_distribution", *rows)
    b = label_scheme("ferplus_distribution", list(spelt[shuffled])).targets(rows[:, shuffled], list(spelt[shuffled]))
    np.testing.assert_array_equal(a.probs, b.probs)
    assert a.dropped == b.dropped


def test_spellings():
    assert canonical(" Angry ") == canonical("anger") == "anger"
    assert canonical("HAPPY") == canonical("happiness")
    assert canonical("sad") != canonical("happy")
    assert distinct(["angry", "sad", "Anger", "sadness", "fear"]) == ("angry", "sad", "fear")


def test_a_missing_column_is_named_with_those_there_are():
    with pytest.raises(
        LabelError, match=r"'ferplus_majority': the votes have no column 'contempt' \(they have angry.*Choose"
    ):
        label_scheme("ferplus_majority", FER2013_CLASSES).targets(np.eye(7), FER2013_CLASSES)


def test_unknown_and_not_a_face_may_be_missing_and_count_none():
    vocabulary = FERPLUS_VOCABULARY[:8]
    rows = random_votes(100, seed=3)
    rows[:, 8:] = 0
    narrow = label_scheme("ferplus_majority", vocabulary).targets(rows[:, :8], vocabulary)
    np.testing.assert_array_equal(narrow.probs, encode("ferplus_majority", *rows).probs)


@pytest.mark.parametrize("value", [-1, np.nan, np.inf])
def test_votes_that_are_no_counts_are_refused_with_their_row(value):
    rows = np.ones((4, 10))
    rows[2, 3] = value
    with pytest.raises(LabelError, match=r"votes row 2: \[.*expected finite counts of 0 or more"):
        encode("ferplus_majority", *rows)


def test_votes_of_another_width_are_refused():
    with pytest.raises(LabelError, match=r"an array of shape \(3, 7\), expected \(n, 10\)"):
        label_scheme("ferplus_majority", FERPLUS_VOCABULARY).targets(np.ones((3, 7)), FERPLUS_VOCABULARY)


def test_two_columns_for_one_expression_are_refused():
    with pytest.raises(LabelError, match="columns angry, anger, sad, expected each expression once"):
        label_scheme("majority", ("angry", "anger", "sad")).targets(np.eye(3), ("angry", "anger", "sad"))


def test_an_unknown_scheme_is_answered_with_the_nearest():
    with pytest.raises(LabelError, match=r"unknown label scheme 'ferplus_majorty'\. Did you mean 'ferplus_majority'\?"):
        label_scheme("ferplus_majorty", FERPLUS_VOCABULARY)


def test_class_votes_are_the_votes_for_the_classes_in_their_order():
    rows = random_votes(5, seed=1)
    own = label_scheme("ferplus_majority", FERPLUS_VOCABULARY).class_votes(rows, FERPLUS_VOCABULARY)
    np.testing.assert_array_equal(own, rows[:, :8])
    assert len(FERPLUS_CLASSES) == 8
    assert label_scheme("edu_code", FERPLUS_VOCABULARY).class_votes(rows, FERPLUS_VOCABULARY) is None


def test_votes_cast_for_the_education_labels_themselves_are_class_votes():
    vocabulary = ("bored", *EDUCATION_CLASSES[:3])
    rows = np.array([[1.0, 2, 3, 4]])
    scheme = label_scheme("majority", EDUCATION_CLASSES)
    np.testing.assert_array_equal(scheme.class_votes(rows, vocabulary), [[2, 3, 4, 1]])


def test_dropped_reasons_are_counted_by_face_and_not_by_pattern():
    result = encode("ferplus_majority", *[votes(nf=10)] * 3, *[votes(anger=5, fear=5)] * 2, votes(anger=10))
    assert Counter(result.dropped) == Counter({"unknown or not a face": 3, "no majority": 2})
    assert result.counts().tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert pd.Series(result.keep).tolist() == [False] * 5 + [True]
