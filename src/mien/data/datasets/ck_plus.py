"""CK+ (Lucey et al., CVPR Workshops 2010): posed expressions of 123 persons, from neutral to their peak.

Layouts: the release (``cohn-kanade-images/S005/001/S005_001_00000011.png``, ``Emotion``, ``FACS`` and
``Landmarks`` alike), the 48-pixel folder copy (``anger/S010_004_00000017.png``), or the CSV copy
(``ckextended.csv`` in FER2013's form, with codes of its own).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from mien.data.corpus import BadRows, Chunk, Corpus
from mien.data.datasets import DATASETS
from mien.data.datasets.fer2013 import SIDE, challenge_csv, read_challenge
from mien.data.folder_names import is_split
from mien.data.listed import ALL, About, Listed, Shape, five_of_68, is_there, listed_corpus, votes_of, with_landmarks
from mien.data.picture_files import entries_of, find_folder, holds_picture, picture_names, subfolders
from mien.data.text_lists import code, estimate_rows, number, read_list
from mien.errors import ConfigError, DataError
from mien.pictures.decode import Region, count_shapes
from mien.spellings import canonical

CLASSES = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")  # codes 0 to 7
CSV_CODES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt")  # of ckextended.csv
SEQUENCES = 327  # with an emotion, of the 593 that were published
TERMS = "CK+: research use, by agreement (Lucey et al. 2010)"
LANDMARKS = "of the release, with its Landmarks"
SOURCE = "http://www.jeffcohn.net/Resources/"
_CUT = 128  # pixels a side: about half of what the faces have in the release
_MARGIN = 0.2
_DEEP = 64  # folders below each other
_FRAME = re.compile(r"(S\d{3})_(\d{3})_\d{8}\.png", re.IGNORECASE)
_CSV = re.compile(r"ck[ _+-]*(extended|plus)?[ _+-]*(48)?\.csv", re.IGNORECASE)
_FRAMES = ("cohn-kanade-images", "extended-cohn-kanade-images")
_NO_LABEL = "sequences without an emotion, left out"


@dataclass(frozen=True)
class _Release:
    """Folders of the release; those that are absent are None."""

    frames: Path
    emotion: Path
    facs: Path | None
    landmarks: Path | None


def _release(root: Path) -> _Release | None:
    """The folders of the release, each perhaps in one of its own archive's name; None where one is missing."""
    frames, emotion = _below(root, *_FRAMES), _below(root, "Emotion", "Emotion_labels")
    if frames is None or emotion is None:
        return None
    return _Release(frames, emotion, _below(root, "FACS", "FACS_labels"), _below(root, "Landmarks"))


def _below(root: Path, *names: str) -> Path | None:
    """A folder of one of these names, or the one of such a name in it."""
    found = next((f for n in names if (f := find_folder(root, n)) is not None), None)
    return found and (next((f for n in names if (f := find_folder(found, n)) is not None), None) or found)


def _copy(root: Path) -> dict[str, dict[str, Path]]:
    """Split -> class -> its folder, in the 48-pixel copy, '' where it has no splits; empty where it is not that."""
    inner = [f for f in subfolders(root) if is_split(f.name)] if root.is_dir() else []
    if not inner or len(inner) < len(subfolders(root)):
        whole = _classes(root)
        return {"": whole} if whole else {}
    parts = {f.name: _classes(f, least=1) for f in inner}
    several = len({name for classes in parts.values() for name in classes}) > 1
    return parts if several and all(parts.values()) else {}


def _classes(root: Path, least: int = 2) -> dict[str, Path]:
    """Class -> its folder, where all folders with pictures are classes, so many or more, of frames of CK+."""
    classes = {canonical(c): c for c in CLASSES}
    folders = [f for f in subfolders(root) if holds_picture(f, _DEEP)] if root.is_dir() else []
    named = {classes[canonical(f.name)]: f for f in folders if canonical(f.name) in classes}
    if len(named) < least or len(named) < len(folders):
        return {}
    first = [next(iter(picture_names(f)), "") for f in named.values()]
    return named if all(_FRAME.fullmatch(name) for name in first) else {}


def _csv(root: Path) -> Path | None:
    """The CSV copy, by its name: FER2013's has the same columns."""
    files = [root] if root.is_file() else [root / e.name for e in entries_of(root)] if root.is_dir() else []
    return next((f for f in files if _CSV.fullmatch(f.name) and challenge_csv(f) is not None), None)


def detect(root: Path) -> int:
    """4 where ``root`` is a CSV of CK+'s name or holds one, 3 for the release and the folder copy, else 0."""
    if _csv(root) is not None:
        return 4  # above FERPlus and FER2013, which know the form and not the name
    return 3 * int(root.is_dir() and (_release(root) is not None or bool(_copy(root))))


def lacks(root: Path) -> tuple[int, str]:
    """How near a folder is to these layouts (0 to 4), and what it lacks."""
    if not root.is_dir():
        return 0, ""
    frames, emotion = _below(root, *_FRAMES), _below(root, "Emotion", "Emotion_labels")
    if (frames is None) == (emotion is None):
        return 0, ""
    return 4, f"CK+, but there is no folder {_FRAMES[0] if frames is None else 'Emotion'}"


@DATASETS.register("ck_plus")
def ck_plus(
    root: Path,
    *,
    peak: Annotated[int, Field(ge=1, le=50)] = 3,
    neutral: Literal["first", "none"] = "first",
    margin: Annotated[float, Field(ge=0, le=2)] = _MARGIN,
    size: Annotated[int, Field(ge=8, le=4096)] | None = None,
    channels: Literal[1, 3] | None = None,
) -> Corpus:
    """CK+: the last frames of each labelled sequence as its emotion, its first one as neutral.

    The classes stand in CK+'s order of codes (neutral, anger, contempt, disgust, fear, happy, sadness, surprise),
    also where the CSV copy counts otherwise; of the folder copy those that it has. Each subject is an
    identity, so that no split tears one. Faces are cut around their landmarks, which are kept, as are
    the action units of the last frame (``action_units``: number, and intensity after a colon where it was coded);
    without the folder Landmarks the middle square of each frame is taken.

    Args:
        root: The folder of the release or of the 48-pixel copy, or the CSV.
        peak: How many of a sequence's last frames show its emotion. Of the release only, like the next two.
        neutral: The ``first`` frame is neutral, or ``none``: then there are the seven emotions only.
        margin: Around the landmarks, as a share of their longer extent.
        size: Side in pixels; by default 128, of the copies that of most pictures.
        channels: 1 for grey, 3 for colour; by default as most pictures.

    Raises:
        DataError: If ``root`` is in no layout, or a sequence is too short for ``peak`` frames beside its first.
        ConfigError: If another size or colour is asked of the CSV copy.
    """
    csv = _csv(root) or (challenge_csv(root) if root.is_file() else None)
    if csv is not None:
        if size not in (None, SIDE) or channels == 3:
            raise ConfigError("option.size", f"{size}, of the CSV copy", f"none: its faces are {SIDE}x{SIDE} and grey")
        return _from_csv(csv)
    release = _release(root) if root.is_dir() else None
    if release is not None:
        listed, detail = _from_release(release, peak, neutral == "first", margin)
        classes: tuple[str, ...] = CLASSES if neutral == "first" else CLASSES[1:]
        gone = [f"votes_{c}" for c in CLASSES if c not in classes]
        listed = replace(listed, frame=listed.frame.drop(columns=gone))
        published = {ALL: SEQUENCES * (peak + (neutral == "first"))}
        about = About(name="ck_plus", vocabulary=classes, terms=TERMS, published=published, detail=detail)
        return listed_corpus(listed, about, Shape(size or _CUT, channels), root)
    parts = _copy(root)
    if not parts:
        near = lacks(root)[1]
        expected = f"{_FRAMES[0]} and Emotion, or folders of expressions with pictures such as S010_004_00000017.png"
        raise DataError(str(root), "is not CK+", expected, f"It is nearest to {near}." if near else "")
    classes = tuple(c for c in CLASSES if any(c in folders for folders in parts.values()))
    about = About(name="ck_plus", vocabulary=classes, terms=TERMS, detail=_torn(parts))
    return listed_corpus(_from_copy(parts, classes), about, Shape(size, channels), root)


def _from_csv(path: Path) -> Corpus:
    """The CSV copy; its codes are named and put into CK+'s order."""
    order = [next(i for i, c in enumerate(CLASSES) if canonical(c) == canonical(name)) for name in CSV_CODES]

    def chunks(bad: BadRows) -> Iterator[Chunk]:
        for rows in read_challenge(path, bad, CSV_CODES):
            frame = pd.DataFrame({"sample_id": [f"ck{r:04d}" for r in rows.row], "split": rows.usage}, dtype=object)
            codes = np.array(order, dtype=np.int64)[rows.emotion]
            yield Chunk(rows.images, pd.concat([frame, votes_of(codes, CLASSES)], axis=1))

    detail = {"persons": "unknown: the CSV copy does not say who is in a picture, so splits may tear persons"}
    return Corpus(
        name="ck_plus",
        vocabulary=CLASSES,
        attributes=(),
        terms=TERMS,
        chunks=chunks,
        n_rows=estimate_rows(path),
        detail=detail,
    )


def _torn(parts: Mapping[str, Mapping[str, Path]]) -> dict[str, Any]:
    """What must be known of the splits of a copy: it has three frames of a sequence, which somebody may have parted."""
    persons = [
        {m[1].upper() for folder in folders.values() for n in picture_names(folder) if (m := _FRAME.fullmatch(n))}
        for folders in parts.values()
    ]
    torn = sum(sum(person in part for part in persons) > 1 for person in set().union(*persons))
    return {"persons in more than one of its splits": torn} if torn else {}


def _from_copy(parts: Mapping[str, Mapping[str, Path]], classes: Sequence[str]) -> Listed:
    rows: list[tuple[str, str, int]] = []
    splits: list[str] = []
    pictures: list[Path] = []
    unread: list[DataError] = []
    for split, folders in parts.items():
        for label, folder in folders.items():
            for name in picture_names(folder):
                frame = _FRAME.fullmatch(name)
                if frame is None:
                    unread.append(DataError(str(folder / name), "is no frame of CK+", "S010_004_00000017.png"))
                    continue
                place = f"{split}/{folder.name}/{name}" if split else f"{folder.name}/{name}"
                rows.append((place, frame[1].upper(), classes.index(label)))
                splits.append(split)
                pictures.append(folder / name)
    table = _frame(rows, classes).assign(split=pd.Series(splits, dtype=object))
    return Listed(frame=table, pictures=pictures, lines=[""] * len(rows), unread=unread)


def _frame(rows: Sequence[tuple[str, str, int]], classes: Sequence[str]) -> pd.DataFrame:
    ids = pd.DataFrame({"sample_id": [r[0] for r in rows], "split": "", "identity": [r[1] for r in rows]}, dtype=object)
    return pd.concat([ids, votes_of([r[2] for r in rows], classes)], axis=1)


def _from_release(found: _Release, peak: int, neutral: bool, margin: float) -> tuple[Listed, dict[str, Any]]:
    rows: list[tuple[str, str, int]] = []
    files: list[Path] = []
    units: list[str | None] = []
    unread: list[DataError] = []
    unlabelled = no_units = 0
    for subject in subfolders(found.frames):
        for sequence in subfolders(subject):
            faults = len(unread)
            label = _emotion(found.emotion, subject.name, sequence.name, unread)
            if label is None:
                unlabelled += len(unread) == faults  # else its label cannot be read, which is another thing
                continue
            frames = sorted(e.name for e in entries_of(sequence) if _FRAME.fullmatch(e.name))
            if len(frames) < peak + neutral:
                where = f"{subject.name}/{sequence.name}"
                unread.append(DataError(where, f"{len(frames)} frames", f"{peak + neutral} or more"))
                continue
            chosen = ([(frames[0], 0)] if neutral else []) + [(name, label) for name in frames[-peak:]]
            rows += [(name, subject.name.upper(), c) for name, c in chosen]
            files += [sequence / name for name, _ in chosen]
            coded, wrong = _units(found.facs, subject.name, sequence.name)
            units += [None] * (len(chosen) - 1) + [coded]
            no_units += wrong
    frame = _frame(rows, CLASSES)
    if found.facs is not None:
        frame["action_units"] = pd.Series(units, dtype=object)
    detail: dict[str, Any] = {_NO_LABEL: unlabelled}
    if no_units:
        detail["sequences whose action units cannot be read"] = no_units
    lines = [""] * len(files)
    if found.landmarks is None:
        detail["the face in a frame"] = "unknown without the folder Landmarks: the middle square is taken"
        return Listed(frame=frame, pictures=_middles(files), lines=lines, unread=unread), detail
    pictures, points, good = _around_landmarks(files, found.landmarks, margin, unread)
    frame = with_landmarks(frame, five_of_68(points))
    return Listed(frame=frame, pictures=pictures, lines=lines, unread=unread).where(good), detail


def _emotion(folder: Path, subject: str, sequence: str, unread: list[DataError]) -> int | None:
    """The code of a sequence's emotion; None where it has none, as most sequences that fit no prototype."""
    path = _note(folder, subject, sequence)
    if path is None:
        return None
    words = [w for row in read_list(path, "an emotion") for w in row.words]
    found = code(words[0], CLASSES) if len(words) == 1 else None
    if not found:  # 0 is neutral, which no sequence is
        unread.append(DataError(path.name, f"holds {' '.join(words)[:40]!r}", "a number from 1 to 7"))
        return None
    return found


def _note(folder: Path, subject: str, sequence: str) -> Path | None:
    """The one text in a sequence's folder of notes; None where there is none."""
    place = folder / subject / sequence
    if not place.is_dir():
        return None
    # A name that begins with a dot is what a Mac leaves beside each file of an archive.
    texts = (e.name for e in entries_of(place) if e.name.lower().endswith(".txt") and e.name[0] != ".")
    return next((place / name for name in texts), None)


def _units(folder: Path | None, subject: str, sequence: str) -> tuple[str | None, bool]:
    """Action units of the last frame: ``1:3 2 25:4``; an intensity of 0 means that none was coded. And whether there
    are some that cannot be read, which costs no face.
    """
    path = _note(folder, subject, sequence) if folder is not None else None
    if path is None:
        return None, False
    said = []
    for row in read_list(path, "action units"):
        values = [number(w) for w in row.words]
        if len(values) != 2 or None in values:
            return None, True
        unit, intensity = (int(v) for v in values if v is not None)
        said.append(f"{unit}:{intensity}" if intensity else f"{unit}")
    return " ".join(said), False


def _middles(files: Sequence[Path]) -> list[Path | Region]:
    """The middle square of each frame; a file that does not open stays as it is, for its error to be told."""
    out: list[Path | Region] = []
    for path in files:
        shape = next(iter(count_shapes([path])), None)
        if shape is None:
            out.append(path)
            continue
        side = min(shape[:2])
        out.append(Region(path, (shape[0] - side) // 2, (shape[1] - side) // 2, side))
    return out


def _around_landmarks(
    files: Sequence[Path], folder: Path, margin: float, unread: list[DataError]
) -> tuple[list[Path | Region], NDArray[np.float64], NDArray[np.bool_]]:
    """Faces cut around their landmarks, the ``(n, 68, 2)`` landmarks, and ``(n,)`` whether a frame has them."""
    points = np.full((len(files), 68, 2), np.nan)
    out: list[Path | Region] = list(files)
    for i, path in enumerate(files):
        found = _points(folder / path.parent.parent.name / path.parent.name / f"{path.stem}_landmarks.txt")
        if isinstance(found, DataError):
            unread.append(found)
            continue
        points[i] = found
        left, top, right, bottom = (float(v) for v in (*found.min(axis=0), *found.max(axis=0)))
        out[i] = Region.around(path, (left, top, right, bottom), margin)
    return out, points, np.isfinite(points[:, 0, 0])


def _points(path: Path) -> NDArray[np.float64] | DataError:
    """``(68, 2)`` landmarks of a frame."""
    if not is_there(path):
        return DataError(f"Landmarks: {path.name}", "no such file", "68 landmarks of the frame")
    values = [number(w) for row in read_list(path, "landmarks") for w in row.words]
    if len(values) != 136 or None in values:
        return DataError(path.name, f"{len(values)} numbers", "68 landmarks, x and y each")
    return np.array(values, dtype=np.float64).reshape(68, 2)
