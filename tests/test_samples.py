from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from mien.errors import DataError
from mien.samples import SampleTable, Step


def table(**columns):
    frame = pd.DataFrame(
        {
            "sample_id": ["a", "b", "c", "d"],
            "image": [0, 1, 2, 3],
            "split": ["train", "train", "test", "train"],
            "identity": ["p", "", "", "q"],
            "cluster": [0, 1, 2, 1],
            "votes_sad": [1.0, 0.0, 2.5, 0.0],
            "votes_happy": [0.0, 1.0, 7.0, 3.0],
            "gender": ["female", None, "male", "female"],
            **columns,
        }
    )
    return SampleTable(frame, "toy", ("happy", "sad"), ("gender",), (Step("prepare", 5, 4, {"a": 1}, {"b": [2]}),))


def test_votes_follow_the_vocabulary_and_not_the_columns():
    np.testing.assert_array_equal(table().votes, [[0, 1], [1, 0], [7, 2.5], [3, 0]])


def test_splits_are_counted_in_order_of_appearance():
    assert list(table().splits.items()) == [("train", 3), ("test", 1)]


def test_missing_columns_are_all_named():
    frame = table().frame.drop(columns=["cluster", "votes_sad", "gender"])
    with pytest.raises(DataError, match=r"'toy': columns \['cluster', 'votes_sad', 'gender'\] are missing"):
        SampleTable(frame, "toy", ("happy", "sad"), ("gender",))


def test_an_id_twice_is_refused_with_its_row():
    with pytest.raises(DataError, match="row 3: sample_id 'b' occurs twice"):
        table(sample_id=["a", "b", "c", "b"])


def test_steps_return_new_tables_and_are_remembered():
    before = table()
    after = before.where(before.votes[:, 0] > 0, "happy only", least=1)
    assert after.frame["sample_id"].tolist() == ["b", "c", "d"]
    assert after.frame.index.tolist() == [0, 1, 2]
    assert len(before) == 4
    assert after.history[:1] == before.history
    assert dataclasses.asdict(after.history[1]) == {
        "name": "happy only",
        "n_before": 4,
        "n_after": 3,
        "options": {"least": 1},
        "detail": {},
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.name = "other"


def test_in_split_keeps_its_rows_and_lists_the_splits_there_are():
    assert table().in_split("test").frame["sample_id"].tolist() == ["c"]
    assert table().in_split("train").frame.index.tolist() == [0, 1, 2]
    with pytest.raises(DataError, match=r"no face in split 'validation', expected one of \['test', 'train'\]"):
        table().in_split("validation")


def test_derive_can_add_an_attribute():
    more = table().derive("annotate", table().frame.assign(age="old"), attributes=("gender", "age"))
    assert more.attributes == ("gender", "age")
    with pytest.raises(DataError, match=r"columns \['age'\] are missing"):
        table().derive("annotate", table().frame, attributes=("gender", "age"))


def test_save_and_load_give_the_same_table_back(tmp_path):
    saved = table()
    saved.save(tmp_path / "t.parquet")
    loaded = SampleTable.load(tmp_path / "t.parquet")
    assert (loaded.name, loaded.vocabulary, loaded.attributes) == ("toy", ("happy", "sad"), ("gender",))
    assert loaded.history == saved.history
    pd.testing.assert_frame_equal(loaded.frame, saved.frame)
    assert loaded.frame["gender"].isna().tolist() == [False, True, False, False]


def test_load_refuses_what_is_no_table(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.parquet: cannot be read"):
        SampleTable.load(tmp_path / "nothing.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(DataError, match=r"text\.parquet: cannot be read"):
        SampleTable.load(tmp_path / "text.parquet")
    table().frame.to_parquet(tmp_path / "plain.parquet")
    with pytest.raises(DataError, match="has no 'mien' metadata, expected a table written by 'mien prepare'"):
        SampleTable.load(tmp_path / "plain.parquet")
