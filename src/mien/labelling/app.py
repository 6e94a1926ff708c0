"""The application: page, requests, and what goes wrong in sentences."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mien.data.images import Store
from mien.errors import DataError, MissingExtra, UsageError
from mien.labelling.database import LabelDatabase
from mien.labelling.endpoints import Labelling, router
from mien.labelling.pace import JoinPace
from mien.labelling.queue import build_queue
from mien.labelling.schema import sa
from mien.labelling.task import LabelTask
from mien.labelling.voting import LEASE_S
from mien.records import Predictions
from mien.web.answers import new_app, sentence, serve_page
from mien.web.guard import LOOPBACK, Guard

try:
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse
except ModuleNotFoundError as error:
    raise MissingExtra("labelling", "label", error.name or "fastapi") from error


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
    app = new_app("Mien labelling")
    app.state.labelling = Labelling(
        opened,
        store.images,
        {f.sample_id: rows[f.sample_id] for f in opened.faces},
        invite,
        lease_s,
        pace or JoinPace(),
    )
    app.include_router(router)
    serve_page(app, "mien.labelling")
    app.exception_handler(sa.exc.IntegrityError)(_changed)
    app.exception_handler(sa.exc.SQLAlchemyError)(_away)
    app.exception_handler(DataError)(_away)
    app.add_middleware(Guard, hosts=tuple(hosts), addresses=addresses)
    return app


async def _changed(_request: Request, _error: Any) -> JSONResponse:
    return sentence(409, "The database changed meanwhile (were your data deleted?). Load the page again.")


async def _away(_request: Request, error: Any) -> JSONResponse:
    logging.getLogger(__name__).error("the database failed", exc_info=error)
    return sentence(503, "The database did not answer. Nothing was changed; try again in a moment.")
