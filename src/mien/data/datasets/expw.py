"""ExpW (Zhang et al., ICCV 2015 and IJCV 2018): 91,793 faces in pictures of the web, with boxes; research use.

Layout: ``label/label.lst`` (picture, number of the face, top, left, right, bottom, confidence, label a line)
and ``image/origin/*.jpg``; or both right in one folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field

from mien.data.corpus import Corpus
from mien.data.datasets import DATASETS
from mien.data.listed import ALL, About, Listed, Shape, listed_corpus, votes_of
from mien.data.picture_files import find_file, find_folder
from mien.data.text_lists import Row, code, number, read_list
from mien.errors import DataError
from mien.pictures.decode import Region

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # codes 0 to 6
PUBLISHED = {ALL: 91793}
TERMS = "ExpW: non-commercial research (Zhang et al. 2018)"
SOURCE = "http://mmlab.ie.cuhk.edu.hk/projects/socialrelation/index.html"
_LIST = "label.lst"
_COLUMNS = "picture, face, top, left, right, bottom, confidence, label"
_CUT = 100  # pixels a side


def _list(root: Path) -> Path | None:
    places = [root, *(f for n in ("label", "data") if (f := find_folder(root, n)) is not None)]
    return next((f for p in places if (f := find_file(p, _LIST)) is not None), None)


def _pictures(root: Path) -> Path:
    """The folder of pictures, as far as it is there."""
    image = next((f for n in ("image", "images", "img") if (f := find_folder(root, n)) is not None), root)
    return find_folder(image, "origin") or image


def detect(root: Path) -> int:
    """3 where ``root`` is a folder with ``label.lst``, else 0."""
    return 3 * int(root.is_dir() and _list(root) is not None)


def lacks(root: Path) -> tuple[int, str]:
    """How near a place is to this layout (0 to 4), and what it lacks."""
    if root.is_file() and root.name.lower() == _LIST:
        return 2, f"ExpW, but it is the folder around {_LIST} and the pictures that is read"
    image = find_folder(root, "image") if root.is_dir() else None
    if image is None or find_folder(image, "origin") is None or _list(root) is not None:
        return 0, ""
    return 4, f"ExpW, but there is no {_LIST}"


@DATASETS.register("expw")
def expw(
    root: Path,
    *,
    margin: Annotated[float, Field(ge=0, le=2)] = 0.0,
    confidence: Annotated[float, Field(ge=0, le=100)] = 0.0,
    size: Annotated[int, Field(ge=8, le=4096)] = _CUT,
    channels: Literal[1, 3] | None = None,
) -> Corpus:
    """ExpW: each face cut out of its picture by the corpus's box; seven expressions in FER2013's order.

    Faces are squares around the middle of the box. The corpus has no splits of its own.

    Args:
        root: The folder of the list and the pictures.
        margin: Around the box, as a share of its longer side.
        confidence: Least confidence of the face detector, 0 to 100; faces below it are left out and counted.
        size: Side in pixels.
        channels: 1 for grey, 3 for colour; by default as most pictures.

    Raises:
        DataError: If the list is missing, or names no picture that is there.
    """
    path = _list(root) if root.is_dir() else None
    if path is None:
        near = lacks(root)[1]
        raise DataError(str(root), "is not ExpW", f"label/{_LIST}", f"It is nearest to {near}." if near else "")
    folder = _pictures(root)
    unread: list[DataError] = []
    found = [(row, face) for row in read_list(path, "ExpW's list") if (face := _face(row, unread)) is not None]
    sure = [(row, face) for row, face in found if face[2] >= confidence]
    frame = pd.DataFrame({"sample_id": [f"{f[0]}" for _, f in sure], "split": ""}, dtype=object)
    frame = pd.concat([frame, votes_of([f[3] for _, f in sure], CLASSES)], axis=1)
    pictures = [Region.around(folder / _name(row), face[1], margin) for row, face in sure]
    detail: dict[str, Any] = {}
    if len(sure) < len(found):
        detail[f"faces of a confidence below {confidence:g}, left out"] = len(found) - len(sure)
    about = About(name="expw", vocabulary=CLASSES, terms=TERMS, detail=detail, published=PUBLISHED)
    listed = Listed(frame=frame, pictures=pictures, lines=[row.where for row, _ in sure], unread=unread)
    return listed_corpus(listed, about, Shape(size, channels), root)


def _name(row: Row) -> str:
    """A picture's name, which may hold blanks: all words but the last seven."""
    return " ".join(row.words[:-7])


def _face(row: Row, unread: list[DataError]) -> tuple[str, tuple[float, float, float, float], float, int] | None:
    """Id, box (left, top, right, bottom), confidence and class of a row; None where it cannot be read."""
    values = [number(w) for w in row.words[-7:-1]]
    label = code(row.words[-1], CLASSES)
    numbers = [v for v in values if v is not None]
    if len(row.words) < 8 or len(numbers) < 6:
        unread.append(DataError(row.where, f"{' '.join(row.words)[:80]!r}", _COLUMNS))
        return None
    face, top, left, right, bottom, sure = numbers
    if label is None:
        legend = ", ".join(f"{k} {c}" for k, c in enumerate(CLASSES))
        unread.append(DataError(row.where, f"label {row.words[-1]!r}", legend))
        return None
    if right <= left or bottom <= top:
        found = f"a box from ({left:g}, {top:g}) to ({right:g}, {bottom:g})"
        unread.append(DataError(row.where, found, "top, left, right, bottom, with an area"))
        return None
    return f"{_name(row)}#{face:g}", (left, top, right, bottom), sure, label
