"""Answers that are a file of the page or a sentence; wrong requests are answered in sentences too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from mien.errors import MissingExtra
from mien.web.refusals import Refused

try:
    from fastapi import FastAPI, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
except ModuleNotFoundError as error:
    raise MissingExtra("serving pages", "label", error.name or "fastapi") from error

_LONGEST = 1000
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
_PACKED = ".gz"  # of a file that is handed on as it lies there


def new_app(title: str) -> FastAPI:
    """An application without pages about itself, which says in a sentence what is wrong with a request.

    Args:
        title: What it is.
    """
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None)
    app.exception_handler(Refused)(_refused)
    app.exception_handler(RequestValidationError)(_invalid)
    return app


def serve_page(app: FastAPI, package: str, folder: str = "page", headers: Mapping[str, str] | None = None) -> None:
    """Serve each file of a folder under its own name, ``index.html`` as ``/``; nothing else is read from the disk.

    Args:
        app: The application.
        package: The package that the folder lies in, such as ``mien.labelling``.
        folder: The folder's name.
        headers: Further headers of its answers.
    """
    for file in resources.files(package).joinpath(folder).iterdir():
        packed = file.name.endswith(_PACKED)
        name = file.name.removesuffix(_PACKED)
        suffix = Path(name).suffix
        if suffix in _TYPES:
            path = "/" if name == "index.html" else f"/{name}"
            more = {**(headers or {}), **({"Content-Encoding": "gzip"} if packed else {})}
            add_file(app, path, file.read_bytes(), _TYPES[suffix], more)


def add_file(
    app: FastAPI, path: str, content: bytes, media_type: str, headers: Mapping[str, str] | None = None
) -> None:
    """Serve some bytes, which a browser that has them need not be sent again.

    Args:
        app: The application.
        path: Where.
        content: What.
        media_type: Of which kind.
        headers: Further headers of the answer.
    """
    told = {"Cache-Control": "no-cache", "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"', **(headers or {})}

    def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == told["ETag"]:
            return Response(status_code=304, headers={k: v for k, v in told.items() if k != "Content-Encoding"})
        return Response(content, media_type=media_type, headers=told)

    app.get(path, include_in_schema=False)(answer)


def sentence(status: int, detail: str, **more: Any) -> JSONResponse:
    """An answer that says what happened.

    Args:
        status: The HTTP status.
        detail: The sentence. It may quote what was sent: it is cut, and halves of characters, which are no text,
            are written out.
        more: Further fields of the answer.
    """
    shown = detail if len(detail) <= _LONGEST else f"{detail[: _LONGEST // 2]}...{detail[-_LONGEST // 4 :]}"
    return JSONResponse({"detail": shown.encode(errors="backslashreplace").decode(), **more}, status)


def bearer(request: Request) -> str:
    """The token that a request carries.

    Args:
        request: The request.

    Raises:
        Refused: If there is none (401).
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused(401, "The key is missing. Sign in with the key that you were given, or join.")
    return token.strip()


async def _refused(_request: Request, error: Any) -> JSONResponse:
    detail = str(error)[:1].upper() + str(error)[1:]
    answer = sentence(error.status, detail, **({"reload": True} if error.reload else {}))
    if error.retry_s is not None:
        answer.headers["Retry-After"] = str(error.retry_s)
    return answer


async def _invalid(_request: Request, error: Any) -> JSONResponse:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body") or "request"
    return sentence(422, f"{place}: {first['msg']}.")
