"""Ratings in tables of anybody's making give the votes that they are."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mien.agreement.alpha import krippendorff_alpha
from mien.agreement.ratings import read_ratings
from mien.agreement.votes import Votes
from mien.cli import app
from mien.errors import DataError, UsageError
from mien.stats.settings import Settings

CLASSES = ["anger", "happiness", "neutral"]
RATERS = ["r1", "r2", "r3"]


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (10**18, "has 1,000,000,000,000,000,000 votes, expected at most 100,000 of one face"),
        (-1, r"\[-1\.0, 1\.0\], expected whole numbers of votes, 0 or more"),
        (0.5, r"\[0\.5, 1\.0\], expected whole numbers of votes, 0 or more. Give counts, not shares"),
    ],
)
def test_what_can_be_no_count_of_votes_is_refused_with_its_line(count, message, tmp_path):
    pd.DataFrame({"votes_a": [3, count], "votes_b": [2, 1]}).to_csv(tmp_path / "v.csv", index=False)
    with pytest.raises(DataError, match=rf"v\.csv line 3: {message}"):
        read_ratings(tmp_path / "v.csv")


def wide(n=40):
    """One column a rater, who agree with a hidden class in seven of ten cases."""
    rng = np.random.default_rng(0)
    hidden = rng.integers(3, size=n)
    table = pd.DataFrame({"item": [f"i{k:02d}" for k in range(n)]})
    for rater in RATERS:
        table[rater] = np.array(CLASSES)[np.where(rng.random(n) < 0.7, hidden, rng.integers(3, size=n))]
    return table


def long():
    return wide().melt("item", var_name="rater", value_name="label")


def alpha(votes):
    return krippendorff_alpha(votes, settings=Settings(n_boot=1, seed=0)).alpha.value


LONG = long()
EXPECTED = Votes.from_choices(LONG["item"], LONG["rater"], LONG["label"], CLASSES)
#: How the table is written -> the table, and pandas' options.
LAYOUTS = {
    "long": (LONG, {}),
    "long, semicolons": (LONG, {"sep": ";"}),
    "long, Unicode text": (LONG, {"sep": "\t", "encoding": "utf-16"}),
    "long, other names": (LONG.rename(columns={"item": "Filename", "rater": "Annotator", "label": "Emotion"}), {}),
    "wide": (wide(), {}),
    "wide, without items": (wide().drop(columns="item"), {}),
    "wide, beside other columns": (wide().assign(gender=["f", "m"] * 20, age=range(40)), {}),
    "wide, named raters": (
        wide()
        .rename(columns=dict(zip(RATERS, ["rater a", "rater b", "rater c"], strict=True)))
        .assign(gender="f", site="f"),
        {},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_votes(tmp_path, name):
    table, options = LAYOUTS[name]
    table.to_csv(tmp_path / "r.csv", index=False, **options)
    votes, _ = read_ratings(tmp_path / "r.csv")
    assert votes.vocabulary == tuple(CLASSES)
    assert len(votes.annotators) == 3
    assert len(votes) == 40
    assert alpha(votes) == pytest.approx(alpha(EXPECTED))


@pytest.mark.parametrize("ending", ["parquet", "json"])
def test_other_files_do_as_well(tmp_path, ending):
    path = tmp_path / f"r.{ending}"
    LONG.to_parquet(path) if ending == "parquet" else wide().to_json(path, orient="records")
    assert alpha(read_ratings(path)[0]) == pytest.approx(alpha(EXPECTED))


@pytest.mark.parametrize("prefix", ["votes_", "n_"])
def test_counts_of_votes(tmp_path, prefix):
    counts = {f"{prefix}{c}": (wide()[RATERS] == c).sum(axis=1) for c in CLASSES}
    more = {f"{prefix}{c}": 0 for c in ("fear", "sadness", "NF")}  # so that they are told without the prefix too
    pd.DataFrame({"item": wide()["item"], **counts, **more}).to_csv(tmp_path / "r.csv", index=False)
    votes, _ = read_ratings(tmp_path / "r.csv")
    assert votes.annotator is None
    assert alpha(votes) == pytest.approx(alpha(EXPECTED))


def test_ferplus_own_table(tmp_path):
    rng = np.random.default_rng(0)
    words = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]
    counts = rng.multinomial(10, np.ones(10) / 10, size=30)
    pd.DataFrame(
        {
            "Usage": "Training",
            "Image name": [f"fer{i:07d}.png" for i in range(30)],
            **dict(zip(words, counts.T, strict=True)),
        }
    ).to_csv(tmp_path / "r.csv", index=False)
    votes, notes = read_ratings(tmp_path / "r.csv")
    np.testing.assert_array_equal(votes.votes, counts)
    assert votes.vocabulary == tuple(words)
    assert "were read as votes of people" in notes[0]


def test_missing_ratings_are_left_out_and_counted(tmp_path):
    table = LONG.copy()
    table.loc[[3, 5, 9, 11], "label"] = ["unknown", "NA", None, " n.a. "]
    table.to_csv(tmp_path / "r.csv", index=False)
    votes, notes = read_ratings(tmp_path / "r.csv")
    left = table.drop(index=[3, 5, 9, 11])
    assert alpha(votes) == pytest.approx(alpha(Votes.from_choices(left["item"], left["rater"], left["label"], CLASSES)))
    assert notes == ["4 of 120 ratings are missing."]


def test_codes_with_gaps_are_whole_numbers(tmp_path):
    table = wide().replace({c: k for k, c in enumerate(CLASSES)}).astype(object)
    table.loc[2, "r2"] = None
    table.to_csv(tmp_path / "r.csv", index=False)
    assert read_ratings(tmp_path / "r.csv")[0].vocabulary == ("0", "1", "2")


def test_two_spellings_of_an_answer_are_one_and_said(tmp_path):
    table = LONG.copy()
    at = [table.index[table["label"] == c][-1] for c in ("anger", "happiness")]
    table.loc[at, "label"] = ["Angry", "HAPPINESS "]
    table.to_csv(tmp_path / "r.csv", index=False)
    votes, notes = read_ratings(tmp_path / "r.csv")
    assert alpha(votes) == pytest.approx(alpha(EXPECTED))
    assert notes == ["Spellings were joined: Angry is anger, HAPPINESS is happiness."]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.concat([LONG, LONG.iloc[[3]]]), "line 122: rater 'r1' judged item 'i03' a second time"),
        (LONG.assign(label=[f"text {i}" for i in range(120)]), "holds 120 different answers, expected 2 to 50"),
        (LONG.assign(label="anger"), r"holds one answer only \('anger'\)"),
        (LONG.assign(label="unknown"), "holds no answer"),
        (LONG.iloc[:1], "holds one answer only"),
        (LONG.iloc[:0], "has no rows, expected one row a rating"),
        (
            LONG.drop(columns="rater"),
            "has the columns item, label, expected one row a rating: item, rater, label; or one",
        ),
        (LONG.drop(columns="item"), "has raters in 'rater' and no column that names what they judged"),
        (LONG.assign(rater=["", *["a"] * 119]), "line 2: rater is missing"),
        (wide()[["item", "r1"]], "has the columns item, r1"),
        (pd.concat([wide(), wide().iloc[:1]]), "line 42: item 'i00' stands there a second time"),
        (
            wide().assign(mask=["yes", "no"] * 20, glasses=["no", "yes"] * 20),
            "stand in r1, r2, r3 and in mask, glasses",
        ),
        (pd.DataFrame({"votes_anger": [1, None], "votes_fear": [2, 3]}), "line 3: a count of votes is missing"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path, table, message):
    table.to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(DataError, match=message):
        read_ratings(tmp_path / "r.csv")


def test_the_command_reads_a_table(tmp_path, capsys):
    table = LONG.replace({"label": {"neutral": "unknown"}})
    table.to_csv(tmp_path / "r.CSV", index=False, sep=";")
    app(
        ["agreement", str(tmp_path / "r.CSV"), "--n-boot", "10", "--json"],
        exit_on_error=False,
        result_action="return_value",
    )
    found = json.loads(capsys.readouterr().out)
    assert found["n_annotators"] == 3
    n = int((LONG["label"] == "neutral").sum())
    assert found["notes"][:2] == [
        "r.CSV was read with semicolons between its cells.",
        f"{n} of 120 ratings are missing.",
    ]
    with pytest.raises(UsageError, match="--of gender: does nothing: .* is a table"):
        app(["agreement", str(tmp_path / "r.CSV"), "--of", "gender"], exit_on_error=False)
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        app(["agreement", str(tmp_path / "none.csv")], exit_on_error=False)


def test_long_numbers_of_items_and_raters_keep_their_digits(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(1_000_001.0 + i, 2_000_001.0 + r, "ab"[int(rng.integers(2))]) for i in range(40) for r in range(3)]
    pd.DataFrame(rows, columns=["item", "rater", "label"]).to_csv(tmp_path / "long.csv", index=False)
    votes, notes = read_ratings(tmp_path / "long.csv")
    assert len(votes) == 40
    assert (votes.n_votes == 3).all()
    assert notes == []
