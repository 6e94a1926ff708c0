"""Any folder of pictures sorted by expression: ``<class>/*.png`` or ``<split>/<class>/*.png``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mien.data.corpus import BadRows, Chunk, Corpus
from mien.data.datasets import DATASETS
from mien.data.decode import SUFFIXES, decode_files, picture_shape
from mien.errors import DataError
from mien.labels import canonical, distinct

_CHUNK = 512
_SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test", "publictest", "privatetest"}


def detect(root: Path) -> int:
    """1 where ``root`` is a folder with pictures one or two folders down, else 0."""
    if not root.is_dir():
        return 0
    nested = (*root.glob("*/*"), *root.glob("*/*/*"))
    return int(any(p.suffix.lower() in SUFFIXES for p in nested))


def _list(root: Path) -> pd.DataFrame:
    """All pictures in a fixed order, with split ('' without one) and class."""
    rows = []
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()):
        parts = path.relative_to(root).parts
        if len(parts) not in (2, 3):
            raise DataError(
                str(path), f"lies {len(parts) - 1} folders deep", "<class>/picture or <split>/<class>/picture"
            )
        rows.append((path, parts[0] if len(parts) == 3 else "", parts[-2]))
    if not rows:
        raise DataError(str(root), "holds no picture", "<class>/picture or <split>/<class>/picture")
    frame = pd.DataFrame(rows, columns=["path", "split", "label"])
    if (frame["split"] == "").any() and (frame["split"] != "").any():
        raise DataError(str(root), "has pictures at two depths", "all in <class>/ or all in <split>/<class>/")
    labels = set(frame["label"])
    if all(label.lower().removeprefix("fer2013") in _SPLIT_NAMES for label in labels):
        raise DataError(
            str(root), f"pictures lie right under {', '.join(sorted(labels))}", "a folder for each expression"
        )
    return frame


@DATASETS.register("folder")
def image_folder(
    root: Path,
    *,
    vocabulary: Sequence[str] | None = None,
    size: int | None = None,
    channels: int | None = None,
    name: str = "folder",
    terms: str = "unknown",
) -> Corpus:
    """A folder of pictures sorted by expression, with or without splits above; one vote a face.

    Args:
        root: The folder.
        vocabulary: The classes in order; by default the folder names, sorted. Other spellings of a
            class (``anger`` for ``angry``) are understood.
        size: Side in pixels to which every picture is brought; by default that of the first.
        channels: 1 for grey, 3 for colour; by default as the first picture.
        name: Name of the corpus.
        terms: Its licence or terms.

    Raises:
        DataError: If the folder holds no pictures, or a class outside the vocabulary.
    """
    listing = _list(root)
    classes = tuple(vocabulary) if vocabulary else distinct(sorted(set(listing["label"])))
    index = {canonical(c): i for i, c in enumerate(classes)}
    unknown = sorted(c for c in set(listing["label"]) if canonical(c) not in index)
    if unknown:
        raise DataError(str(root), f"folder {unknown[0]!r} is not a class", ", ".join(classes))
    codes = listing["label"].map(lambda c: index[canonical(c)]).to_numpy(np.int64)
    paths = list(listing["path"])
    side, planes = picture_shape(paths, size, channels)

    def chunks(bad: BadRows) -> Iterator[Chunk]:
        for start in range(0, len(paths), _CHUNK):
            part = slice(start, start + _CHUNK)
            images, ok = decode_files(paths[part], side, planes, bad)
            frame = pd.DataFrame(
                np.eye(len(classes), dtype=np.uint8)[codes[part]], columns=[f"votes_{c}" for c in classes]
            )
            frame.insert(0, "sample_id", [str(p.relative_to(root)) for p in paths[part]])
            frame.insert(1, "split", listing["split"].to_numpy()[part])
            yield Chunk(images[ok], frame[ok])

    return Corpus(name, classes, (), terms, chunks, len(paths))
