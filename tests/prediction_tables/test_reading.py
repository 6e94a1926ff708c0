"""Files of predictions: types that do not depend on how the file is cut into batches, lines in errors, odd columns."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.audit.attributes import candidate_attributes, resolve_attribute
from mien.errors import DataError
from mien.metrics import measure, metric_names
from mien.prediction_tables import columns, gathering
from mien.records import Predictions


def measures(pred):
    """Every metric of a table."""
    return {name: measure(name, pred) for name in metric_names()}


def table(n=40, seed=0):
    """Predictions of ``n`` faces with attributes of all kinds."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(3), n).astype(np.float32)
    return pd.DataFrame(
        {
            "sample_id": [f"{i:03d}" for i in range(n)],
            "label": rng.choice(["angry", "happy", "sad"], n),
            "prob_angry": probs[:, 0],
            "prob_happy": probs[:, 1],
            "prob_sad": probs[:, 2],
            "age": rng.choice(["10-19", "3-9", "unknown", " 70+"], n),
            "gender": np.where(rng.random(n) < 0.2, None, rng.choice(["male", "female"], n)),
            "glasses": rng.random(n) < 0.5,
            "brightness": rng.random(n),
            "identity": rng.choice(["p1", "p2", "", "p3"], n),
        }
    )


def write(frame, path):
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False, row_group_size=16)
    return path


@pytest.fixture(params=[5, 1_000])
def batch(request, monkeypatch):
    """Read in several small batches, and in one."""
    monkeypatch.setattr(gathering, "BATCH", request.param)


# --- The same result from a frame and from files, however they are cut --------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_gives_what_its_frame_gives(tmp_path, ending, batch):
    frame = table()
    here, there = Predictions.from_frame(frame), Predictions.load(write(frame, tmp_path / f"p.{ending}"))
    assert there.sample_id.tolist() == here.sample_id.tolist()
    for name in ("labels", "predicted"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name))
    np.testing.assert_allclose(there.probs, here.probs, atol=1e-7)
    same_unit = [c[:, None] == c for c in (here.cluster, there.cluster)]
    np.testing.assert_array_equal(*same_unit)
    assert candidate_attributes(there) == candidate_attributes(here) == ["age", "gender", "glasses"]
    for name in candidate_attributes(here):
        a, b = resolve_attribute(here, name), resolve_attribute(there, name)
        assert b.groups == a.groups
        np.testing.assert_array_equal(b.codes, a.codes)
    np.testing.assert_allclose(there.groups["brightness"], here.groups["brightness"])


def test_groups_of_a_file_are_in_order_with_numbers_as_numbers(tmp_path):
    pred = Predictions.load(write(table(), tmp_path / "p.parquet"))
    assert resolve_attribute(pred, "age").groups == ("3-9", "10-19", "70+")


def test_categories_of_a_parquet_file_keep_their_order(tmp_path):
    frame = table().assign(size=pd.Categorical(["small", "large"] * 20, ["small", "large"]))
    pred = Predictions.load(write(frame, tmp_path / "p.parquet"))
    assert resolve_attribute(pred, "size").groups == ("small", "large")


def test_a_column_whose_batches_differ_is_text(tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "BATCH", 4)
    frame = table(12).assign(
        site=["1", "2", "1", "2", "", "", "", "", "1", "ward", "2", "ward"],
        wave=["1", "2", "1", "2", "", "", "", "", "1", "1", "2", "2"],
        late=["", "", "", "", "", "", "", "", "x", "y", "x", "y"],
        flag=["True", "False", "True", "False", "x", "x", "x", "x", "x", "x", "x", "x"],
    )
    pred = Predictions.load(write(frame, tmp_path / "p.csv"))
    assert resolve_attribute(pred, "site").groups == ("1", "2", "ward")
    assert resolve_attribute(pred, "flag").groups == ("False", "True", "x")
    assert resolve_attribute(pred, "late").codes.tolist() == [-1] * 8 + [0, 1, 0, 1]
    assert pd.api.types.is_numeric_dtype(pred.groups["wave"])
    assert "wave" not in candidate_attributes(pred)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_text_of_many_values_stays_text(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(gathering, "BATCH", 16)
    monkeypatch.setattr(gathering, "MANY", 20)
    frame = table().assign(comment=[f"remark {i}" for i in range(40)])
    pred = Predictions.load(write(frame, tmp_path / f"p.{ending}"))
    assert pred.groups["comment"].tolist() == frame["comment"].tolist()
    assert not isinstance(pred.groups["comment"].dtype, pd.CategoricalDtype)
    assert isinstance(pred.groups["gender"].dtype, pd.CategoricalDtype)


def test_single_precision_is_kept_and_gives_the_same_metrics(tmp_path):
    pred = Predictions.load(write(table(400), tmp_path / "p.parquet"))
    assert pred.probs.dtype == np.float32
    double = Predictions.from_frame(
        table(400).astype(dict.fromkeys(("prob_angry", "prob_happy", "prob_sad"), np.float64))
    )
    assert double.probs.dtype == np.float64
    assert measures(pred) == pytest.approx(measures(double), abs=1e-6)


def test_integer_ids_and_votes_of_a_parquet_file(tmp_path):
    frame = table(6).assign(sample_id=np.arange(6) * 7, votes_angry=1, votes_happy=0, votes_sad=3)
    pred = Predictions.load(write(frame, tmp_path / "p.parquet"))
    assert pred.sample_id.tolist() == ["0", "7", "14", "21", "28", "35"]
    assert pred.votes.tolist() == [[1, 0, 3]] * 6
    assert pred.votes.dtype == np.float64


def test_lists_and_row_labels_of_a_parquet_file_are_no_attributes(tmp_path):
    frame = table(6).assign(embedding=[[0.1, 0.2]] * 6)
    frame.index = [3, 1, 2, 5, 4, 0]
    frame.to_parquet(tmp_path / "p.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "p.parquet").names
    groups = Predictions.load(tmp_path / "p.parquet").groups
    assert groups.columns.tolist() == ["age", "gender", "glasses", "brightness"]


def test_a_named_index_of_a_parquet_file_is_a_column(tmp_path):
    table(6).set_index("sample_id").to_parquet(tmp_path / "p.parquet")
    assert Predictions.load(tmp_path / "p.parquet").sample_id.tolist()[:2] == ["000", "001"]


def test_a_csv_with_row_labels(tmp_path):
    table(6).to_csv(tmp_path / "p.csv")
    assert len(Predictions.load(tmp_path / "p.csv")) == 6


# --- Ids and units ---------------------------------------------------------------------------------------


def test_equal_hashes_are_not_equal_ids(monkeypatch):
    monkeypatch.setattr(columns, "hashes", lambda texts: np.zeros(len(texts), np.uint64))
    assert len(Predictions.from_frame(table())) == 40
    with pytest.raises(DataError, match=r"row 3: sample_id '000' stands there a second time \(2 repeats"):
        Predictions.from_frame(table(6).assign(sample_id=["000", "001", "002", "000", "004", "001"]))


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        ([5, 9, 5, 2], [1, 2, 1, 0]),
        ([10**15, 3, 10**15, 4], [0, 1, 0, 2]),
        ([1.0, np.nan, 1.0, np.nan], [0, 1, 0, 2]),
        (pd.array([1, None, 1, 2], dtype="Int64"), [0, 2, 0, 1]),
        (["a", " ", "a", None], [0, 1, 0, 2]),
        (pd.Categorical(["b", "a", None, "b"]), [1, 0, 2, 1]),
    ],
)
def test_units_of_any_type(cluster, expected):
    found = Predictions.from_frame(table(4).drop(columns="identity").assign(cluster=cluster)).cluster
    np.testing.assert_array_equal(found[:, None] == found, np.equal.outer(expected, expected))
    assert sorted(set(found.tolist())) == list(range(len(set(expected))))


def test_cluster_and_identity_are_joined():
    frame = table(5).assign(cluster=[1, 1, 2, 3, 4], identity=["x", "", "x", None, "y"])
    found = Predictions.from_frame(frame).cluster
    assert found.tolist() == [0, 0, 0, 1, 2]


# --- Errors name the line ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,pred\nsad,sad\nhappy,hapy\nhappy,happy\n", None),
        ("label,pred,prob_sad,prob_happy\nsad,sad,0.5,0.5\nsad,sad,0.5,0.6\n", r"line 3: prob_\* values .* 1\.1000"),
        ("label,pred,note\nsad,sad,\"two\nlines\"\n\nhappy,happy,\n\n,sad,\n", "line 7: no class in column 'label'"),
        ("id,label,pred\n1,sad,sad\n2,happy,happy\n1,sad,sad\n", r"line 4: id '1' stands there a second time \(1 rep"),
        ("id,label,pred\n1,sad,sad\n,happy,happy\n", "line 3: id is missing"),
        ("label,prob_sad,prob_happy\nsad,1,0\nsad,high,0\n", "line 3: column 'prob_sad' holds 'high', expected a numb"),
        ("label,pred,detected\nsad,sad,1\nsad,happy,perhaps\n", "line 3: column 'detected' holds 'perhaps'"),
        ("label,pred,pred\nsad,sad,sad\n", r": two columns are called 'pred'"),
        ("label,pred\nsad,sad,x\nsad,sad,y\n", ": its rows have more cells than its header"),
    ],
)  # fmt: skip
def test_errors_of_csv_name_the_line(tmp_path, text, message):
    path = tmp_path / "p.csv"
    path.write_text(text)
    if message is None:
        with pytest.raises(DataError, match=r"'hapy' stands in 'pred' only and looks like 'happy'"):
            Predictions.load(path)
        with pytest.raises(DataError, match=r"p\.csv line 3: unknown class 'hapy' in column 'pred' \(1 such"):
            Predictions.load(path, ["happy", "sad"])
    else:
        with pytest.raises(DataError, match=rf"p\.csv ?{message}"):
            Predictions.load(path)


def test_lines_are_counted_across_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "BATCH", 3)
    (tmp_path / "p.csv").write_text("label,prob_sad,prob_happy\n" + "sad,1,0\n" * 7 + "sad,x,0\n")
    with pytest.raises(DataError, match="line 9: column 'prob_sad' holds 'x'"):
        Predictions.load(tmp_path / "p.csv")


def test_errors_of_parquet_name_the_row(tmp_path, batch):
    frame = table()
    frame.loc[33, "label"] = "sadd"
    with pytest.raises(DataError, match=r"p\.parquet row 33: unknown class 'sadd'.*Did you mean 'sad'"):
        Predictions.load(write(frame, tmp_path / "p.parquet"))
    frame = table()
    frame.loc[20, "prob_sad"] = 3
    with pytest.raises(DataError, match=r"p\.parquet row 20: prob_\* values"):
        Predictions.load(write(frame, tmp_path / "p.parquet"))


# --- What a column may not hold to be audited -----------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_that_are_no_groups_are_refused_when_asked_for(tmp_path, ending):
    n = 5_000
    frame = table(n).assign(comment=[f"remark {i}" for i in range(n)], only="male", code=np.arange(n) % 2 + 1)
    pred = Predictions.load(write(frame, tmp_path / f"p.{ending}"))
    assert candidate_attributes(pred) == ["age", "gender", "glasses"]
    with pytest.raises(DataError, match=r"column 'comment': has 5000 distinct values, expected 2 to 50 named groups"):
        resolve_attribute(pred, "comment")
    with pytest.raises(DataError, match="column 'only': has one group only"):
        resolve_attribute(pred, "only")
    with pytest.raises(DataError, match="column 'code': holds numbers.*if the numbers are codes, write their names"):
        resolve_attribute(pred, "code")


def test_na_in_a_csv_is_missing(tmp_path):
    (tmp_path / "p.csv").write_text("label,pred,region\nsad,sad,NA\nsad,sad,EU\nsad,sad,\nsad,sad,AS\n")
    attribute = resolve_attribute(Predictions.load(tmp_path / "p.csv", ["sad"]), "region")
    assert attribute.groups == ("AS", "EU")
    assert attribute.codes.tolist() == [-1, 1, -1, 0]


def test_row_numbers_serve_as_ids(tmp_path):
    table(12).drop(columns="sample_id").to_parquet(tmp_path / "p.parquet")
    pred = Predictions.load(tmp_path / "p.parquet")
    assert pred.sample_id[[0, 11]].tolist() == ["0", "11"]
    assert pa.array(pred.sample_id).nbytes < 200


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_a_table_with_a_name_that_is_no_utf8_is_one_sentence(tmp_path, ending):
    path = os.path.join(os.fsencode(tmp_path), b"p\xff." + ending.encode())
    try:
        with open(path, "wb") as file:
            file.write(b"label,pred\na,a\n")
    except OSError:
        pytest.skip("this disk takes no such names")
    with pytest.raises(DataError, match="has a name that is no UTF-8, expected a name in UTF-8. Rename it"):
        Predictions.load(Path(os.fsdecode(path)))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_long_numbers_of_persons_keep_their_digits_beside_an_empty_cell(ending, tmp_path):
    frame = table(60).assign(identity=pd.array([10**17 + i for i in range(60)], dtype="Int64"))
    frame.loc[0, "identity"] = pd.NA
    path = tmp_path / f"long.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path, index=False)
    assert len(set(Predictions.load(path).cluster)) == 60


def test_decimal_commas_are_numbers_also_beside_a_word_for_missing(tmp_path):
    frame = table(60).assign(brightness=np.linspace(10, 60, 60).round(2))
    frame = frame.astype({c: str for c in frame.columns if c.startswith("prob_") or c == "brightness"})
    for column in frame:
        if column.startswith("prob_") or column == "brightness":
            frame[column] = frame[column].str.replace(".", ",")
    frame.loc[5, "brightness"] = "-"
    frame.to_csv(tmp_path / "excel.csv", index=False, sep=";")
    found = Predictions.load(tmp_path / "excel.csv")
    assert found.groups["brightness"].isna().sum() == 1
    assert found.groups["brightness"].max() == pytest.approx(60)
