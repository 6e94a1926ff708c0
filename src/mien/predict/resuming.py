"""Going on with a file of rows that an earlier command did not finish: by whole pictures, or whole films."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.errors import DataError, UsageError
from mien.inputs import check_regular
from mien.outputs import writing
from mien.predict.rows import NO_FACE, FaceRow, as_text

_BEGIN = b'{"image": '  # how every line of ours begins
_OURS = "a file that it has begun"
_TOLD = ("box", "probabilities", "reason", "perceived")  # by which other options show


@dataclass(frozen=True)
class Before:
    """What stands in a file that is gone on with; of films read film for picture.

    Attributes:
        pictures: Picture -> how often it stands there, as :func:`mien.predict.rows.as_text` has it.
        unread: How many of them could not be read.
        last_unread: Whether the last one could not.
        last: The last picture of the file, which may lack faces and is looked at again.
        rows: The lines of it that were cut off.
    """

    pictures: Counter[str] = field(default_factory=Counter)
    unread: int = 0
    last_unread: bool = False
    last: str = ""
    rows: bytes = b""

    def take(self, name: str) -> bool:
        """Whether a picture stands in the file already; each time that it is named once less."""
        name = as_text(name)
        if self.pictures[name] <= 0:
            return False
        self.pictures[name] -= 1
        return True

    def left_of(self, names: Iterable[str]) -> Iterator[str]:
        """Those that do not stand in the file, one by one."""
        return (name for name in names if not self.take(name))

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Those that do not stand in the file, its last one first: its rows are cut off, and must not be lost."""
        left = list(self.left_of(names))
        again = next((i for i, name in enumerate(left) if self.rows and as_text(name) == self.last), None)
        if again is not None:
            left.insert(0, left.pop(again))
        return left

    def check_alike(self, rows: Sequence[FaceRow], path: Path) -> None:
        """Refuse to go on where the last picture comes out otherwise than it stood there.

        Nothing in a file says with which options it was begun: the detector and its options, margins, risks, crops.

        Args:
            rows: Of the last picture, looked at again.
            path: The file.

        Raises:
            DataError: If a face that stood there lies elsewhere, or is answered otherwise.
        """
        for line, row in zip(self.rows.splitlines(), rows, strict=False):
            stood, now = json.loads(line), json.loads(json.dumps(row.as_json()))
            if stood["face"] is None or now["face"] is None:  # it may have been mended, or taken away
                return
            other = next((key for key in _TOLD if key in stood and not _alike(stood[key], now[key])), None)
            if other is not None:
                found = f"{self.last} stood there with other {other.replace('_', ' ')} than it has now"
                fix = "Pass the options that it was begun with, or begin another file."
                raise DataError(str(path), found, "rows of the same options and version", fix)

    def put_back(self, path: Path) -> None:
        """Write the rows of the last picture again, for a command that does not name it."""
        with writing(path), open(path, "ab") as file:
            file.write(self.rows)


def done_already(path: Path, model: str, model_sha256: str, annotator: str = "", *, films: bool = False) -> Before:
    """The pictures of a file of JSON lines that a run was stopped in, less the last of them, which may lack faces.

    Args:
        path: The file, which is cut to whole lines and whole pictures.
        model: The rows must be of this model,
        model_sha256: and of this file of it.
        annotator: Whose perceived attributes they tell; empty for none.
        films: The rows must be of films, and the last film goes, for nothing says whether it was seen to its end.

    Raises:
        UsageError: If it is no file of JSON lines.
        DataError: If a line is none of ours, of another model, or of films where pictures are meant; then the file
            stays as it is.
    """
    if path.suffix != ".jsonl":
        expected = "--out FILE.jsonl, which stands there row by row"
        raise UsageError("--resume", f"does not go with {path.suffix}", expected)
    if not path.is_file():
        return Before()
    check_regular(path, "a file of rows")
    pictures: Counter[str] = Counter()
    last, start, place, unread, of_last = None, 0, 0, 0, False
    before: dict[str, Any] = {}
    with open(path, "rb") as file:
        for n, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                if not line.startswith(_BEGIN[: len(line)]):
                    raise DataError(f"{path} line {n}", "is no row of mien predict", _OURS)
                break  # a line that was being written
            row = _row(line, f"{path} line {n}", films)
            image, found = row["image"], (row["model"], row["model_sha256"])
            first = (image != last or _again(row, before)) if films else not row["face"]
            if found != (model, model_sha256):
                said, due = f"{found[0]} {found[1][:12]}", f"this model's ({model} {model_sha256[:12]})"
                raise DataError(f"{path} line {n}", f"is of the model {said}", due, "Begin another file.")
            if first and row["face"] is not None and row.get("annotator", "") != annotator:
                said = f"tells {'perceived attributes' if row.get('annotator') else 'no perceived attributes'}"
                due = f"those of {annotator}" if annotator else "none"
                raise DataError(f"{path} line {n}", said, due, "Pass the options that it was begun with.")
            if first:  # the face 0, or none: another picture begins
                last, start, of_last = image, place, False
                pictures[image] += 1
            bad = row["frame"] is None if films else row["face"] is None and row.get("reason") != NO_FACE
            unread += bad
            of_last |= bad
            before = row
            place += len(line)
        file.seek(start)
        rows = file.read(place - start)
    if last is None:
        if path.stat().st_size:
            os.truncate(path, 0)
        return Before()
    pictures[last] -= 1
    os.truncate(path, start)
    return Before(pictures, unread - of_last, of_last, last, rows)


def _alike(stood: Any, now: Any) -> bool:
    """Whether values are the same, numbers to what other machines and their threads make of them."""
    if isinstance(stood, dict) and isinstance(now, dict):
        return stood.keys() == now.keys() and all(_alike(stood[key], now[key]) for key in stood)
    if isinstance(stood, list) and isinstance(now, list):
        return len(stood) == len(now) and all(map(_alike, stood, now))
    if isinstance(stood, float | int) and isinstance(now, float | int):
        return math.isclose(stood, now, rel_tol=0.01, abs_tol=0.01)
    return bool(stood == now)


def _again(row: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether a row begins another look at the film of the row before; one without a frame says that it broke off."""
    if before["frame"] is None:
        return True
    if row["frame"] is None:
        return False
    return bool(row["frame"] < before["frame"] or (row["frame"] == before["frame"] and not row["face"]))


def _row(line: bytes, where: str, films: bool) -> dict[str, Any]:
    """A line of a file of ours.

    Raises:
        DataError: If it is none, or of films where pictures are meant, or the other way round.
    """
    try:
        row: dict[str, Any] = json.loads(line)
        row = {"frame": None, "time_s": None, **row}
        _ = row["image"], row["model"], row["model_sha256"], row["face"]
    except (ValueError, KeyError, TypeError):
        raise DataError(where, "is no row of mien predict", _OURS) from None
    if (row["time_s"] is not None) != films:
        kinds = ("films", "pictures") if not films else ("pictures", "films")
        raise DataError(where, f"is of {kinds[0]}", f"rows of {kinds[1]}", "Begin another file.")
    return row
