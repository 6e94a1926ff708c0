"""Landmarks go with their picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mien.pictures.landmarks import COLUMNS, rescaled


def test_landmarks_stay_on_the_edges_and_the_middle() -> None:
    # Edges of a picture of 10 by 20 pixels lie at -0.5 and 9.5, and at -0.5 and 19.5.
    frame = pd.DataFrame([[-0.5, -0.5, 9.5, 19.5, 4.5, 9.5, np.nan, 0.0, 0.0, 0.0]], columns=list(COLUMNS))
    found = rescaled(frame, (40 / 10, 40 / 20))[list(COLUMNS)].to_numpy()[0]
    assert found[:6].tolist() == [-0.5, -0.5, 39.5, 39.5, 19.5, 19.5]
    assert np.isnan(found[6])


def test_each_face_has_its_own_cut() -> None:
    frame = pd.DataFrame({COLUMNS[0]: [10.0, 10.0], "name": ["a", "b"]})
    found = rescaled(frame, (np.array([2.0, 1.0]), np.array([2.0, 1.0])), (np.array([4.0, 0.0]), np.zeros(2)))
    assert found[COLUMNS[0]].tolist() == pytest.approx([12.5, 10.0])
    assert list(found) == [COLUMNS[0], "name"]


def test_unknown_landmarks_of_a_file_stay_unknown() -> None:
    frame = pd.DataFrame({COLUMNS[0]: pd.array([1, None], dtype="Int64")})
    assert np.isnan(rescaled(frame, (1.0, 1.0))[COLUMNS[0]].to_numpy()[1])
