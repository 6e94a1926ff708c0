"""A labelling database: created once for a task and a store, written by one transaction at a time.

SQLite is the default, and any URL of SQLAlchemy will do for a team; PostgreSQL is tested. Writers take
turns, also those of several servers on one database: by SQLite's own lock, elsewhere by a lock on the
row of the task, at READ COMMITTED: what a transaction reads once it has the lock is what it writes on.
While nobody has labelled, another task may replace the one that is there; what writes for the old one is
then refused under the same lock. A label is acknowledged after its commit, and SQLite syncs each commit to the disk.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from mien.data.images import Store
from mien.errors import DataError, MienError, UsageError
from mien.labelling.connecting import BUSY_MS, WRITES, engine_of, in_words, is_there, make_private, patiently
from mien.labelling.differences import task_differences
from mien.labelling.queue import QueuedFace, queue_digest
from mien.labelling.schema import FORMAT, annotators, faces, labels, leases, metadata, sa, skips, tasks
from mien.labelling.task import LabelTask
from mien.web.refusals import Refused

# Emptying SQLite's log: tries, each of which stops writers so long at most, and pauses between them.
_TRIES = 3
_TRY_MS = 100
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0

_UID = sa.select(tasks.c.uid)
_UID_LOCKED = _UID.with_for_update()
_N_LABELS = sa.select(sa.func.count()).select_from(labels)

T = TypeVar("T")
Work = Callable[[sa.Connection], T]


class TaskReplaced(Refused):
    """Another task has taken the place of the one that this server was started with."""

    def __init__(self) -> None:
        super().__init__(409, "This task was replaced by another one. Whoever runs this page must start it again.")


class LabelDatabase:
    """The database of one labelling task.

    Args:
        engine: Where it is.
        clock: Seconds since 1970, for leases and times.

    Attributes:
        task: Its settings.
        id: Drawn when the task was put into it; no two tasks share it.
        store: Fingerprint of the store that it labels.
        faces: Its faces in the order of the queue.
        number: ``sample_id`` -> place in :attr:`faces`.
        traces: Whether SQLite's log may still hold what was deleted.

    Raises:
        DataError: If there is no labelling task in it.
    """

    def __init__(self, engine: sa.Engine, clock: Callable[[], float] = time.time) -> None:
        self.engine = engine
        self.clock = clock
        self._writing = threading.Lock()
        self.traces = False
        self._forgetting: threading.Thread | None = None
        self._forgetting_lock = threading.Lock()
        self._closed = threading.Event()
        ordered = sa.select(faces.c.sample_id, faces.c.suggestion).order_by(faces.c.number)
        # The task first: should another replace it in between, its old id is refused with the first write.
        row, queued = self.read(lambda c: (c.execute(sa.select(tasks)).mappings().one(), c.execute(ordered).all()))
        if row["format"] != FORMAT:
            raise DataError(self.where, f"format {row['format']}", f"format {FORMAT}", "Use the version that made it.")
        try:
            self.task = LabelTask.from_json(row["settings"])
        except MienError as error:
            raise self.damaged(f"its task is damaged: {error}") from error
        self.id, self.store, self.queue = str(row["uid"]), str(row["store"]), str(row["queue"])
        self.faces = [QueuedFace(*face) for face in queued]
        self.number = {face.sample_id: i for i, face in enumerate(self.faces)}

    @property
    def where(self) -> str:
        """The database's URL, without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @classmethod
    def open(cls, url: str | Path, clock: Callable[[], float] = time.time) -> LabelDatabase:
        """Open a database that :meth:`create` made.

        Args:
            url: A SQLAlchemy URL, a file, or a folder that holds ``labels.db``.
            clock: Seconds since 1970.

        Raises:
            DataError: If there is none, or it cannot be reached.
        """
        engine = engine_of(url)
        if not is_there(engine):
            engine.dispose()
            where = engine.url.render_as_string(hide_password=True)
            raise DataError(where, "is no labelling database", "one made by 'mien label STORE'")
        return cls(engine, clock)

    @classmethod
    def create(
        cls,
        url: str | Path,
        task: LabelTask,
        store: Store,
        queue: Sequence[QueuedFace],
        clock: Callable[[], float] = time.time,
        say: Callable[[str], None] = lambda line: None,
    ) -> LabelDatabase:
        """Create the database of a task, or open it where the same task on the same store is there.

        Another task, order or store is replaced, and whoever had joined deleted (they consented to that task),
        while the database holds no label.

        Args:
            url: A SQLAlchemy URL, a file, or a folder for ``labels.db``.
            task: The settings.
            store: The faces.
            queue: Their order.
            clock: Seconds since 1970.
            say: Takes a line where another task was replaced.

        Raises:
            UsageError: If it holds labels of another task, order or store; the message says what differs.
            DataError: If it cannot be reached.
            OutputError: If the file cannot be made.
        """
        made = make_private(url)
        engine = engine_of(url)
        if not is_there(engine):
            try:
                with in_words(engine.url.render_as_string(hide_password=True)):
                    _fill(engine, task, store, queue, clock)
            except DataError:
                if not is_there(engine):  # else another server was faster
                    engine.dispose()
                    for path in made:
                        path.unlink(missing_ok=True)
                    raise
        try:
            while not (database := cls(engine, clock)).check(task, store, queue):
                database._replace(task, store, queue, say)
        except UsageError:
            engine.dispose()
            raise
        return database

    def check(self, task: LabelTask, store: Store, queue: Sequence[QueuedFace] | None = None) -> bool:
        """Whether the database's task, order and store are these; refuse others where they would cost labels.

        Returns:
            False where they differ and the database holds no label: :meth:`create` then replaces them.

        Raises:
            UsageError: Where they differ and it holds labels; with everything that differs.
        """
        differ = self._differences(task, store, queue)
        n = self.read(lambda c: c.execute(_N_LABELS).scalar_one()) if differ else 0
        if n:
            raise UsageError(
                self.where,
                f"it holds {n} labels of another task: {'; '.join(differ)}",
                "the task that people have begun",
                "Leave these options out to go on with it, or give the new task a database of its own with --database.",
            )
        return not differ

    def _differences(self, task: LabelTask, store: Store, queue: Sequence[QueuedFace] | None) -> list[str]:
        differ = task_differences(self.task, task)
        if store.fingerprint != self.store:
            differ.append(f"it labels store {self.store[:12]}, not {store.fingerprint[:12]}")
        elif not differ and queue is not None and queue_digest(queue) != self.queue:
            differ.append("the faces stand in another order (other predictions, or a store with other attributes)")
        return differ

    def _replace(self, task: LabelTask, store: Store, queue: Sequence[QueuedFace], say: Callable[[str], None]) -> None:
        """Put another task in place of this one, unless somebody labels or another server replaces it first."""

        def work(c: sa.Connection) -> int | None:
            if c.execute(_N_LABELS).scalar_one():
                return None
            for table in (leases, skips):
                c.execute(sa.delete(table))
            joined = int(c.execute(sa.delete(annotators)).rowcount)
            c.execute(sa.delete(faces))
            c.execute(sa.insert(faces), _face_rows(task, queue))
            c.execute(sa.update(tasks).values(_task_row(task, store, queue, self.clock)))
            return joined

        try:
            joined = self.write(work)
        except TaskReplaced:
            return
        if joined is None:
            return
        self.forget()
        again = f"; {joined} who had joined must join again, for the new task" if joined else ""
        differ = "; ".join(self._differences(task, store, queue))
        say(f"nobody has labelled yet: the task of {self.where} is replaced ({differ}){again}")

    def check_store(self, store: Store) -> None:
        """Refuse another store.

        Raises:
            UsageError: If the database labels another one.
        """
        if store.fingerprint != self.store:
            raise UsageError(
                self.where, f"it labels store {self.store[:12]}, not {store.fingerprint[:12]}", "its store"
            )

    def now(self) -> str:
        """The time in UTC, ISO 8601."""
        return datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="milliseconds")

    def read(self, work: Work[T]) -> T:
        """Run a reading transaction, again where the database was locked.

        Raises:
            DataError: If it cannot be read, or there stands what this program did not write.
        """
        try:
            with in_words(self.where):
                return patiently(lambda: self._run(work, {}))
        except (ValueError, TypeError) as error:  # also of JSON
            raise self.damaged(f"it holds what 'mien label' did not write: {error}") from error

    def damaged(self, found: str) -> DataError:
        """What to raise where the database was changed by something else."""
        return DataError(self.where, found, "", "Go back to a copy that was made before.")

    def write(self, work: Work[T], durable: bool = True) -> T:
        """Run a writing transaction and commit it; again where it lost against another writer.

        Args:
            work: What to do; it may run several times, each time in a new transaction.
            durable: Wait for the disk, so that the commit survives a power failure (any commit
                survives the death of the server). Leases need not.
        """

        def once() -> T:
            # Threads of this process queue here, so that SQLite's waiting by sleeping is seldom needed.
            with self._writing:
                return self._run(work, {WRITES: "FULL" if durable else "NORMAL"})

        return patiently(once)

    def _run(self, work: Work[T], options: dict[str, Any]) -> T:
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            if options:
                # SQLite has locked all of itself by now (BEGIN IMMEDIATE).
                asked = _UID if self.engine.dialect.name == "sqlite" else _UID_LOCKED
                if connection.execute(asked).scalar() != self.id:
                    raise TaskReplaced
                if options[WRITES] == "NORMAL" and self.engine.dialect.name == "postgresql":
                    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            return work(connection)

    def forget(self) -> bool:
        """Leave nothing of deleted rows in SQLite's log (``secure_delete`` has overwritten them in the file).

        Somebody who reads needs the log. So these are a few short tries, between which others write.

        Returns:
            Whether nothing is left (:attr:`traces`); if not, :meth:`forget_later` or the next server goes on.
        """
        for _ in range(_TRIES):
            self.traces = self.engine.dialect.name == "sqlite" and not self._empty_log()
            if not self.traces:
                return True
            time.sleep(random.uniform(0.5, 1.5) * _TRY_MS / 1000)
        return False

    def _empty_log(self) -> bool:
        try:
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {_TRY_MS}")
                try:
                    return not connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
                finally:
                    connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_MS}")
        except sa.exc.SQLAlchemyError:  # what was deleted is committed: that the disk fails now is told by "traces"
            return False

    def forget_later(self) -> None:
        """Go on to :meth:`forget` in the background, until nothing is left or the database is closed."""
        with self._forgetting_lock:
            if self._forgetting is None or not self._forgetting.is_alive():
                self._forgetting = threading.Thread(target=self._forget_until_done, daemon=True)
                self._forgetting.start()

    def _forget_until_done(self) -> None:
        wait = _PAUSE_S
        while not self._closed.is_set():
            if self.forget():
                return
            self._closed.wait(wait)
            wait = min(2 * wait, _LONGEST_PAUSE_S)

    def close(self) -> None:
        """Give all connections back."""
        self._closed.set()
        if self._forgetting is not None:
            self._forgetting.join()
        self.engine.dispose()


def _fill(
    engine: sa.Engine, task: LabelTask, store: Store, queue: Sequence[QueuedFace], clock: Callable[[], float]
) -> None:
    """Tables, task and faces in one transaction: a database is whole or is not there."""
    with engine.connect().execution_options(**{WRITES: "FULL"}) as connection, connection.begin():
        metadata.create_all(connection)
        connection.execute(sa.insert(tasks).values(id=1, **_task_row(task, store, queue, clock)))
        connection.execute(sa.insert(faces), _face_rows(task, queue))


def _task_row(task: LabelTask, store: Store, queue: Sequence[QueuedFace], clock: Callable[[], float]) -> dict[str, Any]:
    return {
        "uid": uuid.uuid4().hex,
        "format": FORMAT,
        "settings": task.to_json(),
        "store": store.fingerprint,
        "queue": queue_digest(queue),
        "created": datetime.fromtimestamp(clock(), UTC).isoformat(timespec="seconds"),
    }


def _face_rows(task: LabelTask, queue: Sequence[QueuedFace]) -> list[dict[str, Any]]:
    left = task.labels_per_face
    return [
        {"number": i, "sample_id": face.sample_id, "suggestion": face.suggestion, "remaining": left}
        for i, face in enumerate(queue)
    ]
