"""Where a server listens, where people find it, and running it until it is asked to stop."""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import socket
from collections.abc import Iterable, Sequence
from typing import Any

from mien.errors import MissingExtra, UsageError
from mien.web.connections import BACKLOG, Connection
from mien.web.guard import LOOPBACK, is_loopback, name_of

try:
    import uvicorn
except ModuleNotFoundError as error:
    raise MissingExtra("serving pages", "label", error.name or "uvicorn") from error

_LAST_PORT = 65535
_STOP_S = 5
_CODE_LETTERS = "abcdefghjkmnpqrstuvwxyz"  # none that is taken for another one, or for a digit
_CODE_LENGTH = 8
_ALL = {"0.0.0.0": (socket.AF_INET, "192.0.2.1"), "::": (socket.AF_INET6, "2001:db8::1")}


def names_of(host: str, further: Sequence[str] = ()) -> set[str]:
    """Names under which a server may be asked: what :class:`mien.web.guard.Guard` takes as ``hosts``.

    Args:
        host: Where it listens.
        further: Names that the user gives, such as that of a proxy.

    Raises:
        UsageError: If one of them is the address of a page.
    """
    for name in further:
        if "/" in name:
            raise UsageError(f"host {name!r}", "is an address of a page", "a name only, such as label.example.org")
    own = [] if is_loopback(host) else _own_names()
    return {*LOOPBACK, *(name_of(_bracketed(name)) for name in (*further, host)), *own}


def _bracketed(name: str) -> str:
    """A name as a request writes it: an address of IPv6 stands in brackets."""
    return f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name


def draw_code() -> str:
    """A code that people can read out: eight letters, drawn by the system."""
    return "".join(secrets.choice(_CODE_LETTERS) for _ in range(_CODE_LENGTH))


def listen(host: str, port: int) -> socket.socket:
    """Hold a port.

    Args:
        host: Where to listen.
        port: The port; 0 takes a free one.

    Raises:
        UsageError: If there is no such port, or it is taken.
    """
    if not 0 <= port <= _LAST_PORT:
        raise UsageError("port", str(port), f"1 to {_LAST_PORT}, or 0 for a free one")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By its name: asyncio sends small packets at once (TCP_NODELAY) only where the socket says that it is TCP. Without,
    # every answer on a kept connection waits 40 ms for the acknowledgement of its own headers.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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


def invitation(host: str, port: int) -> str:
    """The line that tells people what to open.

    Args:
        host: Where the server listens.
        port: Its port.
    """
    pages = [f"http://{f'[{at}]' if ':' in at else at}:{port}/" for at in addresses(host)]
    return f"Open {' or '.join(pages)} (stop with Ctrl+C)"


def addresses(host: str) -> list[str]:
    """Where people find the server: the host, or where it listens on all addresses, those of this machine.

    Args:
        host: Where it listens.
    """
    if host not in _ALL:
        return [host]
    family, far = _ALL[host]
    found: list[str] = []
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((far, 9))  # sends nothing: it only says which address the way out would have
        found.append(probe.getsockname()[0])
    with contextlib.suppress(OSError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, family)]
    usable = [a for a in dict.fromkeys(found) if not is_loopback(a) and not ipaddress.ip_address(a).is_link_local]
    return usable or [_own_names()[-1]]


def run(
    app: Any, sockets: Iterable[socket.socket], *, stop_s: float = _STOP_S, patience_s: float | None = None
) -> None:
    """Serve until the process is asked to stop (SIGINT or SIGTERM).

    Args:
        app: An ASGI application.
        sockets: What :func:`listen` holds.
        stop_s: Seconds that what is under way may take when the process is asked to stop.
        patience_s: Seconds that a request may take to arrive; by default those of a page's.
    """
    kind = Connection if patience_s is None else type("PatientConnection", (Connection,), {"patience_s": patience_s})
    # What clients do wrong is no warning to whoever runs the page.
    config = uvicorn.Config(
        app,
        http=kind,
        loop="asyncio",
        ws="none",
        backlog=BACKLOG,
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(stop_s),
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again after it has stopped
        uvicorn.Server(config).run(sockets=list(sockets))


def _own_names() -> list[str]:
    """Names of this machine, the one that it has in its own network among them (RFC 6762)."""
    name = socket.gethostname()
    return [name, socket.getfqdn(), f"{name.partition('.')[0]}.local"]
