"""The labelling server: one call from a store to a page that people can open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mien.data.images import Store
from mien.labelling.app import create_app
from mien.labelling.task import LabelTask
from mien.records import Predictions
from mien.web.connections import allow_files
from mien.web.guard import is_loopback
from mien.web.server import draw_code, invitation, listen, names_of, run

DEFAULT_PORT = 8765


def serve_labels(
    store: Store | Path | str,
    database: str | Path,
    task: LabelTask | None = None,
    *,
    predictions: Predictions | Path | str | None = None,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    invite: str | None = None,
    hosts: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> None:
    """Serve the labelling page until the process is asked to stop (SIGINT or SIGTERM).

    Args:
        store: The faces.
        database: A SQLAlchemy URL, a SQLite file, or a folder for ``labels.db``; outside the store, which
            other programs compare by its content and may replace.
        task: What is asked; None goes on with what the database holds.
        predictions: What the order of the queue needs.
        host: Where to listen. Any other host than this machine's own sends names, keys and votes
            over the network as plain HTTP: put a proxy with TLS before it, or use an SSH tunnel.
        port: Port; 0 takes a free one.
        invite: What annotators must know to join. Drawn, and said, where another host than this
            machine is asked for and none is given; never stored.
        hosts: Further names under which the server is reached, such as that of a proxy with TLS.
        say: Takes lines for the user.

    Raises:
        UsageError: If the port is taken or none, a host is no name, or the database holds another task. No
            database is made where the port is at fault.
    """
    names = names_of(host, hosts)
    opened = store if isinstance(store, Store) else Store.open(store)
    said = Predictions.load(predictions) if isinstance(predictions, str | Path) else predictions
    local = is_loopback(host)
    if not local and invite is None:
        invite = draw_code()
    allow_files()
    with listen(host, port) as listening:
        app = create_app(
            opened, database, task, predictions=said, invite=invite, hosts=names, addresses=not local, say=say
        )
        labelling = app.state.labelling.database
        say(f"{len(labelling.faces)} faces; labels go to {labelling.where}")
        if not local:
            say(
                f"Listening on {host}: names, keys and votes cross the network as plain HTTP. "
                "Use a proxy with TLS or an SSH tunnel where the network is not yours."
            )
            say(f"To join, annotators need the invitation: {invite}")
        say(invitation(host, listening.getsockname()[1]))
        try:
            run(app, [listening])
        finally:
            labelling.close()
    say("stopped; all labels that were acknowledged are in the database")
