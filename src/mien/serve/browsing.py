"""The page: its files, and the networks that it runs where the pictures are, in the browser."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.adapters.onnx import onnx_recipe
from mien.errors import MissingExtra, UsageError
from mien.faces.crop import FER2013
from mien.faces.mtcnn import NETWORKS
from mien.pictures.pixels import STORED
from mien.web.refusals import Refused

try:
    from fastapi import FastAPI, Request, Response

    from mien.web.answers import add_file, serve_page
except ModuleNotFoundError as error:
    raise MissingExtra("serving", "serve", error.name or "fastapi") from error

if TYPE_CHECKING:
    from mien.predict import Predictor
    from mien.serve.app import Server

#: Shares of wrong answers that can be chosen on the page.
RISKS = (0.05, 0.1, 0.15, 0.2, 0.3)
_NETWORKS = ("proposal", "refinement", "output")
_TYPES = ("float32", "uint8")
_LARGEST = 64 << 20  # bytes of a model that a browser is sent
# The report's own style stands in it; the networks are WebAssembly; a film that was dropped has a blob's address.
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
#: With these the browser gives the networks more than one thread; all that is served comes from here.
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}


def add_page(app: FastAPI, server: Server) -> None:
    """Serve the page, the networks that find faces, and the model with what stands around it."""
    serve_page(app, "mien.serve", headers=HEADERS)
    for name in _NETWORKS:
        add_file(app, f"/{name}.onnx", (NETWORKS / f"{name}.onnx").read_bytes(), "application/octet-stream")

    # Read once: what is sent is the model that the card is of, whatever becomes of its file.
    card, model = browser_model(server.predictor)

    @app.get("/model.json", include_in_schema=False)
    async def model_card(request: Request) -> dict[str, Any]:
        server.check_token(request)
        return card

    @app.get("/model.onnx", include_in_schema=False)
    async def model_file(request: Request) -> Response:
        server.check_token(request)
        if model is None:
            raise Refused(404, "This server's model does not run in a browser.")
        return Response(model, media_type="application/octet-stream")


def browser_model(predictor: Predictor) -> tuple[dict[str, Any], bytes | None]:
    """What the page must know, and the model's file where the page can run it."""
    model = None
    if predictor.path is not None and predictor.path.stat().st_size <= _LARGEST:
        model = predictor.path.read_bytes()
        if predictor.sha256 and hashlib.sha256(model).hexdigest() != predictor.sha256:
            return _about(predictor) | {"why_not": "Its file was changed since the server began."}, None
    card = browser_card(predictor)
    return card, None if "why_not" in card else model


def browser_card(predictor: Predictor) -> dict[str, Any]:
    """What the page must know to say what :class:`Predictor` says.

    Returns:
        The input and the outputs of the model's file, the crop, what its confidence is worth; with ``why_not`` in
        words where it cannot be used there.
    """
    known, told = predictor.confidence, _about(predictor)
    path = predictor.path
    if path is None:
        return told | {"why_not": "It is no ONNX file: mien export RUN --out model.onnx makes one."}
    if not _plain(path) or path.stat().st_size > _LARGEST:
        return told | {"why_not": "Its file is too large for a browser, or lies in several."}
    if predictor.aligned:
        return told | {"why_not": "It learnt faces with their eyes level, which the page does not make."}
    try:
        recipe = onnx_recipe(path)
    except UsageError as error:
        return told | {"why_not": str(error)}
    if recipe["dtype"] not in _TYPES:
        return told | {"why_not": f"Its input is {recipe['dtype']}, which no browser knows."}
    # Crops that come at the network's own size are not brought to another: only then may that step be anything.
    twice = recipe["store_size"] not in (0, recipe["size"])
    if recipe["preprocess"] or (twice and recipe["resampling"][1] == STORED):
        return told | {"why_not": "Its pictures go through steps that the page does not know."}
    rule = FER2013["mtcnn"]
    finds = predictor.detector
    return told | {
        "find": finds.options if finds is not None and finds.name == "mtcnn" else {},
        "recipe": recipe,
        "rule": {"side": rule.side * (1 + 2 * predictor.margin), "right": rule.right, "down": rule.down},
        "scale": known.scale,
        "thresholds": {f"{risk:g}": _finite(known.threshold(risk)) for risk in RISKS} if known.steps else {},
        "least": _finite(predictor.least),
        "worth": known.worth(),
        "domain": {name: list(ends) for name, ends in predictor.domain.ranges.items()},
    }


def _about(predictor: Predictor) -> dict[str, Any]:
    """What can be said of any model."""
    known = predictor.confidence
    return {
        "name": predictor.model.name,
        "sha256": predictor.sha256,
        "classes": list(predictor.model.classes),
        "risk": predictor.risk,
        "about": {
            "counted_on": known.counted_on,
            "faces": known.faces,
            "detector": "MTCNN (Zhang et al. 2016)",
            "server_detector": "" if predictor.detector is None else predictor.detector.name,
        },
    }


def _plain(path: Path) -> bool:
    """Whether all of a model is in its one file."""
    return not path.with_name(path.name + ".data").exists()


def _finite(value: float) -> float | None:
    """JSON has no infinity: None where no confidence will do."""
    return None if math.isinf(value) else value
