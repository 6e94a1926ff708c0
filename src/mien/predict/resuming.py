"""Going on with a file of rows that an earlier command did not finish: by whole pictures, or whole films."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mien.errors import DataError, UsageError
from mien.inputs import check_regular
from mien.outputs import writing
from mien.predict.rows import NO_FACE, FaceRow, as_text

if TYPE_CHECKING:
    from mien.predict.predictor import Predictor

_BEGIN = b'{"image": '  # how every line of ours begins
_OURS = "a file that it has begun"
_FRAMES = 2  # of a film that are compared: the second one tells another --fps
#: By what other options show, and how far it may be off on another machine: pixels, and probabilities.
_TOLD = {"box": 2.0, "probabilities": 0.02, "perceived": 0.02}


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

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Those that do not stand in the file, its last one first: its rows are cut off, and must not be lost."""
        left = [name for name in names if not self.take(name)]
        again = next((i for i, name in enumerate(left) if self.rows and as_text(name) == self.last), None)
        if again is not None:
            left.insert(0, left.pop(again))
        return left

    def look_again(self, predictor: Predictor, path: Path, names: Sequence[str]) -> list[FaceRow]:
        """The rows of the last picture, looked at before all others: they are cut off, and may have lacked faces.

        Where it cannot be read any more its rows are put back. Nothing in a file says with which detector, options,
        margin or crops it was begun: how the last picture comes out does, so that rows of others are not mixed.

        Args:
            predictor: Whose rows they are.
            path: The file.
            names: What the command names, as far as it is known.

        Returns:
            Its rows; none where they are put back, or there is none.

        Raises:
            DataError: If it comes out otherwise than it stood there; then the file stays as it was.
        """
        if not self.rows:
            return []
        name = next((each for each in names if as_text(each) == self.last), self.last)
        try:
            (rows,) = predictor.stream([name], workers=1)
            self._check_alike(rows, [json.loads(line) for line in self.rows.splitlines()], path)
        except BaseException:
            self.put_back(path)
            raise
        self.pictures[self.last] += 1  # it stands there again, and is not looked at once more
        if rows[0].unread:
            self.put_back(path)
            return []
        return rows

    def check_film(self, told: Iterable[Sequence[FaceRow]], path: Path) -> None:
        """The last film, which is looked at again from its beginning, must come out as it stood there.

        Where no frame of it can be read any more its rows are put back, but for the one that said so.

        Args:
            told: The rows of its frames, of which the first are taken.
            path: The file.

        Raises:
            DataError: If its first frames come out otherwise than they stood there; then the file stays as it was.
        """
        lines = self.rows.splitlines(keepends=True)
        stood: dict[int, list[dict[str, Any]]] = {}
        for row in map(json.loads, lines):
            if row["frame"] is not None:
                stood.setdefault(row["frame"], []).append(row)
        first: list[Sequence[FaceRow]] = []
        try:
            with suppress(DataError):  # it breaks off: what it has is compared
                first.extend(itertools.islice(told, _FRAMES))
            if not first:
                with writing(path), open(path, "ab") as file:
                    file.writelines(lines[: sum(map(len, stood.values()))])
                return
            for rows, (frame, before) in zip(first, stood.items(), strict=False):
                if rows[0].frame != frame:
                    self._refuse("frames", path)
                self._check_alike(rows, before, path)
        except BaseException:
            self.put_back(path)
            raise

    def _check_alike(self, rows: Sequence[FaceRow], stood: Sequence[Mapping[str, Any]], path: Path) -> None:
        if rows[0].unread or (stood[0]["face"] is None and stood[0].get("reason") != NO_FACE):
            return  # it was taken away, or mended
        now = [json.loads(json.dumps(row.as_json())) for row in rows]
        fewer = len(now) < len(stood) or (now[0]["face"] is None) != (stood[0]["face"] is None)
        told = ((key, a[key], b[key]) for a, b in zip(stood, now, strict=False) for key in _TOLD if key in a)
        other = "faces" if fewer else next((key for key, a, b in told if not _alike(a, b, _TOLD[key])), "")
        if other:
            self._refuse(other, path)

    def _refuse(self, other: str, path: Path) -> NoReturn:
        found = f"{self.last} stood there with other {other} than it has now"
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


def _alike(stood: Any, now: Any, off: float) -> bool:
    """Whether values are the same, numbers to within ``off``."""
    if isinstance(stood, dict) and isinstance(now, dict):
        return stood.keys() == now.keys() and all(_alike(stood[key], now[key], off) for key in stood)
    if isinstance(stood, list) and isinstance(now, list):
        return len(stood) == len(now) and all(_alike(a, b, off) for a, b in zip(stood, now, strict=True))
    if isinstance(stood, float | int) and isinstance(now, float | int):
        return abs(stood - now) <= off
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
