"""Percentages, roundings, faces that were not found, votes: read as what they are and said, or refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from written import CLASSES, PROBS, answers, faces

from mien.errors import DataError
from mien.records import Predictions


def changed(change, n=400):
    """The table with other probabilities."""
    frame = faces(n)
    frame[PROBS] = change(frame[PROBS].to_numpy())
    return frame


def one_row(row, change):
    def apply(values):
        values = values.copy()
        values[row] = change(values[row])
        return values

    return apply


def loaded(frame, tmp_path, ending="csv"):
    path = tmp_path / f"p.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    return Predictions.load(path)


# --- Read, and said --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_percentages_are_read_as_shares(tmp_path, ending, dtype):
    frame = changed(lambda p: p * 100).astype(dict.fromkeys(PROBS, dtype))
    found = loaded(frame, tmp_path, ending)
    assert found.probs == pytest.approx(faces(400)[PROBS].to_numpy(), abs=1e-6)
    assert answers(found) == answers(Predictions.from_frame(faces(400)))
    assert found.notes == (
        "The values of prob_<class> are percentages (their rows sum to 100) and were divided by 100.",
    )


@pytest.mark.parametrize(
    ("scale", "decimals", "words"),
    [
        (1, 2, "rounded to 2 decimals"),
        (1, 3, "rounded to 3 decimals"),
        (100, 0, "rounded to whole percentages"),
        (100, 1, "rounded to 1 decimals of a percentage"),
    ],
)
def test_rounded_rows_are_brought_to_sum_one_and_counted(tmp_path, scale, decimals, words):
    found = loaded(changed(lambda p: (p * scale).round(decimals)), tmp_path)
    assert found.probs.sum(1) == pytest.approx(1, abs=1e-3)
    assert found.probs == pytest.approx(faces(400)[PROBS].to_numpy(), abs=0.04)
    note = next(note for note in found.notes if words in note)
    rounded = changed(lambda p: (p * scale).round(decimals) / scale)[PROBS].to_numpy()
    off = int((np.abs(rounded.sum(1) - 1) > 9e-4).sum())
    assert f"{off} of 400 rows did not sum to 1 and were divided by their sum" in note


def test_ties_of_rounded_rows_are_counted(tmp_path):
    rounded = changed(lambda p: p.round(2))[PROBS].to_numpy()
    ties = int(((rounded == rounded.max(1, keepdims=True)).sum(1) > 1).sum())
    assert ties > 1
    assert (
        f"In {ties} rows two classes share the largest probability"
        in loaded(changed(lambda p: p.round(2)), tmp_path).notes[-1]
    )


def test_half_precision_is_enough(tmp_path):
    assert loaded(changed(lambda p: p.astype(np.float16).astype(float)), tmp_path).probs.sum(1) == pytest.approx(
        1, abs=2e-3
    )


def test_a_hair_below_zero_is_zero(tmp_path):
    found = loaded(changed(lambda p: np.where(p < 1e-3, -1e-17, p)), tmp_path)
    assert found.probs.min() == 0
    assert "a hair below 0 and were read as 0" in found.notes[0]
    assert loaded(changed(lambda p: np.where(p < 1e-4, -0.0, p)), tmp_path).notes == ()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_without_any_probability_are_faces_not_found(tmp_path, ending):
    frame = faces()
    frame.loc[5::10, PROBS] = np.nan
    found = loaded(frame, tmp_path, ending)
    assert found.undetected["sample_id"].tolist() == ["f5", "f15", "f25", "f35", "f45", "f55"]
    assert found.undetected["gender"].tolist() == frame["gender"][5::10].tolist()
    assert found.notes == ("6 of 60 rows have no probabilities: they count as faces that the tool did not find.",)
    assert Predictions.from_frame(frame).notes == found.notes


def test_where_a_class_is_predicted_the_face_was_found(tmp_path):
    frame = faces().assign(pred=np.array(CLASSES)[faces()[PROBS].to_numpy().argmax(1)])
    frame.loc[5, PROBS] = np.nan
    with pytest.raises(DataError, match=r"line 7: prob_\* values .* are incomplete \(1 such rows\).*write detected=0"):
        loaded(frame, tmp_path)
    frame.loc[5, "pred"] = None
    assert loaded(frame, tmp_path).undetected["sample_id"].tolist() == ["f5"]


def test_target_percentages_are_read_too(tmp_path):
    frame = faces().drop(columns="label")
    for c in CLASSES:
        frame[f"target_{c}"] = np.where(faces()["label"] == c, 100, 0)
    assert answers(loaded(frame, tmp_path)) == answers(Predictions.from_frame(faces()))


# --- Refused, with what to do ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: np.log(p) + 3, r"line 2: .*\(400 such rows\).*Pass softmax outputs, not logits"),
        (lambda p: np.log(p) + 15, r"line 2: .*Pass softmax outputs, not logits"),
        (one_row(4, np.log), r"line 6: .*\(1 such rows\).*not logits"),
        (one_row(4, lambda p: p * 100), r"line 6: .* sum to 100: 1 of the rows hold percentages .* and 399 shares"),
        (lambda p: one_row(4, lambda row: row / 100)(p * 100), r"line 6: .* 399 of the rows hold percentages"),
        (one_row(4, lambda p: p * 1.02), r"line 6: .*sum to 1\.0200 \(1 such rows\).*Mend the row"),
        (
            one_row(4, lambda p: p * 0),
            r"line 6: .*sum to 0\.0000.*found no face there, leave all of the row's cells em",
        ),
        (one_row(4, lambda p: np.where(np.arange(7) == 3, np.nan, p)), r"line 6: .* are incomplete"),
        (one_row(4, lambda p: np.where(np.arange(7) == 3, np.inf, p)), r"line 6: .* sum to inf"),
        (lambda p: p * np.nan, "no row has any probability"),
        (lambda p: p / (p + 0.5), "scored for itself .sigmoid.*give the class with the highest score as 'pred'"),
        (lambda p: p.round(1), "Rounded to one decimal"),
        (lambda p: (p * 10).round(), "call the columns votes_<class>"),
    ],
)
def test_what_is_no_distribution_is_refused_by_what_it_looks_like(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        loaded(changed(change), tmp_path)


# --- Votes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("unknown", "NF"), ("Unknown", "not a face"), ("unsure", "non-face")])
def test_votes_for_no_expression_are_set_aside_and_counted(tmp_path, names):
    rng = np.random.default_rng(0)
    votes = rng.multinomial(10, np.ones(9) / 9, size=60)
    frame = faces().assign(**{f"votes_{c}": votes[:, k] for k, c in enumerate((*CLASSES, *names))})
    found = loaded(frame, tmp_path)
    np.testing.assert_array_equal(found.votes, votes[:, :7])
    words = ", ".join(f"votes_{n}" for n in names)
    assert f"{words} are no expressions: their {votes[:, 7:].sum()} of 600 votes do not count." in found.notes


def test_blocks_may_spell_a_class_in_their_own_way():
    votes = {f"votes_{c}": 1 for c in ("happy", "Angry", "sad", "fearful", "surprised", "disgusted", "normal")}
    found = Predictions.from_frame(faces().assign(**votes).assign(votes_happy=range(60)))
    assert found.votes[:, found.classes.index("happiness")].tolist() == list(range(60))


def test_no_block_is_needed():
    frame = pd.DataFrame({"label": ["sad", "fear"], "pred": ["sad", "sad"]})
    assert Predictions.from_frame(frame).probs is None
