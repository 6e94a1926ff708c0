from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from labelling_store import CLASSES, join_body, label_body
from PIL import Image
from starlette.testclient import TestClient

from mien.data.images import Store
from mien.labelling.app import create_app
from mien.labelling.database import LabelDatabase
from mien.labelling.pace import Allowance, JoinPace
from mien.labelling.queue import build_queue
from mien.labelling.schema import annotators, faces, labels
from mien.labelling.task import LabelTask, asked_attributes
from mien.web.guard import MAX_BODY

TASK = LabelTask(classes=CLASSES, labels_per_face=2, intensity=True, attributes=asked_attributes(["gender"]), seed=None)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Annotator:
    """A signed-in client."""

    def __init__(self, client: TestClient, name: str) -> None:
        self.client = client
        body = join_body(client.get("/api/task").json(), name)
        joined = client.post("/api/join", json=body)
        assert joined.status_code == 200, joined.text
        self.token = body["token"]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return self.client.request(method, path, json=body, headers={"Authorization": f"Bearer {self.token}"})

    def face(self) -> str:
        return str(self.ask("GET", "/api/next").json()["face"]["sample_id"])

    def label(self, votes: dict[str, int] | None = None, **fields: Any) -> dict[str, Any]:
        body = label_body(self.face(), votes or {"neutral": 10}, **fields)
        answer = self.ask("POST", "/api/labels", body)
        assert answer.status_code == 200, answer.text
        return body

    def undo(self, label: dict[str, Any] | None = None) -> Any:
        return self.ask("POST", "/api/undo", {"submission_id": label and label["submission_id"]})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(people_store: Store, tmp_path: Path, clock: Clock) -> Iterator[LabelDatabase]:
    made = LabelDatabase.create(tmp_path, TASK, people_store, build_queue(people_store.table, TASK), clock)
    yield made
    made.close()


@pytest.fixture
def client(people_store: Store, database: LabelDatabase) -> Iterator[TestClient]:
    with TestClient(create_app(people_store, database, lease_s=60), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def person(client: TestClient) -> Callable[[str], Annotator]:
    return lambda name: Annotator(client, name)


def refused(answer: Any, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]


def counts(database: LabelDatabase) -> list[int]:
    """Current labels, annotators, and faces with all the labels asked for."""
    wanted = [(labels, labels.c.withdrawn == 0), (annotators, True), (faces, faces.c.remaining == 0)]
    selects = [sa.select(sa.func.count()).select_from(table).where(where) for table, where in wanted]
    return database.read(lambda c: [c.execute(select).scalar_one() for select in selects])


def test_the_task_is_shown_before_anybody_joins(client: TestClient, database: LabelDatabase) -> None:
    task = client.get("/api/task").json()
    assert (task["id"], task["consent_version"]) == (database.id, TASK.consent_version)
    assert (task["classes"], task["votes_per_face"], task["n_faces"]) == (list(CLASSES), 10, 30)
    assert task["attributes"] == [{"name": "gender", "label": "Perceived gender", "groups": ["Male", "Female"]}]
    assert (task["needs_invite"], task["show_suggestion"], task["intensity"]) == (False, False, True)
    assert "Art. 5(1)(f)" in task["notice"]
    assert "delete" in task["consent"]
    assert "whoever runs this task can see which votes are whose" in task["consent"]
    assert "Models of facial expressions" in task["purpose"]


def test_the_page_and_nothing_else_is_served(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert client.get("/label.js").headers["content-type"].startswith("text/javascript")
    for path in ("/app.py", "/../app.py", "/page/index.html", "/docs", "/openapi.json", "/labels.db"):
        assert client.get(path).status_code == 404


def test_joining(client: TestClient, database: LabelDatabase) -> None:
    task = client.get("/api/task").json()

    def join(name: str, **fields: Any) -> Any:
        return client.post("/api/join", json=join_body(task, name, **fields))

    refused(join("Ann", consent=False), 400, "agreeing")
    refused(join("  "), 422, "visible characters")
    refused(join("a\u202eb"), 422, "visible characters")
    refused(join("Ann", token="short"), 422, "token")
    body = join_body(task, " Ann  Lee ")
    assert client.post("/api/join", json=body).json() == {"name": "Ann Lee", "resumed": False}
    assert client.post("/api/join", json=body).json() == {"name": "Ann Lee", "resumed": True}  # an answer was lost
    refused(join("ANN lee"), 409, "taken")
    refused(join("Bob", token=body["token"]), 409, "as 'Ann Lee'")
    row = database.read(lambda c: c.execute(sa.select(annotators)).mappings().one())
    assert body["token"] not in str(dict(row))
    assert row["consent_version"] == TASK.consent_version
    resumed = client.post("/api/resume", headers={"Authorization": f"Bearer {body['token']}"})
    assert resumed.json() == {"name": "Ann Lee"}


@pytest.mark.parametrize("field", ["task", "consent_version"])
def test_nobody_consents_to_a_text_they_were_not_shown(client: TestClient, database: LabelDatabase, field: str) -> None:
    body = {**join_body(client.get("/api/task").json(), "Ann"), field: "another"}
    answer = client.post("/api/join", json=body)
    refused(answer, 409, "changed since this page was loaded")
    assert answer.json()["reload"] is True
    assert counts(database) == [0, 0, 0]


def test_an_invitation(people_store: Store, database: LabelDatabase) -> None:
    with TestClient(create_app(people_store, database, invite="open sesame"), base_url="http://localhost") as client:
        task = client.get("/api/task").json()
        assert task["needs_invite"]
        for wrong in (None, "", "open"):
            refused(client.post("/api/join", json=join_body(task, "a", invite=wrong)), 403, "invitation")
        right = client.post("/api/join", json=join_body(task, "a", invite="Open sesame "))  # as a telephone writes it
        assert right.status_code == 200


def test_joins_are_slowed(people_store: Store, database: LabelDatabase) -> None:
    pace = JoinPace(Allowance(5, 60.0))
    app = create_app(people_store, database, invite="fern", pace=pace)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        task = client.get("/api/task").json()
        first = join_body(task, "person", invite="fern")
        for _ in range(20):  # whose answers were lost
            assert client.post("/api/join", json=first).status_code == 200
        for i in range(2):
            assert client.post("/api/join", json=join_body(task, f"person {i}", invite="fern")).status_code == 200
        for i in range(2):  # guesses count
            refused(client.post("/api/join", json=join_body(task, f"guest {i}", invite="moss")), 403, "invitation")
        answer = client.post("/api/join", json=join_body(task, "late", invite="fern"))
        refused(answer, 429, "tries again by itself")
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert client.get("/api/next", headers={"Authorization": f"Bearer {first['token']}"}).status_code == 200
    assert counts(database)[1] == 3


@pytest.mark.parametrize(
    "name",
    [
        *("annotator-1a2b3c4d", "Annotator-1A2B3C4D", "annotator 1a2b3c4d", "ANNOTATOR_12345678", "annotator1a2b3c4d"),
        *("annotator\u20111a2b3c4d", "\uff41nnotator-1a2b3c4d", "annotator-1a2b\ufe0f3c4d"),
    ],
)
def test_a_name_is_nobodys_pseudonym(client: TestClient, database: LabelDatabase, name: str) -> None:
    refused(client.post("/api/join", json=join_body(client.get("/api/task").json(), name)), 422, "pseudonym")
    assert counts(database)[1] == 0


@pytest.mark.parametrize("name", ["annotator", "annotator 7", "Anna Annotator", "\u2764\ufe0f", "\u674e", "a1b2c3d4"])
def test_names_that_are_fine(person: Callable[[str], Annotator], name: str) -> None:
    assert person(name).ask("GET", "/api/me").json()["name"] == name


def test_what_nobody_sees_makes_no_name(client: TestClient) -> None:
    task = client.get("/api/task").json()
    for unseen in ("\u3164", "\u2800 \u115f", "\ufe0f", "\u034f"):
        refused(client.post("/api/join", json=join_body(task, unseen)), 422, "visible")
    assert client.post("/api/join", json=join_body(task, "Ann")).status_code == 200
    refused(client.post("/api/join", json=join_body(task, "Ann\u3164")), 409, "taken")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/resume"),
        ("GET", "/api/next"),
        ("GET", "/api/faces/faces%2F0000.png"),
        ("GET", "/api/me"),
        ("GET", "/api/me/export"),
        ("DELETE", "/api/me"),
    ],
)
def test_a_token_is_needed(client: TestClient, method: str, path: str) -> None:
    refused(client.request(method, path), 401, "key is missing")
    refused(client.request(method, path, headers={"Authorization": "Bearer nonsense"}), 401, "not known")
    refused(client.request(method, path, headers={"Authorization": "Basic abc"}), 401, "key is missing")


def test_the_same_face_until_it_is_labelled(person: Callable[[str], Annotator]) -> None:
    ann = person("Ann")
    first = ann.ask("GET", "/api/next").json()
    assert first["face"] == {
        "sample_id": "faces/0000",
        "image": "/api/faces/faces%2F0000.png",
        "suggestion": None,
    }
    assert first["next_image"] == "/api/faces/faces%2F0001.png"
    assert first["progress"] == {"done": 0, "total": 30}
    assert ann.ask("GET", "/api/next").json() == first
    ann.label()
    assert ann.face() == "faces/0001"


def test_pictures(person: Callable[[str], Annotator], people_store: Store, tmp_path: Path) -> None:
    answer = person("Ann").ask("GET", "/api/faces/faces%2F0007.png")
    (tmp_path / "face.png").write_bytes(answer.content)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "face.png")), people_store.images[7, ..., 0])
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("sample_id", ["nobody", "../../store.json", "/etc/passwd", "..%2F..%2Fstore.json"])
def test_a_sample_id_is_no_path(person: Callable[[str], Annotator], sample_id: str) -> None:
    assert person("Ann").ask("GET", f"/api/faces/{sample_id}.png").status_code == 404


def test_a_label_sent_twice_counts_once(person: Callable[[str], Annotator], database: LabelDatabase) -> None:
    ann, bob = person("Ann"), person("Bob")
    body = ann.label({"neutral": 7, "sadness": 3, "happiness": 0})
    again = ann.ask("POST", "/api/labels", body).json()
    assert again == {"ok": True, "repeated": True, "progress": {"done": 1, "total": 30}}
    refused(ann.ask("POST", "/api/labels", {**body, "votes": {"neutral": 10}}), 409, "another label")
    refused(bob.ask("POST", "/api/labels", body), 409, "another label")
    other = label_body(body["sample_id"], {"neutral": 10})
    refused(ann.ask("POST", "/api/labels", other), 409, "already")
    assert database.read(lambda c: len(c.execute(sa.select(labels)).all())) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"votes": {"neutral": 9}}, "9 votes were given"),
        ({"votes": {"neutral": 10}, "unknown": 1}, "11 votes were given"),
        ({"votes": {"neutral": 11, "sadness": -1}}, "negative"),
        ({"votes": {"joy": 10}}, "no class"),
        ({"votes": {"neutral": 10}, "not_a_face": True}, "takes none"),
        ({"votes": {"neutral": 5.5, "sadness": 4.5}}, "votes.neutral"),
        ({"intensity": {"neutral": 6}}, "0 to 5"),
        ({"intensity": {"joy": 1}}, "no class"),
        ({"attributes": {"gender": "Martian"}}, "no answer"),
        ({"attributes": {"age": "70+"}}, "no answer"),
        ({"seconds": -1}, "seconds"),
        ({"submission_id": "seven"}, "submission_id"),
    ],
)
def test_labels_that_do_not_answer_the_task(
    person: Callable[[str], Annotator], database: LabelDatabase, fields: dict[str, Any], words: str
) -> None:
    ann = person("Ann")
    refused(ann.ask("POST", "/api/labels", label_body(ann.face(), {"neutral": 10}) | fields), 422, words)
    assert counts(database) == [0, 1, 0]


@pytest.mark.parametrize(
    "other",
    [
        {"votes": {"neutral": 10}},
        {"intensity": {"neutral": 3}},
        {"intensity": None},
        {"attributes": {"gender": "Male"}},
        {"attributes": {}},
        {"unknown": 3, "votes": {"neutral": 7}},
        {"not_a_face": True, "votes": {}},
        {"seconds": 2.5},
        {"sample_id": "faces/0001"},
    ],
)
def test_other_content_under_a_used_id_is_refused(
    person: Callable[[str], Annotator], database: LabelDatabase, other: dict[str, Any]
) -> None:
    ann = person("Ann")
    body = ann.label({"neutral": 7, "sadness": 3}, intensity={"neutral": 2}, attributes={"gender": "Female"})
    refused(ann.ask("POST", "/api/labels", body | other), 409, "used for another label")
    same = body | {"votes": {"sadness": 3, "happiness": 0, "neutral": 7}, "unknown": 0}
    assert ann.ask("POST", "/api/labels", same).json()["repeated"]
    row = database.read(lambda c: c.execute(sa.select(labels)).mappings().one())
    assert {name: row[name] for name in ("votes", "intensity", "attributes", "seconds")} == {
        name: body[name] for name in ("votes", "intensity", "attributes", "seconds")
    }


def test_a_question_without_an_answer_is_none(person: Callable[[str], Annotator]) -> None:
    ann = person("Ann")
    body = ann.label({"neutral": 10}, attributes={"gender": None}, intensity={})
    for same in ({"attributes": {}}, {"intensity": None}):
        assert ann.ask("POST", "/api/labels", body | same).json()["repeated"]


_DIGITS = "9" * 4300
_ODD = [
    *("null", "true", "[]", "{}", '""', "0", "-1", "1.5", "NaN", "-Infinity", "1e400", "5e-324", "'", "\xff", '"\xff"'),
    *(_DIGITS, f"-{_DIGITS}", "9" * 20_000, f'"{_DIGITS}"', "9223372036854775808", '"' + "b" * 30_000 + '"'),
    *("[" * 30_000, '{"a":' * 9_000, "[" * 9_000 + "]" * 9_000),
    *(r'"\ud800"', r'"\u0000"', r'"\u202e"', r'{"\ud800":1}', r'{"\u0000":1}', r'{"gender":"\ud800"}', '{"gender":{}}'),
    *(f'{{"neutral":{_DIGITS},"sadness":{_DIGITS}}}', '{"neutral":1e999}', '{"neutral":-9223372036854775809}'),
    "{" + ",".join(f'"a{i}":1' for i in range(4000)) + "}",
]


@pytest.mark.parametrize("path", ["/api/labels", "/api/skip", "/api/undo", "/api/join"])
def test_nothing_that_is_sent_is_an_error_of_the_server(
    people_store: Store, database: LabelDatabase, path: str
) -> None:
    pace = JoinPace(Allowance(10_000, 1.0), Allowance(10_000, 1.0))
    with TestClient(
        create_app(people_store, database, invite="fern", pace=pace), base_url="http://127.0.0.1"
    ) as client:
        task = client.get("/api/task").json()
        body = join_body(task, "Ann", invite="fern")
        assert client.post("/api/join", json=body).status_code == 200
        good: dict[str, Any] = {
            "/api/labels": label_body(
                "faces/0000", {"neutral": 10}, unknown=0, not_a_face=False, intensity={}, attributes={}
            ),
            "/api/skip": {"sample_id": "faces/0001"},
            "/api/undo": {"submission_id": None},
            "/api/join": join_body(task, "Bob", invite="fern"),
        }[path]
        sent = [*_ODD]
        for name in good:
            rest = ",".join(json.dumps({k: v})[1:-1] for k, v in good.items() if k != name)
            sent += [f'{{"{name}":{odd}{"," if rest else ""}{rest}}}' for odd in _ODD]
        for text in sent:
            headers = {"Authorization": f"Bearer {body['token']}", "Content-Type": "application/json"}
            answer = client.post(path, content=text.encode("latin-1"), headers=headers)
            assert answer.status_code == 200 or 400 <= answer.status_code < 500, (text[:80], answer.text)
            if answer.status_code != 200:
                assert len(answer.json()["detail"]) < 2000
        for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""):
            headers = {"Authorization": f"Bearer {body['token']}", "Content-Type": kind}
            assert client.post(path, content=b"\xff\x00x=1", headers=headers).status_code in (400, 415, 422)
    assert database.read(lambda c: c.execute(sa.select(sa.func.max(labels.c.unknown))).scalar()) in (None, 0)


@pytest.mark.parametrize("token", ["a" * 9000, "\xff\xfe", "x y z", "\x80" * 43, "é"])
def test_odd_keys_are_not_known(client: TestClient, token: str) -> None:
    for method, path in (
        ("GET", "/api/next"),
        ("GET", "/api/me/export"),
        ("DELETE", "/api/me"),
        ("POST", "/api/resume"),
    ):
        answer = client.request(method, path, headers={"Authorization": b"Bearer " + token.encode("latin-1")})
        refused(answer, 401, "not known")


@pytest.mark.parametrize("length", ["-1", "1e3", "²", "9" * 5000, "0x10", " 5", ""])
def test_lengths_that_are_none(client: TestClient, length: str) -> None:
    answer = client.post("/api/join", content=b"12345", headers={"Content-Length": length.encode("latin-1")})
    refused(answer, 413, "bytes")


def test_a_face_of_another_task(person: Callable[[str], Annotator]) -> None:
    ann = person("Ann")
    refused(ann.ask("POST", "/api/labels", label_body("nobody", {"neutral": 10})), 404, "not in this task")
    refused(ann.ask("POST", "/api/skip", {"sample_id": "nobody"}), 404, "not in this task")


def test_not_a_face_and_unknown(person: Callable[[str], Annotator], database: LabelDatabase) -> None:
    ann = person("Ann")
    for fields in ({"not_a_face": True, "votes": {}}, {"unknown": 10, "votes": {}}):
        body = label_body(ann.face(), {}) | fields
        assert ann.ask("POST", "/api/labels", body).status_code == 200


def test_no_face_gets_more_labels_than_asked(person: Callable[[str], Annotator], database: LabelDatabase) -> None:
    ann, bob, cem = person("Ann"), person("Bob"), person("Cem")
    assert ann.face() == bob.face() == "faces/0000"
    assert cem.face() == "faces/0001"  # both places of the first are on two screens
    body = label_body("faces/0000", {"neutral": 10})
    refused(cem.ask("POST", "/api/labels", body), 409, "all the labels it needs")
    ann.label()
    bob.label()
    refused(cem.ask("POST", "/api/labels", body), 409, "all the labels it needs")
    assert counts(database) == [2, 3, 1]
    assert cem.ask("GET", "/api/next").json()["progress"] == {"done": 0, "total": 29}


def test_leases_expire(person: Callable[[str], Annotator], clock: Clock) -> None:
    ann, bob, cem = person("Ann"), person("Bob"), person("Cem")
    ann.face(), bob.face()
    clock.now += 59
    assert ann.face() == "faces/0000"  # renewed
    clock.now += 2
    assert cem.face() == "faces/0000"  # Bob's is over
    refused(bob.ask("POST", "/api/labels", label_body("faces/0000", {"neutral": 10})), 409, "all the labels")
    assert bob.face() == "faces/0001"


def test_who_holds_an_expired_lease_may_still_label(person: Callable[[str], Annotator], clock: Clock) -> None:
    ann = person("Ann")
    face = ann.face()
    clock.now += 3600
    assert ann.ask("POST", "/api/labels", label_body(face, {"neutral": 10})).status_code == 200


def test_skipped_faces_come_last(people_store: Store, tmp_path: Path) -> None:
    task = LabelTask(classes=CLASSES, votes_per_face=1, n_faces=3, seed=None)
    app = create_app(people_store, tmp_path / "three.db", task)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        ann = Annotator(client, "Ann")
        for face in ("faces/0000", "faces/0001"):
            assert ann.face() == face
            assert ann.ask("POST", "/api/skip", {"sample_id": face}).json() == {"ok": True}
        seen = [ann.label({"neutral": 1})["sample_id"] for _ in range(3)]
        assert seen == ["faces/0002", "faces/0000", "faces/0001"]
        end = ann.ask("GET", "/api/next").json()
        assert end == {"face": None, "next_image": None, "progress": {"done": 3, "total": 3}}
    app.state.labelling.database.close()


def test_undo_gives_face_and_label_back(person: Callable[[str], Annotator], database: LabelDatabase) -> None:
    ann = person("Ann")
    refused(ann.undo(), 409, "no label to take back")
    first = ann.label()
    last = ann.label({"neutral": 4}, unknown=6, intensity={"neutral": 2}, attributes={"gender": "unsure"})
    ann.face()
    answer = ann.undo().json()
    assert answer["label"] == {"not_a_face": False, **last}
    assert answer["face"]["sample_id"] == last["sample_id"] == ann.face()
    assert answer["progress"] == {"done": 1, "total": 30}
    assert ann.ask("POST", "/api/labels", last).json()["repeated"]  # an echo does not bring it back
    assert ann.label({"sadness": 10})["sample_id"] == last["sample_id"]
    rows = database.read(lambda c: c.execute(sa.select(labels).order_by(labels.c.id)).mappings().all())
    assert [bool(r["withdrawn"]) for r in rows] == [False, True, False]
    assert rows[1]["undone"] is not None
    ann.undo()
    assert ann.undo().json()["label"]["submission_id"] == first["submission_id"]
    assert counts(database)[0] == 0


def test_an_undo_whose_answer_was_lost_is_asked_again(
    person: Callable[[str], Annotator], database: LabelDatabase
) -> None:
    ann, bob = person("Ann"), person("Bob")
    first, last = ann.label(), ann.label({"sadness": 10})
    answers = [ann.undo(last).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["label"]["submission_id"] == last["submission_id"]
    assert counts(database)[0] == 1  # the first label still stands
    assert ann.face() == last["sample_id"]
    refused(bob.undo(first), 409, "no label to take back")
    assert ann.undo(first).json()["face"]["sample_id"] == first["sample_id"] == ann.face()
    refused(ann.undo(label_body("faces/0000", {})), 409, "no label to take back")


def test_an_undo_asked_again_takes_no_face_from_others(
    person: Callable[[str], Annotator], clock: Clock, database: LabelDatabase
) -> None:
    ann = person("Ann")
    first = ann.label()
    ann.undo(first)
    ann.label({"sadness": 10})  # from another browser; the first one asks again
    held = ann.face()
    refused(ann.undo(first), 409, "taken back already")
    assert ann.face() == held


def test_me(person: Callable[[str], Annotator]) -> None:
    ann = person("Ann")
    ann.label()
    ann.label()
    ann.undo()
    assert ann.ask("GET", "/api/me").json() == {"name": "Ann", "labels": 1}


def test_deletion_leaves_nothing(person: Callable[[str], Annotator], database: LabelDatabase, tmp_path: Path) -> None:
    ann, bob = person("Annabella Secret"), person("Bob")
    kept = bob.label()
    gone = [ann.label()["submission_id"] for _ in range(3)]
    ann.undo()
    ann.ask("POST", "/api/skip", {"sample_id": ann.face()})
    ann.face()
    exported = ann.ask("GET", "/api/me/export")
    assert "attachment" in exported.headers["content-disposition"]
    stored = exported.json()
    assert stored["name"] == "Annabella Secret"
    assert [x["state"] for x in stored["labels"]] == ["current", "current", "undone"]
    assert (len(stored["skipped"]), len(stored["on_screen"])) == (1, 1)
    assert ann.ask("DELETE", "/api/me").json() == {"deleted": 3}
    refused(ann.ask("GET", "/api/me"), 401, "not known")
    assert counts(database) == [1, 1, 0]
    on_disk = b"".join(p.read_bytes() for p in tmp_path.glob("labels.db*"))
    assert kept["submission_id"].encode() in on_disk
    for secret in ("Annabella Secret", "annabella secret", *gone):
        assert secret.encode() not in on_disk
    for _ in range(3):  # the places are free again
        cem = person(f"Cem {_}")
        cem.label()
    assert counts(database)[2] == 2


def test_a_reader_puts_off_the_last_of_a_deletion_and_stops_nobody(
    person: Callable[[str], Annotator], people_store: Store, tmp_path: Path
) -> None:
    ann, bob = person("Annabella Secret"), person("Bob")
    gone = ann.label()["submission_id"].encode()
    slowest, done = [0.0], threading.Event()

    def go_on() -> None:
        while not done.is_set():
            begun = time.monotonic()
            bob.face()
            slowest[0] = max(slowest[0], time.monotonic() - begun)

    reader = sqlite3.connect(tmp_path / "labels.db", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM label_votes").fetchone() == (1,)
    others = threading.Thread(target=go_on)
    others.start()
    begun = time.monotonic()
    answer = ann.ask("DELETE", "/api/me").json()
    assert time.monotonic() - begun < 5
    assert (answer["deleted"], "as soon as nobody reads" in answer["left"]) == (1, True)
    done.set()
    others.join()
    assert slowest[0] < 3
    assert gone in (tmp_path / "labels.db-wal").read_bytes()
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("labels.db", "labels.db-wal"):  # as they are if the server is killed now
        shutil.copy(tmp_path / name, killed)
    reader.close()
    until_it_is_gone(tmp_path, gone)  # nobody asks again: it goes by itself
    again = create_app(people_store, killed)
    until_it_is_gone(killed, gone)
    again.state.labelling.database.close()


def until_it_is_gone(folder: Path, secret: bytes) -> None:
    until = time.monotonic() + 20
    while secret in b"".join(p.read_bytes() for p in folder.glob("labels.db*")):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8765", "", "10.0.0.1"])
def test_other_hosts_are_refused(client: TestClient, host: str) -> None:
    refused(client.get("/api/task", headers={"Host": host}), 403, "This server is not")


def test_other_sites_are_refused(client: TestClient) -> None:
    assert client.get("/api/task", headers={"Origin": "http://127.0.0.1"}).status_code == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999"):
        body = {"name": "x", "consent": True}
        refused(client.post("/api/join", json=body, headers={"Origin": origin}), 403, "Another web site")


def test_addresses_of_a_network(people_store: Store, database: LabelDatabase) -> None:
    app = create_app(people_store, database, hosts=["lab.example"], addresses=True)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        for host, status in (("10.0.0.1:80", 200), ("[::1]:80", 200), ("LAB.example", 200), ("evil.example", 403)):
            assert client.get("/api/task", headers={"Host": host}).status_code == status


def test_a_proxy_may_say_another_host(people_store: Store, database: LabelDatabase) -> None:
    app = create_app(people_store, database, hosts=["localhost", "127.0.0.1", "lab.example"])
    with TestClient(app, base_url="http://127.0.0.1") as client:
        for origin in ("https://lab.example", "https://LAB.example:8443", "http://127.0.0.1"):
            assert client.get("/api/task", headers={"Origin": origin}).status_code == 200
        for origin in ("https://evil.example", "http://lab.example.evil.example", "http://localhost:9999"):
            refused(client.get("/api/task", headers={"Origin": origin}), 403, "Another web site")


def test_large_bodies_are_refused(client: TestClient) -> None:
    refused(client.post("/api/join", content=b"x" * (MAX_BODY + 1)), 413, "bytes")
    refused(client.post("/api/join", content=iter([b"x"])), 411, "length")


def test_headers(client: TestClient) -> None:
    for path, cache in (("/", "no-cache"), ("/api/task", "no-store"), ("/nowhere", "no-store")):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == cache
        assert "access-control-allow-origin" not in headers


def test_a_database_that_fails_says_so(client: TestClient, database: LabelDatabase, monkeypatch: Any) -> None:
    ann = Annotator(client, "Ann")

    def broken(*_: Any, **__: Any) -> None:
        raise sa.exc.OperationalError("insert", {}, Exception("disk is full"))

    monkeypatch.setattr(database, "write", broken)
    refused(ann.ask("GET", "/api/next"), 503, "try again")
