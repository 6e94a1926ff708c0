"""SFEW 2.0 (Dhall et al., ICCV Workshops 2011, ICMI 2015): stills of films, labelled by expression; research use.

Layouts: folders ``Train``, ``Val`` and ``Test`` (or ``Train_Aligned_Faces`` and so on, also within them), in
the first two a folder for each expression; the pictures of ``Test`` have no labels.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field

from mien.data.corpus import Corpus
from mien.data.datasets import DATASETS
from mien.data.listed import About, Listed, Shape, listed_corpus, votes_of
from mien.data.picture_files import find_folder, picture_names, subfolders
from mien.errors import DataError
from mien.spellings import canonical

CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")  # the folders, which have no codes
PUBLISHED = {"train": 958, "val": 436, "test": 372}
TERMS = "SFEW 2.0: research use, by agreement (Dhall et al. 2011)"
SOURCE = "https://users.cecs.anu.edu.au/~few_group/AFEW.html"
_SPLITS = {"train": "Train", "val": "Val", "test": "Test"}
_ALIGNED = ("_Aligned_Faces", "_Aligned_Faces_new")  # the second is how the mended archive of Val is called
_SIZE = 128  # pixels a side: aligned faces are 143x181
_FRAME = re.compile(r".+_\d{9}_\d{8}\.(png|jpg|jpeg)", re.IGNORECASE)  # a film and two numbers


def _aligned(root: Path, name: str) -> Path | None:
    """A split's folder of aligned faces: right in ``root`` or in the split's own."""
    bases = [root, *(f for n in ("", "images") if (f := find_folder(root, n or name)) is not None)]
    return next((f for b in bases for end in _ALIGNED if (f := find_folder(b, name + end)) is not None), None)


def _folders(root: Path, images: str) -> dict[str, Path]:
    """Split -> its folder of faces or of whole frames; a nested folder of the same name is entered."""
    found = {}
    for split, name in _SPLITS.items():
        at = _aligned(root, name) if images == "aligned" else find_folder(root, name)
        if at is not None:
            found[split] = find_folder(at, at.name) or at
    return found


def _is_sfew(folders: dict[str, Path]) -> bool:
    """Whether the first pictures of most folders are called as films and frames, which no other corpus does."""
    named = [f for s, at in folders.items() for f in (subfolders(at) or [at]) if s != "test"]
    first = [next(iter(picture_names(f)), "") for f in named]
    return bool(first) and 2 * sum(bool(_FRAME.fullmatch(name)) for name in first) > len(first)


def detect(root: Path) -> int:
    """3 where ``root`` has folders of aligned faces, or splits with pictures called as SFEW's, else 0."""
    if not root.is_dir():
        return 0
    aligned = _folders(root, "aligned")
    return 3 * int(bool(aligned.keys() & {"train", "val"}) or _is_sfew(_folders(root, "frames")))


def lacks(root: Path) -> tuple[int, str]:
    """How near a folder is to these layouts (0 to 4), and what it lacks."""
    if not root.is_dir() or detect(root) or not _folders(root, "aligned"):
        return 0, ""
    return 4, "SFEW, but there is only Test, whose pictures have no labels"


@DATASETS.register("sfew")
def sfew(
    root: Path,
    *,
    images: Literal["aligned", "frames"] | None = None,
    unlabelled: Literal["drop", "keep"] = "drop",
    size: Annotated[int, Field(ge=8, le=4096)] = _SIZE,
    channels: Literal[1, 3] | None = None,
) -> Corpus:
    """SFEW 2.0: seven expressions in stills of films; its test pictures have no labels.

    Its aligned faces are higher than wide and are squeezed to squares, as results on them have it; the
    history counts them. Whole frames are scenes in which somebody must still find the face.

    Args:
        root: The folder of the splits.
        images: ``aligned`` faces or whole ``frames``; by default the aligned ones where they are.
        unlabelled: Pictures without a label, those of Test: ``drop`` leaves them out and counts them, ``keep`` keeps
            them without a vote, for a model to predict; no evaluation on them is possible.
        size: Side in pixels.
        channels: 1 for grey, 3 for colour; by default as most pictures.

    Raises:
        DataError: If ``root`` has neither, or a folder that is no expression.
    """
    wanted = images or ("aligned" if root.is_dir() and _folders(root, "aligned") else "frames")
    folders = _folders(root, wanted) if root.is_dir() else {}
    if not folders.keys() & {"train", "val"}:
        expected = "Train_Aligned_Faces" if wanted == "aligned" else "Train and Val, with folders of expressions"
        near = lacks(root)[1]
        raise DataError(str(root), "is not SFEW", expected, f"It is nearest to {near}." if near else "")
    codes = {canonical(c): k for k, c in enumerate(CLASSES)}
    rows: list[tuple[str, str, int]] = []
    pictures: list[Path] = []
    left_out = 0
    for split, at in folders.items():
        inner = subfolders(at)
        odd = [f.name for f in inner if canonical(f.name) not in codes]
        if odd and split != "test":
            raise DataError(str(at), f"folder {odd[0]!r} is no expression", ", ".join(CLASSES))
        for folder in (*inner, at):
            # Beside the folders there are no labels: of the test pictures, or in a split that somebody flattened.
            label = codes.get(canonical(folder.name), -1) if folder != at else -1
            names = picture_names(folder)
            if label < 0 and unlabelled == "drop":
                left_out += len(names)
                continue
            rows += [("/".join((split, folder.name, n) if folder != at else (split, n)), split, label) for n in names]
            pictures += [folder / name for name in names]
    frame = pd.DataFrame({"sample_id": [r[0] for r in rows], "split": [r[1] for r in rows]}, dtype=object)
    frame = pd.concat([frame, votes_of([r[2] for r in rows], CLASSES)], axis=1)
    kept = sum(label < 0 for *_, label in rows)
    said = {"pictures without a label": kept, "pictures without a label, left out": left_out}
    detail = {what: n for what, n in said.items() if n}
    published = {s: n for s, n in PUBLISHED.items() if s != "test" or unlabelled == "keep"}
    about = About(name="sfew", vocabulary=CLASSES, terms=TERMS, published=published, detail=detail)
    listed = Listed(frame=frame, pictures=pictures, lines=[""] * len(rows))
    return listed_corpus(listed, about, Shape(size, channels), root)
