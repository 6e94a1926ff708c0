"""What is said of one face: the same in JSON, CSV, Parquet and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mien.demographics import PREFIX, Head
from mien.faces.base import LANDMARKS
from mien.samples import PERCEIVED

#: The reason of a picture that was read, and in which there is no face.
NO_FACE = "no face was found"
SIDES = ("left", "top", "right", "bottom")
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_SHARES = {"type": "object", "additionalProperties": _SHARE}
_PLACE = {"type": "array", "items": {"type": "number"}}


def _or_none(kind: dict[str, Any], said: str) -> dict[str, Any]:
    return {"anyOf": [kind, {"type": "null"}], "description": said}


def _of(kind: dict[str, Any], said: str) -> dict[str, Any]:
    return {**kind, "description": said}


_SEEN = {
    "perceived": _of({"type": "object", "additionalProperties": _SHARES}, "Attribute -> group -> probability."),
    "perceived_age_years": _or_none({"type": "number"}, "Expected age in years."),
    "annotator": _of({"type": "string"}, "Which perceived these attributes."),
}
_FILM = {
    "frame": _or_none({"type": "integer", "minimum": 0}, "Number of the frame."),
    "time_s": _or_none({"type": "number", "minimum": 0}, "Seconds from the film's first frame."),
    "track": _or_none({"type": "integer", "minimum": 1}, "Number of the face in its film."),
    "smoothed": _of(_SHARES, "Class -> mean of the track's probabilities over the last moments."),
}
_ALWAYS = {
    "image": _of({"type": "string"}, "What the picture is called."),
    "face": _or_none({"type": "integer", "minimum": 0}, "Its number in the picture, the surest first; null without."),
    "box": _or_none({**_PLACE, "minItems": 4, "maxItems": 4}, "Left, top, right, bottom in pixels; null of a crop."),
    "landmarks": _of(
        {"type": "object", "additionalProperties": {**_PLACE, "minItems": 2, "maxItems": 2}},
        f"Column and row in pixels of those that the detector tells: {', '.join(LANDMARKS)}.",
    ),
    "detector_score": _or_none(_SHARE, "How sure the detector is; null of a crop."),
    "probabilities": _of(_SHARES, "Class -> probability that a person perceives it; empty without a face."),
    "top": _of({"type": "string"}, "The most probable class; empty without a face."),
    "confidence": _or_none(_SHARE, "Its probability."),
    "entropy": _or_none(_SHARE, "0: all on one class; 1: all alike."),
    "abstained": _of({"type": "boolean"}, "Whether the answer had better not be used."),
    "reason": _of({"type": "string"}, "Why not, or why there is no face; empty otherwise."),
    "out_of_domain": _or_none(
        {"type": "boolean"}, "Whether the crop is unlike the faces that the model knows; null where that is not known."
    ),
    "model": _of({"type": "string"}, "The model."),
    "model_sha256": _of({"type": "string"}, "The checksum of its file."),
    "numbers": _of({"type": "object", "additionalProperties": {"type": "number"}}, "Numbers told beside the classes."),
}
#: JSON Schema (draft 2020-12) of :meth:`FaceRow.as_json`, wherever it is printed, written or answered.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "FaceRow",
    "description": "One face, or one picture in which there was none or that could not be read.",
    "properties": {**_ALWAYS, **_SEEN, **_FILM},
    "required": [name for name in _ALWAYS if name != "out_of_domain"],  # which older files lack
    "additionalProperties": False,
}


@dataclass(frozen=True, kw_only=True)
class FaceRow:
    """One face, or one picture in which there was none or that could not be read.

    Attributes:
        image: What the picture is called: its path, as it was given.
        face: Number of the face in its picture, the one that the detector is surest of first; None where there is none.
        box: Left, top, right, bottom in pixels of the upright picture, of the detector; None for a crop.
        landmarks: Landmark -> column and row in pixels; only those that the detector tells.
        detector_score: How sure the detector is, 0 to 1; None for a crop.
        probabilities: Class -> probability that a person perceives it, calibrated where the model's card says how;
            empty where there is no face.
        top: The most probable class; empty where there is no face.
        confidence: Its probability; None where there is no face.
        entropy: Of the probabilities, from 0 (all on one class) to 1 (all alike); None where there is no face.
        abstained: Whether the answer had better not be used; then ``reason`` says why.
        reason: Why there is no face or no answer, or why it had better not be used; empty otherwise.
        out_of_domain: Whether the crop's light, contrast or sharpness is unlike that of the faces that the model knows,
            see :mod:`mien.domain`; None where there is no face, or nobody measured these.
        model: The model.
        model_sha256: The checksum of its file; empty where it has none of one file.
        numbers: Number that the model tells beside the classes -> value.
        frame: Number of the frame in its film, from 0; None for a picture.
        time_s: Seconds from the film's first frame; None for a picture.
        track: Number of the face in its film, see :class:`mien.predict.tracks.Tracks`; None where there is none.
        perceived: Attribute -> group -> probability that a person perceives it; empty where nobody asked.
        age_years: Expected age in years; None where nobody asked.
        annotator: Which perceived these attributes; empty where nobody asked.
        smoothed: Class -> mean of the track's probabilities over the last moments; empty before its first answer.
    """

    image: str
    face: int | None = None
    box: tuple[float, float, float, float] | None = None
    landmarks: dict[str, tuple[float, float]] = field(default_factory=dict)
    detector_score: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    top: str = ""
    confidence: float | None = None
    entropy: float | None = None
    abstained: bool = False
    reason: str = ""
    out_of_domain: bool | None = None
    model: str = ""
    model_sha256: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    perceived: dict[str, dict[str, float]] = field(default_factory=dict)
    age_years: float | None = None
    annotator: str = ""
    frame: int | None = None
    time_s: float | None = None
    track: int | None = None
    smoothed: dict[str, float] = field(default_factory=dict)

    @property
    def unread(self) -> bool:
        """Whether the picture could not be read at all."""
        return self.face is None and self.reason != NO_FACE

    def as_json(self) -> dict[str, Any]:
        """For JSON: as the attributes, with rounded numbers; what is of films, for films alone."""
        film = {
            "frame": self.frame,
            "time_s": self.time_s,
            "track": self.track,
            "smoothed": {name: round(p, 6) for name, p in self.smoothed.items()},
        }
        seen = {
            "perceived": {name: {g: round(p, 6) for g, p in of.items()} for name, of in self.perceived.items()},
            "perceived_age_years": None if self.age_years is None else round(self.age_years, 1),
            "annotator": self.annotator,
        }
        return {
            "image": as_text(self.image),
            "face": self.face,
            "box": None if self.box is None else [round(v, 1) for v in self.box],
            "landmarks": {name: [round(v, 1) for v in place] for name, place in self.landmarks.items()},
            "detector_score": _rounded(self.detector_score),
            "probabilities": {name: round(p, 6) for name, p in self.probabilities.items()},
            "top": self.top,
            "confidence": _rounded(self.confidence),
            "entropy": _rounded(self.entropy),
            "abstained": self.abstained,
            "reason": as_text(self.reason),
            "out_of_domain": self.out_of_domain,
            "model": as_text(self.model),
            "model_sha256": self.model_sha256,
            "numbers": {name: round(v, 6) for name, v in self.numbers.items()},
            **(seen if self.annotator else {}),
            **({} if self.time_s is None else film),
        }

    def as_flat(self) -> dict[str, Any]:
        """For a table: :meth:`as_json` with one column a value, in the order of :func:`columns`."""
        row = self.as_json()
        box, places = row.pop("box") or [None] * len(SIDES), row.pop("landmarks")
        row |= {f"box_{side}": value for side, value in zip(SIDES, box, strict=True)}
        for name in LANDMARKS:
            x, y = places.get(name, (None, None))
            row |= {f"landmark_{name}_x": x, f"landmark_{name}_y": y}
        row |= {f"p_{name}": p for name, p in row.pop("probabilities").items()}
        row |= {f"smoothed_{name}": p for name, p in row.pop("smoothed", {}).items()}
        row |= {f"number_{name}": v for name, v in row.pop("numbers").items()}
        annotator = row.pop("annotator", "")
        for attribute, groups in row.pop("perceived", {}).items():
            top = max(groups, key=groups.__getitem__)
            own = {"": top, "_confidence": groups[top], "_source": PERCEIVED, "_annotator": annotator}
            own |= {f"_prob_{group}": p for group, p in groups.items()}
            row |= {f"{PREFIX}{attribute}{ending}": value for ending, value in own.items()}
        return row


def columns(
    classes: Sequence[str], numbers: Sequence[str] = (), *, film: bool = False, heads: Sequence[Head] = ()
) -> dict[str, type]:
    """The columns of the flat table and what they hold: ``str``, ``float``, ``int`` or ``bool``.

    Args:
        classes: Of the model.
        numbers: That it tells.
        film: The rows are of films.
        heads: Perceived attributes that they tell, named as in an annotated store.
    """
    seen: dict[str, type] = {}
    for head in heads:
        name = PREFIX + head.name
        seen |= {name: str, f"{name}_confidence": float, f"{name}_source": str, f"{name}_annotator": str}
        seen |= {f"{name}_prob_{group}": float for group in head.groups}
    return {
        "image": str,
        **({"frame": int, "time_s": float, "track": int} if film else {}),
        "face": int,
        **{f"box_{side}": float for side in SIDES},
        "detector_score": float,
        "top": str,
        "confidence": float,
        "entropy": float,
        "abstained": bool,
        "reason": str,
        "out_of_domain": bool,
        **{f"p_{name}": float for name in classes},
        **({f"smoothed_{name}": float for name in classes} if film else {}),
        **{f"number_{name}": float for name in numbers},
        **{f"landmark_{name}_{axis}": float for name in LANDMARKS for axis in "xy"},
        **(seen | {f"{PREFIX}age_years": float} if heads else {}),
        "model": str,
        "model_sha256": str,
    }


def as_text(name: str) -> str:
    """A name as any file can hold it: bytes that are no UTF-8, which a path may have, are written out.

    >>> as_text("caf\udce9.jpg")
    'caf\\udce9.jpg'
    """
    return name.encode("utf-8", "backslashreplace").decode()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
