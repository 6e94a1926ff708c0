"""FairFace: faces of seven perceived races, two genders and nine age bins, as its annotators perceived them.

Layout: ``fairface_label_train.csv`` and ``fairface_label_val.csv`` beside ``train/1.jpg`` and ``val/1.jpg``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from mien.data.corpus import BadRows, Chunk, Corpus
from mien.data.csv_files import read_rows
from mien.data.datasets import DATASETS
from mien.data.listed import is_there
from mien.data.picture_files import find_file, subfolders
from mien.data.words import without_missing
from mien.demographics import AGE, GENDER, RACE
from mien.errors import DataError
from mien.inputs import rows_at_once
from mien.pictures.decode import Changes, decode_files, picture_shape
from mien.samples import ANNOTATED
from mien.spellings import folded

_CHUNK = 512
_FILES = {"train": "fairface_label_train.csv", "val": "fairface_label_val.csv"}
_HEADS = (RACE, GENDER, AGE)
_DATE = re.compile(r"\b(mar|sep|oct|nov|jan|feb|apr|may|jun|jul|aug|dec)\b", re.IGNORECASE)  # 3-9 became 9-Mar
CLASSES: tuple[str, ...] = ()  # it has no expressions
ATTRIBUTES = {head.name: head.groups for head in _HEADS}
PUBLISHED = {"train": 86744, "val": 10954}
TERMS = "CC BY 4.0; Karkkainen and Joo, FairFace, WACV 2021"
SOURCE = "https://github.com/joojs/fairface"


def detect(root: Path) -> int:
    """3 where ``root`` is a folder with one of FairFace's label files, else 0."""
    return 3 * int(root.is_dir() and any(find_file(root, name) for name in _FILES.values()))


def lacks(root: Path) -> tuple[int, str]:
    """How near a file is to FairFace's labels (0 to 3), and what it lacks."""
    if root.is_file() and root.name.lower() in _FILES.values():
        return 3, "FairFace, but it is the folder of the label files that is read, not one of them"
    return 0, ""


def _labels(path: Path, split: str, bad: BadRows) -> pd.DataFrame:
    """One row a face: ``file``, ``split`` and its groups, NaN where missing; rows with unknown ones go to ``bad``."""
    frame = read_rows(path, "FairFace's label file")
    frame.columns = pd.Index([c.lower() for c in frame.columns])
    missing = [c for c in ("file", *(h.name for h in _HEADS)) if c not in frame]
    if missing:
        raise DataError(f"{path.name} line 1", f"no column {missing[0]!r}", "file, age, gender, race")
    keep = pd.Series(True, index=frame.index)
    for head in _HEADS:
        known = {folded(group): group for group in head.groups}
        if head is AGE:
            # The label files say 'more than 70' where the authors' own program says '70+'.
            known["more than 70"] = "70+"
        words = without_missing(frame[head.name], group=True)
        groups = words.map(lambda word, known=known: known.get(folded(word)), na_action="ignore")
        for line in frame.index[keep & words.notna() & groups.isna()]:
            found, fix = frame[head.name][line], ""
            if _DATE.search(found):
                fix = "A spreadsheet took the ages for dates: take the original file."
            keep[line] = False
            bad.add(DataError(f"{path.name} line {line}", f"{head.name} {found!r}", ", ".join(head.groups), fix))
        frame[head.name] = groups
    return frame.assign(split=split)[keep]


def _pictures_at(root: Path, first: str) -> Path:
    """The folder to which the label files' paths belong: ``root``, or the one folder in it where they are found."""
    if is_there(root / first):
        return root
    return next((f for f in subfolders(root) if is_there(f / first)), root)


@DATASETS.register("fairface")
def fairface(root: Path, *, size: int | None = None, channels: int | None = None) -> Corpus:
    """FairFace as it is downloaded: ``fairface_label_train.csv`` (and ``_val``) beside their pictures.

    It has no expressions: its store serves to train and to check annotators of perceived attributes.

    Args:
        root: The folder.
        size: Side in pixels to which every picture is brought; by default that of most squares.
        channels: 1 for grey, 3 for colour; by default as most pictures.

    Raises:
        DataError: If no label file is there, or one lacks a column.
    """
    found = {split: find_file(root, name) for split, name in _FILES.items()}
    files = {split: path for split, path in found.items() if path is not None}
    if not files:
        raise DataError(str(root), "no label file", " or ".join(_FILES.values()))
    unread = BadRows("drop")
    listing = pd.concat([_labels(path, split, unread) for split, path in files.items()], ignore_index=True)
    if not len(listing):
        raise DataError(str(root), "its label files name no face", "at least one")
    base = _pictures_at(root, listing["file"].iloc[0])
    paths = [base / f for f in listing["file"]]
    side, planes = picture_shape(paths, size, channels)
    step = rows_at_once(side * side * planes, _CHUNK)

    detail: dict[str, Any] = {"faces without a known group": len(unread.errors)}
    missing = {h.name: int(listing[h.name].isna().sum()) for h in _HEADS if listing[h.name].isna().any()}
    if missing:
        detail["rows without a value"] = missing

    def chunks(bad: BadRows) -> Iterator[Chunk]:
        changes = Changes()
        for error in unread.errors:
            bad.add(error)
        for start in range(0, len(paths), step):
            part = slice(start, start + step)
            images, ok = decode_files(paths[part], side, planes, bad.add, changes=changes)
            frame = listing.iloc[part].reset_index(drop=True)
            frame = frame.rename(columns={"file": "sample_id"})[["sample_id", "split", *(h.name for h in _HEADS)]]
            for head in _HEADS:
                frame[f"{head.name}_source"] = ANNOTATED
            yield Chunk(images[ok], frame[ok])
        detail.update(changes.facts(side))

    attributes = tuple(h.name for h in _HEADS)
    return Corpus(
        name="fairface",
        vocabulary=(),
        attributes=attributes,
        terms=TERMS,
        chunks=chunks,
        n_rows=len(paths),
        detail=detail,
    )
