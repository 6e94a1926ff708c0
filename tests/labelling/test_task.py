"""`mien label` on pictures that nobody has labelled: which classes people choose from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from labelling_store import somebody
from PIL import Image

from mien.cli import app
from mien.data.images import Store
from mien.labelling.database import LabelDatabase
from mien.labelling.queue import build_queue
from mien.labelling.results import merge_labels
from mien.labelling.task import LabelTask, classes_of
from mien.labelling.voting import Label, submit
from mien.labels import FERPLUS_CLASSES, FERPLUS_VOCABULARY
from mien.prepare import prepare


def pictures(folder: Path, n: int = 4) -> Path:
    folder.mkdir(parents=True)
    for i in range(n):
        noise = np.random.default_rng(i).integers(0, 255, (24, 24)).astype(np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    return folder


def asked(
    store: Store, database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[LabelTask | None, str]:
    """The task with which ``mien label`` serves, and what it prints."""
    served: list[LabelTask | None] = []
    monkeypatch.setattr("mien.labelling.server.serve_labels", lambda s, d, task, **_: served.append(task))
    words = ["label", str(store.path), "--database", str(database), *options]
    with pytest.raises(SystemExit):
        app(words, exit_on_error=False, print_error=False)
    return served[0], capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "words"), [("faces", "has no expressions"), ("", "has only the class 'faces'")], ids=["loose", "folder"]
)
def test_fewer_than_two_expressions_give_way_to_those_of_ferplus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: str, words: str
) -> None:
    corpus = tmp_path / "corpus"
    pictures(corpus / "faces")
    options = {} if source else {"vocabulary": ["faces"]}  # a single folder is no class unless one says so
    store = prepare(corpus / source, tmp_path / "store", **options)
    task, printed = asked(store, tmp_path / "x.db", monkeypatch, capsys)
    assert task is not None
    assert task.classes == FERPLUS_CLASSES
    assert printed.count("\n") == 1
    assert words in printed
    assert "neutral, happiness, surprise, sadness, anger, disgust, fear, contempt (--classes changes them)" in printed
    own, printed = asked(store, tmp_path / "x.db", monkeypatch, capsys, "--classes", "calm,tense")
    assert own is not None
    assert (own.classes, printed) == (("calm", "tense"), "")
    LabelDatabase.create(tmp_path / "x.db", task, store, build_queue(store.table, task)).close()
    assert asked(store, tmp_path / "x.db", monkeypatch, capsys) == (None, "")


def test_a_store_with_expressions_keeps_its_own(
    people_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task, printed = asked(people_store, tmp_path / "x.db", monkeypatch, capsys)
    assert task is not None
    assert (task.classes, printed) == (classes_of(people_store.table), "")


def test_pictures_that_nobody_had_labelled_get_their_labels(tmp_path: Path) -> None:
    store = prepare(pictures(tmp_path / "faces"), tmp_path / "store")
    task = LabelTask(classes=FERPLUS_CLASSES, votes_per_face=1, seed=None)
    database = LabelDatabase.create(tmp_path / "x.db", task, store, build_queue(store.table, task))
    person = somebody(database, "person")
    submit(
        database,
        person,
        Label(
            submission_id="0" * 8 + "-0000-4000-8000-000000000000",
            sample_id="2.png",
            votes={"fear": 1},
            unknown=0,
            not_a_face=False,
            intensity=None,
            attributes={},
            seconds=1.0,
        ),
    )
    table = merge_labels(store.table, database, unlabelled="keep")
    database.close()
    assert table.vocabulary == FERPLUS_VOCABULARY
    assert table.frame["votes_fear"].tolist() == [0, 0, 1, 0]
    assert table.votes.sum() == 1
