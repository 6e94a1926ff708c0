"""CelebA (Liu et al., ICCV 2015): celebrities with forty attributes each, Smiling among them; research use.

Layouts: the release (``Anno/list_attr_celeba.txt``, ``Eval/list_eval_partition.txt``,
``Img/img_align_celeba/000001.jpg``), all of it in one folder, or the CSV copy (``list_attr_celeba.csv``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from mien.data.corpus import Corpus
from mien.data.datasets import DATASETS
from mien.data.listed import (
    About,
    Listed,
    Shape,
    annotated,
    listed_corpus,
    votes_of,
    with_landmarks,
)
from mien.data.picture_files import find_file, find_folder
from mien.data.text_lists import Row, code, number
from mien.errors import ConfigError, DataError
from mien.inputs import read_small
from mien.pictures.decode import Region
from mien.pictures.landmarks import COLUMNS
from mien.registry import nearest

CLASSES = ("not smiling", "smiling")
PUBLISHED = {"train": 162770, "val": 19867, "test": 19962}
TERMS = "CelebA: non-commercial research (Liu et al. 2015)"
SOURCE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
_SPLITS = tuple(PUBLISHED)  # codes 0, 1, 2
ATTRIBUTES = {"gender": ("Female", "Male"), "age": ("Not young", "Young")}  # of -1 and 1
LANDMARKS = "with their list"
_FACE = (0, 20, 178)  # left, top, side: the middle square of 178x218 pixels
_PLACES = ("Anno", "Eval", "Img")
_ATTRIBUTES, _SPLIT = "list_attr_celeba", "list_eval_partition"
_PERSONS, _POINTS = "identity_CelebA", "list_landmarks_align_celeba"


def _find(root: Path, name: str) -> Path | None:
    places = [root, *(f for p in _PLACES if (f := find_folder(root, p)) is not None)]
    return next((f for p in places for end in (".txt", ".csv") if (f := find_file(p, name + end)) is not None), None)


def detect(root: Path) -> int:
    """3 where ``root`` is a folder with the list of attributes, else 0."""
    return 3 * int(root.is_dir() and _find(root, _ATTRIBUTES) is not None)


def lacks(root: Path) -> tuple[int, str]:
    """How near a folder is to these layouts (0 to 4), and what it lacks."""
    if root.is_file():
        named = root.stem.lower() == _ATTRIBUTES
        return (2, "CelebA, but it is the folder of its lists that is read") if named else (0, "")
    if not root.is_dir() or _find(root, _ATTRIBUTES) is not None:
        return 0, ""
    if _pictures(root) is not None or _find(root, _SPLIT) is not None:
        return 4, f"CelebA, but there is no {_ATTRIBUTES}.txt (nor .csv)"
    return 0, ""


def _pictures(root: Path) -> Path | None:
    """The folder of aligned pictures, which archives nest in one of the same name."""
    bases = [root, *(f for p in _PLACES if (f := find_folder(root, p)) is not None)]
    outer = next((f for b in bases if (f := find_folder(b, "img_align_celeba")) is not None), None)
    return outer and (find_folder(outer, "img_align_celeba") or outer)


@dataclass(frozen=True)
class _Table:
    """A list of CelebA: names of its columns (empty without a header), and its rows, the picture first."""

    columns: tuple[str, ...]
    rows: list[Row]


def _table(path: Path, what: str) -> _Table:
    """Read a list, with commas or blanks; a count in its first line and a header are told by what they hold."""
    text = read_small(path, what).decode("utf-8-sig", errors="replace").replace(",", " ")
    rows = [Row(f"{path.name} line {n}", tuple(t.split())) for n, t in enumerate(text.splitlines(), start=1)]
    rows = [row for row in rows if row.words]
    if rows and len(rows[0].words) == 1:
        rows = rows[1:]
    if rows and not rows[0].words[0].lower().endswith((".jpg", ".png")):
        names = rows[0].words
        return _Table(names[1:] if names[0].lower() == "image_id" else names, rows[1:])
    return _Table((), rows)


@DATASETS.register("celeba")
def celeba(
    root: Path,
    *,
    attributes: Sequence[str] = (),
    size: Annotated[int, Field(ge=8, le=4096)] | None = None,
    channels: Literal[1, 3] | None = None,
) -> Corpus:
    """CelebA: smiling or not, with gender and age as its annotators saw them, on aligned faces.

    Male is the attribute ``gender`` (Male, Female), Young the attribute ``age`` (Young, Not young). Of each picture
    of 178x218 pixels the middle square is taken; the five landmarks are kept where their list is there, and
    the persons where theirs is.

    Args:
        root: The folder of the lists.
        attributes: Further ones of the forty, by their names in the list, as ``yes`` and ``no``.
        size: Side in pixels; by default 178.
        channels: 1 for grey, 3 for colour; by default as most pictures.

    Raises:
        DataError: If the list of attributes or the pictures are missing.
        ConfigError: If an attribute is none of CelebA's.
    """
    path, folder = (_find(root, _ATTRIBUTES), _pictures(root)) if root.is_dir() else (None, None)
    if path is None or folder is None:
        what = "list of attributes" if path is None else "aligned pictures"
        raise DataError(str(root), f"is not CelebA: no {what}", f"{_ATTRIBUTES}.txt and img_align_celeba")
    table = _table(path, "CelebA's attributes")
    wanted = ("Smiling", "Male", "Young", *attributes)
    for name in wanted:
        if name not in table.columns:
            where = "option.attributes" if name in attributes else f"{path.name} line 1"
            error = ConfigError if name in attributes else DataError
            raise error(where, f"no attribute {name!r}", "one of CelebA's forty", nearest(name, list(table.columns)))
    unread: list[DataError] = []
    rows, signs = _signs(table, wanted, unread)
    names = [row.words[0] for row in rows]
    frame = pd.DataFrame({"sample_id": names, "split": _by_name(root, _SPLIT, names, _SPLITS)}, dtype=object)
    frame["identity"] = _by_name(root, _PERSONS, names, None)
    frame = pd.concat([frame, votes_of(signs[:, 0], CLASSES)], axis=1)
    groups = {a: [pair[s] for s in signs[:, 1 + k]] for k, (a, pair) in enumerate(ATTRIBUTES.items())}
    groups |= {name: [("no", "yes")[s] for s in signs[:, 3 + k]] for k, name in enumerate(attributes)}
    frame = _with_points(annotated(frame, groups), root, names)
    listed = Listed(
        frame=frame,
        pictures=[Region(folder / n, *_FACE) for n in names],
        lines=[row.where for row in rows],
        unread=unread,
    )
    about = About(
        name="celeba", vocabulary=CLASSES, terms=TERMS, attributes=tuple(groups), published=PUBLISHED,
        detail=_said(root),
    )  # fmt: skip
    return listed_corpus(listed, about, Shape(size or _FACE[2], channels), root)


def _said(root: Path) -> dict[str, str]:
    """Lists that are not there, and what that means."""
    lists = {_SPLIT: "so no face has a split", _PERSONS: "so splits may tear persons"}
    return {f"no {name}": what for name, what in lists.items() if _find(root, name) is None}


def _signs(table: _Table, wanted: Sequence[str], unread: list[DataError]) -> tuple[list[Row], np.ndarray]:
    """Rows of 1 and -1 (or 0), and ``(n, len(wanted))`` 0 or 1; other rows go to ``unread``."""
    places = [1 + table.columns.index(name) for name in wanted]
    kept: list[Row] = []
    signs: list[list[int]] = []
    for row in table.rows:
        words = row.words
        if len(words) != 1 + len(table.columns):
            unread.append(DataError(row.where, f"{len(words)} words", f"a picture and {len(table.columns)} attributes"))
        elif not {words[k] for k in places} <= {"1", "-1", "0"}:
            unread.append(DataError(row.where, f"{' '.join(words[k] for k in places)}", "1 and -1"))
        else:
            kept.append(row)
            signs.append([int(words[k] == "1") for k in places])
    return kept, np.array(signs, dtype=np.int64).reshape(-1, len(wanted))


def _by_name(root: Path, name: str, pictures: Sequence[str], codes: tuple[str, ...] | None) -> list[str]:
    """What a list of two columns says of each picture, '' where nothing; ``codes`` are what its numbers mean.

    Raises:
        DataError: On a number that is none of the codes.
    """
    path = _find(root, name)
    if path is None:
        return [""] * len(pictures)
    said: dict[str, str] = {}
    for row in _table(path, name).rows:
        place = code(row.words[-1], codes) if codes else 0
        if len(row.words) != 2 or place is None:
            expected = f"a picture and {'0, 1 or 2' if codes else 'a person'}"
            raise DataError(row.where, f"{' '.join(row.words)[:60]!r}", expected)
        said[row.words[0]] = codes[place] if codes else row.words[1]
    return [said.get(picture, "") for picture in pictures]


def _with_points(frame: pd.DataFrame, root: Path, names: Sequence[str]) -> pd.DataFrame:
    """With the five landmarks of the aligned pictures, NaN where one has none; unchanged without their list."""
    path = _find(root, _POINTS)
    if path is None:
        return frame
    said = {}
    for row in _table(path, "CelebA's landmarks").rows:
        values = [number(w) for w in row.words[1:]]
        if len(values) != len(COLUMNS) or None in values:
            raise DataError(row.where, f"{len(values)} numbers", f"{len(COLUMNS)}: x and y of five points")
        said[row.words[0]] = values
    none = [float("nan")] * len(COLUMNS)
    points = np.array([said.get(name, none) for name in names], dtype=np.float64)
    return with_landmarks(frame, points.reshape(len(names), len(COLUMNS) // 2, 2))
