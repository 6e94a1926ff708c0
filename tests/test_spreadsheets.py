"""CSVs for people: no cell that a spreadsheet would run, numbers still numbers, and every name back as it was."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mien.audit import AnnotatorError, audit
from mien.data.csv_files import read_rows
from mien.records import Predictions
from mien.spreadsheets import unmarked, with_marks, without_marks, write_csv
from mien.stats.settings import Settings

HOSTILE = [
    "=cmd|' /C calc'!A0",
    "+1",
    "-1",
    "@SUM(1)",
    " =1",
    "\t=1",
    "\r=1",
    "\n=1",
    "\xa0=1",
    "\u200b=1",
    "\ufeff=1",
    "\x01=1",
    '"=1',
    '"";=1',
    "'=1",
    "''=1",
    "\uff1d1",
    "\uff0b1",
    "\uff0d1",
    "\uff20SUM",
    "a;=1",
    "a\t=1",
    "a\n=1",
    "a\r@x",
    "-1+cmd|' /C calc'!A0",
    '=HYPERLINK("http://example.org?"&A1)',
]
TAME = ["woman", "10-19", "a=b", "it's", "'tis", "a@b.org", "(-2.0, -1.0]", "", "Ω", "50+"]


def taken_for_formula(cell: str) -> bool:
    """Whether any program could: after blanks and quotes, whole or split at another separator."""
    parts = [cell, *cell.replace("\t", ";").replace("\r", ";").replace("\n", ";").split(";")]
    dropped = ' \t\r\n\xa0\u200b\ufeff\x01"'
    return any(part.lstrip(dropped)[:1] in tuple("=+-@＝＋－＠") for part in parts)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_begins_like_a_formula_is_text_and_comes_back(text: str) -> None:
    assert not taken_for_formula(with_marks(text))
    assert without_marks(with_marks(text)) == text


@pytest.mark.parametrize("text", TAME)
def test_other_text_stays_in_both_directions(text: str) -> None:
    assert with_marks(text) == without_marks(text) == text


def test_any_text_comes_back() -> None:
    rng = random.Random(0)
    for _ in range(20_000):
        text = "".join(rng.choices("='\"+-@;\t\r\n a1＝\u200b,|\x00", k=rng.randint(0, 8)))
        assert without_marks(with_marks(text)) == text
        assert not taken_for_formula(with_marks(text))


def hostile_predictions() -> Predictions:
    """Faces whose ids, classes, groups and the very name of an attribute look like formulas."""
    groups = [g for g in HOSTILE if g.strip() and "\n" not in g]
    n = 4 * len(groups)
    frame = pd.DataFrame(
        {
            "sample_id": [f"={i}" for i in range(n)],
            "label": ["@happy", "-sad"] * (n // 2),
            "pred": ["@happy"] * n,
            "prob_@happy": np.linspace(0.5, 1, n),
            "prob_-sad": np.linspace(0.5, 0, n),
            "=team()": groups * 4,
            "yaw": np.linspace(-1, 1, n),
        }
    )
    return Predictions.from_frame(frame)


def cells_of(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_predictions_come_back_from_a_csv_in_which_nothing_is_a_formula(tmp_path: Path) -> None:
    before = hostile_predictions()
    before.save(tmp_path / "p.csv")
    header, *rows = cells_of(tmp_path / "p.csv")
    numbers = [i for i, name in enumerate(header) if name.startswith("prob_") or name == "yaw"]
    assert not any(taken_for_formula(name) for name in header)
    for row in rows:
        assert all(is_number(c) if i in numbers else not taken_for_formula(c) for i, c in enumerate(row))
    assert any(row[header.index("yaw")].startswith("-") for row in rows)

    after = Predictions.load(tmp_path / "p.csv")
    assert list(after.sample_id) == list(before.sample_id)
    assert after.classes == before.classes
    assert list(after.groups.columns) == list(before.groups.columns)
    assert after.groups["=team()"].astype(str).tolist() == before.groups["=team()"].astype(str).tolist()
    assert np.allclose(after.groups["yaw"].to_numpy(float), before.groups["yaw"].to_numpy(float))


def test_parquet_holds_names_as_they_are(tmp_path: Path) -> None:
    before = hostile_predictions()
    before.save(tmp_path / "p.parquet")
    held = pd.read_parquet(tmp_path / "p.parquet")
    assert held["=team()"].astype(str).tolist() == before.groups["=team()"].astype(str).tolist()
    assert held["sample_id"].iloc[0] == "=0"


def test_tables_of_an_audit_hold_no_formula_and_its_json_the_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"label": rng.choice(["a", "=b"], 400), "=by": rng.choice(["+1", "@SUM(1)", "=1"], 400)})
    frame["pred"] = np.where(rng.random(400) < 0.8, frame["label"], "a")
    found = audit(Predictions.from_frame(frame), ["=by"], settings=Settings(n_boot=20, n_perm=20))
    found.save(tmp_path)
    for name in ("groups.csv", "gaps.csv"):
        for row in cells_of(tmp_path / name):
            assert not [c for c in row if taken_for_formula(c) and not is_number(c)]
    assert {g.name for g in found.attributes[0].groups} == {"+1", "@SUM(1)", "=1"}
    assert set(pd.read_parquet(tmp_path / "groups.parquet")["group"]) >= {"+1", "@SUM(1)", "=1"}
    groups = [row[cells_of(tmp_path / "groups.csv")[0].index("group")] for row in cells_of(tmp_path / "groups.csv")]
    assert {"'+1", "'@SUM(1)", "'=1"} <= set(groups)


def test_negative_numbers_stay_numbers(tmp_path: Path) -> None:
    write_csv(
        pd.DataFrame({"x": [-1.5, np.nan], "n": [-2, 3], "t": ["-1", None], "m": [-1.0, "-x"]}), tmp_path / "x.csv"
    )
    assert cells_of(tmp_path / "x.csv") == [["x", "n", "t", "m"], ["-1.5", "-2", "'-1", "-1.0"], ["", "3", "", "'-x"]]


def test_ordinary_tables_are_written_to_the_byte_as_before(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"id": ["a,b", 'c"d', "e\nf"], "g": pd.Categorical(["x", None, "x"]), "b": [True, False, True]}
    )
    write_csv(frame, tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text(encoding="utf-8") == frame.to_csv(index=False)


def test_a_carriage_return_breaks_no_row(tmp_path: Path) -> None:
    write_csv(pd.DataFrame({"id": ["a\rb", "c"], "n": [1, 2]}), tmp_path / "x.csv")
    assert cells_of(tmp_path / "x.csv") == [["id", "n"], ["a\rb", "1"], ["c", "2"]]
    assert pd.read_csv(tmp_path / "x.csv")["n"].tolist() == [1, 2]


def test_a_name_that_is_no_utf8_is_written_as_text(tmp_path: Path) -> None:
    write_csv(pd.DataFrame({"id": pd.Series(["a\udcff"], dtype=object)}), tmp_path / "x.csv")
    assert cells_of(tmp_path / "x.csv")[1] == [r"a\udcff"]


def test_rows_of_corpora_get_their_names_back(tmp_path: Path) -> None:
    frame = pd.DataFrame({"path": ["-1.png", "b.png"], "label": ["=x", "y"], "@who": ["+1", "'tis"]})
    write_csv(frame, tmp_path / "manifest.csv")
    rows = read_rows(tmp_path / "manifest.csv", "a manifest")
    assert rows.to_dict("list") == frame.to_dict("list")


def test_a_confusion_that_was_guarded_names_the_groups(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("annotated,'=a,'-b\n'=a,90,10\n'-b,20,80\n")
    assert AnnotatorError.load(tmp_path / "e.csv").groups == ["=a", "-b"]


@pytest.mark.parametrize("kind", [object, "str", "category"])
def test_columns_of_any_kind_lose_their_marks(kind: Any) -> None:
    values = pd.Series(["'=x", "=x", "y", None], dtype=kind)
    found = unmarked(values)
    assert found.dropna().tolist() == ["=x", "=x", "y"]
    assert found.isna().tolist() == [False, False, False, True]
    plain = pd.Series(["a", "it's"], dtype=kind)
    assert unmarked(plain).tolist() == ["a", "it's"]
