"""What stands in the description of the interface beside what FastAPI reads off the code."""

from __future__ import annotations

from typing import Any

from mien.predict.rows import SCHEMA

NOTICE = (
    "An expression is what people perceive in a face, not what a person feels. Inferring emotions of people at work or "
    "in education is forbidden in the EU (AI Act, Art. 5(1)(f)); people elsewhere must be told (Art. 50(3)). "
    "Nothing of a picture is kept."
)
_FILE = {"type": "string", "format": "binary"}
PICTURES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/jpeg": {"schema": _FILE},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"files": {"type": "array", "items": _FILE}}}
            },
            "application/json": {
                "schema": {"type": "object"},
                "example": {"pictures": [{"name": "photo.jpg", "data": "/9j/4AAQSkZJRg..."}]},
            },
        },
    }
}
TABLE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"text/csv": {"schema": {"type": "string"}, "example": "label,pred,gender\nsad,sad,f\n"}},
    },
}
_PROBLEM = "application/problem+json"
_REFUSALS = {
    400: "The request cannot be read.",
    401: "The token is missing.",
    413: "It is larger than the server takes.",
    415: "Its body is of a kind that the server does not know.",
    422: "It can be read and makes no sense.",
    429: "This address has sent too many pictures; Retry-After says when to try again.",
    503: "There is no room now; Retry-After says when to try again.",
}


def refused(*codes: int) -> dict[int | str, dict[str, Any]]:
    """What an operation answers where it refuses, as RFC 9457 has it."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {code: {"description": _REFUSALS[code], "content": {_PROBLEM: {"schema": schema}}} for code in codes}


def described(content: dict[str, Any], token: bool) -> dict[str, Any]:
    """The description with the schemas of rows and refusals, and the token where one is asked for."""
    parts = content.setdefault("components", {})
    kept = {name: s for name, s in parts.get("schemas", {}).items() if "ValidationError" not in name}
    parts["schemas"] = kept | {"FaceRow": SCHEMA, "Problem": _PROBLEM_SCHEMA}
    if token:
        parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in content["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path in _OPEN else [{"token": []}]
    return content


_OPEN = ("/healthz", "/readyz")
_PROBLEM_SCHEMA = {
    "type": "object",
    "title": "Problem",
    "description": "What was wrong with a request (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
}
_ROW = {
    "image": "photo.jpg",
    "face": 0,
    "box": [167.3, 107.5, 351.8, 334.5],
    "landmarks": {"left_eye": [220.0, 190.4], "right_eye": [308.8, 186.1]},
    "detector_score": 0.9993,
    "probabilities": {"neutral": 0.92, "sadness": 0.07, "contempt": 0.01},
    "top": "neutral",
    "confidence": 0.92,
    "entropy": 0.157,
    "abstained": False,
    "reason": "",
    "out_of_domain": False,
    "model": "ferplus_mienet.onnx",
    "model_sha256": "0f3a5c...",
    "numbers": {},
}
_ROWS_SCHEMA = {
    "type": "object",
    "properties": {"rows": {"type": "array", "items": {"$ref": "#/components/schemas/FaceRow"}}},
    "required": ["rows"],
}
ROWS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A row a face, in the order of the pictures.",
        "content": {"application/json": {"schema": _ROWS_SCHEMA, "example": {"rows": [_ROW]}}},
    },
    **refused(400, 401, 413, 415, 422, 429, 503),
}
_REPORT = "The audit: what was asked, figures by group with intervals, gaps with verdicts."
AUDIT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": _REPORT,
        "content": {"application/json": {"schema": {"type": "object"}}, "text/html": {"schema": {"type": "string"}}},
    },
    **refused(400, 401, 413, 422, 429, 503),
}
READY: dict[int | str, dict[str, Any]] = refused(503)
TOKEN: dict[int | str, dict[str, Any]] = refused(401)
METRICS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Counts for Prometheus.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    **TOKEN,
}
