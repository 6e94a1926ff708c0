"""`mien label`, `mien labels` and `mien agreement` on a database with a few labels."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from labelling_store import CLASSES, make_store, somebody

from mien.cli import app
from mien.data.images import Store
from mien.demographics import AGE
from mien.errors import DataError, UsageError
from mien.labelling.accounts import all_annotators, name_key
from mien.labelling.app import create_app
from mien.labelling.database import LabelDatabase
from mien.labelling.queue import build_queue
from mien.labelling.schema import annotators
from mien.labelling.task import LabelTask, asked_attributes
from mien.labelling.voting import Label, submit

Capture = pytest.CaptureFixture[str]


def mien(*words: object) -> None:
    with contextlib.suppress(SystemExit):
        app([str(w) for w in words], exit_on_error=False, print_error=False)


@pytest.fixture(scope="module")
def labelled_once(people_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people on thirty faces: two mostly agree, the third always says sadness."""
    task = LabelTask(classes=CLASSES, votes_per_face=1, labels_per_face=3, seed=None)
    path = tmp_path_factory.mktemp("labelled") / "labels.db"
    database = LabelDatabase.create(path, task, people_store, build_queue(people_store.table, task))
    for who in range(3):
        person = somebody(database, f"person {who}")
        for i, face in enumerate(people_store.table.frame["sample_id"]):
            word = "sadness" if who == 2 else CLASSES[(i + (who == 1 and i % 10 == 0)) % 3]
            label = Label(
                submission_id=f"{who:08d}-0000-4000-8000-{i:012d}",
                sample_id=face,
                votes={word: 1},
                unknown=0,
                not_a_face=False,
                intensity=None,
                attributes={},
                seconds=1.0 + i % 3,
            )
            submit(database, person, label)
    database.close()
    return path


@pytest.fixture
def labelled(labelled_once: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copy(labelled_once, tmp_path))


def test_labels_leave_as_files_and_as_a_store(
    people_store: Store, labelled: Path, tmp_path: Path, capsys: Capture
) -> None:
    mien("labels", labelled, people_store.path)
    assert "30 of 30 faces labelled, 90 labels in all" in capsys.readouterr().out
    files = ["--manifest", tmp_path / "m.csv", "--raw", tmp_path / "raw.csv", "--ferplus", tmp_path / "f.csv"]
    mien("labels", labelled, people_store.path, *files, "--out", tmp_path / "store")
    printed = capsys.readouterr().out
    assert "raw.csv: 90 rows" in printed
    assert "30 faces have another number of votes than ten (3)" in printed
    assert len(pd.read_csv(tmp_path / "m.csv")) == 30
    assert list(pd.read_csv(tmp_path / "f.csv").columns[:3]) == ["Usage", "Image name", "neutral"]
    assert Store.open(tmp_path / "store").table.votes.sum() == 90


def test_one_persons_data_can_be_taken_out_and_deleted(
    people_store: Store, labelled: Path, tmp_path: Path, capsys: Capture
) -> None:
    with pytest.raises(UsageError, match="--export FILE or --delete"):
        mien("labels", labelled, people_store.path, "--person", "person 1")
    mien("labels", labelled, people_store.path, "--person", "person 1", "--export", tmp_path / "me.json", "--delete")
    assert "person 1 and 30 labels are deleted" in capsys.readouterr().out
    content: dict[str, Any] = json.loads((tmp_path / "me.json").read_text())
    assert len(content["labels"]) == 30
    mien("labels", labelled, people_store.path)
    assert "60 labels in all" in capsys.readouterr().out


def test_what_single_people_did_is_the_owners_alone(people_store: Store, labelled: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.csv"
    there.write_text("old")
    there.chmod(0o644)
    (tmp_path / "other.csv.partial").touch(0o666)  # a command was killed
    labels = ("labels", labelled, people_store.path)
    before = os.umask(0o000)
    try:
        mien(*labels, "--raw", tmp_path / "new.csv", "--names", "--manifest", tmp_path / "m.csv")
        mien(*labels, "--raw", tmp_path / "other.csv")
        mien(*labels, "--raw", there, "--names", "--force")
        mien(*labels, "--person", "person 1", "--export", tmp_path / "me.json")
    finally:
        os.umask(before)
    for name in ("new.csv", "other.csv", "there.csv", "me.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name
    assert "person 1" in there.read_text()
    assert stat.S_IMODE((tmp_path / "m.csv").stat().st_mode) == 0o666  # holds nobody's name
    mien(*labels, "--raw", "/dev/stdout", "--force")


def test_a_name_that_is_anothers_pseudonym_is_asked_about(
    people_store: Store, labelled: Path, tmp_path: Path, capsys: Capture
) -> None:
    held = LabelDatabase.open(labelled)
    victim, mallory = all_annotators(held)[:2]
    name = victim.pseudonym
    where = annotators.c.id == mallory.id  # as an older version would have taken it
    held.write(lambda c: c.execute(sa.update(annotators).where(where).values(name=name, name_key=name_key(name))))
    labels = ("labels", labelled, people_store.path, "--delete", "--person")
    with pytest.raises(UsageError, match=f"the pseudonym of another.*{mallory.pseudonym}"):
        mien(*labels, name)
    assert len(all_annotators(held)) == 3
    mien(*labels, mallory.pseudonym)
    assert [p.id for p in all_annotators(held)] == [victim.id, all_annotators(held)[1].id]
    mien(*labels, name)
    assert victim.id not in [p.id for p in all_annotators(held)]
    held.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE label_task SET settings = '[]'",
        "UPDATE label_task SET settings = '{'",
        "UPDATE label_task SET settings = json_set(settings, '$.votes_per_face', 'x')",
        "UPDATE label_task SET settings = json_set(settings, '$.extra', 1)",
        "UPDATE label_task SET settings = json_set(settings, '$.attributes', json('[{}]'))",
        "UPDATE label_task SET settings = json_set(settings, '$.labels_per_face', 0)",
        "UPDATE label_task SET format = 'x'",
        "UPDATE label_faces SET suggestion = '{' WHERE number = 0",
        "UPDATE label_faces SET sample_id = x'ff00' WHERE number = 0",
        "DROP TABLE label_votes",
        "ALTER TABLE label_votes DROP COLUMN seconds",
        "UPDATE label_votes SET votes = '[1]'",
        "UPDATE label_votes SET votes = '{'",
        'UPDATE label_votes SET votes = \'{"neutral": "x"}\'',
        "UPDATE label_votes SET votes = '{\"neutral\": 99999999999999999999999}'",
        "UPDATE label_votes SET votes = '{\"joy\": 1}'",
        "UPDATE label_votes SET unknown = 'many'",
        "UPDATE label_votes SET seconds = 'long'",
        "UPDATE label_votes SET attributes = '3'",
        "UPDATE label_votes SET face = 77 WHERE id = 1",
        "UPDATE label_votes SET face = -1 WHERE id = 1",
    ],
)
def test_a_database_that_something_else_changed_is_one_sentence(
    people_store: Store, labelled: Path, tmp_path: Path, change: str
) -> None:
    changed = sqlite3.connect(labelled)
    changed.execute("PRAGMA foreign_keys = OFF")
    changed.execute(change)
    changed.commit()
    changed.close()
    for command in (
        ("labels", labelled, people_store.path),
        ("labels", labelled, people_store.path, "--raw", tmp_path / "raw.csv"),
        ("agreement", labelled, "--n-boot", 10),
    ):
        with pytest.raises(DataError, match="labels.db: "):
            mien(*command)
    assert not (tmp_path / "raw.csv").exists()


def test_another_store_is_always_refused(labelled: Path, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other", 31)
    for options in ([], ["--raw", "raw.csv"], ["--person", "person 1", "--delete"]):
        with pytest.raises(UsageError, match="labels store"):
            mien("labels", labelled, other.path, *options)
    held = LabelDatabase.open(labelled)
    assert len(all_annotators(held)) == 3
    held.close()


@pytest.mark.parametrize("option", ["--manifest", "--raw", "--ferplus", "--export", "--out"])
def test_no_file_is_replaced_unasked(people_store: Store, labelled: Path, tmp_path: Path, option: str) -> None:
    there, new = tmp_path / "there", tmp_path / "new.csv"
    there.write_text("precious")
    beside = ["--person", "person 1", "--delete"] if option == "--export" else ["--raw", new]
    beside = ["--manifest", new] if option == "--raw" else beside
    with pytest.raises(UsageError, match="exists already|exists and is not a store|is a file, not a folder"):
        mien("labels", labelled, people_store.path, option, there, *beside)
    assert (there.read_text(), new.exists()) == ("precious", False)
    held = LabelDatabase.open(labelled)
    assert len(all_annotators(held)) == 3
    held.close()
    if option != "--out":
        mien("labels", labelled, people_store.path, option, there, *beside, "--force")
        assert there.read_text() != "precious"


def test_what_would_overwrite_itself(people_store: Store, labelled: Path, tmp_path: Path) -> None:
    files = ["--manifest", tmp_path / "x.csv", "--raw", tmp_path / "x.csv"]
    with pytest.raises(UsageError, match="named by two options"):
        mien("labels", labelled, people_store.path, *files)
    (tmp_path / "images").mkdir()
    with pytest.raises(UsageError, match="--pictures: .*images: exists already"):
        mien("labels", labelled, people_store.path, "--manifest", tmp_path / "x.csv", "--pictures")
    with pytest.raises(UsageError, match="is a folder"):
        mien("labels", labelled, people_store.path, "--raw", tmp_path / "images", "--force")
    assert not (tmp_path / "x.csv").exists()
    mien("labels", labelled, people_store.path, "--manifest", tmp_path / "x.csv", "--pictures", "--force")
    assert len(list((tmp_path / "images").iterdir())) == 30


def test_pictures_that_ferplus_cannot_hold_stop_everything(people_store: Store, labelled: Path, tmp_path: Path) -> None:
    files = ["--manifest", tmp_path / "m.csv", "--ferplus", tmp_path / "f.csv"]
    with pytest.raises(DataError, match=r"^--ferplus with --pictures: .*16x16x1.*--manifest --pictures, in a command"):
        mien("labels", labelled, people_store.path, *files, "--pictures")
    assert not list(tmp_path.glob("*.csv"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--delete"], "--person beside it"),
        (["--export", "me.json"], "--person beside it"),
        (["--names"], "--raw beside it"),
        (["--ten-votes"], "--ferplus beside it"),
        (["--pictures", "--raw", "raw.csv"], "--ferplus or --manifest beside it"),
        (["--unlabelled", "keep"], r"--unlabelled: .*--out beside it"),
        (["--force"], "--out or --export beside it"),
        (["--person", "person 1", "--delete", "--raw", "raw.csv"], "in two commands"),
    ],
)
def test_options_that_would_do_nothing(
    people_store: Store, labelled: Path, options: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(labelled.parent)
    with pytest.raises(UsageError, match=words):
        mien("labels", labelled, people_store.path, *options)
    assert {p.suffix for p in labelled.parent.iterdir()} <= {".db", ".db-wal", ".db-shm"}
    held = LabelDatabase.open(labelled)
    assert len(all_annotators(held)) == 3
    held.close()


def test_agreement_of_named_people_names_who_differs(
    people_store: Store, labelled: Path, tmp_path: Path, capsys: Capture
) -> None:
    mien("agreement", labelled, "--store", people_store.path, "--out", tmp_path / "out", "--n-boot", "100")
    printed = capsys.readouterr().out
    assert "30 faces, 3 annotators" in printed
    assert "Krippendorff's alpha" in printed
    assert "*speed* takes 50% of their time or less" in printed
    content = json.loads((tmp_path / "out" / "agreement.json").read_text())
    flags = {a["name"]: a["flags"] for a in content["outliers"]["annotators"]}
    assert sorted(map(len, flags.values())) == [0, 0, 1]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "agreement.json",
        "agreement.md",
        "annotators.png",
        "sufficiency.png",
    }


def test_agreement_with_a_store_that_is_not_its_own(people_store: Store, labelled: Path, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other", 31)
    with pytest.raises(UsageError, match="labels store"):
        mien("agreement", labelled, "--store", other.path)
    with pytest.raises(UsageError, match="is a store"):
        mien("agreement", people_store.path, "--store", people_store.path)


def test_agreement_of_a_store_knows_no_annotators(people_store: Store, capsys: Capture, tmp_path: Path) -> None:
    frame = people_store.table.frame
    assert frame["votes_neutral"].sum() == 10
    mien("agreement", people_store.path, "--n-boot", "50", "--json")
    content = json.loads(capsys.readouterr().out)
    assert content["annotators"] is None
    assert any("annotators cannot be told apart" in note for note in content["notes"])


@pytest.fixture
def asked(people_store: Store, tmp_path: Path) -> Path:
    """Four people who spread ten votes, and say how strong it is, who it is and how old: alike but for the gender."""
    attributes = asked_attributes(["gender", "age"])
    task = LabelTask(classes=CLASSES, labels_per_face=4, intensity=True, attributes=attributes, seed=None)
    queue = build_queue(people_store.table, task)
    database = LabelDatabase.create(tmp_path / "asked.db", task, people_store, queue)
    for who in range(4):
        person = somebody(database, f"person {who}")
        for i, face in enumerate(queue):
            word = CLASSES[i % 3]
            gender = ("Male", "Female")[(i + who) % 2] if i % 5 else "unsure"
            said = {"gender": gender, "age": AGE.groups[i % 9 if who else min(i % 9 + 1, 8)]}
            key = f"{who:08d}-0000-4000-8000-{i:012d}"
            strength = {word: i % 6}
            votes = {word: 7, CLASSES[(i + 1) % 3]: 3}
            submit(
                database,
                person,
                Label(
                    submission_id=key,
                    sample_id=face.sample_id,
                    votes=votes,
                    unknown=0,
                    not_a_face=False,
                    intensity=strength,
                    attributes=said,
                    seconds=2.0,
                ),
            )
    database.close()
    return tmp_path / "asked.db"


def test_agreement_on_every_question(people_store: Store, asked: Path, tmp_path: Path, capsys: Capture) -> None:
    mien("agreement", asked, "--n-boot", "50")
    printed = capsys.readouterr().out
    assert "| intensity:happiness | 1.000" in printed
    assert "--of QUESTION" in printed
    mien("agreement", asked, "--n-boot", "50", "--json")
    others = json.loads(capsys.readouterr().out)["others"]
    metrics = {question: alpha["metric"] for question, alpha in others.items()}
    strengths = dict.fromkeys((f"intensity:{c}" for c in CLASSES), "ordinal")
    assert metrics == {"gender": "nominal", "age": "ordinal", **strengths}
    assert others["gender"]["n"] == 24  # on the others all were unsure
    assert others["gender"]["alpha"]["value"] < 0
    assert 0.9 < others["age"]["alpha"]["value"] < 1  # one of four is a bin away: a nominal alpha is about 0.5
    mien("agreement", asked, "--of", "age", "--n-boot", "50", "--out", tmp_path / "age", "--store", people_store.path)
    printed = capsys.readouterr().out
    assert printed.startswith(f"# Agreement: {asked}, age\n")
    assert "Krippendorff's alpha (ordinal)" in printed
    assert "| 70+ | " in printed
    assert "Also asked" not in printed
    content = json.loads((tmp_path / "age" / "agreement.json").read_text())
    assert (content["question"], content["alpha"]["alpha"]["value"]) == ("age", others["age"]["alpha"]["value"])
    assert {p.name for p in (tmp_path / "age").iterdir()} == {
        "agreement.json",
        "agreement.md",
        "annotators.png",
        "sufficiency.png",
    }
    mien("agreement", asked, "--of", "gender", "--n-boot", "50", "--json")
    gender = json.loads(capsys.readouterr().out)
    assert [a["unknown"]["value"] for a in gender["outliers"]["annotators"]] == [0.2] * 4
    with pytest.raises(UsageError, match="question 'gendre': was not asked.*Did you mean 'gender'"):
        mien("agreement", asked, "--of", "gendre")
    with pytest.raises(UsageError, match="does nothing: .* is a store"):
        mien("agreement", people_store.path, "--of", "gender")


def test_votes_that_one_person_spread_are_no_independent_votes(
    people_store: Store, asked: Path, labelled: Path, tmp_path: Path, capsys: Capture
) -> None:
    mien("labels", asked, people_store.path, "--out", tmp_path / "spread", "--manifest", tmp_path / "m.csv")
    assert "Each person gave 10 votes" in capsys.readouterr().out
    with pytest.raises(UsageError, match="each person gave 10 votes a face.*'mien agreement DATABASE'"):
        mien("agreement", tmp_path / "spread")
    mien("labels", labelled, people_store.path, "--out", tmp_path / "single")
    mien("agreement", tmp_path / "single", "--n-boot", "50")
    assert "30 faces. Intervals" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["{}", "{}/mine.db", "{}/deep/mine.db", "sqlite:///{}/mine.db"])
def test_votes_are_not_kept_in_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    served: list[Any] = []
    monkeypatch.setattr("mien.labelling.server.serve_labels", lambda *a, **k: served.append(a))
    store = make_store(tmp_path / "store", 5)
    before = sorted(store.path.iterdir())
    with pytest.raises(UsageError, match="may replace with all that is in it"):
        mien("label", store.path, "--database", form.format(store.path))
    assert (sorted(store.path.iterdir()), served) == (before, [])
    (tmp_path / "link").symlink_to(store.path)
    with pytest.raises(UsageError, match="may replace"):
        mien("label", store.path, "--database", tmp_path / "link" / "mine.db")
    task = LabelTask(classes=CLASSES, seed=None)  # one of an older version goes on
    LabelDatabase.create(store.path / "labels.db", task, store, build_queue(store.table, task)).close()
    mien("label", store.path, "--database", store.path)
    assert len(served) == 1


def test_a_task_is_made_of_the_options_and_goes_on_without_them(
    people_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[Any, ...]] = []
    monkeypatch.setattr("mien.labelling.server.serve_labels", lambda *a, **k: served.append((*a, k)))
    label = ("label", people_store.path, "--database", tmp_path / "x.db")
    mien(*label, "--votes", 1, "--ask", "gender,age", "--faces", 20, "--hosts", "lab.example, lab.local")
    task = served[0][2]
    assert (task.classes, task.votes_per_face, task.n_faces) == (CLASSES, 1, 20)
    assert [a.name for a in task.attributes] == ["gender", "age"]
    assert served[0][3]["hosts"] == ("lab.example", "lab.local")
    held = LabelDatabase.create(tmp_path / "x.db", task, people_store, build_queue(people_store.table, task))
    key = "00000000-0000-4000-8000-000000000000"
    submit(
        held,
        somebody(held, "Ann"),
        Label(
            submission_id=key,
            sample_id=held.faces[0].sample_id,
            votes={"neutral": 1},
            unknown=0,
            not_a_face=False,
            intensity=None,
            attributes={},
            seconds=1.0,
        ),
    )
    held.close()
    mien(*label)
    mien(*label, "--votes", 1)  # what is left out is as it was
    assert [task for _, _, task, _ in served[1:]] == [None, None]
    with pytest.raises(UsageError, match="--votes was 1, now it is 10"):
        mien(*label, "--votes", 10, "--faces", 20)
    with pytest.raises(UsageError, match="labels store"):
        mien("label", make_store(tmp_path / "other", 31).path, "--database", tmp_path / "x.db")
    with pytest.raises(UsageError, match="the task's options beside it"):
        mien(*label, "--predictions", tmp_path / "p.csv")
    new = ("label", people_store.path, "--database", tmp_path / "new.db")
    with pytest.raises(UsageError, match="--show-suggestion beside it"):
        mien(*new, "--predictions", tmp_path / "p.csv")
    with pytest.raises(UsageError, match="--predictions beside it"):
        mien(*new, "--show-suggestion")
    assert len(served) == 3


def test_another_task_may_be_tried_until_somebody_labels(
    people_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps: list[Any] = []

    def served(store: Store, where: str, task: LabelTask | None, **_: Any) -> None:
        apps.append(create_app(store, where, task).state.labelling.database)

    monkeypatch.setattr("mien.labelling.server.serve_labels", served)
    label = ("label", people_store.path, "--database", tmp_path / "x.db")
    mien(*label)
    mien(*label, "--below", 0.6)
    mien(*label, "--votes", 1, "--intensity", "--ask", "gender")
    mien(*label)
    assert [(d.task.below, d.task.votes_per_face, d.task.intensity) for d in apps] == [
        (None, 10, False),
        (0.6, 10, False),
        (0.6, 1, True),  # what is left out is as it was
        (0.6, 1, True),
    ]
    assert (len(apps[0].faces), len({d.id for d in apps})) == (30, 3)
    assert 0 < len(apps[-1].faces) < 30
    key, face = "00000000-0000-4000-8000-000000000000", apps[-1].faces[0].sample_id
    submit(
        apps[-1],
        somebody(apps[-1], "Ann"),
        Label(
            submission_id=key,
            sample_id=face,
            votes={"neutral": 1},
            unknown=0,
            not_a_face=False,
            intensity=None,
            attributes={},
            seconds=1.0,
        ),
    )
    with pytest.raises(UsageError, match="--below was 0.6, now it is 0.7.*--database") as error:
        mien(*label, "--below", 0.7)
    assert "{" not in str(error.value)
    for held in apps:
        held.close()
