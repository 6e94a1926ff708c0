"""Stores to label, and databases on SQLite and PostgreSQL."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from labelling_store import make_store

from mien.data.images import Store

# Without the extra 'label' there is nothing to test here.
_NEEDED = ("sqlalchemy", "fastapi", "uvicorn", "httpx2")
collect_ignore_glob = [] if all(importlib.util.find_spec(name) for name in _NEEDED) else ["test_*.py"]


@pytest.fixture(scope="session")
def people_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Thirty faces."""
    return make_store(tmp_path_factory.mktemp("people") / "store", 30)


def _postgres_programs() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "initdb").is_file() and (f / "postgres").is_file()), None)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of our own on a socket, with an empty database."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL: neither initdb on the path nor /usr/lib/postgresql/*/bin")
    # Sockets have short paths, and PostgreSQL refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="mien-pg-", dir="/tmp"))
    as_user: dict[str, str] = {}
    if os.getuid() == 0:
        import pwd

        names = {p.pw_name for p in pwd.getpwall()}
        user = next((u for u in ("postgres", "nobody") if u in names), None)
        if user is None:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")
        as_user = {"user": user}
        shutil.chown(folder, user)
    data = folder / "data"

    def run(*command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, **as_user)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr + done.stdout

    run(str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "mien", "-E", "UTF8", "--locale=C")
    options = f"-k {folder} -c listen_addresses='' -c max_connections=60"
    control = str(programs / "pg_ctl")
    run(control, "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql+psycopg://mien@/postgres?host={folder}"
    finally:
        run(control, "-D", str(data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)
