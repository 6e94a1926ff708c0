"""Twenty annotators at once, the server killed twice with SIGKILL: nothing acknowledged is lost or counted twice."""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from pathlib import Path

import sqlalchemy as sa
from labelling_server import Client, Server
from labelling_store import CLASSES, join_body, make_store

from mien.labelling.database import LabelDatabase
from mien.labelling.queue import build_queue
from mien.labelling.results import label_frame
from mien.labelling.schema import faces, labels, leases, metadata
from mien.labelling.task import LabelTask

N_ANNOTATORS = 20
LABELS_PER_FACE = 10
# 300 labels of ten votes each; MIEN_LOAD_FACES=500 asks for 5,000 labels (minutes on a slow disk).
N_FACES = int(os.environ.get("MIEN_LOAD_FACES", "30"))


class Person(threading.Thread):
    """Labels all there is; keeps what the server acknowledged."""

    def __init__(self, port: int, i: int) -> None:
        super().__init__(daemon=True)
        self.client = Client(port)
        body = join_body(self.client.ask("GET", "/api/task")[1], f"person {i}")
        status, answer = self.client.ask("POST", "/api/join", body)
        assert status == 200, answer
        self.client.token = body["token"]
        self.random = random.Random(i)
        self.acknowledged: dict[str, dict] = {}
        self.undone: set[str] = set()
        self.repeated = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while self.one_face():
                pass
        except BaseException as error:
            self.error = error
        finally:
            self.client.connection.close()

    def one_face(self) -> bool:
        status, answer = self.client.insist("GET", "/api/next")
        assert status == 200, answer
        if answer["face"] is None:
            return False
        first = self.random.randint(1, 10)
        a, b = self.random.sample(CLASSES, 2)
        body = {
            "submission_id": str(uuid.UUID(int=self.random.getrandbits(128), version=4)),
            "sample_id": answer["face"]["sample_id"],
            "votes": {a: first, b: 10 - first},
            "seconds": 0.1,
        }
        status, answer = self.client.insist("POST", "/api/labels", body)
        if status == 409:
            assert "all the labels it needs" in answer["detail"], answer
            return True
        assert status == 200, answer
        self.repeated += answer["repeated"]
        self.acknowledged[body["submission_id"]] = body
        if self.random.random() < 0.02:
            self.undo(body["submission_id"])
        return True

    def undo(self, last: str) -> None:
        """Where its answer was lost, an undo is sent again, and takes no second label back."""
        status, answer = self.client.insist("POST", "/api/undo", {"submission_id": last})
        assert status == 200, answer
        assert answer["label"]["submission_id"] == last
        self.undone.add(last)


def label_everything(folder: Path, url: str, n_faces: int) -> None:
    store = make_store(folder / "store", n_faces)
    task = LabelTask(classes=CLASSES, labels_per_face=LABELS_PER_FACE)
    database = LabelDatabase.create(url, task, store, build_queue(store.table, task))
    with Server(store.path, url) as server:
        people = [Person(server.port, i) for i in range(N_ANNOTATORS)]
        started, down = time.monotonic(), 0.0
        for person in people:
            person.start()
        asked = n_faces * LABELS_PER_FACE
        for share in (0.35, 0.7):
            while sum(len(p.acknowledged) for p in people) < share * asked and any(p.is_alive() for p in people):
                time.sleep(0.01)
            server.kill()
            killed = time.monotonic()
            server.start()
            down += time.monotonic() - killed
        for person in people:
            person.join(120)
        seconds = time.monotonic() - started
        assert server.stop() == 0
    assert [p.error for p in people if p.error] == []
    check(database, people, n_faces)
    n = sum(len(p.acknowledged) for p in people)
    repeated, undone = sum(p.repeated for p in people), sum(len(p.undone) for p in people)
    print(
        f"\n{database.engine.dialect.name}: {n} labels of ten votes acknowledged ({repeated} stored before, {undone} "
        f"undone) in {seconds:.1f} s, {down:.1f} s of them down: {n / (seconds - down):.0f} labels/s"
    )
    database.close()


def check(database: LabelDatabase, people: list[Person], n_faces: int) -> None:
    """What the database holds is what the clients were told."""
    acknowledged = {k: v for p in people for k, v in p.acknowledged.items()}
    undone = {k for p in people for k in p.undone}
    rows = database.read(lambda c: c.execute(sa.select(labels)).mappings().all())
    assert {r["submission_id"] for r in rows} == set(acknowledged)
    assert len(rows) == len(acknowledged)
    for row in rows:
        body = acknowledged[row["submission_id"]]
        assert database.faces[row["face"]].sample_id == body["sample_id"]
        assert row["votes"] == {k: n for k, n in body["votes"].items() if n}
        assert (row["withdrawn"] != 0) == (row["submission_id"] in undone)
    current = label_frame(database)
    assert not current.duplicated(["face", "annotator"]).any()
    assert (current.groupby("face").size() == LABELS_PER_FACE).sum() == n_faces == current["face"].nunique()
    for c in CLASSES:
        told = sum(b["votes"].get(c, 0) for k, b in acknowledged.items() if k not in undone)
        assert current[f"votes_{c}"].sum() == told
    remaining = database.read(lambda c: c.execute(sa.select(sa.func.sum(faces.c.remaining))).scalar())
    assert remaining == 0
    assert database.read(lambda c: c.execute(sa.select(leases)).all()) == []


def test_sqlite(tmp_path: Path) -> None:
    label_everything(tmp_path, f"sqlite:///{tmp_path}/labels.db", N_FACES)


def test_postgresql(tmp_path: Path, postgres: str) -> None:
    label_everything(tmp_path, postgres, N_FACES)
    engine = sa.create_engine(postgres)
    metadata.drop_all(engine)  # other tests begin with an empty one
    engine.dispose()
