"""What every request passes: which hosts and pages may ask, how much they may send, and the headers of answers."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

MAX_BODY = 64 * 1024
BROKEN = "Something is wrong with the server; what it is stands in its log."
_DIGITS = 9
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_POLICY = (
    "default-src 'self'; img-src 'self' blob:; style-src 'self'; script-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}


class Guard:
    """ASGI middleware.

    A web page elsewhere must not drive the server through somebody's browser: requests whose
    ``Host`` is not the server's (a name that was bent to its address) and whose ``Origin`` is another
    site are refused. A proxy may say another ``Host`` than the page's origin, which must then be one of the names.

    Args:
        app: The application.
        hosts: Names under which the server is reached.
        addresses: Any numeric address will do as well: no name can be bent then.
        max_body: Bytes that a request may have.
        problems: Refuse as programs expect it (RFC 9457), not in a sentence alone, as the page does.
    """

    def __init__(
        self,
        app: App,
        hosts: Iterable[str] = LOOPBACK,
        addresses: bool = False,
        max_body: int = MAX_BODY,
        problems: bool = False,
    ) -> None:
        self.app = app
        self.hosts = {h.lower() for h in hosts}
        self.addresses = addresses
        self.max_body, self.problems = max_body, problems

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer or pass on one request; a fault of the application is answered with 500, and passed on to its log."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refusal, begun = self._refusal(headers), False

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                given = dict(message["headers"])
                given.setdefault(b"cache-control", b"no-store")
                message["headers"] = [*given.items(), *((k, v) for k, v in _HEADERS.items() if k not in given)]
            await send(message)

        if refusal is not None:
            await self._refuse(send_guarded, *refusal)
            return
        try:
            await self.app(scope, receive, send_guarded)
        except Exception:
            # What answers a fault by itself stands outside of this, and knows none of the headers.
            if not begun:
                await self._refuse(send_guarded, 500, BROKEN)
            raise

    async def _refuse(self, send: Send, status: int, detail: str) -> None:
        content: dict[str, Any] = {"detail": detail}
        if self.problems:
            content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, **content}
        body = json.dumps(content).encode()
        kind = b"application/problem+json" if self.problems else b"application/json"
        start = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": body})

    def _refusal(self, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._known(host):
            return 403, f"This server is not {host!r}. Open the address that it printed when it started."
        origin = headers.get("origin")
        if origin is not None and not self._own(origin.partition("://")[2], host):
            return 403, "Another web site may not use this server."
        if "transfer-encoding" in headers:
            return 411, "Say the length of the request (Content-Length)."
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()) or len(length) > _DIGITS or int(length) > self.max_body:
            return 413, f"A request may have {self.max_body} bytes."
        return None

    def _own(self, site: str, host: str) -> bool:
        """Whether a page of this site is ours; another port of this machine is another program's."""
        name = name_of(site)
        return site.lower() == host.lower() or (name in self.hosts and not is_loopback(name))

    def _known(self, host: str) -> bool:
        name = name_of(host)
        if name in self.hosts:
            return True
        if not self.addresses:
            return False
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there.

    >>> is_loopback("[::1]"), is_loopback("0.0.0.0")
    (True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def name_of(host: str) -> str:
    """A host without its port.

    >>> name_of("Label.example.org:8443"), name_of("[::1]:80"), name_of("127.0.0.1")
    ('label.example.org', '[::1]', '127.0.0.1')
    """
    name = host.lower()
    return name if name.endswith("]") else name.rpartition(":")[0] or name
