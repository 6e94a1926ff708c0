"""What stands in the description of the interface beside what FastAPI reads off the code."""

from __future__ import annotations

from typing import Any

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
    "requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}},
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
    "model": "ferplus_mienet.onnx",
    "model_sha256": "d445389870e1...",
    "numbers": {},
}
ROWS: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"example": {"rows": [_ROW]}}}}}
