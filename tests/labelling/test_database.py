from __future__ import annotations

import random
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from labelling_store import CLASSES, make_store, somebody

from mien.data.images import Store
from mien.errors import DataError, OutputError, UsageError
from mien.labelling.accounts import Account, all_annotators, delete_annotator, find_annotator, stored_about
from mien.labelling.connecting import database_url
from mien.labelling.database import LabelDatabase
from mien.labelling.queue import build_queue
from mien.labelling.results import event_frame
from mien.labelling.schema import faces, labels, metadata
from mien.labelling.task import LabelTask, asked_attributes
from mien.labelling.voting import Label, next_turn, skip, submit, undo
from mien.web.refusals import Refused

TASK = LabelTask(classes=CLASSES, votes_per_face=1, labels_per_face=3, seed=None)


def create(url: str | Path, store: Store, task: LabelTask = TASK) -> LabelDatabase:
    return LabelDatabase.create(url, task, store, build_queue(store.table, task))


def a_label(sample_id: str, i: int) -> Label:
    return Label(
        submission_id=f"00000000-0000-4000-8000-{i:012d}",
        sample_id=sample_id,
        votes={"neutral": 1},
        unknown=0,
        not_a_face=False,
        intensity=None,
        attributes={},
        seconds=1.0,
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, people_store: Store, tmp_path: Path) -> Iterator[LabelDatabase]:
    url = str(tmp_path / "labels.db") if request.param == "sqlite" else request.getfixturevalue("postgres")
    made = create(url, people_store)
    yield made
    if request.param == "postgresql":
        metadata.drop_all(made.engine)
    made.close()


def test_the_file_is_ours_alone_and_durable(people_store: Store, tmp_path: Path) -> None:
    database = create(tmp_path / "labels", people_store)
    file = tmp_path / "labels" / "labels.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def pragmas(c: sa.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        return [c.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert database.write(pragmas) == ["wal", 2, 1, 1]
    assert database.write(pragmas, durable=False)[1] == 1
    database.close()


def test_opening_again(database: LabelDatabase, people_store: Store) -> None:
    again = create(database.engine.url.render_as_string(hide_password=False), people_store)
    assert (again.id, again.task, again.faces) == (database.id, TASK, database.faces)
    again.close()


def test_another_task_is_refused_with_what_differs(
    database: LabelDatabase, people_store: Store, tmp_path: Path
) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    submit(database, somebody(database, "Ann"), a_label("faces/0000", 1))
    other = replace(TASK, votes_per_face=10, title="Other", n_faces=20, intensity=True, seed=1)
    other = replace(other, attributes=asked_attributes(["gender"]))
    with pytest.raises(UsageError) as error:
        create(url, people_store, other)
    assert str(error.value).endswith(
        "it holds 1 labels of another task: --title was 'Which expressions do you see?', now it is Other; "
        "--votes was 1, now it is 10; --intensity was off, now it is on; "
        "--ask was not given, now it is gender (Male, Female); --faces was not given, now it is 20; "
        "seed was not given, now it is 1, expected the task that people have begun. "
        "Leave these options out to go on with it, or give the new task a database of its own with --database."
    )
    longer = replace(TASK, purpose=f"{TASK.purpose} For a class.")
    with pytest.raises(UsageError, match=r"--purpose was \.\.\.(.*)', now it is \.\.\.\1 For a class\.'"):
        create(url, people_store, longer)
    store = make_store(tmp_path / "other", 31)
    with pytest.raises(UsageError, match=r"labels store \w{12}, not \w{12}"):
        create(url, store)
    with pytest.raises(UsageError, match="another order"):
        LabelDatabase.create(url, TASK, people_store, build_queue(people_store.table, TASK)[::-1])
    undo(database, find_annotator(database, "Ann"))
    with pytest.raises(UsageError, match="it holds 1 labels"):  # one that was taken back is a label that was cast
        create(url, people_store, other)


def test_a_task_that_nobody_has_labelled_is_replaced(
    database: LabelDatabase, people_store: Store, tmp_path: Path
) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    ann = somebody(database, "Ann")
    next_turn(database, ann)
    skip(database, ann, "faces/0001")
    said: list[str] = []
    other = replace(TASK, votes_per_face=10, labels_per_face=2, n_faces=7, seed=3)
    queue = build_queue(people_store.table, other)
    again = LabelDatabase.create(url, other, people_store, queue, say=said.append)
    assert (again.task, again.faces) == (other, queue)
    assert again.id != database.id
    assert len(said) == 1
    assert said[0].startswith("nobody has labelled yet: the task of ")
    assert "--votes was 1, now it is 10" in said[0]
    assert said[0].endswith("; 1 who had joined must join again, for the new task")
    assert all_annotators(again) == []
    bob = somebody(again, "Bob")
    assert bob.id > ann.id  # an id is never given out again
    # Whatever still serves the old task writes nothing: for old people, for new ones, not even a lease.
    for work in (
        lambda: submit(database, bob, a_label("faces/0000", 1)),
        lambda: next_turn(database, bob),
        lambda: skip(database, bob, "faces/0000"),
        lambda: undo(database, bob),
        lambda: somebody(database, "Cleo"),
        lambda: delete_annotator(database, bob.id),
    ):
        with pytest.raises(Refused, match="must start it again"):
            work()
    assert stored_about(again, bob.id)["labels"] == []
    spread = replace(a_label(queue[0].sample_id, 1), votes={"neutral": 10})
    assert submit(again, bob, spread)[1:] == (1, 7)
    with pytest.raises(UsageError, match="it holds 1 labels of another task"):
        create(url, people_store)
    same = LabelDatabase.create(url, other, people_store, queue, say=said.append)
    assert (same.id, len(said)) == (again.id, 1)
    again.close()
    same.close()


def test_another_store_or_order_of_a_task_that_nobody_has_labelled(
    database: LabelDatabase, people_store: Store, tmp_path: Path
) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    back = build_queue(people_store.table, TASK)[::-1]
    turned = LabelDatabase.create(url, TASK, people_store, back)
    assert turned.faces == back
    store = make_store(tmp_path / "other", 31)
    moved = create(url, store)
    moved.check_store(store)
    assert len(moved.faces) == 31
    turned.close()
    moved.close()


def test_a_label_cast_while_another_server_starts(
    database: LabelDatabase, people_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its look at the labels and its replacement of the task, somebody labels."""
    url = database.engine.url.render_as_string(hide_password=False)
    looked, check = [], LabelDatabase.check

    def slow(self: LabelDatabase, *asked: Any) -> bool:
        found = check(self, *asked)
        looked.append(found)
        if len(looked) == 1:
            submit(database, somebody(database, "Ann"), a_label("faces/0000", 1))
        return found

    monkeypatch.setattr(LabelDatabase, "check", slow)
    with pytest.raises(UsageError, match="it holds 1 labels"):
        create(url, people_store, replace(TASK, n_faces=7))
    assert looked == [False]
    assert len(stored_about(database, find_annotator(database, "Ann").id)["labels"]) == 1
    next_turn(database, find_annotator(database, "Ann"))


def test_a_replacement_never_takes_a_label_with_it(database: LabelDatabase, people_store: Store) -> None:
    """Servers start with different tasks while people label: one task is left, with every acknowledged label."""
    url = database.engine.url.render_as_string(hide_password=False)
    acknowledged: list[tuple[str, int]] = []
    problems: list[BaseException] = []
    begin = threading.Barrier(6)

    def label(i: int) -> None:
        own = LabelDatabase.open(url)
        try:
            begin.wait()
            who = somebody(own, f"person {i}")
            for j in range(5):
                submit(own, who, a_label(own.faces[j].sample_id, 100 * i + j))
                acknowledged.append((own.id, 100 * i + j))
        except (Refused, sa.exc.IntegrityError):  # the task, or the person with it, was replaced meanwhile
            pass
        except BaseException as error:
            problems.append(error)
        finally:
            own.close()

    def start(i: int) -> None:
        begin.wait()
        try:
            create(url, people_store, replace(TASK, seed=i)).close()
        except UsageError:  # people have begun
            pass
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=label, args=(i,)) for i in range(3)]
    threads += [threading.Thread(target=start, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    left = LabelDatabase.open(url)
    kept = left.read(lambda c: list(c.execute(sa.select(labels.c.submission_id)).scalars()))
    assert sorted(kept) == sorted(a_label("", i).submission_id for _, i in acknowledged)
    assert {task for task, _ in acknowledged} <= {left.id}
    left.close()


def test_what_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        LabelDatabase.open(tmp_path / "none.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(DataError, match="no labelling database"):
        LabelDatabase.open(tmp_path / "empty.db")
    (tmp_path / "text.db").write_text("not a database at all, but long enough to be taken for one" * 20)
    with pytest.raises(DataError, match="cannot be used"):
        LabelDatabase.open(tmp_path / "text.db")
    with pytest.raises(DataError, match="cannot be used"):
        LabelDatabase.open("postgresql://nobody@127.0.0.1:1/none")


def test_a_file_of_sqlite_that_is_damaged_is_one_sentence(people_store: Store, tmp_path: Path) -> None:
    whole = create(tmp_path / "whole.db", people_store)
    submit(whole, somebody(whole, "Ann"), a_label("faces/0000", 1))
    whole.close()
    content = (tmp_path / "whole.db").read_bytes()
    told = [i for i, byte in enumerate(content) if byte]  # most of a small file is empty
    rng = random.Random(0)
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 3, 30))):
            damaged[rng.choice(told)] = rng.randrange(256)
        (tmp_path / "damaged.db").write_bytes(damaged if rng.random() < 0.8 else damaged[: rng.randrange(len(damaged))])
        with suppress(DataError, UsageError):
            held = LabelDatabase.open(tmp_path / "damaged.db")
            with suppress(DataError, UsageError):
                event_frame(held)
                stored_about(held, find_annotator(held, "Ann").id)
            held.close()


def test_no_half_database_is_left(people_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise sa.exc.OperationalError("insert", {}, Exception("database or disk is full"))

    monkeypatch.setattr("mien.labelling.database._face_rows", full)
    with pytest.raises(DataError, match=r"new.db: the database failed \(database or disk is full\)"):
        create(tmp_path / "new.db", people_store)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "x.db", Path("/dev/null")):
        with pytest.raises(OutputError, match="could not be written"):
            create(place, people_store)


def test_urls(tmp_path: Path) -> None:
    assert database_url(tmp_path).database == str(tmp_path / "labels.db")
    assert database_url(tmp_path / "new").database == str(tmp_path / "new" / "labels.db")
    assert database_url("a.db").database == "a.db"
    assert database_url("postgresql://me@host/name").drivername == "postgresql+psycopg"
    for memory in ("sqlite://", "sqlite:///:memory:"):
        with pytest.raises(UsageError, match="in memory"):
            database_url(memory)
    with pytest.raises(UsageError, match="is no URL"):
        database_url("://")


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        LabelDatabase.open("postgresql://me:geheim@127.0.0.1:1/none")
    assert "geheim" not in str(error.value)


def test_the_database_itself_forbids_double_labels(database: LabelDatabase) -> None:
    ann = somebody(database, "Ann")
    row = {"face": 0, "annotator": ann.id, "votes": {}, "unknown": 1, "not_a_face": False, "attributes": {}}
    row |= {"seconds": 1.0, "created": "now", "withdrawn": 0}

    def twice(c: sa.Connection) -> None:
        c.execute(sa.insert(labels), [{**row, "submission_id": "a"}, {**row, "submission_id": "b"}])

    with pytest.raises(sa.exc.IntegrityError):
        database.write(twice)
    with pytest.raises(sa.exc.IntegrityError):
        database.write(lambda c: c.execute(sa.update(faces).values(remaining=-1)))
    with pytest.raises(sa.exc.IntegrityError):
        database.write(lambda c: c.execute(sa.insert(labels), {**row, "submission_id": "a", "annotator": 999}))


def test_two_servers_on_one_database(database: LabelDatabase) -> None:
    """Every annotator on a server of their own: leases and labels stay within what is asked."""
    url = database.engine.url.render_as_string(hide_password=False)
    problems: list[BaseException] = []

    def work(i: int) -> None:
        own = LabelDatabase.open(url)
        try:
            who = somebody(own, f"person {i}")
            for j in range(30):
                turn = next_turn(own, who)
                if turn.face is None:
                    break
                submit(own, who, a_label(own.faces[turn.face].sample_id, 100 * i + j))
        except BaseException as error:
            problems.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []  # a lease kept a place for every label
    counts = sa.select(sa.func.count()).select_from(labels).group_by(labels.c.face)
    assert database.read(lambda c: list(c.execute(counts).scalars())) == [3] * 30


def test_leases_are_never_read_from_an_old_snapshot(people_store: Store, postgres: str) -> None:
    """Whoever waits for the lock must then see what the one before wrote, whatever the server's default."""
    strict = f"{postgres}&options=-c%20default_transaction_isolation%3Dserializable"
    database = create(strict, people_store)
    level = database.write(lambda c: c.exec_driver_sql("SHOW transaction_isolation").scalar())
    metadata.drop_all(database.engine)
    database.close()
    assert level == "read committed"


def test_votes_undone_and_deleted(database: LabelDatabase) -> None:
    people = [somebody(database, f"person {i}") for i in range(3)]
    for i, who in enumerate(people):
        submit(database, who, a_label("faces/0000", i))
    with pytest.raises(Refused, match="all the labels"):
        submit(database, somebody(database, "late"), a_label("faces/0000", 9))
    taken, turn = undo(database, people[0])
    assert (taken, turn.face, turn.done) == (a_label("faces/0000", 0), 0, 0)
    submit(database, people[0], a_label("faces/0000", 10))
    assert find_annotator(database, "PERSON 0").id == people[0].id
    assert len(stored_about(database, people[0].id)["labels"]) == 2
    assert delete_annotator(database, people[0].id) == 2
    assert _remaining(database) == 1
    with pytest.raises(UsageError, match="Did you mean 'person"):
        find_annotator(database, "person 0")
    gone = Account(people[0].id, "x", "x")
    with pytest.raises(sa.exc.IntegrityError):
        submit(database, gone, a_label("faces/0001", 11))
    assert _remaining(database) == 1


def test_a_lock_is_waited_for(people_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = create(tmp_path, people_store)
    tries = []

    def locked_twice(c: sa.Connection) -> int:
        tries.append(1)
        if len(tries) < 3:
            raise sa.exc.OperationalError("x", {}, Exception("database is locked"))
        return 7

    assert database.write(locked_twice) == 7
    monkeypatch.setattr("mien.labelling.connecting._PATIENCE_S", 0.0)
    tries.clear()
    with pytest.raises(sa.exc.OperationalError):
        database.write(locked_twice)
    database.close()


def _remaining(database: LabelDatabase) -> int:
    return database.read(lambda c: c.execute(sa.select(faces.c.remaining).where(faces.c.number == 0)).scalar_one())
