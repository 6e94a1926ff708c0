"""AffectNet (Mollahosseini, Hasani and Mahoor, IEEE TAC 2019): faces of the web with expression, valence and arousal.

Layouts: the lists of the first release (``Manually_Annotated_file_lists/training.csv`` and ``validation.csv``,
pictures in ``Manually_Annotated_Images``), or the folders of the later one (``train_set/images/0.jpg`` with
``train_set/annotations/0_exp.npy``, ``0_val.npy``, ``0_aro.npy``, ``0_lnd.npy``; ``val_set`` alike).
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from mien.data.corpus import BadRows, Chunk, Corpus
from mien.data.datasets import DATASETS
from mien.data.listed import (
    About,
    Listed,
    Shape,
    five_of_68,
    listed_corpus,
    read_chunk,
    votes_of,
    with_landmarks,
)
from mien.data.picture_files import find_file, find_folder, picture_names
from mien.data.text_lists import code, estimate_rows, number
from mien.errors import DataError
from mien.inference import Progress
from mien.inputs import check_regular, rows_at_once
from mien.pictures.decode import Changes, Region, count_shapes, picture_shape
from mien.pictures.landmarks import rescaled

CLASSES = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")  # codes 0 to 7
OTHERS = ("none", "uncertain", "no face")  # codes 8 to 10
PUBLISHED = {"train": 287651, "val": 4000}  # with one of the expressions, of the lists
PUBLISHED_FOLDERS = {"train": 287651, "val": 3999}
TERMS = "AffectNet: non-commercial research, by agreement (Mollahosseini, Hasani and Mahoor 2019)"
LANDMARKS = "five of its 68"
SOURCE = "http://mohammadmahoor.com/pages/databases/affectnet/"
_COLUMNS = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip
_LISTS = {"train": "training.csv", "val": "validation.csv"}
_SETS = {"train": "train_set", "val": "val_set"}
_CUT = 224  # pixels a side, as the later release has its faces
_NO_VALUE = -2.0  # of valence and arousal
_CHUNK = 512
_TOLD = 1000  # rows of a list after which the bar moves


def _lists(root: Path) -> dict[str, Path]:
    """Split -> its list of the first release, told by its columns; the second file may lack its header."""
    found: dict[str, Path] = {}
    for base in (root, find_folder(root, "Manually_Annotated")):
        for place in (base, find_folder(base, "Manually_Annotated_file_lists")) if base else ():
            files = {s: find_file(place, n) for s, n in _LISTS.items()} if place else {}
            found |= {s: f for s, f in files.items() if f is not None and s not in found and _is_list(f)}
    return found


def _is_list(path: Path) -> bool:
    with open(path, "rb") as file:
        words = file.readline(1 << 14).decode("utf-8-sig", errors="replace").strip().split(",")
    return len(words) == len(_COLUMNS) and (words[0] == _COLUMNS[0] or words[5].count(";") == 135)


def _pictures(root: Path) -> Path:
    """The folder to which the lists' paths belong, as far as it is there."""
    base = find_folder(root, "Manually_Annotated") or root
    outer = find_folder(base, "Manually_Annotated_Images") or find_folder(root, "Manually_Annotated_Images") or base
    return find_folder(outer, outer.name) or outer


def _sets(root: Path) -> dict[str, Path]:
    """Split -> its folder of the later release, with pictures and annotations."""
    found = {s: f for s, n in _SETS.items() if (f := find_folder(root, n)) is not None}
    return {s: f for s, f in found.items() if find_folder(f, "images") and find_folder(f, "annotations")}


def detect(root: Path) -> int:
    """3 where ``root`` is a folder with one of the lists or of the sets, else 0."""
    return 3 * int(root.is_dir() and bool(_lists(root) or _sets(root)))


def lacks(root: Path) -> tuple[int, str]:
    """How near a folder is to these layouts (0 to 4), and what it lacks."""
    if not root.is_dir() or detect(root):
        return 0, ""
    halves = [f for n in _SETS.values() if (f := find_folder(root, n)) is not None]
    for at in halves:
        absent = [n for n in ("images", "annotations") if find_folder(at, n) is None]
        return 4, f"AffectNet, but {at.name} has no folder {' and no folder '.join(absent)}"
    if find_folder(root, "Manually_Annotated") or find_folder(root, "Manually_Annotated_Images"):
        return 4, "AffectNet, but there is no training.csv in Manually_Annotated_file_lists"
    return 0, ""


@DATASETS.register("affectnet")
def affectnet(
    root: Path,
    *,
    margin: Annotated[float, Field(ge=0, le=2)] = 0.0,
    others: Literal["drop", "keep"] = "drop",
    size: Annotated[int, Field(ge=8, le=4096)] | None = None,
    channels: Literal[1, 3] | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """AffectNet: eight expressions in its own order, valence and arousal as numbers, five landmarks.

    The order is that of the codes: neutral, happy, sad, surprise, fear, disgust, anger, contempt. Valence and arousal
    (-1 to 1) are columns of numbers, NaN where the corpus has none (-2). Of the lists, faces are cut out by their
    boxes.

    Args:
        root: The folder of the lists and pictures, or of ``train_set`` and ``val_set``.
        margin: Around a box of the lists, as a share of its longer side.
        others: Faces whose code is none, uncertain or no face: ``drop`` leaves them out and counts them, ``keep``
            keeps them without a vote, for their valence and arousal (of the lists, those that have a box).
        size: Side in pixels; by default 224 where faces are cut out, else that of most pictures.
        channels: 1 for grey, 3 for colour; by default as most pictures.
        progress: Called with rows of the lists read and to expect: they are read whole, before any picture.

    Raises:
        DataError: If ``root`` is in no layout, or none of its pictures is there.
    """
    lists, sets = (_lists(root), _sets(root)) if root.is_dir() else ({}, {})
    if lists:
        listed, detail = _from_lists(_records(lists, progress), _pictures(root), margin, others == "keep")
        published = PUBLISHED if others == "drop" else {}
        about = About(name="affectnet", vocabulary=CLASSES, terms=TERMS, published=published, detail=detail)
        return listed_corpus(listed, about, Shape(size or _CUT, channels), root)
    if sets:
        return _from_sets(root, sets, others == "keep", Shape(size, channels))
    near = lacks(root)[1]
    expected = "Manually_Annotated_file_lists/training.csv, or train_set/images and train_set/annotations"
    raise DataError(str(root), "is not AffectNet", expected, f"It is nearest to {near}." if near else "")


@dataclass
class _Faces:
    """Faces as they are read, column by column: a list has four hundred thousand of them.

    Attributes:
        ids: Of each face.
        splits: Its split.
        codes: Its class, -1 without one.
        affect: Its valence and arousal.
        points: Its five landmarks, x and y in turn.
        others: Code beyond the classes -> faces.
        boxless: The same of those that were to be kept, and have no box to cut them out by.
    """

    ids: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    affect: list[tuple[float, float]] = field(default_factory=list)
    points: list[NDArray[np.float64]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    boxless: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, split: str, face: _Face) -> None:
        """Add one face."""
        self.ids.append(name)
        self.splits.append(split)
        self.codes.append(face.code if face.code < len(CLASSES) else -1)
        self.affect.append(face.affect)
        self.points.append(face.points)

    def other(self, face: _Face) -> bool:
        """Whether a face has none of the classes; counts it."""
        beyond = face.code >= len(CLASSES)
        if beyond:
            self.others[OTHERS[face.code - len(CLASSES)]] += 1
        return beyond

    def frame(self) -> pd.DataFrame:
        """The faces as samples."""
        ids = pd.DataFrame({"sample_id": self.ids, "split": self.splits}, dtype=object)
        affect = pd.DataFrame(np.array(self.affect).reshape(-1, 2), columns=["valence", "arousal"])
        frame = pd.concat([ids, votes_of(self.codes, CLASSES), affect], axis=1)
        return with_landmarks(frame, np.array(self.points, dtype=np.float64).reshape(-1, 5, 2))

    def said(self, keep: bool) -> dict[str, Any]:
        """What there is to say of the faces without one of the classes."""
        what = "kept without a vote" if keep else "left out"
        found = {f"faces without one of the expressions, {what}": dict(self.others)}
        found["faces without one of the expressions and without a box, left out"] = dict(self.boxless)
        return {said: counts for said, counts in found.items() if counts}


@dataclass(frozen=True)
class _Face:
    """Code 0 to 10, valence and arousal, ``(5, 2)`` landmarks."""

    code: int
    affect: tuple[float, float]
    points: NDArray[np.float64]


def _face(label: str, affect: Sequence[str], points: Sequence[str] | NDArray[np.float64]) -> _Face | str:
    """One face from its words, or what is wrong with them."""
    place = code(label, range(len(CLASSES) + len(OTHERS)))
    values = [number(w) for w in affect]
    if place is None:
        legend = ", ".join(f"{k} {c}" for k, c in enumerate((*CLASSES, *OTHERS)))
        return f"expression {label[:40]!r} (it counts {legend})"
    for name, value, word in zip(("valence", "arousal"), values, affect, strict=True):
        if value is None or not (-1 <= value <= 1 or value == _NO_VALUE):
            return f"{name} {word[:40]!r} (it goes from -1 to 1, -2 for none)"
    five = np.full((5, 2), np.nan)
    try:
        all_points = np.asarray(points, dtype=np.float64).reshape(1, 68, 2)
        five = five_of_68(all_points)[0]
    except ValueError:
        if place < len(CLASSES):  # who is no face has no landmarks
            return f"{np.size(points)} values of landmarks (136 are needed, x and y of 68)"
    first, second = (float("nan") if v is None or v == _NO_VALUE else v for v in values)
    return _Face(place, (first, second), five)


def _from_lists(rows: Iterable[_Row], folder: Path, margin: float, keep: bool) -> tuple[Listed, dict[str, Any]]:
    faces = _Faces()
    regions: list[Path | Region] = []
    lines: list[str] = []
    unread: list[DataError] = []
    for split, where, words in rows:
        face = _face(words[6], words[7:9], words[5].split(";")) if len(words) == len(_COLUMNS) else "cells missing"
        box = [v for v in map(number, words[1:5]) if v is not None]
        boxed = len(box) == 4 and min(box[2:]) > 0
        if isinstance(face, _Face) and keep and not boxed and face.code >= len(CLASSES):
            faces.boxless[OTHERS[face.code - len(CLASSES)]] += 1
            continue
        if isinstance(face, _Face) and faces.other(face) and not keep:
            continue
        if isinstance(face, str) or not boxed:
            found = face if isinstance(face, str) else f"the box {' '.join(words[1:5])[:60]!r}"
            unread.append(DataError(where, found, ", ".join(_COLUMNS)))
            continue
        faces.add(words[0], split, face)
        left, top, width, height = box
        regions.append(Region.around(folder / words[0], (left, top, left + width, top + height), margin))
        lines.append(where)
    return Listed(frame=faces.frame(), pictures=regions, lines=lines, unread=unread), faces.said(keep)


_Row = tuple[str, str, list[str]]  # split, file and line, cells


def _records(lists: dict[str, Path], progress: Progress | None) -> Iterator[_Row]:
    """The rows of the lists one by one: the training list has half a gigabyte."""
    n, expected = 0, sum(map(estimate_rows, lists.values())) if progress else 0
    for split, path in lists.items():
        for line, words in _rows_of(path):
            n += 1
            if progress and n % _TOLD == 0:
                progress(n, expected)
            yield split, f"{path.name} line {line}", words
    if progress:
        progress(n, n)


def _rows_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a list, each with its line."""
    check_regular(path, "a list of AffectNet")
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.reader(file)
            for words in reader:
                if words and words[0] != _COLUMNS[0]:
                    yield reader.line_num, words
    except csv.Error as error:
        raise DataError(str(path), f"cannot be read ({error})", "a list of AffectNet") from error


def _from_sets(root: Path, sets: dict[str, Path], keep: bool, shape: Shape) -> Corpus:
    """The later release, whose million small files are read with the pictures they belong to."""
    places = [(s, at / "images", at / "annotations") for s, at in sets.items()]
    places = [(s, find_folder(sets[s], i.name) or i, find_folder(sets[s], a.name) or a) for s, i, a in places]
    found = [(s, i / name, a) for s, i, a in places for name in picture_names(i)]
    if not found:
        raise DataError(str(root), "no picture in train_set/images or val_set/images", "at least one")
    side, planes = picture_shape([p for _, p, _ in found], shape.size, shape.channels)
    # Landmarks count in the pixels of the files, which are all of one size in this release.
    own = max((w for w, *_ in count_shapes([p for _, p, _ in found[:20]])), default=side)
    counts = Counter(s for s, *_ in found)
    odd = {s: f"{counts[s]} of {n}" for s, n in PUBLISHED_FOLDERS.items() if counts[s] != n}
    detail: dict[str, Any] = {"faces listed of those published": odd} if odd else {}
    step = rows_at_once(side * side * planes, _CHUNK)

    def chunks(bad: BadRows) -> Iterator[Chunk]:
        changes, others = Changes(), Counter[str]()
        for start in range(0, len(found), step):
            rows, left_out = _annotated(found[start : start + step], side / own, keep, bad)
            others += left_out
            yield read_chunk(rows, (side, planes), bad, changes)
        detail.update(changes.facts(side) | _Faces(others=others).said(keep))

    return Corpus(
        name="affectnet",
        vocabulary=CLASSES,
        attributes=(),
        terms=TERMS,
        chunks=chunks,
        n_rows=len(found),
        detail=detail,
    )


def _annotated(
    found: Sequence[tuple[str, Path, Path]], scale: float, keep: bool, bad: BadRows
) -> tuple[Listed, Counter[str]]:
    """Some pictures with what their ``.npy`` files say; those without one of the classes are counted."""
    faces = _Faces()
    pictures: list[Path | Region] = []
    for split, path, notes in found:
        face = _npy_face(notes, path.stem)
        if isinstance(face, DataError):
            bad.add(face)
            continue
        if faces.other(face) and not keep:
            continue
        faces.add(f"{split}/{path.name}", split, face)
        pictures.append(path)
    frame = faces.frame()
    return Listed(frame=rescaled(frame, (scale, scale)), pictures=pictures, lines=[""] * len(pictures)), faces.others


def _npy_face(folder: Path, name: str) -> _Face | DataError:
    values: list[NDArray[Any]] = []
    for part in ("exp", "val", "aro", "lnd"):
        path = folder / f"{name}_{part}.npy"
        try:
            check_regular(path, "an annotation", most=1 << 20)
            values.append(np.load(path, allow_pickle=False))
        except FileNotFoundError:
            return DataError(f"annotations: {path.name}", "no such file", "one for each picture")
        except Exception as error:  # headers of damaged files raise almost anything
            return DataError(f"annotations: {path.name}", f"cannot be read ({error})", "an array of numbers")
    expression, valence, arousal = (str(v.reshape(-1)[0]) if v.size == 1 else "" for v in values[:3])
    face = _face(expression, (valence, arousal), values[3].reshape(-1))
    return face if isinstance(face, _Face) else DataError(f"annotations: {name}_*.npy", face, "0 to 10, -1 to 1, 136")
