"""RAF-ML (Li and Deng, IJCV 2019): blended expressions, as the shares of some forty people's votes; research use.

Layout: ``EmoLabel/distribution.txt`` (a picture and six shares a line), ``EmoLabel/partition_label.txt``
(a picture and its part), ``Image/aligned/0001_aligned.jpg``.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from mien.data.corpus import Corpus
from mien.data.datasets import DATASETS
from mien.data.listed import ALL, About, Listed, Shape, is_there, listed_corpus
from mien.data.picture_files import find_file, find_folder
from mien.data.text_lists import Row, fitting, number, read_list
from mien.errors import DataError

CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger")  # RAF-DB's order; no neutral
TERMS = "RAF-ML: non-commercial research, by agreement (Li and Deng 2019)"
PUBLISHED = {ALL: 4908}
SOURCE = "http://www.whdeng.cn/RAF/model2.html"
_SHARES, _PARTS = "distribution.txt", "partition_label.txt"
_OFF = 0.02  # six shares with two decimals may miss 1 by this


def _lists(root: Path) -> tuple[Path | None, Path | None]:
    places = [p for p in (find_folder(root, "EmoLabel"), find_folder(root, "Annotation"), root) if p is not None]
    first, second = (next((f for p in places if (f := find_file(p, n)) is not None), None) for n in (_SHARES, _PARTS))
    return first, second


def detect(root: Path) -> int:
    """3 where ``root`` is a folder with the shares and the parts, else 0."""
    return 3 * int(root.is_dir() and None not in _lists(root))


def lacks(root: Path) -> tuple[int, str]:
    """How near a folder is to this layout (0 to 4), and what it lacks."""
    if not root.is_dir():
        return 0, ""
    shares, parts = _lists(root)
    if (shares is None) == (parts is None):
        return 0, ""
    return 4, f"RAF-ML, but there is no {_SHARES if shares is None else _PARTS}"


@DATASETS.register("raf_ml")
def raf_ml(
    root: Path,
    *,
    size: Annotated[int, Field(ge=8, le=4096)] | None = None,
    channels: Literal[1, 3] | None = None,
) -> Corpus:
    """RAF-ML: six expressions, several of them in one face, as shares that sum to 1.

    The shares stand as votes, in the order surprise, fear, disgust, happiness, sadness, anger. Where the parts are
    numbers, the one with more faces is the training set; the history says which.

    Args:
        root: The folder of the release.
        size: Side in pixels; by default that of most pictures.
        channels: 1 for grey, 3 for colour; by default as most pictures.

    Raises:
        DataError: If ``root`` lacks the shares, the parts or the aligned pictures.
    """
    shares, parts = _lists(root) if root.is_dir() else (None, None)
    if shares is None or parts is None:
        near = lacks(root)[1]
        expected = f"EmoLabel/{_SHARES} and EmoLabel/{_PARTS}"
        raise DataError(str(root), "is not RAF-ML", expected, f"It is nearest to {near}." if near else "")
    image = find_folder(root, "Image") or root
    folder = find_folder(image, "aligned")
    if folder is None:
        raise DataError(str(root), "no folder of aligned pictures", "Image/aligned")
    folder = find_folder(folder, "aligned") or folder
    unread: list[DataError] = []
    split, detail = _parts_of(parts, unread)
    names, votes, rows = _shares_of(shares, split, unread)
    frame = pd.DataFrame({"sample_id": names, "split": [split[n] for n in names]}, dtype=object)
    frame = pd.concat([frame, pd.DataFrame(votes, columns=[f"votes_{c}" for c in CLASSES])], axis=1)
    listed = Listed(
        frame=frame, pictures=[_picture(folder, n) for n in names], lines=[r.where for r in rows], unread=unread
    )
    about = About(name="raf_ml", vocabulary=CLASSES, terms=TERMS, published=PUBLISHED, detail=detail)
    return listed_corpus(listed, about, Shape(size, channels), root)


def _picture(folder: Path, name: str) -> Path:
    aligned = folder / f"{name.rpartition('.')[0]}_aligned.jpg"
    return aligned if is_there(aligned) else folder / name


def _parts_of(path: Path, unread: list[DataError]) -> tuple[dict[str, str], dict[str, Any]]:
    """Picture -> split, and how codes were read."""
    rows = fitting(read_list(path, "RAF-ML's parts"), 2, "a picture and its part", unread)
    said = {row.words[0]: row.words[1].lower() for row in rows}
    counts = Counter(said.values())
    if set(counts) <= {"train", "test"}:
        return said, {}
    if len(counts) != 2 or len(set(counts.values())) == 1:
        found = ", ".join(f"{w} {n}" for w, n in counts.most_common(4))
        raise DataError(path.name, f"parts {found}", "train and test, or two codes of which one has more faces")
    (train, _), (test, _) = counts.most_common()
    named = {train: "train", test: "test"}
    return {n: named[w] for n, w in said.items()}, {"parts of the corpus": f"{train} read as train, {test} as test"}


def _shares_of(
    path: Path, split: dict[str, str], unread: list[DataError]
) -> tuple[list[str], NDArray[np.float64], list[Row]]:
    """Pictures with ``(n, 6)`` shares that sum to 1, and their rows."""
    names: list[str] = []
    votes: list[list[float]] = []
    kept: list[Row] = []
    for row in fitting(read_list(path, "RAF-ML's shares"), 1 + len(CLASSES), "a picture and six shares", unread):
        name, values = row.words[0], [number(w) for w in row.words[1:]]
        shares = [v for v in values if v is not None and v >= 0]
        if len(shares) < len(CLASSES) or abs(sum(shares) - 1) > _OFF:
            unread.append(
                DataError(row.where, f"shares {' '.join(row.words[1:])}", "six, none negative, that sum to 1")
            )
        elif name not in split:
            unread.append(DataError(row.where, f"{name} has no part", f"a line in {_PARTS}"))
        else:
            names.append(name)
            votes.append([v / sum(shares) for v in shares])
            kept.append(row)
    return names, np.array(votes, dtype=np.float64).reshape(-1, len(CLASSES)), kept
