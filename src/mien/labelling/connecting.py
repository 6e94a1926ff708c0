"""How a labelling database is reached: its URL or file, SQLite's settings, tries again, failures in words."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mien.errors import DataError, MissingExtra, UsageError
from mien.labelling.schema import sa, tasks
from mien.outputs import writing

FILE = "labels.db"
_PATIENCE_S = 20.0
BUSY_MS = 10000  # that SQLite waits for a lock
# Serialization failure, deadlock, lock not available.
_TRY_AGAIN = ("40001", "40P01", "55P03")
WRITES = "mien_writes"  # option of a connection: how SQLite syncs what is written, FULL or NORMAL

T = TypeVar("T")


@contextmanager
def in_words(where: str) -> Iterator[None]:
    """Turn a failure of the database into one sentence.

    Args:
        where: The database.

    Raises:
        DataError: In place of an error of SQLAlchemy.
    """
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        found = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        fix = "See to the disk or the server that it is on, or go back to a copy that was made before."
        raise DataError(where, f"the database failed ({found})", "", fix) from error


def database_url(url: str | Path) -> sa.URL:
    """The URL of a database: as given, or that of SQLite for a file or a folder.

    Raises:
        UsageError: If it is no URL, or a database in memory.
    """
    text = str(url)
    if "://" not in text:
        path = Path(text)
        path = path / FILE if path.is_dir() or not path.suffix else path
        return sa.URL.create("sqlite", database=str(path))
    try:
        parsed = sa.make_url(text)
    except sa.exc.ArgumentError as error:
        raise UsageError("database", "is no URL", "such as postgresql://user@host/name, or a file") from error
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and (parsed.database or ":memory:") == ":memory:":
        raise UsageError("database", "is in memory: the votes would be lost", "a file")
    return parsed


def database_file(url: str | Path) -> Path | None:
    """SQLite's file; None of another database."""
    parsed = database_url(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def make_private(url: str | Path) -> list[Path]:
    """Create SQLite's file, with its folder, for this user only: it holds names.

    Returns:
        The files to remove should no database come of it: none where the file was there before.

    Raises:
        OutputError: If it cannot be made.
    """
    path = database_file(url)
    if path is None:
        return []
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return []
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return [path, *(path.with_name(path.name + part) for part in ("-wal", "-shm", "-journal"))]


def engine_of(url: str | Path) -> sa.Engine:
    """The engine of a database that is there: SQLite's file, or whatever a server says later.

    Raises:
        DataError: If SQLite's file is not there.
        MissingExtra: If its driver is not installed.
        UsageError: If it is no database that SQLAlchemy knows.
    """
    parsed = database_url(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    where = parsed.render_as_string(hide_password=True)
    if sqlite and not Path(parsed.database or "").is_file():
        raise DataError(where, "does not exist", "a labelling database")
    # A plan that PostgreSQL keeps from when the tables were empty reads them whole when they are full.
    arguments = {"prepare_threshold": None} if parsed.drivername == "postgresql+psycopg" else {}
    # A snapshot taken before the lock was got would hold stale leases.
    options: dict[str, Any] = {} if sqlite else {"pool_pre_ping": True, "isolation_level": "READ COMMITTED"}
    try:
        engine = sa.create_engine(
            parsed, pool_size=8, max_overflow=40, connect_args=arguments, hide_parameters=True, **options
        )
    except ModuleNotFoundError as error:
        raise MissingExtra(f"database {where}", "label", error.name or "") from error
    except sa.exc.ArgumentError as error:
        raise UsageError(where, f"cannot be used ({error})", "a database that SQLAlchemy knows") from error
    if sqlite:
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event opens the transactions, not the driver
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_MS}",
        "journal_mode = WAL",
        "foreign_keys = ON",
        "secure_delete = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return
    writes = connection.get_execution_options().get(WRITES)
    if writes:
        connection.exec_driver_sql(f"PRAGMA synchronous = {writes}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def is_there(engine: sa.Engine) -> bool:
    """Whether a labelling task is in it.

    Raises:
        DataError: If it cannot be reached.
    """
    try:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table(tasks.name):
                return False
            return connection.execute(sa.select(tasks.c.id)).first() is not None
    except (sa.exc.DBAPIError, UnicodeDecodeError) as error:  # SQLite may quote what is no text
        where = engine.url.render_as_string(hide_password=True)
        words = str(getattr(error, "orig", None) or error).strip()
        raise DataError(where, f"cannot be used ({words})", "a database that can be reached") from error


def patiently(once: Callable[[], T]) -> T:
    """Again after a lock or a serialization failure, which leave nothing behind; any other error is passed on."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return once()
        except sa.exc.DBAPIError as error:
            if time.monotonic() > until or not _lost_a_race(error):
                raise
            time.sleep(random.uniform(0.002, 0.03))


def _lost_a_race(error: sa.exc.DBAPIError) -> bool:
    code = str(getattr(error.orig, "sqlstate", "") or "")
    text = str(error.orig)
    return code in _TRY_AGAIN or "database is locked" in text or "database table is locked" in text
