"""What Mien wrote is read as if somebody else had: every fault is one sentence with file and key, in little memory."""

from __future__ import annotations

import json
import os
import random
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.errors import DataError, MienError, RunError
from mien.own_files import (
    NUMBER,
    TEXT,
    WHOLE,
    as_kind,
    as_record,
    check_file_sum,
    checksums_of,
    read_json,
    read_parquet,
    sha256_of,
    with_checksums,
)
from mien.records import Predictions
from mien.runs import Run


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", " line 1: is no whole JSON"),
        (b'{"a": 1', " line 1: is no whole JSON"),
        (b'{\n"a": 1,\n}', " line 3: is no whole JSON"),
        (b"[]", ": holds a list"),
        (b"7", ": holds one value"),
        (b"null", ": holds nothing"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', ": the key 'c' stands twice"),
        (b'{"a": 1, "\\u0061": 2}', ": the key 'a' stands twice"),
        (b'{"a": NaN}', ": holds NaN, which is no number"),
        (b'{"a": -Infinity}', ": holds -Infinity, which is no number"),
        (b'{"a": 1e400}', ": holds the number 1e400, which is beyond all bounds"),
        (b'{"a": ' + b"1" * 21 + b"}", ": holds a number of 21 digits"),
        (b'{"a": ' + b"9" * 5000 + b"}", ": holds a number of 5000 digits"),
        (b'{"a": "\\ud83d"}', ": holds half a character"),
        (b'{"\\uDFFFx": 1, "a": "\\ud800"}', ": holds half a character"),
        (b'{"a": "\xe9"}', " line 1: the byte 0xe9 is not UTF-8"),
        (b'{\n"a": "\xff"}', " line 2: the byte 0xff is not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), " line 1: the byte 0xff is not UTF-8"),
        (b'{"a":' * 5000, ": holds too many values inside each other"),
        (b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", ": holds more than 64 values inside each other"),
        (b'{"a": 1} {"b": 2}', " line 1: is no whole JSON"),
        (b"{'a': 1}", " line 1: is no whole JSON"),
        (b'{"a": "\x01"}', " line 1: is no whole JSON"),
        (b"\x00" * 9, " line 1: is no whole JSON"),
    ],
)
def test_json_that_is_wrong_is_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(RunError, match=rf"c\.json{message}.*, expected a card\. Make it again\.") as caught:
        read_json(tmp_path / "c.json", "a card", error=RunError, fix="Make it again.")
    assert "\n" not in str(caught.value)


def test_json_that_is_right_is_read(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None, True], "é": {"b": "😀"}, "seed": 2**63 - 1, "deep": [[[[[[[[{}]]]]]]]] * 20}
    (tmp_path / "c.json").write_text(json.dumps(content))
    assert read_json(tmp_path / "c.json", "a card") == content
    (tmp_path / "c.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8-sig")
    assert read_json(tmp_path / "c.json", "a card") == content


def test_files_that_are_none_or_have_no_end_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"{" + b" " * 2000 + b"}")
    for path, message in (
        (tmp_path / "none", r"cannot be read \(No such file"),
        (tmp_path / "pipe", "is a pipe"),
        (Path("/dev/zero"), "is a device"),
        (tmp_path, "is a folder"),
        (tmp_path / "large", "has 2,002 bytes, expected a card of at most 1,000 bytes"),
    ):
        with pytest.raises(DataError, match=message):
            read_json(path, "a card", most=1000)


@dataclass
class Card:
    name: str
    sizes: tuple[int, ...] = ()
    share: float = 0.5
    whole: bool = False
    more: dict[str, list[str]] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "c: name: is missing, expected a value"),
        ({"name": 5}, "c: name: 5, expected a valid string"),
        ({"name": "a", "sizes": 5}, "c: sizes: 5, expected a valid"),
        ({"name": "a", "sizes": [1, "2"]}, r"c: sizes\.1: '2', expected a valid integer"),
        ({"name": "a", "sizes": [1.5]}, r"c: sizes\.0: 1\.5, expected a valid integer"),
        ({"name": "a", "share": "1"}, "c: share: '1', expected a valid number"),
        ({"name": "a", "whole": 1}, "c: whole: 1, expected a valid boolean"),
        ({"name": "a", "more": {"x": "abc"}}, r"c: more\.x: 'abc', expected a valid array"),
        ({"name": "a", "other": 1}, "c: other: unknown key"),
        ({"name": "a", "o\x1b[31m": 1}, r"c: o\\x1b\[31m: unknown key"),
    ],
)
def test_a_record_of_another_kind_is_refused_with_its_key(content: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}"):
        as_record(Card, content, "c")


def test_a_record_is_read(tmp_path: Path) -> None:
    found = as_record(Card, {"name": "a", "sizes": [1, 2], "share": 1}, "c")
    assert found == Card("a", (1, 2), 1.0)
    assert as_kind(dict[str, int], {"a": 1}, "c") == {"a": 1}
    with pytest.raises(DataError, match=r"^c: part\.a: 'x'"):
        as_kind(dict[str, int], {"a": "x"}, "c", "part")


def test_what_vouches_for_itself_is_found_changed_however_it_is_laid_out(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    path, sums = tmp_path / "card.json", {"a.bin": sha256_of(tmp_path / "a.bin")}
    content = with_checksums({"x": 1, "y": [0.1, None]}, "card.json", sums)
    turned = dict(reversed(list(json.loads(json.dumps(content, indent=8)).items())))
    assert checksums_of(turned, path, ["a.bin"]) == sums
    assert with_checksums(content, "card.json", sums) == content
    assert checksums_of({"x": 1}, path, ["a.bin"]) == {}
    for change in ({"x": 2}, {"x": 1.0}, {"x": True}, {"z": 1}):
        with pytest.raises(DataError, match=r"card\.json: is not what was written \(checksum "):
            checksums_of(content | change, path, ["a.bin"])
    for sums_of in (None, [], {}, {"card.json": 5}, content["checksums"] | {"a.bin": "x" * 64}):
        with pytest.raises(DataError, match=r"card\.json: checksums: has none of"):
            checksums_of(content | {"checksums": sums_of}, path, ["a.bin"])
    check_file_sum(tmp_path / "a.bin", sums["a.bin"])
    (tmp_path / "a.bin").write_bytes(b"abd")
    with pytest.raises(DataError, match=r"a\.bin: is not what was written .*Do this"):
        check_file_sum(tmp_path / "a.bin", sums["a.bin"], fix="Do this.")
    with pytest.raises(DataError, match=r"b\.bin: cannot be read \(No such file"):
        check_file_sum(tmp_path / "b.bin", sums["a.bin"])


# --- Parquet ------------------------------------------------------------------------------------

KINDS = {"id": TEXT, "n": WHOLE, "share": NUMBER}
GOOD = {"id": ["a", "b"], "n": [1, 2], "share": [0.5, 1.0]}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({**GOOD, "n": ["1", "2"]}), "the column 'n' holds string, expected whole numbers"),
        (pa.table({**GOOD, "n": [1.0, 2.0]}), "the column 'n' holds double, expected whole numbers"),
        (pa.table({**GOOD, "n": pa.array([1, 2], pa.uint64())}), "the column 'n' holds uint64"),
        (pa.table({**GOOD, "id": [b"a", b"b"]}), "the column 'id' holds binary, expected text"),
        (pa.table({**GOOD, "share": [[1], [2]]}), "the column 'share' holds list"),
        (pa.table({**GOOD, "share": pa.array([1, 2], pa.timestamp("s"))}), "the column 'share' holds timestamp"),
        (pa.table({"id": ["a"]}), "the column 'n' and 1 more are missing, expected a table"),
        (pa.table({**GOOD, "id": ["a", "b" * 20_000]}), "the column 'id' has a cell of 20,000 bytes"),
        (
            pa.Table.from_arrays([pa.array([1])] * 4, names=["id", "n", "share", "n"]),
            "the column 'n' stands twice, expected each column once",
        ),
    ],
)
def test_a_table_of_another_kind_is_refused_with_its_column(tmp_path: Path, table: pa.Table, message: str) -> None:
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match=rf"t\.parquet: {message}") as caught:
        read_parquet(tmp_path / "t.parquet", KINDS, "a table")
    assert "\n" not in str(caught.value)


def test_a_table_is_read_as_pandas_reads_it(tmp_path: Path) -> None:
    frame = pd.DataFrame({**GOOD, "kind": pd.Categorical(["x", None]), "flag": [True, False], "none": [None, None]})
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    found = read_parquet(tmp_path / "t.parquet", KINDS, "a table", others=True, rows=2).to_pandas()
    pd.testing.assert_frame_equal(found, pd.read_parquet(tmp_path / "t.parquet"))
    assert read_parquet(tmp_path / "t.parquet", {"n": WHOLE}, "a table").column_names == ["n"]
    with pytest.raises(DataError, match="2 rows, expected 3"):
        read_parquet(tmp_path / "t.parquet", KINDS, "a table", rows=3)


def test_damaged_tables_never_end_in_a_traceback(tmp_path: Path) -> None:
    pq.write_table(pa.table({k: v * 50 for k, v in GOOD.items()}), tmp_path / "t.parquet")
    good, rng = (tmp_path / "t.parquet").read_bytes(), random.Random(0)
    for _ in range(300):
        content = bytearray(good[: rng.choice([len(good), rng.randrange(len(good))])])
        for _ in range(rng.randrange(4)):
            if content:
                content[rng.randrange(len(content))] = rng.randrange(256)
        (tmp_path / "t.parquet").write_bytes(bytes(content))
        with suppress(MienError):
            read_parquet(tmp_path / "t.parquet", KINDS, "a table").to_pandas()


def test_a_long_text_in_every_row_takes_its_room_once(tmp_path: Path) -> None:
    text = pa.DictionaryArray.from_arrays(np.zeros(3_000, np.int32), ["x" * 100_000])  # 300 MB once it is written out
    pq.write_table(pa.table({"id": text}), tmp_path / "t.parquet", row_group_size=50, store_schema=False)
    assert (tmp_path / "t.parquet").stat().st_size < 1 << 20
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(DataError, match="the column 'id' has a cell of 100,000 bytes"):
        read_parquet(tmp_path / "t.parquet", {"id": TEXT}, "a table")
    assert pa.default_memory_pool().max_memory() - before < 1 << 26


# --- Tables of predictions and runs ------------------------------------------------------------------


def predictions(folder: Path, said: bytes | None = None, doubled: str | None = None) -> Path:
    columns: dict[str, Any] = {"sample_id": ["a", "b"], "label": ["x", "y"], "pred": ["x", "x"]}
    table = pa.table(columns)
    if doubled:
        table = table.append_column(doubled, table.column(doubled))
    pq.write_table(table.replace_schema_metadata({b"mien": said} if said is not None else None), folder / "p.parquet")
    return folder / "p.parquet"


def test_predictions_with_a_doubled_column_are_refused(tmp_path: Path) -> None:
    for name in ("label", "sample_id"):
        with pytest.raises(DataError, match=rf"p\.parquet: has the column '{name}' twice, expected each column once"):
            Predictions.load(predictions(tmp_path, doubled=name))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"", "line 1: is no whole JSON"),
        (b"[]", ": holds a list"),
        (b'{"notes": "abc"}', ": notes: 'abc', expected a valid array"),
        (b'{"warnings": [5]}', r": warnings\.0: 5, expected a valid string"),
        (b'{"annotator_errors": {"g": 5}}', r": annotator_errors\.g: 5"),
        (b"[" * 5000, ": holds too many values"),
        (b"\xff", "line 1: the byte 0xff"),
    ],
)
def test_what_predictions_say_beside_their_columns_is_checked(tmp_path: Path, said: bytes, message: str) -> None:
    from mien.prediction_tables.reading import _METADATA

    path = predictions(tmp_path)
    pq.write_table(pq.read_table(path).replace_schema_metadata({_METADATA: said}), path)
    with pytest.raises(DataError, match=rf"p\.parquet: its metadata ?{message}"):
        Predictions.load(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("history.csv", b"", r"history\.csv: cannot be read \(No columns"),
        ("history.csv", b"epoch,val_loss\n0,low\n", r"history\.csv: the column 'val_loss' holds text"),
        ("history.csv", b"epoch,val_loss\n1e19,0.5\n", r"history\.csv: a number of the column 'epoch' is no epoch"),
        ("history.csv", b"a,b\n1,2\n", r"history\.csv: has no column 'epoch'"),
        ("history.csv", b"epoch\n\xff\n", r"history\.csv: cannot be read"),
        ("history.csv", b'epoch,a\n"1,2\n', r"history\.csv: "),
        ("splits.parquet", b"hello", r"splits\.parquet: cannot be read"),
    ],
)
def test_files_of_a_run_that_hold_something_else_are_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / "record.json").write_text('{"name": "a", "config": {}}')
    (tmp_path / name).write_bytes(content)
    run = Run.open(tmp_path)
    with pytest.raises(RunError, match=message):
        _ = run.history if name == "history.csv" else run.splits
    with pytest.raises(RunError, match=r"record\.json: data\.store: is missing"):
        _ = run.trained_on
