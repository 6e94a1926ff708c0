"""A table of an annotator's mistakes may have its sides exchanged: its first cell says so."""

from __future__ import annotations

import numpy as np
import pytest

from mien.audit import AnnotatorError
from mien.errors import DataError

RIGHT = [[600.0, 400.0], [30.0, 970.0]]  # rows: the true group


def written(tmp_path, corner, rows, columns=("female", "male"), more=""):
    path = tmp_path / "confusion.csv"
    lines = [
        f"{corner},{','.join(columns)}",
        *(",".join([c, *map(str, r)]) for c, r in zip(columns, rows, strict=True)),
    ]
    path.write_text("\n".join(lines) + more)
    return AnnotatorError.load(path)


@pytest.mark.parametrize(
    "corner",
    [
        "true",
        "TRUE",
        "true group",
        "annotated",
        "actual",
        "",
        "group",
        "gender",
        "true\\perceived",
        "annotated/perceived",
    ],
)
def test_rows_are_the_true_groups_unless_the_corner_says_otherwise(tmp_path, corner):
    error = written(tmp_path, corner, RIGHT)
    assert (error.counts, error.note) == (RIGHT, "")


@pytest.mark.parametrize(
    "corner",
    ["perceived", "Perceived group", "predicted", "perceived\\true", "perceived / annotated", "predicted vs actual"],
)
def test_rows_that_are_the_perceived_groups_are_turned_and_said(tmp_path, corner):
    error = written(tmp_path, corner, np.transpose(RIGHT).tolist())
    assert error.counts == RIGHT
    assert "it was turned" in error.note


@pytest.mark.parametrize(("corner", "turned"), [("true in columns", True), ("perceived in columns", False)])
def test_a_corner_may_name_the_columns(tmp_path, corner, turned):
    rows = np.transpose(RIGHT).tolist() if turned else RIGHT
    assert written(tmp_path, corner, rows).counts == RIGHT


def test_a_group_that_nobody_is_perceived_as_may_be_turned(tmp_path):
    # Turned after the check, its empty row would have been refused.
    error = written(tmp_path, "perceived", [[90, 30, 8], [10, 70, 52], [0, 0, 40]], ("a", "b", "c"))
    assert error.counts == [[90, 10, 0], [30, 70, 0], [8, 52, 40]]


def test_shares_of_perceived_groups_are_counts_and_can_be_turned(tmp_path):
    path = tmp_path / "confusion.csv"
    path.write_text("perceived,female,male,n\nfemale,0.9,0.1,200\nmale,0.25,0.75,400\n")
    assert AnnotatorError.load(path).counts == pytest.approx(np.array([[180, 100], [20, 300]]))


@pytest.mark.parametrize("corner", ["true\\annotated", "perceived/predicted"])
def test_one_side_twice_is_refused(tmp_path, corner):
    with pytest.raises(DataError, match="groups on both sides"):
        written(tmp_path, corner, RIGHT)


def test_groups_are_found_under_other_spellings(tmp_path):
    error = written(tmp_path, "true", RIGHT, ("Female ", "MALE")).matched(["male", "female"])
    assert error.groups == ["male", "female"]
    assert error.counts == [[970, 30], [400, 600]]
