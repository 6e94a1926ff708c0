from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from labelling_store import CLASSES, make_store, somebody

from mien.agreement import krippendorff_alpha
from mien.agreement.summary import summarise, summary_text
from mien.agreement.votes import Votes
from mien.data.images import Store
from mien.errors import DataError, LabelError, UsageError
from mien.labelling.database import LabelDatabase
from mien.labelling.exports import export_ferplus, export_manifest, export_raw
from mien.labelling.queue import build_queue
from mien.labelling.results import (
    agreement_votes,
    asked_questions,
    event_frame,
    face_frame,
    label_frame,
    label_notes,
    merge_labels,
    question_votes,
    write_labelled_store,
)
from mien.labelling.task import LabelTask, asked_attributes
from mien.labelling.voting import Label, submit, undo
from mien.prepare import prepare
from mien.stats.settings import Settings

FEW = Settings(n_boot=20)

TASK = LabelTask(classes=CLASSES, votes_per_face=1, labels_per_face=4, intensity=True, seed=None)
TASK = replace(TASK, attributes=asked_attributes(["gender"]))


def fill(database: LabelDatabase) -> None:
    """Four people on three faces: a majority, a tie, and no face; one label taken back."""
    said: list[list[tuple[str, dict[str, Any]]]] = [
        [("neutral", {"gender": "Male"}), ("happiness", {"gender": "Male"}), ("nf", {})],
        [("neutral", {"gender": "Male"}), ("sadness", {"gender": "Female"}), ("nf", {})],
        [("sadness", {"gender": "unsure"}), ("unknown", {"gender": None})],
        [("neutral", {"gender": "Female"})],
    ]
    for i, labels in enumerate(said):
        who = somebody(database, f"person {i}")
        for j, (word, attributes) in enumerate(labels):
            votes = {word: 1} if word in CLASSES else {}
            strength = {word: 1 + i} if votes else None
            key = f"00000000-0000-4000-8000-{10 * i + j:012d}"
            face = f"faces/{j:04d}"
            submit(
                database,
                who,
                Label(
                    submission_id=key,
                    sample_id=face,
                    votes=votes,
                    unknown=word == "unknown",
                    not_a_face=word == "nf",
                    intensity=strength,
                    attributes=attributes,
                    seconds=2.0 + i,
                ),
            )
    who = somebody(database, "person 4")
    submit(
        database,
        who,
        Label(
            submission_id="00000000-0000-4000-8000-000000000099",
            sample_id="faces/0005",
            votes={"neutral": 1},
            unknown=0,
            not_a_face=False,
            intensity=None,
            attributes={},
            seconds=1,
        ),
    )
    undo(database, who)


@pytest.fixture(scope="module")
def labelled_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("labelled") / "store", 10, side=48)


@pytest.fixture
def database(labelled_store: Store, tmp_path: Path) -> Iterator[LabelDatabase]:
    made = LabelDatabase.create(tmp_path / "labels.db", TASK, labelled_store, build_queue(labelled_store.table, TASK))
    fill(made)
    yield made
    made.close()


def test_the_raw_log_has_everything_under_pseudonyms(database: LabelDatabase, tmp_path: Path) -> None:
    events = event_frame(database)
    assert len(events) == 10
    assert list(events["state"]) == ["current"] * 9 + ["undone"]
    assert events["annotator"].str.fullmatch(r"annotator-[0-9a-f]{8}").all()
    assert set(event_frame(database, names=True)["annotator"]) == {f"person {i}" for i in range(5)}
    assert events.loc[2, ["votes_nf", "not_a_face"]].tolist() == [1, True]
    assert events.loc[0, "intensity_neutral"] == 1
    assert np.isnan(events.loc[0, "intensity_sadness"])
    done = export_raw(database, tmp_path / "raw.csv")
    assert (done.n_rows, done.notes) == (10, ["1 of the labels were taken back; their state is 'undone'."])
    back = pd.read_csv(tmp_path / "raw.csv")
    assert list(back.columns) == list(events.columns)
    assert not back.astype(str).apply(lambda c: c.str.contains("person")).any().any()


def test_judgements_feed_measures_of_agreement(database: LabelDatabase, labelled_store: Store) -> None:
    long = label_frame(database)
    assert len(long) == 9
    assert not long.duplicated(["face", "annotator"]).any()
    votes = agreement_votes(database, labelled_store.table)
    assert isinstance(votes, Votes)
    assert votes.vocabulary == (*CLASSES, "unknown", "nf")
    assert votes.faces.tolist() == ["faces/0000", "faces/0001", "faces/0002"]
    assert votes.totals.tolist() == [[3, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 2]]
    assert len(votes.annotators) == 4
    assert votes.seconds is not None
    assert sorted(votes.seconds) == [2, 2, 2, 3, 3, 3, 4, 4, 5]


def test_answers_to_other_questions(database: LabelDatabase, labelled_store: Store) -> None:
    strengths = dict.fromkeys((f"intensity:{c}" for c in CLASSES), "ordinal")
    assert asked_questions(database) == {"gender": "nominal", **strengths}
    gender = question_votes(database, "gender", labelled_store.table)
    assert gender.vocabulary == ("Male", "Female", "unknown")
    assert gender.faces.tolist() == ["faces/0000", "faces/0001"]
    assert gender.totals.tolist() == [[2, 1, 1], [1, 1, 0]]  # unsure is unknown; no answer is none
    assert gender.with_unknown("missing").n_votes.tolist() == [3, 2]
    neutral = question_votes(database, "intensity:neutral")
    assert neutral.vocabulary == tuple("012345")
    assert neutral.totals.tolist() == [[0, 1, 1, 0, 1, 0]]
    assert len(question_votes(database, "intensity:happiness")) == 1
    with pytest.raises(UsageError, match="was not asked, expected one of gender, intensity:neutral"):
        question_votes(database, "age")


def test_groups_whose_numbers_ascend_have_an_order(labelled_store: Store, tmp_path: Path) -> None:
    groups = {"era": ("before 1800", "1900 to 1999", "since 2000"), "plot": ("9", "4"), "hair": ("dark", "Unknown")}
    task = replace(TASK, intensity=False, attributes=asked_attributes([*groups, "age", "race"], groups))
    queue = build_queue(labelled_store.table, task)
    database = LabelDatabase.create(tmp_path / "groups.db", task, labelled_store, queue)
    metrics = {"era": "ordinal", "plot": "nominal", "hair": "nominal", "age": "ordinal", "race": "nominal"}
    assert asked_questions(database) == metrics
    said = [{"hair": "Unknown"}, {"hair": "unsure"}, {"hair": "dark"}]
    for i, attributes in enumerate(said):
        key = f"00000000-0000-4000-8000-{i:012d}"
        who = somebody(database, f"person {i}")
        submit(
            database,
            who,
            Label(
                submission_id=key,
                sample_id="faces/0000",
                votes={"neutral": 1},
                unknown=0,
                not_a_face=False,
                intensity=None,
                attributes=attributes,
                seconds=1.0,
            ),
        )
    hair = question_votes(database, "hair")
    assert (hair.vocabulary, hair.totals.tolist()) == (("dark", "unknown"), [[1, 2]])
    nobody = question_votes(database, "age")
    assert np.isnan(krippendorff_alpha(nobody, "ordinal").alpha.value)
    assert "## Also asked" in summary_text(summarise(hair, "x", others={"age": (nobody, "ordinal")}, settings=FEW))
    database.close()


def test_faces(database: LabelDatabase) -> None:
    faces = face_frame(database).set_index("face")
    assert faces["n_labels"].tolist() == [4, 3, 2]
    assert faces[[f"votes_{c}" for c in CLASSES]].to_numpy().tolist() == [[3, 0, 1], [0, 1, 1], [0, 0, 0]]
    assert faces.loc["faces/0000", "intensity_neutral"] == pytest.approx((1 + 2 + 4) / 3)
    assert faces["gender"].tolist()[:1] == ["Male"]
    assert faces["gender_source"].iloc[0] == "perceived"
    assert faces["gender_confidence"].iloc[0] == 0.5  # two of four; one was unsure, one said Female
    assert faces["gender"].isna().tolist() == [False, True, True]  # a tie, and nobody
    assert faces["gender_confidence"].isna().tolist() == [False, True, True]
    assert faces["gender_source"].isna().tolist() == [False, True, True]


def test_merging(database: LabelDatabase, labelled_store: Store, tmp_path: Path) -> None:
    table = merge_labels(labelled_store.table, database)
    assert (len(table), table.vocabulary) == (3, (*CLASSES, "unknown", "nf"))
    assert table.votes.tolist() == [[3, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 2]]
    assert table.attributes == ("perceived_gender", "gender")
    step = table.history[-1]
    assert (step.name, step.detail["suggestions_shown"]) == ("labels by people", False)
    assert step.detail["votes_each"] == 1
    assert step.detail["consent_version"] == TASK.consent_version
    assert label_notes(table) == []
    kept = merge_labels(labelled_store.table, database, unlabelled="keep")
    assert (len(kept), kept.votes.sum()) == (10, 9)
    store = write_labelled_store(labelled_store, database, tmp_path / "out")
    store.verify()
    assert np.array_equal(store.images, labelled_store.images[:3])
    assert store.table.frame["gender"].iloc[0] == "Male"
    assert store.table.frame["intensity_neutral"].iloc[0] == pytest.approx((1 + 2 + 4) / 3)
    assert np.isnan(store.table.frame["intensity_neutral"].iloc[2])
    assert "intensity_neutral" not in store.table.attributes
    again = merge_labels(store.table, database)  # labels of people once more, on the store with labels of people
    assert again.attributes == ("perceived_gender", "gender", "labelled_gender")
    with pytest.raises(UsageError, match="'drop' or 'keep'"):
        merge_labels(labelled_store.table, database, unlabelled="guess")


def test_sources_are_never_mixed(database: LabelDatabase, labelled_store: Store) -> None:
    table = labelled_store.table
    table = replace(table, frame=table.frame.assign(gender="known"), attributes=("gender",))
    merged = merge_labels(table, database)
    assert merged.attributes == ("gender", "labelled_gender")
    first = merged.frame[["gender", "labelled_gender", "labelled_gender_source", "labelled_gender_confidence"]].iloc[0]
    assert first.tolist() == ["known", "Male", "perceived", 0.5]
    assert label_notes(merged) == ["The store has a column 'gender' already: what people said is in 'labelled_gender'."]


def test_a_store_is_never_replaced_by_its_own_labels(
    database: LabelDatabase, labelled_store: Store, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(labelled_store.path)
    for out in (labelled_store.path, tmp_path / "link"):
        with pytest.raises(UsageError, match="is the store that was labelled"):
            write_labelled_store(labelled_store, database, out, force=True)
    assert len(Store.open(labelled_store.path).table) == 10


def test_suggestions_that_were_shown_are_told(labelled_store: Store, tmp_path: Path) -> None:
    task = LabelTask(classes=CLASSES, votes_per_face=1, show_suggestion=True, seed=None)
    queue = build_queue(labelled_store.table, task)
    database = LabelDatabase.create(tmp_path / "shown.db", task, labelled_store, queue)
    fill_one(database)
    for done in (
        export_raw(database, tmp_path / "raw.csv"),
        export_manifest(labelled_store, database, tmp_path / "faces.csv"),
        export_ferplus(labelled_store, database, tmp_path / "fer2013new.csv"),
    ):
        assert "must not measure that model" in done.notes[-1]
    assert merge_labels(labelled_store.table, database).history[-1].detail["suggestions_shown"]
    database.close()


def test_a_manifest_is_read_back(database: LabelDatabase, labelled_store: Store, tmp_path: Path) -> None:
    done = export_manifest(labelled_store, database, tmp_path / "out" / "faces.csv", pictures=True)
    assert (done.n_rows, done.notes) == (
        3,
        [
            "'label' is the expression with most votes; unknown and nf are in their votes only.",
            "2 faces have no label: 1 tied, 1 without a vote for an expression.",
            "Intensity is left out: a labelled store has its means, the raw log each answer.",
        ],
    )
    assert pd.read_csv(done.path, keep_default_na=False)["label"].tolist() == ["neutral", "", ""]
    store = prepare(tmp_path / "out" / "faces.csv", tmp_path / "back")
    assert store.table.vocabulary == (*CLASSES, "unknown", "nf")
    assert store.table.votes.tolist() == [[3, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 2]]
    assert np.array_equal(store.images, labelled_store.images[:3])
    frame = store.table.frame
    assert frame["sample_id"].tolist() == ["faces/0000", "faces/0001", "faces/0002"]
    assert frame[["gender", "gender_source", "gender_confidence"]].iloc[0].tolist() == ["Male", "perceived", 0.5]
    assert frame["gender"].isna().tolist() == [False, True, True]
    assert frame["split"].tolist() == ["test", "train", "train"]
    without = export_manifest(labelled_store, database, tmp_path / "paths.csv")
    assert pd.read_csv(without.path)["path"].tolist() == frame["sample_id"].tolist()
    assert any("No pictures were written" in note for note in without.notes)


def test_ferplus_is_read_back(database: LabelDatabase, labelled_store: Store, tmp_path: Path) -> None:
    done = export_ferplus(labelled_store, database, tmp_path / "fp" / "fer2013new.csv", pictures=True)
    header = (tmp_path / "fp" / "fer2013new.csv").read_text().splitlines()[0]
    assert header == "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    assert done.notes == [
        "3 faces have another number of votes than ten (from 2 to 4).",
        "Nobody could vote for surprise, anger, disgust, fear, contempt: those columns are 0.",
        "'mien prepare' numbers FERPlus's faces anew: a face is known by its 'Image name'. A manifest keeps the ids.",
    ]
    store = prepare(tmp_path / "fp", tmp_path / "back", dataset="ferplus")
    by_split = store.table.frame.set_index("split")
    assert by_split.loc["PrivateTest", "votes_neutral"] == 3
    assert store.table.frame["votes_nf"].sum() == 2
    test = int(by_split.loc["PrivateTest", "image"])
    assert np.array_equal(store.images[test], labelled_store.images[0])


def test_faces_without_a_split_are_called_training(
    database: LabelDatabase, labelled_store: Store, tmp_path: Path
) -> None:
    table = labelled_store.table
    bare = replace(labelled_store, table=replace(table, frame=table.frame.assign(split="")))
    done = export_ferplus(bare, database, tmp_path / "fp.csv")
    assert set(pd.read_csv(done.path)["Usage"]) == {"Training"}
    assert "Faces of the splits (none) are called Training." in done.notes


def test_ten_votes(database: LabelDatabase, labelled_store: Store, tmp_path: Path) -> None:
    done = export_ferplus(labelled_store, database, tmp_path / "ten.csv", ten_votes=True)
    votes = pd.read_csv(done.path).iloc[:, 2:]
    assert votes.sum(axis=1).tolist() == [10, 10, 10]
    assert votes.loc[0, ["neutral", "sadness"]].tolist() == [8, 2]  # 7.5 and 2.5: the tie goes to the first
    assert votes.loc[1, ["happiness", "sadness", "unknown"]].tolist() == [4, 3, 3]


def test_what_ferplus_cannot_hold(
    labelled_store: Store, people_store: Store, database: LabelDatabase, tmp_path: Path
) -> None:
    task = LabelTask(classes=("focused", "bored"), seed=None)
    other = LabelDatabase.create(tmp_path / "edu.db", task, labelled_store, build_queue(labelled_store.table, task))
    with pytest.raises(LabelError, match="class 'focused'"):
        export_ferplus(labelled_store, other, tmp_path / "x.csv")
    with pytest.raises(DataError, match="no label yet"):
        export_manifest(labelled_store, other, tmp_path / "x.csv")
    assert label_frame(other).empty
    other.close()
    with pytest.raises(UsageError, match="labels store"):
        export_raw_of_another_store(people_store, database, tmp_path)
    assert not list(tmp_path.glob("*.csv*"))


def export_raw_of_another_store(store: Store, database: LabelDatabase, folder: Path) -> None:
    export_manifest(store, database, folder / "x.csv")


def test_small_pictures_are_not_ferplus(people_store: Store, tmp_path: Path) -> None:
    task = LabelTask(classes=CLASSES, votes_per_face=1, seed=None)
    database = LabelDatabase.create(tmp_path / "l.db", task, people_store, build_queue(people_store.table, task))
    fill_one(database)
    with pytest.raises(DataError, match="--ferplus with --pictures: .*pictures of 16x16x1.*Leave --pictures out"):
        export_ferplus(people_store, database, tmp_path / "x.csv", pictures=True)
    assert export_ferplus(people_store, database, tmp_path / "x.csv").n_rows == 1
    assert pd.read_csv(tmp_path / "x.csv")["Image name"].tolist() == ["face0000004.png"]
    database.close()


def fill_one(database: LabelDatabase) -> None:
    who = somebody(database, "Ann")
    submit(
        database,
        who,
        Label(
            submission_id="00000000-0000-4000-8000-000000000000",
            sample_id="faces/0004",
            votes={"neutral": 1},
            unknown=0,
            not_a_face=False,
            intensity=None,
            attributes={},
            seconds=1.0,
        ),
    )
