"""`mien label`, `mien labels` and `mien agreement` on a database with a few labels."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from labelling_store import CLASSES, make_store, somebody

from mien.cli import app
from mien.data.images import Store
from mien.errors import UsageError
from mien.labelling.accounts import all_annotators
from mien.labelling.database import LabelDatabase
from mien.labelling.queue import build_queue
from mien.labelling.task import LabelTask
from mien.labelling.voting import Label, submit

Capture = pytest.CaptureFixture[str]


def mien(*words: object) -> None:
    with contextlib.suppress(SystemExit):
        app([str(w) for w in words], exit_on_error=False, print_error=False)


@pytest.fixture
def labelled(people_store: Store, tmp_path: Path) -> Path:
    """Three people on thirty faces: two mostly agree, the third always says sadness."""
    task = LabelTask(CLASSES, votes_per_face=1, labels_per_face=3, seed=None)
    database = LabelDatabase.create(tmp_path / "labels.db", task, people_store, build_queue(people_store.table, task))
    for who in range(3):
        person = somebody(database, f"person {who}")
        for i, face in enumerate(people_store.table.frame["sample_id"]):
            word = "sadness" if who == 2 else CLASSES[(i + (who == 1 and i % 10 == 0)) % 3]
            label = Label(f"{who:08d}-0000-4000-8000-{i:012d}", face, {word: 1}, 0, False, None, {}, 1.0 + i % 3)
            submit(database, person, label)
    database.close()
    return tmp_path / "labels.db"


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--delete"], "--person beside it"),
        (["--export", "me.json"], "--person beside it"),
        (["--names"], "--raw beside it"),
        (["--ten-votes"], "--ferplus beside it"),
        (["--pictures", "--raw", "raw.csv"], "--ferplus or --manifest beside it"),
        (["--unlabelled", "keep"], "--out beside it"),
        (["--force"], "--out beside it"),
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
    LabelDatabase.create(tmp_path / "x.db", task, people_store, build_queue(people_store.table, task)).close()
    mien(*label)
    mien(*label, "--votes", 1)  # what is left out is as it was
    assert [task for _, _, task, _ in served[1:]] == [None, None]
    with pytest.raises(UsageError, match="votes_per_face is '1', not '10'"):
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
