"""Rows that are too long are told before they are read whole."""

from __future__ import annotations

import gzip
import io
from functools import partial

import numpy as np
import pandas as pd
import pytest

from mien.data.csv_files import read_rows
from mien.errors import DataError
from mien.prediction_tables import row_lengths
from mien.prediction_tables.dialects import dialect_of
from mien.prediction_tables.reading import read_table
from mien.prediction_tables.row_lengths import refuse_long_rows

HEADER = b"sample_id,label,pred,note\n"
ROW = b"a,happy,sad,x\n"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The same rules at a thousandth of their size."""
    monkeypatch.setattr(row_lengths, "MOST", 20_000)
    monkeypatch.setattr(row_lengths, "_PIECE", 1000)


def refused(path, content, match):
    path.write_bytes(content)
    with pytest.raises(DataError, match=match):
        read_table(path)
    with pytest.raises(DataError, match=match):
        read_rows(path, "a table")


def accepted(path, content):
    path.write_bytes(content)
    refuse_long_rows(dialect_of(path))


LONG = b"y" * 30_000
COMMAS = b"y," * 15_000


def test_a_long_cell_is_refused_with_line_and_column(tmp_path):
    content = HEADER + ROW * 1000 + b"b,happy,sad," + LONG + b"\n" + ROW
    refused(tmp_path / "t.csv", content, r"t\.csv line 1002 column 4 \('note'\): has more than 20,000 bytes")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match="line 1002 column 4"):
        read_table(tmp_path / "t.csv.gz")


@pytest.mark.parametrize(
    "row",
    [
        b"b,happy,sad," + COMMAS,
        b'b,happy,sad,"' + COMMAS + b'"',
        b'b,happy,sad,"' + b"y\n" * 15_000 + b'"',
        b'b,happy,sad,"' + b'"",""\n' * 15_000 + b'"',
        b'b,happy,s"ad,"' + b"y,\n" * 15_000 + b'"',  # a stray quote, which quotes nothing, before one that does
        b'b,happy,sad,"' + b"y\n" * 15_000,  # never closed
        b'b,"ha""ppy",sad,"' + b"y\r\n" * 15_000,
    ],
)
def test_a_long_row_is_refused_whatever_its_quotes(tmp_path, row):
    refused(tmp_path / "t.csv", HEADER + ROW * 500 + row + b"\n" + ROW * 3, r"line 502.*: has more than 20,000 bytes")


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        b'a,happy,sad,"x, y"\n',
        b'a,happy,sad,"x\ny"\n',
        b'"a","happy","sad","an ""x"""\n',
        b'a,happy,sad,5" tall\n',
        b'a,happy,sad,"x"y\n',
        b'a,happy,sad,"",\n',
        b"a,happy,sad,x\r",
        b"a,happy,sad," + b"z" * 15_000 + b"\n",
    ],
)
def test_ordinary_rows_are_read_however_many(tmp_path, row):
    accepted(tmp_path / "t.csv", HEADER + row * (200_000 // len(row)))


def test_a_single_stray_quote_does_not_count(tmp_path):
    accepted(tmp_path / "t.csv", HEADER + b'a,happy,sad,5" tall\n' + ROW * 20_000)


def test_other_encodings_are_read(tmp_path):
    text = (HEADER + b'a,happy,sad,"x, 5"" y"\n' * 5000).decode()
    accepted(tmp_path / "t.csv", text.encode("utf-16"))
    refused(tmp_path / "u.csv", (text + "b,happy,sad," + "y" * 20_000).encode("utf-16"), "line 5002.*more than 20,000")


def test_pieces_may_be_cut_anywhere(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({c: rng.choice(['a"b', "x,y", "p\nq", '"', "plain", ""], 2000) for c in ("a", "b", "c")})
    accepted(tmp_path / "t.csv", frame.to_csv(index=False).encode() * 3)


def test_the_rule_is_that_of_the_csv_reader(tmp_path, monkeypatch):
    """Any letters: what the quick way says of the longest row is what reading all rows says."""
    import csv

    monkeypatch.setattr(row_lengths, "MOST", 60)
    monkeypatch.setattr(row_lengths, "_PIECE", 7)
    rng = np.random.default_rng(1)
    outcomes = set()
    for _ in range(300):
        body = "".join(rng.choice(list('ab",\n'), 150, p=[0.4, 0.3, 0.08, 0.12, 0.1]))
        (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n" + body, newline="")
        text, longest, begin = "a,b\n1,2\n3,4\n" + body, 0, 0
        lines = text.splitlines(keepends=True)
        reader = csv.reader(io.StringIO(text, newline=""))
        for _ in reader:
            longest, begin = max(longest, len("".join(lines[begin : reader.line_num]).rstrip("\n"))), reader.line_num
        dialect = dialect_of(tmp_path / "t.csv")
        if dialect.separator != "," or abs(longest - 60) <= 2:
            continue
        try:
            refuse_long_rows(dialect)
            outcomes.add((longest > 60, False))
        except DataError:
            outcomes.add((longest > 60, True))
    assert outcomes == {(True, True), (False, False)}


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_more_columns_than_a_table_of_faces_has_are_refused(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(row_lengths, "MOST", 1 << 24)
    frame = pd.DataFrame(np.ones((2, 10_001), dtype=np.int8), columns=[f"c{i}" for i in range(10_001)])
    path = tmp_path / f"t.{kind}"
    {"csv": frame.to_csv, "parquet": frame.to_parquet, "json": partial(frame.to_json, orient="records")}[kind](path)
    with pytest.raises(DataError, match=r"has 10,00[12] columns, expected at most 10,000"):
        read_table(path)


def test_arrays_that_unpack_to_more_than_memory_are_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", probs=np.zeros((10_000, 50)))
    monkeypatch.setattr("mien.prediction_tables.kinds._LARGEST", 1_000_000)
    with pytest.raises(DataError, match="unpacks to 4,000,128 bytes, expected arrays of at most 1,000,000"):
        read_table(tmp_path / "bomb.npz")


def test_an_array_that_claims_more_than_memory_is_one_sentence(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(
        whole.replace(b"(2, 3), }             ", b"(2000000000000, 3000000), }"[:22].ljust(22))
    )
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "a.npy", classes=["a", "b", "c"])
