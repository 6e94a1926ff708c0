from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from voting import CLASSES

from mien.agreement import Votes, dawid_skene, find_outliers
from mien.errors import DataError, UsageError
from mien.samples import VOTES_EACH, SampleTable, Step

WORDS = ("joy", "anger", "unknown", "NF")


def small(**changes):
    rows = {
        "face": ["b", "a", "a", "b"],
        "annotator": ["x", "y", "x", "z"],
        "votes": [[1, 0, 0, 0], [4, 4, 2, 0], [0, 1, 0, 0], [0, 0, 0, 1]],
        "vocabulary": WORDS,
    }
    return Votes.from_rows(**(rows | changes))


def test_rows_are_sorted_by_face_and_annotator():
    votes = small(seconds=[1.0, 2.0, 3.0, np.nan])
    assert votes.faces.tolist() == ["a", "b"]
    assert votes.annotators == ("x", "y", "z")
    assert votes.face.tolist() == [0, 0, 1, 1]
    assert votes.annotator.tolist() == [0, 1, 0, 2]
    np.testing.assert_array_equal(votes.seconds, [3.0, 2.0, 1.0, np.nan])
    np.testing.assert_allclose(votes.totals, [[0.4, 1.4, 0.2, 0.0], [1, 0, 0, 1]])
    assert votes.n_votes.tolist() == [2, 2]
    assert not votes.whole


def test_unknown_is_missing_or_a_class():
    votes = small(seconds=[1.0, 2.0, 3.0, 4.0])
    assert votes.with_unknown("class") is votes
    known = votes.with_unknown("missing")
    assert known.vocabulary == ("joy", "anger")
    np.testing.assert_allclose(known.shares, [[0, 1], [0.5, 0.5], [1, 0]])
    np.testing.assert_array_equal(known.seconds, [3.0, 2.0, 1.0])
    assert known.n_votes.tolist() == [2, 1]
    assert len(known) == 2
    counts = Votes.from_counts([[3, 1, 2, 0], [0, 0, 0, 4]], WORDS).with_unknown("missing")
    assert counts.n_votes.tolist() == [4, 0]
    with pytest.raises(UsageError, match="unknown: is 'drop'"):
        votes.with_unknown("drop")


def test_choices_are_words_or_numbers():
    votes = Votes.from_choices([0, 0, 1], ["x", "y", "x"], [2.0, 5, None], tuple("012345"))
    assert votes.votes.argmax(1).tolist() == [2, 5]
    np.testing.assert_array_equal(votes.scale(), np.arange(6.0))
    with pytest.raises(DataError, match=r"votes row 1: choice 'jo', expected one of joy, anger"):
        Votes.from_choices([0, 0], ["x", "y"], ["joy", "jo"], ("joy", "anger"))
    with pytest.raises(UsageError, match="expected numbers"):
        small().scale()


def test_faces_of_counts_keep_their_order_and_names():
    votes = Votes.from_counts([[1, 0]] * 11 + [[0, 2]], ("a", "b"))
    assert votes.faces[-1] == "11"
    assert votes.totals[-1].tolist() == [0, 2]
    named = Votes.from_counts([[1, 0], [0, 2]], ("a", "b"), faces=["q", "p"], cluster=[5, 5])
    assert named.faces.tolist() == ["p", "q"]
    assert named.totals.tolist() == [[0, 2], [1, 0]]
    assert named.cluster.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("steps", "refused"),
    [([], False), ([1], False), ([10], True), ([1, 10], True), ([10, 1], False), ([10, None], True)],
)
def test_a_table_whose_votes_people_spread_is_refused(steps, refused):
    frame = pd.DataFrame({"sample_id": ["q", "p"], "image": [0, 1], "split": "", "identity": "", "cluster": [0, 1]})
    frame[["votes_a", "votes_b"]] = [[3, 0], [2, 1]]
    history = tuple(Step("x", 2, 2, {}, {} if n is None else {VOTES_EACH: n}) for n in steps)
    table = SampleTable(frame, "faces", ("a", "b"), history=history)
    if refused:
        with pytest.raises(UsageError, match=r"^mine: each person gave 10 votes a face.*'mien agreement DATABASE'"):
            Votes.from_table(table, "mine")
    else:
        assert Votes.from_table(table).totals.tolist() == [[2, 1], [3, 0]]  # by name
    with pytest.raises(UsageError, match="holds no votes"):
        Votes.from_table(replace(table, vocabulary=()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotator": ["x", "x", "x", "z"]}, "row 2: annotator 'x' judged face 'a' twice"),
        ({"votes": [[1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]}, "row 1: no vote"),
        ({"votes": [[1, 0, 0, 0], [-1, 2, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]}, "row 1: .*0 or more"),
        ({"votes": [[1, 0, 0, np.nan]] * 4}, "row 0: .*finite"),
        ({"vocabulary": ("joy", "anger", "angry", "NF")}, "each once under any spelling"),
        ({"vocabulary": ("joy", "anger")}, "one column a word"),
        ({"face": ["a", None, "a", "b"]}, "face, row 1: the name is missing"),
        ({"annotator": ["a", "b", "c"]}, "annotator: an array of shape"),
        ({"cluster": [1, 2, 3, 1]}, "is in two units"),
        ({"seconds": [1, -2, 3, 1]}, "seconds, row 1: -2.0"),
    ],
)
def test_what_is_wrong_is_said(changes, message):
    with pytest.raises(DataError, match=message):
        small(**changes)


def test_counts_are_whole_and_have_no_names():
    with pytest.raises(DataError, match="whole numbers"):
        Votes.from_counts([[0.5, 0.5]], ("a", "b"))
    with pytest.raises(DataError, match="each face once"):
        Votes.from_counts([[1, 0], [1, 0]], ("a", "b"), faces=["p", "p"])
    counts = Votes.from_counts(np.eye(4), CLASSES)
    for measure in (dawid_skene, find_outliers):
        with pytest.raises(UsageError, match="named annotators"):
            measure(counts)
