"""FairFace: faces of seven perceived races, two genders and nine age bins, as its annotators perceived them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from mien.data.corpus import BadRows, Chunk, Corpus
from mien.data.datasets import DATASETS
from mien.data.decode import decode_files, picture_shape
from mien.demographics import AGE, GENDER, RACE
from mien.errors import DataError
from mien.samples import ANNOTATED

_CHUNK = 512
_FILES = {"train": "fairface_label_train.csv", "val": "fairface_label_val.csv"}
_HEADS = (RACE, GENDER, AGE)
_TERMS = "CC BY 4.0; Karkkainen and Joo, FairFace, WACV 2021"


def detect(root: Path) -> int:
    """3 where ``root`` is a folder with one of FairFace's label files, else 0."""
    return 3 * int(root.is_dir() and any((root / name).is_file() for name in _FILES.values()))


def _labels(path: Path, split: str, bad: BadRows) -> pd.DataFrame:
    """One row a face: ``path``, ``split`` and the attributes; rows with unknown groups go to ``bad``."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(str(path), f"cannot be read ({error})", "FairFace's label file") from error
    missing = [c for c in ("file", *(h.name for h in _HEADS)) if c not in frame]
    if missing:
        raise DataError(f"{path.name} line 1", f"no column {missing[0]!r}", "file, age, gender, race")
    # The label files say 'more than 70' where the authors' own program says '70+'.
    frame["age"] = frame["age"].replace("more than 70", "70+")
    keep = pd.Series(True, index=frame.index)
    for head in _HEADS:
        for row in frame.index[keep & ~frame[head.name].isin(head.groups)]:
            found, groups = frame[head.name][row], ", ".join(head.groups)
            keep[row] = False
            bad.add(DataError(f"{path.name} line {row + 2}", f"{head.name} {found!r}", groups))
    return frame.assign(split=split)[keep]


@DATASETS.register("fairface")
def fairface(root: Path, *, size: int | None = None, channels: int | None = None) -> Corpus:
    """FairFace as it is downloaded: ``fairface_label_train.csv`` (and ``_val``) beside their pictures.

    It has no expressions: its store serves to train and to check annotators of perceived attributes.

    Args:
        root: The folder.
        size: Side in pixels to which every picture is brought; by default that of the first.
        channels: 1 for grey, 3 for colour; by default as the first picture.

    Raises:
        DataError: If no label file is there, or one lacks a column.
    """
    files = {split: root / name for split, name in _FILES.items() if (root / name).is_file()}
    if not files:
        raise DataError(str(root), "no label file", " or ".join(_FILES.values()))
    unread = BadRows("drop")
    listing = pd.concat([_labels(path, split, unread) for split, path in files.items()], ignore_index=True)
    if not len(listing):
        raise DataError(str(root), "its label files name no face", "at least one")
    paths = [root / f for f in listing["file"]]
    side, planes = picture_shape(paths, size, channels)

    def chunks(bad: BadRows) -> Iterator[Chunk]:
        for error in unread.errors:
            bad.add(error)
        for start in range(0, len(paths), _CHUNK):
            part = slice(start, start + _CHUNK)
            images, ok = decode_files(paths[part], side, planes, bad)
            frame = listing.iloc[part].reset_index(drop=True)
            frame = frame.rename(columns={"file": "sample_id"})[["sample_id", "split", *(h.name for h in _HEADS)]]
            for head in _HEADS:
                frame[f"{head.name}_source"] = ANNOTATED
            yield Chunk(images[ok], frame[ok])

    attributes = tuple(h.name for h in _HEADS)
    return Corpus(
        "fairface", (), attributes, _TERMS, chunks, len(paths), {"faces without a known group": len(unread.errors)}
    )
