"""One table as Excel, R, pandas and others write it: read alike, and what was left out is said."""

from __future__ import annotations

import bz2
import gzip
import lzma

import pandas as pd
import pytest
from written import PROBS, answers, faces

from mien.errors import DataError
from mien.prediction_tables import gathering
from mien.records import Predictions


def text(frame=None, **options):
    return (faces() if frame is None else frame).to_csv(index=False, **options)


def trailing(rows):
    """As Excel leaves a sheet: two columns without a name, three rows without a cell."""
    lines = text().strip().split("\n")
    return "\n".join(f"{line},," for line in lines) + "\n" + ("," * (lines[0].count(",") + 2) + "\n") * rows


GERMAN = {"sep": ";", "decimal": ","}
#: Name of the file -> its bytes, and what its notes must say.
WRITTEN = {
    "plain.csv": (text().encode(), ()),
    "mark.csv": (text().encode("utf-8-sig"), ()),
    "unicode_text.txt": (text(sep="\t").encode("utf-16"), ("tabs between its cells",)),
    "utf16_without_mark.csv": (text().encode("utf-16-le"), ()),
    "windows.csv": (text().encode("cp1252"), ("read as cp1252",)),
    "germany.csv": (text(**GERMAN).encode(), ("semicolons between its cells and decimal commas",)),
    "points.csv": (text(sep=";").encode(), ("semicolons between its cells.",)),
    "russia.TSV": (text(sep="\t", decimal=",").encode(), ("tabs between its cells and decimal commas",)),
    "bars.txt": (text(sep="|").encode(), ("bars",)),
    "names_its_separator.csv": (
        f"sep=;\r\n{text(**GERMAN, lineterminator=chr(13) + chr(10))}".encode(),
        ("semicolons",),
    ),
    "windows_lines.CSV": (text(lineterminator="\r\n").encode(), ()),
    "blank_lines.csv": (f"\n\n{text()}\n  \n".replace("\n", "\n\n", 5).encode(), ()),
    "sheet.csv": (trailing(3).encode(), ("2 columns .* without a name", "3 rows .* without any cell filled")),
    "row_numbers.csv": (faces().to_csv().encode(), ("A column .* without a name",)),
    "packed.csv.gz": (gzip.compress(text().encode(), mtime=0), ()),
    "packed.csv.bz2": (bz2.compress(text().encode()), ()),
    "packed_unicode.csv": (lzma.compress(text().encode("utf-16")), ()),
    "lines_in_quotes.csv": (text(faces().assign(note='two\nlines; "so", it says')).encode(), ()),
    "records.csv": (faces().to_json(orient="records").encode(), ()),
    "split.json": (faces().to_json(orient="split").encode(), ()),
    "columns.json": (faces().to_json().encode(), ()),
    "lines.jsonl": (faces().to_json(orient="records", lines=True).encode(), ()),
    "unicode.json": (faces().to_json(orient="records", force_ascii=False).encode("utf-16"), ()),
}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("batch", [7, 1000])
def test_a_table_is_read_however_it_is_written(tmp_path, monkeypatch, name, batch):
    monkeypatch.setattr(gathering, "BATCH", batch)
    content, said = WRITTEN[name]
    (tmp_path / name).write_bytes(content)
    found = Predictions.load(tmp_path / name)
    expected = Predictions.from_frame(faces())
    assert answers(found) == answers(expected)
    assert found.probs == pytest.approx(expected.probs, abs=1e-9)
    assert found.groups["brightness"].tolist() == pytest.approx(faces()["brightness"].tolist())
    assert set(found.groups.columns) <= {"gender", "brightness", "note"}
    assert len(found.notes) == len(said)
    for words in said:
        assert any(pd.Series([note]).str.contains(words).all() for note in found.notes)


def test_a_letter_far_into_the_file_tells_its_encoding(tmp_path):
    rows = text(faces(20_000).replace({"männlich": "male"}))
    (tmp_path / "p.csv").write_bytes(rows.encode() + b"last,anger,1,0,0,0,0,0,0,m\xe4nnlich,0.5\n")
    found = Predictions.load(tmp_path / "p.csv")
    assert found.groups["gender"].iloc[-1] == "männlich"
    assert any("cp1252" in note for note in found.notes)


def test_the_decimal_sign_may_show_only_after_many_rows(tmp_path):
    sure = "".join(f"f{i};anger;1;0\n" for i in range(5_000))
    (tmp_path / "p.csv").write_text(f"id;label;prob_anger;prob_fear\n{sure}x;fear;0,25;0,75\n")
    assert Predictions.load(tmp_path / "p.csv").probs[-1].tolist() == [0.25, 0.75]


@pytest.mark.parametrize("options", [{}, GERMAN])
@pytest.mark.parametrize("batch", [25, 1000])
def test_a_header_among_the_rows_is_refused_with_its_line(tmp_path, monkeypatch, options, batch):
    monkeypatch.setattr(gathering, "BATCH", batch)
    lines = text(**options).splitlines(keepends=True)
    blank = lines[0].replace("sample_id", "").translate(str.maketrans("", "", "abcdefghijklmnopqrstuvwxyz_"))
    (tmp_path / "p.csv").write_text("".join([*lines[:3], "\n", blank, *lines[3:], *lines]))
    with pytest.raises(DataError, match=r"p\.csv line 64: the header stands there a second time.*one after the other"):
        Predictions.load(tmp_path / "p.csv")


def test_a_header_among_numbers_only_is_refused_too(tmp_path):
    table = faces()[[*PROBS, "label"]]
    (tmp_path / "p.csv").write_text(text(table) + text(table))
    with pytest.raises(DataError, match=r"line 62: the header"):
        Predictions.load(tmp_path / "p.csv")


def test_words_for_missing_do_not_make_numbers_words(tmp_path):
    frame = faces().astype({"brightness": object})
    frame.loc[[3, 5, 6, 7], "brightness"] = ["unknown", "n.a.", "-", None]
    frame.to_csv(tmp_path / "p.csv", index=False)
    frame.astype({"brightness": str}).to_parquet(tmp_path / "p.parquet")
    expected = frame["brightness"].where(~frame.index.isin([3, 5, 6, 7])).astype(float)
    for found in (Predictions.load(tmp_path / "p.csv"), Predictions.load(tmp_path / "p.parquet"), frame):
        table = found if isinstance(found, Predictions) else Predictions.from_frame(found)
        pd.testing.assert_series_equal(table.groups["brightness"], expected, check_names=False)


def test_codes_that_a_file_calls_words_stay_words(tmp_path):
    frame = faces().assign(site=["1", "2", "unknown"] * 20)
    frame.to_parquet(tmp_path / "p.parquet")
    assert set(Predictions.load(tmp_path / "p.parquet").groups["site"].dropna()) >= {"1", "2"}


def test_long_numbers_of_persons_keep_their_digits(tmp_path):
    persons = [str(10**16 + i // 2) for i in range(59)] + ["unknown"]
    faces().assign(identity=persons).to_csv(tmp_path / "p.csv", index=False)
    assert len(set(Predictions.load(tmp_path / "p.csv").cluster.tolist())) == 31


def test_every_spelling_of_no_probability_is_none(tmp_path):
    frame = faces().astype(dict.fromkeys(PROBS, object))
    frame.loc[5, PROBS] = ["nan", "NaN", "NA", "unknown", "-", "n/a", ""]
    frame.to_csv(tmp_path / "p.csv", index=False)
    found = Predictions.load(tmp_path / "p.csv")
    assert len(found) == 59
    assert found.undetected["sample_id"].tolist() == ["f5"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"label,pred\n", "has no rows"),
        (b"PK\x03\x04", "cannot be read"),
        (b"\xd0\xcf\x11\xe0....", "is an Excel workbook.*choose File, Save As, type 'CSV UTF-8'"),
        (b"<!DOCTYPE html><html></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "placeholder of Git LFS.*git lfs pull"),
        (b"\x80\x04\x95....", "is a pickle, which can run any code"),
        (b"ARROW1..", "is a Feather file.*Parquet or CSV"),
        (b'[{"label": "anger"},', "is no whole JSON"),
        (b'{"label": 1}\n{"label": \n', r"line 2: is neither JSON nor JSON lines"),
        (b"[]", "has no entries"),
        (gzip.compress(b"label,pred\nsad,sad\n" * 400, mtime=0)[:-12], "cannot be unpacked"),
        (b"label,prob_a,prob_b\nsad,'0,5',1\n", "more cells than its header.*in quotes"),
        (b'label,prob_a,prob_b\na,"0,5",0.5\n', r"line 2: column 'prob_a' holds '0,5', .* a point before decimals"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(tmp_path, content, message):
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"p\.csv.*{message}"):
        Predictions.load(tmp_path / "p.csv")


def test_a_workbook_of_today_is_told_by_what_it_holds(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "p.csv", "w") as packed:
        packed.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(DataError, match="is an Excel workbook"):
        Predictions.load(tmp_path / "p.csv")


def test_a_parquet_file_is_one_under_any_name(tmp_path):
    for name in ("p.PARQUET", "p.csv", "p"):
        faces().to_parquet(tmp_path / name)
        assert len(Predictions.load(tmp_path / name)) == 60


def test_a_frame_that_was_read_with_its_row_labels(tmp_path):
    frame = pd.DataFrame({"Unnamed: 0": [f"row {i}" for i in range(60)]}).join(faces())
    found = Predictions.from_frame(frame)
    assert "Unnamed: 0" not in found.groups
    assert found.notes == ("A column of predictions without a name (row numbers, or empty ones) did not count.",)


def test_one_row_is_a_table(tmp_path):
    (tmp_path / "p.csv").write_text(text(faces(1), **GERMAN))
    assert len(Predictions.load(tmp_path / "p.csv")) == 1
