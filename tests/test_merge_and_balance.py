"""Stores of stores: merged, and balanced. Pictures are noise, so that only made copies are copies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mien.balance import balance, choose_balanced
from mien.cli import app
from mien.data.images import Store, StoreWriter
from mien.data.splits.held_out import held_out_split
from mien.errors import DataError
from mien.merge import merge
from mien.samples import SUGGESTED, VOTES_EACH, SampleTable


def noise(n, size=48, channels=1, seed=0):
    """Smooth noise: two pictures of it are never copies, and one is still itself at another size."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 6, 6, channels)).astype(np.uint8)
    return coarse.repeat(size // 6, 1).repeat(size // 6, 2)


def store_of(path, name, images, votes, **columns):
    n = len(images)
    frame = pd.DataFrame({"sample_id": [f"f{i}" for i in range(n)], "image": range(n), "split": "train"})
    frame = frame.assign(identity="", cluster=range(n)).assign(**{f"votes_{k}": v for k, v in votes.items()})
    frame = frame.assign(hash=np.arange(n, dtype=np.uint64), phash=np.arange(n, dtype=np.uint64), **columns)
    attributes = tuple(c for c in columns if c in ("gender", "age"))
    with StoreWriter(path) as writer:
        writer.append(images)
        info = {"corpus": name, "terms": f"terms of {name}", "vocabulary": tuple(votes), "attributes": attributes}
        return writer.commit(SampleTable(frame, name, tuple(votes), attributes), info).path


@pytest.fixture
def two(tmp_path):
    """A grey corpus of ten votes at 48 px, and one of single labels in colour at 96, with one picture in both."""
    grey, colour = noise(6, seed=1), noise(4, size=96, channels=3, seed=2)
    colour[0] = grey[0].repeat(2, 0).repeat(2, 1).repeat(3, 2)
    a = store_of(tmp_path / "a", "grey", grey, {"anger": [8, 0, 0, 3, 0, 9], "happiness": [2, 10, 5, 3, 0, 1],
        "contempt": [0, 0, 5, 4, 10, 0]}, split=["Training"] * 4 + ["PublicTest", "x"],
        gender=["Male", "female", None, "Male", "Male", "female"])  # fmt: skip
    b = store_of(tmp_path / "b", "colour", colour, {"happy": [0, 1, 0, 0], "angry": [1, 0, 0, 1], "sad": [0, 0, 1, 0]},
        split=["train", "test", "", "train"], gender=["male", "female", "male", "male"],
        identity=["p", "p", "", "q"])  # fmt: skip
    return a, b


def test_votes_that_people_spread_stay_spread_in_a_merged_store(two, tmp_path):
    first = Store.open(two[0])
    labelled = first.table.derive("labels by people", first.table.frame, detail={VOTES_EACH: 10, SUGGESTED: True})
    with StoreWriter(tmp_path / "labelled") as writer:
        writer.append(np.asarray(first.images))
        spread = writer.commit(labelled, first.description).path
    merged = merge([spread, two[1]], tmp_path / "m").table
    assert merged.votes_each == 10
    assert merged.history[-1].detail[SUGGESTED]
    plain = merge(two, tmp_path / "plain").table
    assert plain.votes_each == 1
    assert SUGGESTED not in plain.history[-1].detail


def test_persons_of_two_stores_of_one_corpus_are_told(two, tmp_path):
    images = noise(3, seed=9)
    again = store_of(tmp_path / "again", "colour", images, {"happy": [1, 1, 1]}, split="train", identity=["p", "z", ""])
    detail = merge([two[1], again], tmp_path / "m").table.history[-1].detail
    assert detail["persons of one name in colour and colour 2, taken for different ones"] == 1


def test_merged_words_are_joined_and_votes_kept(two, tmp_path):
    merged = merge(two, tmp_path / "m").table
    assert merged.vocabulary == ("anger", "happiness", "contempt", "sad")
    assert merged.votes[0].tolist() == [8, 2, 0, 0]
    assert merged.votes[6].tolist() == [1, 0, 0, 0]
    assert merged.frame["sample_id"].tolist()[5:7] == ["grey/f5", "colour/f0"]
    assert merged.frame["split"].tolist() == ["train"] * 4 + ["validation", "x", "train", "test", "", "train"]
    assert merged.frame["identity"].tolist()[6:] == ["colour/p", "colour/p", "", "colour/q"]
    assert merged.attributes == ("corpus", "gender")


def test_size_and_colour_are_those_of_most_faces_unless_asked(two, tmp_path):
    assert merge(two, tmp_path / "m").info["shape"] == [10, 48, 48, 1]
    asked = merge(two, tmp_path / "n", size=64, channels=3)
    assert asked.info["shape"] == [10, 64, 64, 3]
    asked.verify()


def test_a_copy_in_another_corpus_is_found_at_another_size_and_colour(two, tmp_path):
    store = merge(two, tmp_path / "m")
    cluster = store.table.frame["cluster"]
    assert cluster[0] == cluster[6]
    assert cluster.nunique() == 9
    assert store.info["detail"]["faces with a copy in another corpus"] == 2


def test_clusters_that_a_corpus_had_stay_joined(two, tmp_path):
    frame = Store.open(two[0]).table.frame
    c = store_of(tmp_path / "c", "third", noise(2, seed=9), {"sad": [1, 1]}, cluster=[5, 5])
    assert len(frame) == 6
    cluster = merge([*two, c], tmp_path / "m").table.frame["cluster"]
    assert cluster[10] == cluster[11]
    assert cluster[5] != cluster[10]  # the number 5 of another corpus is another picture


def test_groups_of_two_spellings_become_one(two, tmp_path):
    store = merge(two, tmp_path / "m")
    assert set(store.table.frame["gender"].dropna()) == {"male", "female"}
    assert store.info["detail"]["gender: spellings of 'male'"] == ["Male"]


def test_groups_that_not_all_corpora_have_are_told(tmp_path):
    a = store_of(tmp_path / "a", "one", noise(4, seed=1), {"sad": [1] * 4}, age=["0-3", "4-19", "20-39", "20-39"])
    b = store_of(tmp_path / "b", "two", noise(4, seed=2), {"sad": [1] * 4}, age=["0-2", "20-39", "20-39", None])
    c = store_of(tmp_path / "c", "three", noise(4, seed=3), {"sad": [1] * 4})
    told = merge((a, b, c), tmp_path / "m").info["detail"]["groups of age that not all corpora have"]
    assert told == {"one": "0-3, 4-19", "two": "0-2"}
    same = merge((a, c), tmp_path / "n").info["detail"]
    assert not [key for key in same if key.startswith("groups of")]


def test_named_classes_join_words_and_leave_the_rest_out(two, tmp_path):
    store = merge(two, tmp_path / "m", classes={"happy": ["happiness"], "not happy": ["angry", "sad"]})
    assert store.table.vocabulary == ("happy", "not happy")
    assert store.info["detail"]["grey faces without a vote for any class"] == 1  # ten votes for contempt
    assert store.table.votes.tolist()[0] == [2, 8]
    assert store.table.votes.tolist()[-2:] == [[0, 1], [0, 1]]
    store.verify()  # pictures and rows belong to each other
    grey = Store.open(two[0])
    row = store.table.frame.set_index("sample_id").loc["grey/f5", "image"]
    assert (store.images[row] == grey.images[5]).all()


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({"joyful": ["glee"]}, "no corpus has the word 'glee'"),
        ({"a": ["sad"], "b": ["sad"]}, "stands in class 'a' too"),
    ],
)
def test_wrong_classes_are_refused_and_leave_nothing(two, tmp_path, classes, said):
    with pytest.raises(DataError, match=said):
        merge(two, tmp_path / "m", classes=classes)
    assert not (tmp_path / "m").exists()


def test_one_corpus_twice_keeps_its_faces_apart(two, tmp_path):
    store = merge([two[0], two[0]], tmp_path / "m")
    assert set(store.table.frame["corpus"]) == {"grey", "grey 2"}
    assert store.info["detail"]["faces with a copy in another corpus"] == 12


def test_perceived_and_annotated_groups_stay_told_apart(tmp_path):
    a = store_of(tmp_path / "a", "a", noise(2, seed=1), {"sad": [1, 1]}, gender=["male", None])
    b = store_of(tmp_path / "b", "b", noise(2, seed=2), {"sad": [1, 1]}, gender=["male", "female"],
        gender_source=["perceived", "perceived"])  # fmt: skip
    table = merge([a, b], tmp_path / "m").table
    assert table.frame["gender_source"].fillna("").tolist() == ["annotated", "", "perceived", "perceived"]
    assert table.is_perceived("gender")


def test_a_corpus_is_held_out_whole_and_its_copies_with_it(two, tmp_path):
    table = merge(two, tmp_path / "m").table
    split = held_out_split(table, np.zeros(10, dtype=int), test=("colour",), validation=0.3)
    assert (split.frame.loc[split.frame["corpus"] == "colour", "split"] == "test").all()
    assert "grey/f0" not in set(split.frame["sample_id"])
    assert set(split.frame.loc[split.frame["corpus"] == "grey", "split"]) == {"train", "validation"}
    with pytest.raises(DataError, match="groups of corpus"):
        held_out_split(table, np.zeros(10, dtype=int), test=("raf",))


@pytest.fixture
def uneven(tmp_path):
    """Cells: sad male 6 (of which 3 copies of one picture), sad female 2, happy male 3, happy female none."""
    images = noise(12, seed=3)
    return store_of(tmp_path / "u", "uneven", images, {"sad": [1] * 8 + [0] * 3 + [1], "happy": [0] * 8 + [1] * 4},
        gender=["m"] * 6 + ["f"] * 2 + ["m"] * 3 + ["f"], cluster=[0, 0, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11])  # fmt: skip


def test_cells_have_as_many_faces_and_the_shortfall_is_told(uneven, tmp_path):
    store, chosen = balance(uneven, tmp_path / "b", ["class", "gender"], n=4)
    cells = chosen.cells.set_index(["class", "gender"])
    assert cells.loc[("sad", "m")].tolist() == [6, 4, 4, 0]
    assert cells.loc[("sad", "f")].tolist() == [2, 4, 2, 2]
    assert cells.loc[("happy", "m")].tolist() == [3, 4, 3, 1]
    assert cells.loc[("happy", "f")].tolist() == [0, 4, 0, 4]
    assert chosen.short == 7
    assert chosen.left_out == {"no class": 1}  # the last face has a tied vote
    assert len(store.table) == 9
    assert store.table.history[-1].detail["faces short"] == 7
    store.verify()
    source = Store.open(uneven)
    for sample_id, row in store.table.frame[["sample_id", "image"]].itertuples(index=False):
        assert (store.images[row] == source.images[int(sample_id[1:])]).all()


def test_other_pictures_come_before_copies_of_one(uneven, tmp_path):
    for seed in range(10):
        chosen = choose_balanced(Store.open(uneven).table, ["class", "gender"], n=4, seed=seed)
        assert len({0, 1, 2} & set(chosen.rows.tolist())) == 1  # four distinct pictures there: one of the copies
    five = choose_balanced(Store.open(uneven).table, ["class", "gender"], n=5)
    assert len({0, 1, 2} & set(five.rows.tolist())) == 2


def test_without_a_number_the_smallest_cell_gives_it(uneven):
    chosen = choose_balanced(Store.open(uneven).table, ["class", "gender"])
    assert chosen.wanted == 2
    assert chosen.cells["taken"].tolist() == [2, 2, 0, 2]


def test_the_choice_is_by_seed_and_not_by_order(uneven):
    table = Store.open(uneven).table
    first, again, other = (choose_balanced(table, ["class"], n=2, seed=s).rows.tolist() for s in (0, 0, 1))
    assert first == again
    assert first != other


def test_other_splits_stay_whole(uneven, tmp_path):
    table = Store.open(uneven).table
    frame = table.frame.assign(split=["train"] * 6 + ["test"] * 6)
    chosen = choose_balanced(table.derive("x", frame), ["class"], n=1, split="train")
    assert chosen.rows.tolist()[1:] == [6, 7, 8, 9, 10, 11]


def test_complexity_counts_expressions_with_a_vote(uneven):
    chosen = choose_balanced(Store.open(uneven).table, ["complexity"], n=3)
    assert chosen.cells[["complexity", "there", "taken"]].to_numpy().tolist() == [[1, 11, 3], [2, 1, 1]]


@pytest.mark.parametrize(("by", "n"), [(["race"], 2), ([], 2), (["class"], 0)])
def test_what_cannot_be_balanced_is_refused(uneven, tmp_path, by, n):
    with pytest.raises(DataError):
        balance(uneven, tmp_path / "b", by, n=n)
    assert not (tmp_path / "b").exists()


def test_the_commands(two, uneven, tmp_path, capsys):
    asked = [
        "merge",
        *map(str, two),
        "--out",
        str(tmp_path / "m"),
        "--class",
        "happy=happiness",
        "--class",
        "other=anger,sad",
    ]
    app(asked, result_action="return_value")
    said = capsys.readouterr().out
    assert "9 faces of 48x48" in said
    assert "terms of colour: terms of colour" in said
    report = tmp_path / "cells.csv"
    asked = [
        "balance",
        str(uneven),
        "--out",
        str(tmp_path / "balanced"),
        "--by",
        "class,gender",
        "--n",
        "4",
        "--report",
        str(report),
    ]
    app(asked, result_action="return_value")
    assert "3 cells are short, 7 faces in all" not in (out := capsys.readouterr().out)  # no terminal: lines with tabs
    assert "9 faces in" in out
    assert pd.read_csv(report)["short"].tolist() == [2, 0, 4, 1]


def test_what_merging_changed_is_said(two, tmp_path):
    detail = merge(two, tmp_path / "m", size=64, channels=3).info["detail"]
    assert detail["faces brought to 64 px"] == {"grey, 48 px": 6, "colour, 96 px": 4}
    assert detail["faces made colour"] == {"grey": 6}
    assert detail["splits by another name"] == {"grey Training is train": 4, "grey PublicTest is validation": 1}
