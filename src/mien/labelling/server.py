"""The labelling server: one call from a store to a page that people can open."""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from mien.data.images import Store
from mien.errors import MissingExtra, UsageError
from mien.labelling.app import create_app
from mien.labelling.connections import BACKLOG, Connection, allow_files
from mien.labelling.guard import LOOPBACK
from mien.labelling.task import LabelTask
from mien.records import Predictions

try:
    import uvicorn
except ModuleNotFoundError as error:
    raise MissingExtra("labelling", "label", error.name or "uvicorn") from error

DEFAULT_PORT = 8765
_LAST_PORT = 65535
_STOP_S = 5
_INVITE_LETTERS = "abcdefghjkmnpqrstuvwxyz"  # none that is taken for another one, or for a digit
_INVITE_LENGTH = 8
_ALL = {"0.0.0.0": (socket.AF_INET, "192.0.2.1"), "::": (socket.AF_INET6, "2001:db8::1")}


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
    for name in hosts:
        if "/" in name:
            raise UsageError(f"host {name!r}", "is an address of a page", "a name only, such as label.example.org")
    opened = store if isinstance(store, Store) else Store.open(store)
    said = Predictions.load(predictions) if isinstance(predictions, str | Path) else predictions
    local = _is_loopback(host)
    if not local and invite is None:
        invite = "".join(secrets.choice(_INVITE_LETTERS) for _ in range(_INVITE_LENGTH))
    names = {*LOOPBACK, *hosts} if local else {*LOOPBACK, *hosts, host, *_own_names()}
    allow_files()
    with _listen(host, port) as listening:
        app = create_app(
            opened, database, task, predictions=said, invite=invite, hosts=names, addresses=not local, say=say
        )
        port = listening.getsockname()[1]
        labelling = app.state.labelling.database
        say(f"{len(labelling.faces)} faces; labels go to {labelling.where}")
        if not local:
            say(
                f"Listening on {host}: names, keys and votes cross the network as plain HTTP. "
                "Use a proxy with TLS or an SSH tunnel where the network is not yours."
            )
            say(f"To join, annotators need the invitation: {invite}")
        pages = [f"http://{f'[{at}]' if ':' in at else at}:{port}/" for at in _addresses(host)]
        say(f"Open {' or '.join(pages)} (stop with Ctrl+C)")
        # What clients do wrong is no warning to whoever runs the page.
        config = uvicorn.Config(
            app,
            http=Connection,
            loop="asyncio",
            ws="none",
            backlog=BACKLOG,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_S,
        )
        try:
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:  # uvicorn raises the signal again after it has stopped
            pass
        finally:
            labelling.close()
    say("stopped; all labels that were acknowledged are in the database")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _own_names() -> list[str]:
    """Names of this machine, the one that it has in its own network among them (RFC 6762)."""
    name = socket.gethostname()
    return [name, socket.getfqdn(), f"{name.partition('.')[0]}.local"]


def _addresses(host: str) -> list[str]:
    """Where people find the server: the host, or where it listens on all addresses, those of this machine."""
    if host not in _ALL:
        return [host]
    family, far = _ALL[host]
    found: list[str] = []
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((far, 9))  # sends nothing: it only says which address the way out would have
        found.append(probe.getsockname()[0])
    with contextlib.suppress(OSError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, family)]
    usable = [a for a in dict.fromkeys(found) if not _is_loopback(a) and not ipaddress.ip_address(a).is_link_local]
    return usable or [_own_names()[-1]]


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= _LAST_PORT:
        raise UsageError("port", str(port), f"1 to {_LAST_PORT}, or 0 for a free one")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host.strip("[]"), port))
        listening.listen()  # bound alone, it would not keep another server off the port
    except OSError as error:
        listening.close()
        raise UsageError(
            f"{host}:{port}",
            f"cannot listen there ({error.strerror})",
            "a free port",
            "Pass another (--port 0 takes a free one).",
        ) from error
    return listening
