"""The application: page, requests, and what goes wrong in sentences."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from mien.data.images import Store
from mien.errors import DataError, MissingExtra, UsageError
from mien.labelling.database import LabelDatabase
from mien.labelling.endpoints import Labelling, router
from mien.labelling.guard import LOOPBACK, Guard
from mien.labelling.pace import JoinPace
from mien.labelling.queue import build_queue
from mien.labelling.refusals import Refused
from mien.labelling.schema import sa
from mien.labelling.task import LabelTask
from mien.labelling.voting import LEASE_S
from mien.records import Predictions

try:
    from fastapi import FastAPI, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
except ModuleNotFoundError as error:
    raise MissingExtra("labelling", "label", error.name or "fastapi") from error

_LONGEST = 1000
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def create_app(
    store: Store,
    database: str | Path | LabelDatabase,
    task: LabelTask | None = None,
    *,
    predictions: Predictions | None = None,
    invite: str | None = None,
    lease_s: float = LEASE_S,
    hosts: Iterable[str] = LOOPBACK,
    addresses: bool = False,
    pace: JoinPace | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> FastAPI:
    """The labelling page of a store.

    Args:
        store: The faces.
        database: A SQLAlchemy URL, a SQLite file, or a folder for ``labels.db``.
        task: What is asked. None goes on with what the database holds.
        predictions: What the order of the queue needs.
        invite: What annotators must know to join, in upper or lower case; not stored.
        lease_s: Seconds for which the face on a screen is kept for its annotator.
        hosts: Names under which the server may be asked.
        addresses: Allow any numeric address as well.
        pace: How fast people may join; by default a class at once.
        say: Takes lines for the user.

    Raises:
        UsageError: If the database holds another task, or labels another store.
        DataError: If there is no database to go on with.
        MissingExtra: Without the packages of the extra ``label``.
    """
    if invite is not None and not invite.strip():
        raise UsageError("invite", "is empty", "a code that is hard to guess, or none")
    if isinstance(database, LabelDatabase):
        opened = database
    elif task is None:
        opened = LabelDatabase.open(database)
    else:
        queue = build_queue(store.table, task, predictions, say)
        opened = LabelDatabase.create(database, task, store, queue, say=say)
    opened.check_store(store)
    opened.forget_later()  # of somebody who was deleted when the last server was killed
    frame = store.table.frame
    rows = dict(zip(frame["sample_id"], frame["image"].astype(int), strict=True))
    app = FastAPI(title="Mien labelling", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.labelling = Labelling(
        opened,
        store.images,
        {f.sample_id: rows[f.sample_id] for f in opened.faces},
        invite,
        lease_s,
        pace or JoinPace(),
    )
    app.include_router(router)
    _serve_page(app)
    app.exception_handler(Refused)(_refused)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(sa.exc.IntegrityError)(_changed)
    app.exception_handler(sa.exc.SQLAlchemyError)(_away)
    app.exception_handler(DataError)(_away)
    app.add_middleware(Guard, hosts=tuple(hosts), addresses=addresses)
    return app


def _serve_page(app: FastAPI) -> None:
    """Each file of the page under its own name; nothing else is ever read from the disk."""
    for file in resources.files("mien.labelling").joinpath("page").iterdir():
        suffix = Path(file.name).suffix
        if suffix in _TYPES:
            path = "/" if file.name == "index.html" else f"/{file.name}"
            app.get(path, include_in_schema=False)(_static(file.read_bytes(), _TYPES[suffix]))


def _static(content: bytes, media_type: str) -> Any:
    def answer() -> Response:
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    return answer


def _answer(status: int, detail: str, **more: Any) -> JSONResponse:
    """A sentence. It may quote what was sent: cut, and without halves of characters, which are no text."""
    shown = detail if len(detail) <= _LONGEST else f"{detail[: _LONGEST // 2]}...{detail[-_LONGEST // 4 :]}"
    return JSONResponse({"detail": shown.encode(errors="backslashreplace").decode(), **more}, status)


async def _refused(_request: Request, error: Any) -> JSONResponse:
    detail = str(error)[:1].upper() + str(error)[1:]
    answer = _answer(error.status, detail, **({"reload": True} if error.reload else {}))
    if error.retry_s is not None:
        answer.headers["Retry-After"] = str(error.retry_s)
    return answer


async def _invalid(_request: Request, error: Any) -> JSONResponse:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body") or "request"
    return _answer(422, f"{place}: {first['msg']}.")


async def _changed(_request: Request, _error: Any) -> JSONResponse:
    return _answer(409, "The database changed meanwhile (were your data deleted?). Load the page again.")


async def _away(_request: Request, error: Any) -> JSONResponse:
    logging.getLogger(__name__).error("the database failed", exc_info=error)
    return _answer(503, "The database did not answer. Nothing was changed; try again in a moment.")
