"""The application: what can be asked, and what is counted of it."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import time
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mien.errors import MienError, MissingExtra
from mien.pictures.opening import quietly
from mien.predict import FaceRow, Predictor
from mien.predict.predictor import Looked
from mien.serve.auditing import audited
from mien.serve.batching import Batcher, Rate, Room
from mien.serve.browsing import add_page
from mien.serve.openapi import AUDIT, METRICS, NOTICE, PICTURES, READY, ROWS, TABLE, TOKEN, described
from mien.serve.requests import Sent, pictures_of
from mien.web.guard import BROKEN, LOOPBACK, Guard
from mien.web.refusals import Refused

try:
    from fastapi import FastAPI, Query, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse, PlainTextResponse
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect
except ModuleNotFoundError as error:
    raise MissingExtra("serving", "serve", error.name or "fastapi") from error

_TITLES = {400: "Bad request", 401: "Unauthorized", 404: "Not found", 405: "Method not allowed", 413: "Too large"}
_TITLES |= {415: "Unsupported media type", 422: "Unprocessable", 429: "Too many requests", 503: "Not now"}
_BODIES_AT_ONCE = 8  # requests of the largest size whose bytes are held at once
_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 1, 2, 5, 10, 30)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is taken at once.

    Attributes:
        bytes: Of a request.
        pixels: Of a picture, looked at before it is decoded.
        pictures: Of a request.
        table: Bytes of a table to audit.
        room: Pictures in the house at once; more are answered 503.
        per_s: Pictures a second of one address; infinite for no limit.
        seconds: That a request with pictures may take.
        audit_seconds: That an audit may take, once it has begun.
    """

    bytes: int = 20 << 20
    pixels: int = 25_000_000
    pictures: int = 32
    table: int = 5 << 20
    room: int = 64
    per_s: float = float("inf")
    seconds: float = 30.0
    audit_seconds: float = 60.0


@dataclass
class Server:
    """What the requests work on.

    Attributes:
        predictor: The model and what stands around it; used from several threads at once.
        limits: How much is taken at once.
        token: What a request must carry; None where anybody may ask.
        workers: Threads that read, search and classify.
    """

    predictor: Predictor
    limits: Limits = field(default_factory=Limits)
    token: str | None = None
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)

    def __post_init__(self) -> None:
        self.pool = ThreadPoolExecutor(self.workers, thread_name_prefix="mien")
        self.batcher = Batcher(self.predictor.model.answers, self.pool, workers=self.workers)
        # An audit takes seconds of a processor: predictions do not wait behind it, and it waits for one.
        self.one_audit, self.audits = asyncio.Semaphore(1), Room(3, "tables")
        self.room, self.rate = Room(self.limits.room), Rate(self.limits.per_s)
        # Half of it for one address: who says that much is coming and sends nothing keeps nobody else out.
        most = _BODIES_AT_ONCE * self.limits.bytes
        self.bodies = Room(most, "large requests", each=most // 2)
        self.ready = False
        self.registry = CollectorRegistry()
        self.asked = Counter("mien_requests_total", "Requests", ["path", "status"], registry=self.registry)
        self.took = Histogram(
            "mien_request_seconds", "Seconds a request", ["path"], buckets=_SECONDS, registry=self.registry
        )
        self.faces = Counter("mien_faces_total", "Faces", ["answer"], registry=self.registry)
        held = Gauge("mien_pictures_in_the_house", "Pictures that are being looked at", registry=self.registry)
        held.set_function(lambda: self.room.taken)

    def warm(self) -> None:
        """Take a picture through all of it, so that the first one that counts does not wait."""
        with quietly():
            gradient = np.add.outer(np.arange(48), np.arange(48)).astype(np.uint8)
            wants = self.predictor.wants
            self.predictor.model.answers(np.zeros((1, wants.size, wants.size, wants.channels), dtype=np.uint8))
            if self.predictor.detector is not None:
                self.predictor.detector.find(np.repeat(gradient[..., None], 3, axis=2))
        self.ready = True

    def admit(self, request: Request) -> AbstractContextManager[None]:
        """Let a request in before its body is read: its token, its address's rate, room for its bytes.

        Returns:
            Holds the room.

        Raises:
            Refused: If one of them is missing (401, 429, 503).
        """
        self.check_token(request)
        self.rate.take(address_of(request), 1, time.monotonic())
        # The guard has read the length.
        return self.bodies.taking(int(request.headers.get("content-length", 0)), address_of(request))

    def check_token(self, request: Request) -> None:
        """Refuse who does not carry the token.

        Raises:
            Refused: Then (401).
        """
        if self.token is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        known = hmac.compare_digest(given.strip().encode(), self.token.encode())
        if scheme.lower() != "bearer" or not known:
            raise Refused(401, "Send the token that the server printed when it started: Authorization: Bearer TOKEN.")

    async def rows(self, pictures: list[Sent], predictor: Predictor) -> list[FaceRow]:
        """The rows of some pictures, side by side with those of other requests; ``predictor`` has the same model."""
        found = await asyncio.gather(*(self._rows(sent, predictor) for sent in pictures))
        return [row for rows in found for row in rows]

    async def _rows(self, sent: Sent, predictor: Predictor) -> list[FaceRow]:
        loop = asyncio.get_running_loop()
        looked: Looked = await loop.run_in_executor(self.pool, predictor.look, sent.data, sent.name, self.limits.pixels)
        if looked.crops is None or not len(looked.crops):
            nothing = np.empty((0, len(predictor.model.classes)))
            return predictor.rows(looked, nothing, np.empty((0, len(predictor.model.numbers))))
        return predictor.rows(looked, *await self.batcher.answers(looked.crops))


def create_app(server: Server, *, hosts: Iterable[str] = LOOPBACK, addresses: bool = False) -> FastAPI:
    """The application around a server.

    Args:
        server: What the requests work on.
        hosts: Names under which it may be asked.
        addresses: Allow any numeric address as well.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.get_running_loop().run_in_executor(server.pool, server.warm)
        warming.add_done_callback(_warmed)
        yield
        server.pool.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(title="Mien", description=NOTICE, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.exception_handler(Refused)(_refused)
    app.exception_handler(MienError)(_failed)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(Exception)(_broken)
    app.middleware("http")(_counting(server))
    _add_routes(app, server)
    plain = app.openapi
    app.openapi = lambda: described(plain(), server.token is not None)  # type: ignore[method-assign]
    add_page(app, server)
    app.add_middleware(Guard, hosts=tuple(hosts), addresses=addresses, max_body=server.limits.bytes, problems=True)
    return app


def _add_routes(app: FastAPI, server: Server) -> None:
    predictor, limits = server.predictor, server.limits

    @app.post("/v1/predict", openapi_extra=PICTURES, responses=ROWS, response_class=JSONResponse)
    async def predict(
        request: Request,
        crops: bool = Query(default=False, description="The pictures are aligned crops of faces: look for none."),
        risk: float | None = Query(
            default=None, description="Abstain where needed for at most this share of wrong answers, such as 0.1."
        ),
    ) -> JSONResponse:
        """The faces of one picture or several, and what expressions people would perceive in them: a row a face."""
        with server.admit(request):
            asked = predictor if risk is None else predictor.at(risk)
            asked = replace(asked, detector=None) if crops else asked
            pictures = await pictures_of(request, min(limits.pictures, limits.room), limits.bytes, server.pool)
            server.rate.take(address_of(request), len(pictures) - 1, time.monotonic(), taken=1)
            with server.room.taking(len(pictures)):
                try:
                    rows = await asyncio.wait_for(server.rows(pictures, asked), limits.seconds)
                except TimeoutError:
                    raise Refused(503, f"It took more than {limits.seconds:g} seconds.", retry_s=5) from None
        for row in rows:
            server.faces.labels("none" if row.face is None else "abstained" if row.abstained else "told").inc()
        return JSONResponse({"rows": [row.as_json() for row in rows]})

    @app.post("/v1/audit", openapi_extra=TABLE, responses=AUDIT, response_class=JSONResponse)
    async def audit(
        request: Request, by: str = Query(default="", description="Columns of groups: gender,age,gender*age")
    ) -> Response:
        """Audit a CSV of predictions: for whom they fail. JSON, or a page where the request accepts text/html."""
        with server.admit(request):
            body = await request.body()  # before a place is taken: whoever sends slowly keeps nobody else waiting
            if not body:
                raise Refused(400, "The request holds no table.")
            if len(body) > limits.table:
                raise Refused(413, f"A table may have {limits.table:,} bytes.")
            page = "text/html" in request.headers.get("accept", "")
            with server.audits.taking(1):
                async with server.one_audit:
                    found = await audited(body, by, page=page, seconds=limits.audit_seconds)
        return Response(found, media_type="text/html; charset=utf-8" if page else "application/json")

    @app.get("/v1/models", responses=TOKEN)
    async def models(request: Request) -> JSONResponse:
        """The model, its classes, what it is sure of, and the detector."""
        server.check_token(request)
        known = predictor.confidence
        model = {
            "name": predictor.model.name,
            "sha256": predictor.sha256,
            "classes": list(predictor.model.classes),
            "numbers": list(predictor.model.numbers),
            "size": predictor.wants.size,
            "confidence_counted_on": known.counted_on,
            "risk": predictor.risk,
        }
        finds = predictor.detector
        detector = None if finds is None else {"name": finds.name, "about": finds.about}
        return JSONResponse({"models": [model], "detector": detector, "notice": NOTICE})

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        """Whether the process is alive."""
        return JSONResponse({"status": "alive"})

    @app.get("/readyz", responses=READY)
    async def readyz() -> JSONResponse:
        """Whether it can answer: the networks are loaded and have been used once."""
        if not server.ready:
            raise Refused(503, "The networks are being loaded.", retry_s=1)
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", responses=METRICS, response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        """Counts for Prometheus."""
        server.check_token(request)
        return Response(generate_latest(server.registry), media_type="text/plain; version=0.0.4")


def _counting(server: Server) -> Any:
    async def counted(request: Request, call_next: Any) -> Any:
        start, status = time.perf_counter(), 500
        try:
            answer = await call_next(request)
            status = answer.status_code
        except ClientDisconnect:  # nobody is left to be answered, and nothing is wrong here
            status, answer = 499, Response(status_code=400)
        finally:
            route = request.scope.get("route")
            path = getattr(route, "path", "other")  # not what was asked for, of which there is no end
            server.asked.labels(path, str(status)).inc()
            server.took.labels(path).observe(time.perf_counter() - start)
        return answer

    return counted


def address_of(request: Request) -> str:
    """Who asks, as far as the connection says."""
    return request.client.host if request.client else ""


def _warmed(warming: asyncio.Future[None]) -> None:
    if not warming.cancelled() and warming.exception() is not None:
        logging.getLogger(__name__).error("the networks cannot be used", exc_info=warming.exception())


def problem(status: int, detail: str, retry_s: int | None = None) -> JSONResponse:
    """An answer that says what was wrong, as RFC 9457 has it."""
    content = {"type": "about:blank", "title": _TITLES.get(status, "Error"), "status": status, "detail": detail}
    headers = {} if retry_s is None else {"Retry-After": str(retry_s)}
    headers |= {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse(content, status, headers=headers, media_type="application/problem+json")


async def _refused(_request: Request, error: Any) -> JSONResponse:
    return problem(error.status, str(error), error.retry_s)


async def _failed(_request: Request, error: Any) -> JSONResponse:
    return problem(422, str(error))


async def _http(_request: Request, error: Any) -> JSONResponse:
    answer = problem(error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(_request: Request, error: Any) -> JSONResponse:
    first = error.errors()[0]
    return problem(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}.")


async def _broken(_request: Request, error: Any) -> JSONResponse:
    logging.getLogger(__name__).error("a request failed", exc_info=error)
    return problem(500, BROKEN)
