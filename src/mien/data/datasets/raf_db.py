"""RAF-DB (Li, Deng and Du, CVPR 2017): faces of the web, labelled by some forty people each; research use.

Layouts: the release (``basic/EmoLabel/list_patition_label.txt``, ``basic/Image/aligned/train_00001_aligned.jpg``,
``basic/Annotation/manual/train_00001_manu_attri.txt``; ``compound`` alike), or the folder copy of Kaggle
(``DATASET/train/1/train_00001_aligned.jpg`` with ``train_labels.csv``), which has no annotations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from mien.data.corpus import Corpus
from mien.data.csv_files import read_rows
from mien.data.datasets import DATASETS
from mien.data.listed import About, Listed, Shape, annotated, is_there, listed_corpus, votes_of, with_landmarks
from mien.data.picture_files import entries_of, find_file, find_folder, subfolders
from mien.data.text_lists import Row, code, fitting, number, read_list
from mien.errors import DataError
from mien.pictures.decode import Region

CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")  # labels 1 to 7
COMPOUND = (
    "happily surprised", "happily disgusted", "sadly fearful", "sadly angry", "sadly surprised", "sadly disgusted",
    "fearfully angry", "fearfully surprised", "angrily surprised", "angrily disgusted", "disgustedly surprised",
)  # fmt: skip
GENDERS = ("Male", "Female", "Unsure")
RACES = ("Caucasian", "African-American", "Asian")
AGES = ("0-3", "4-19", "20-39", "40-69", "70+")
PUBLISHED = {"train": 12271, "test": 3068}
PUBLISHED_COMPOUND = {"train": 3162, "test": 792}
SPLITS = tuple(PUBLISHED)
TERMS = "RAF-DB: non-commercial research, by agreement (Li, Deng and Du 2017)"
SOURCE = "http://www.whdeng.cn/RAF/model1.html"
_LISTS = ("list_patition_label.txt", "list_partition_label.txt")  # the release spells it so; copies mend it
_NAME = re.compile(r"(train|test)_\d+(_aligned)?\.jpg", re.IGNORECASE)
_COMPOUND_FIX = "If these are the compound expressions, pass compound=true (--option compound=true)."
_FEW_ROWS = 50  # of a list by which nothing can be told of its codes
_CUT = 100  # pixels a side, that of the aligned pictures
ATTRIBUTES = {"gender": GENDERS[:2], "race": RACES, "age": AGES}
LANDMARKS = "with the original pictures"


@dataclass(frozen=True)
class _Release:
    """Where the parts of one label set lie; those that are absent are None."""

    labels: Path
    aligned: Path | None
    original: Path | None
    manual: Path | None
    boxes: Path | None


def _find_list(base: Path) -> Path | None:
    places = [base, find_folder(base, "EmoLabel")]
    return next((f for p in places if p for n in _LISTS if (f := find_file(p, n)) is not None), None)


def _bases(root: Path, compound: bool) -> Iterator[Path]:
    """Where a label set may lie: in its folder, in that within ``RAF-DB``, or right in ``root``."""
    for place in (root, find_folder(root, "RAF-DB")):
        inner = find_folder(place, "compound" if compound else "basic") if place else None
        if inner is not None:
            yield inner
    yield root


def _release(root: Path, compound: bool) -> _Release | None:
    """The release's files; None where its list is not there."""
    if not root.is_dir():
        return None
    for base in _bases(root, compound):
        labels = _find_list(base)
        if labels is not None:
            image, notes = (find_folder(base, n) or base for n in ("Image", "Annotation"))
            return _Release(
                labels, _deep(image, "aligned"), _deep(image, "original"), _deep(notes, "manual"),
                _deep(notes, "boundingbox"),
            )  # fmt: skip
    return None


def _deep(base: Path, name: str) -> Path | None:
    """A folder, or the one of the same name in it: unpacking ``aligned.zip`` into ``aligned`` nests them."""
    outer = find_folder(base, name)
    return outer and (find_folder(outer, name) or outer)


def _kaggle(root: Path) -> dict[str, Path]:
    """Split -> its folder of folders 1 to 7, in the copy of Kaggle; empty where it is not that."""
    base = find_folder(root, "DATASET") or root
    found = {s: f for s in SPLITS if (f := find_folder(base, s)) is not None}
    folders = [c for f in found.values() for c in subfolders(f)]
    numbered = bool(folders) and all(c.name in "1234567" and len(c.name) == 1 for c in folders)
    named = numbered and any(_NAME.fullmatch(e.name) for c in folders for e in entries_of(c)[:5])
    return found if named else {}


def detect(root: Path) -> int:
    """3 where ``root`` is the release (or one label set of it) or the folder copy of Kaggle, else 0."""
    if not root.is_dir():
        return 0
    return 3 * int(_release(root, False) is not None or _release(root, True) is not None or bool(_kaggle(root)))


def lacks(root: Path) -> tuple[int, str]:
    """How near a folder is to these layouts (0 to 4), and what it lacks."""
    if not root.is_dir():
        return (
            (2, "RAF-DB, but it is the folder around EmoLabel that is read") if root.name.lower() in _LISTS else (0, "")
        )
    own = find_folder(root, "EmoLabel")
    if own is not None and find_file(own, "distribution.txt") is not None:
        return 0, ""  # RAF-ML has the same folders
    inside = {f.name.lower() for f in subfolders(root)}
    sure = "emolabel" in inside or {"image", "annotation"} <= inside
    if sure or "aligned" in inside:
        return (4 if sure else 2), f"RAF-DB, but there is no {_LISTS[0]} in EmoLabel"
    return 0, ""


@DATASETS.register("raf_db")
def raf_db(
    root: Path,
    *,
    compound: bool = False,
    images: Literal["aligned", "original"] = "aligned",
    margin: Annotated[float, Field(ge=0, le=2)] = 0.0,
    unsure: Literal["missing", "group"] = "missing",
    size: Annotated[int, Field(ge=8, le=4096)] | None = None,
    channels: Literal[1, 3] | None = None,
) -> Corpus:
    """RAF-DB: seven basic expressions (or eleven compound ones), with annotated gender, race and age.

    The classes stand in the order of the labels 1 to 7: surprise, fear, disgust, happiness, sadness, anger, neutral.
    Faces cut out of the original pictures carry their five annotated landmarks; these are not known for
    the aligned ones, which were turned and scaled without saying how.

    Args:
        root: The folder of the release, of one of its label sets, or of the copy of Kaggle.
        compound: Read the eleven compound expressions, which are other pictures.
        images: ``aligned`` faces of 100x100 pixels, or the ``original`` pictures, cut by the corpus's boxes.
        margin: Around a box of an original picture, as a share of its longer side.
        unsure: What becomes of the gender that nobody was sure of: ``missing``, or a ``group`` of its own.
        size: Side in pixels; by default that of most aligned pictures, 100 where faces are cut out.
        channels: 1 for grey, 3 for colour; by default as most pictures.

    Raises:
        DataError: If ``root`` is in no layout, or lacks the pictures or boxes that were asked for.
    """
    release = _release(root, compound)
    if release is not None:
        listed, detail = _from_release(release, compound, images, margin)
        known = release.manual is not None
    elif not compound and images == "aligned" and (splits := _kaggle(root)):
        listed, detail, known = _from_kaggle(root, splits), {}, False
    else:
        what = "compound" if compound else "basic"
        expected = f"{what}/EmoLabel/{_LISTS[0]} and {what}/Image/{images}"
        raise DataError(str(root), "is not RAF-DB", expected, _else(root))
    if known and unsure == "missing":
        listed.frame["gender"] = listed.frame["gender"].where(listed.frame["gender"] != "Unsure")
    about = About(
        name="raf_db_compound" if compound else "raf_db",
        vocabulary=COMPOUND if compound else CLASSES,
        terms=TERMS,
        attributes=tuple(ATTRIBUTES) if known else (),
        published=PUBLISHED_COMPOUND if compound else PUBLISHED,
        detail=detail if known else detail | {"gender, race and age": "no Annotation/manual, so none is known"},
    )
    cut = _CUT if images == "original" else None
    return listed_corpus(listed, about, Shape(size or cut, channels), root)


def _else(root: Path) -> str:
    near = lacks(root)[1]
    return f"It is nearest to {near}." if near else ""


def _from_release(found: _Release, compound: bool, images: str, margin: float) -> tuple[Listed, dict[str, Any]]:
    unread: list[DataError] = []
    rows = fitting(read_list(found.labels, "RAF-DB's list"), 2, "a picture and its label", unread)
    faces = _labelled(rows, COMPOUND if compound else CLASSES, unread)
    folder = found.aligned if images == "aligned" else found.original
    if folder is None:
        raise DataError(str(found.labels.parent.parent), f"no folder of {images} pictures", f"Image/{images}")
    if images == "original" and found.boxes is None:
        raise DataError(str(folder), "no boxes beside the original pictures", "Annotation/boundingbox")
    kept: list[tuple[Row, str, int]] = []
    pictures: list[Path | Region] = []
    for row, name, label in faces:
        picture = _picture(folder, name, found.boxes if images == "original" else None, margin, unread)
        if picture is not None:
            kept.append((row, name, label))
            pictures.append(picture)
    frame = _frame([k[1] for k in kept], [k[2] for k in kept], COMPOUND if compound else CLASSES)
    listed = Listed(frame=frame, pictures=pictures, lines=[k[0].where for k in kept], unread=unread)
    if found.manual is None:
        return listed, {}
    return _with_notes(listed, found.manual, landmarks=images == "original")


def _labelled(rows: Sequence[Row], classes: Sequence[str], unread: list[DataError]) -> list[tuple[Row, str, int]]:
    faces = []
    _refuse_other_set(rows, len(classes))
    numbers = [str(k) for k in range(len(classes) + 1)]  # code 0 is none: the release counts from 1
    for row in rows:
        name, label = row.words[0], code(row.words[1], numbers)
        if not _NAME.fullmatch(name):
            unread.append(DataError(row.where, f"{name!r}", "a picture called train_... or test_..."))
        elif not label:
            legend = ", ".join(f"{k} {c}" for k, c in enumerate(classes, start=1))
            eleven = label is None and code(row.words[1], range(12)) is not None and len(classes) == len(CLASSES)
            fix = _COMPOUND_FIX if eleven else ""
            unread.append(DataError(row.where, f"label {row.words[1]!r}", legend, fix))
        else:
            faces.append((row, name, label - 1))
    return faces


def _refuse_other_set(rows: Sequence[Row], n_classes: int) -> None:
    """Refuse the list of the other label set, whose codes mean other expressions: no dropped row would mend that.

    Raises:
        DataError: On many codes above 7 among basic expressions, or none among more than a few compound ones.
    """
    basic = n_classes == len(CLASSES)
    above = [row for row in rows if (label := code(row.words[1], range(12))) is not None and label > len(CLASSES)]
    if basic and len(above) > len(rows) / 10:  # of compound expressions a third is above; one alone is a slip
        found = f"label {above[0].words[1]!r}, as {len(above):,} of {len(rows):,} rows above 7"
        raise DataError(above[0].where, found, "1 to 7, a basic expression", _COMPOUND_FIX)
    if not basic and not above and len(rows) > _FEW_ROWS:
        fix = "If these are the basic expressions, leave compound out."
        found = f"has no label above 7 in {len(rows):,} rows"
        raise DataError(rows[0].where, found, "1 to 11, a compound expression", fix)


def _frame(names: Sequence[str], labels: Sequence[int], classes: Sequence[str]) -> pd.DataFrame:
    ids = pd.DataFrame({"sample_id": list(names), "split": [n.split("_")[0].lower() for n in names]}, dtype=object)
    return pd.concat([ids, votes_of(labels, classes)], axis=1)


def _picture(
    folder: Path, name: str, boxes: Path | None, margin: float, unread: list[DataError]
) -> Path | Region | None:
    """The file of a face, or its part of an original picture; None where its box cannot be read."""
    stem = name.rpartition(".")[0]
    if boxes is None:
        aligned = folder / f"{stem}_aligned.jpg"
        return aligned if is_there(aligned) or not is_there(folder / name) else folder / name
    path = boxes / f"{stem}_boundingbox.txt"
    words = " ".join(" ".join(r.words) for r in read_list(path, "a box")).split() if is_there(path) else []
    values = [number(w) for w in words]
    numbers = [v for v in values if v is not None]
    if len(values) != 4 or len(numbers) != 4 or numbers[2] <= numbers[0] or numbers[3] <= numbers[1]:
        found = f"holds {' '.join(words)[:60]!r}" if is_there(path) else "no such file"
        unread.append(DataError(f"boundingbox/{path.name}", found, "left, top, right, bottom in pixels"))
        return None
    left, top, right, bottom = numbers
    return Region.around(folder / name, (left, top, right, bottom), margin)


def _with_notes(listed: Listed, manual: Path, landmarks: bool) -> tuple[Listed, dict[str, Any]]:
    """With gender, race, age (and landmarks) from ``*_manu_attri.txt``: five points, then one code a line."""
    groups: dict[str, list[str | None]] = {name: [] for name in ATTRIBUTES}
    points = np.full((len(listed), 5, 2), np.nan)
    good = np.ones(len(listed), dtype=bool)
    errors: list[DataError] = []
    absent = 0
    for i, name in enumerate(listed.frame["sample_id"]):
        path = manual / f"{name.rpartition('.')[0]}_manu_attri.txt"
        there = is_there(path)
        absent += not there
        notes: Any = _notes(path) if there else (None, None, None)
        if isinstance(notes, DataError):
            errors.append(notes)
            good[i] = False
            notes = (None, None, None)
        elif there and len(notes) == 4:
            points[i] = notes[3]
        for attribute, value in zip(ATTRIBUTES, notes, strict=False):
            groups[attribute].append(value)
    frame = annotated(listed.frame, groups)
    frame = with_landmarks(frame, points) if landmarks else frame
    return replace(listed, frame=frame).where(good, errors), (
        {"faces without an annotation file": absent} if absent else {}
    )


def _notes(path: Path) -> Any:
    """Gender, race, age and ``(5, 2)`` points of one file; a DataError where it is not as it should be."""
    words = [w for row in read_list(path, "annotations of a face") for w in row.words]
    values = [number(w) for w in words[:10]]
    codes = [code(w, g) for w, g in zip(words[10:], (GENDERS, RACES, AGES), strict=False)]
    if len(words) != 13 or None in values or None in codes:
        expected = "five landmarks, then gender 0 to 2, race 0 to 2, age 0 to 4"
        return DataError(f"manual/{path.name}", f"holds {' '.join(words)[:80]!r}", expected)
    named = (g[k] for k, g in zip(codes, (GENDERS, RACES, AGES), strict=True) if k is not None)
    return (*named, np.array(values, dtype=np.float64).reshape(5, 2))


def _from_kaggle(root: Path, splits: dict[str, Path]) -> Listed:
    """The faces of the folder copy; a label file that says another class than the folder is the picture's fault."""
    names: list[str] = []
    labels: list[int] = []
    pictures: list[Path] = []
    lines: list[str] = []
    unread: list[DataError] = []
    for split, folder in splits.items():
        said = _kaggle_labels(root, folder.parent, split)
        for inner in subfolders(folder):
            for path in (inner / e.name for e in entries_of(inner) if _NAME.fullmatch(e.name)):
                line, label = said.pop(path.name, ("", inner.name))
                if label != inner.name:
                    found = f"{path.name} has the label {label} and lies in the folder {inner.name}"
                    unread.append(DataError(line, found, "one label"))
                    continue
                names.append(path.name.replace("_aligned", ""))
                labels.append(int(inner.name) - 1)
                pictures.append(path)
                lines.append(line)
        unread += [
            DataError(line, f"{name}: no such picture", f"one in {folder}/{k}") for name, (line, k) in said.items()
        ]
    return Listed(frame=_frame(names, labels, CLASSES), pictures=pictures, lines=lines, unread=unread)


def _kaggle_labels(root: Path, base: Path, split: str) -> dict[str, tuple[str, str]]:
    """Picture -> its line and label in ``<split>_labels.csv``; empty where there is none."""
    path = find_file(root, f"{split}_labels.csv") or find_file(base, f"{split}_labels.csv")
    if path is None:
        return {}
    frame = read_rows(path, "RAF-DB's labels")
    if not {"image", "label"} <= set(frame.columns):
        raise DataError(f"{path.name} line 1", f"columns {', '.join(frame.columns)}", "image, label")
    return {
        name.strip(): (f"{path.name} line {line}", label.strip())
        for line, name, label in zip(frame.index, frame["image"], frame["label"], strict=True)
    }
