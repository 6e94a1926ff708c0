from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
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


def rewritten(path, frame=None, meta=None, columns=None):
    """A saved table with other columns, or other metadata, as nobody's program writes it."""
    old = pq.read_table(path)
    new = old if frame is None else pa.Table.from_pandas(frame, preserve_index=False)
    if columns is not None:
        new = pa.Table.from_arrays([new.column(i) for i in columns], names=[new.column_names[i] for i in columns])
    info = json.loads(old.schema.metadata[b"mien"])
    said = json.dumps(info | meta) if isinstance(meta, dict) else json.dumps(info) if meta is None else meta
    pq.write_table(new.replace_schema_metadata({b"mien": said.encode()}), path)
    return path


@pytest.fixture
def saved(tmp_path):
    table().save(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def test_a_column_that_stands_twice_is_refused(saved):
    with pytest.raises(DataError, match=r"t\.parquet: the column 'split' stands twice, expected each column once"):
        SampleTable.load(rewritten(saved, columns=[*range(8), 2]))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"sample_id": [1, 2, 3, 4]}, "column 'sample_id' holds int64, expected text"),
        ({"sample_id": ["a", None, "c", "d"]}, "row 1: 'sample_id' is missing"),
        ({"image": ["0", "1", "2", "3"]}, "column 'image' holds .*string, expected whole numbers"),
        ({"image": [0.5, 1, 2, 3]}, "column 'image' holds double, expected whole numbers"),
        ({"image": pd.array([0, 1, None, 3], "Int64")}, "row 2: 'image' is missing"),
        ({"cluster": [[0], [1], [2], [3]]}, "column 'cluster' holds list.*expected whole numbers"),
        ({"split": [b"a", b"b", b"c", b"d"]}, "column 'split' holds binary, expected text"),
        ({"votes_sad": ["1", "2", "3", "4"]}, "column 'votes_sad' holds .*string, expected numbers"),
        ({"votes_sad": [1.0, 2.0, np.inf, 0.0]}, "row 2: 'votes_sad' is inf, expected a number of votes"),
        ({"votes_sad": [1.0, -2.0, 1.0, 0.0]}, "row 1: 'votes_sad' is -2.0, expected a number of votes"),
        ({"gender": [{"a": 1}] * 4}, "column 'gender' holds struct.*expected text or numbers"),
        ({"gender_confidence": ["high"] * 4}, "column 'gender_confidence' holds .*string, expected numbers"),
        ({"identity": ["p", "q" * 50_000, "", ""]}, "column 'identity' has a cell of 50,000 bytes, expected 4,096"),
    ],
)
def test_values_of_another_kind_are_refused_with_column_or_row(saved, columns, message):
    frame = table().frame
    for name, values in columns.items():
        frame[name] = values
    with pytest.raises(DataError, match=rf"t\.parquet.*{message}") as caught:
        SampleTable.load(rewritten(saved, frame))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("{", "its metadata line 1: is no whole JSON"),
        ("[]", "its metadata: holds a list"),
        ("[" * 5000, "its metadata: holds too many values inside each other"),
        ('{"a": ' * 90 + "1" + "}" * 90, "its metadata: holds more than 64 values inside each other"),
        ('{"name": "a", "name": "b"}', "its metadata: the key 'name' stands twice"),
        ({"vocabulary": "happy"}, "its metadata: vocabulary: 'happy', expected a valid array"),
        ({"vocabulary": ["happy", 5]}, r"its metadata: vocabulary\.1: 5"),
        ({"vocabulary": ["happy", "happy"]}, "names a word twice in its vocabulary"),
        ({"vocabulary": ["happy", "bored"]}, "the column 'votes_bored' is missing"),
        ({"attributes": ["race"]}, "the column 'race' is missing"),
        ({"history": [{"name": "x"}]}, r"its metadata: history\.0\.n_before: is missing"),
        ({"history": [{"name": "x", "n_before": "1", "n_after": 2}]}, r"history\.0\.n_before: '1'"),
        ({"annotator_errors": {"gender": 5}}, r"its metadata: annotator_errors\.gender: 5"),
        ({"more": 1}, "its metadata: more: unknown key"),
        ({"name": 10**30}, "its metadata: holds a number of 31 digits"),
    ],
)
def test_metadata_of_another_kind_is_refused_with_its_key(saved, meta, message):
    with pytest.raises(DataError, match=rf"t\.parquet: .*{message}") as caught:
        SampleTable.load(rewritten(saved, meta=meta))
    assert "\n" not in str(caught.value)


def test_a_small_file_that_stands_for_any_number_of_rows_is_refused_by_its_header(tmp_path):
    n = 3_000_000
    columns = {name: pa.array([""], pa.string()).take(np.zeros(n, int)) for name in ("sample_id", "split", "identity")}
    columns |= {name: np.zeros(n, np.int8) for name in ("image", "cluster")}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 50_000
    with pytest.raises(DataError, match="3,000,000 rows, expected at most 1"):
        SampleTable.load(tmp_path / "t.parquet")


def test_what_is_not_known_may_stand_in_the_history_and_broken_names_are_readable(tmp_path):
    odd = dataclasses.replace(
        table(), history=(Step("x", 4, 4, {"share": np.nan, "folder": "caf\udce9", "city": "Zürich"}),)
    )
    odd.save(tmp_path / "t.parquet")
    options = SampleTable.load(tmp_path / "t.parquet").history[0].options
    assert np.isnan(options["share"])
    assert (options["folder"], options["city"]) == ("caf?", "Zürich")


@pytest.mark.parametrize("cut", [0, 3, 100, -1, -8])
def test_a_table_that_is_cut_off_is_refused(saved, cut):
    saved.write_bytes(saved.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"t\.parquet: cannot be read"):
        SampleTable.load(saved)


def test_faces_that_are_new_to_a_network_are_known_in_merged_tables_and_in_their_parts():
    def named(name, ids, merged=False):
        frame = pd.DataFrame({"sample_id": ids, "image": range(len(ids)), "split": "", "identity": ""})
        history = (Step("merge", 0, len(ids)),) if merged else ()
        return SampleTable(frame.assign(cluster=range(len(ids))), name, (), history=history)

    assert named("a", ["1", "2"]).new_to({"1"}, "a").tolist() == [True, False]
    assert named("b", ["1", "2"]).new_to({"7"}, "a").tolist() == [True, True]  # another corpus
    assert named("renamed", ["1", "2"]).new_to({"1"}, "a").tolist() == [True, False]
    merged = named("a+b", ["a/1", "a/2", "b/1", "a 2/1", "a 2/2"], merged=True)
    assert merged.new_to({"1"}, "a").tolist() == [True, False, True, True, False]
    assert merged.new_to({"7"}, "a").tolist() == [False, False, True, False, False]
    # Learnt from a merged corpus: its parts have the names without.
    assert named("a", ["1", "2", "3"]).new_to({"a/1", "b/1"}, "a+b").tolist() == [True, False, False]
    assert named("c", ["1"]).new_to({"a/1", "b/1"}, "a+b").tolist() == [True]
    # A corpus that was merged without a held face, and one that was merged twice.
    assert named("b", ["1", "2"]).new_to({"a/1"}, "a+b").tolist() == [False, False]
    twice = replace(merged, frame=merged.frame.assign(sample_id="a+b/" + merged.frame["sample_id"]))
    assert twice.new_to({"1"}, "a").tolist() == merged.new_to({"1"}, "a").tolist()
    assert merged.new_to({"a/1", "b/1"}, "a+b").tolist() == [True, False, True, True, False]
