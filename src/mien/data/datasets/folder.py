"""Any folder of pictures: ``<class>/*.png`` or ``<split>/<class>/*.png``; ``*.png`` where nobody has labelled them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mien.data.corpus import BadRows, Chunk, Corpus
from mien.data.datasets import DATASETS
from mien.data.decode import SUFFIXES, decode_files, picture_shape
from mien.errors import DataError
from mien.spellings import canonical, distinct

_CHUNK = 512
_LAYOUTS = "<class>/picture or <split>/<class>/picture; pictures alone where nobody has labelled them"
_SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test", "publictest", "privatetest"}


def detect(root: Path) -> int:
    """1 where ``root`` is a folder with pictures in it or one or two folders down, else 0."""
    if not root.is_dir():
        return 0
    found = (*root.glob("*"), *root.glob("*/*"), *root.glob("*/*/*"))
    return int(any(p.suffix.lower() in SUFFIXES for p in found))


def _list(root: Path) -> pd.DataFrame:
    """All pictures in a fixed order, with split and class ('' without one)."""
    rows: list[tuple[Path, str, str]] = []
    depths: dict[int, Path] = {}
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()):
        below = path.relative_to(root)
        *folders, _ = below.parts
        if len(folders) > 2:
            raise DataError(str(path), f"lies {len(folders)} folders deep", _LAYOUTS)
        depths.setdefault(len(folders), below)
        rows.append((path, folders[0] if len(folders) == 2 else "", folders[-1] if folders else ""))
    if not rows:
        raise DataError(str(root), "holds no picture", _LAYOUTS)
    if len(depths) > 1:
        found = f"has pictures at two depths, such as {' and '.join(str(depths[d]) for d in sorted(depths)[:2])}"
        raise DataError(str(root), found, _LAYOUTS, "Move those of one depth elsewhere.")
    frame = pd.DataFrame(rows, columns=["path", "split", "label"])
    if 0 in depths:
        _check_unlabelled(root)
        return frame
    labels = set(frame["label"])
    if all(label.lower().removeprefix("fer2013") in _SPLIT_NAMES for label in labels):
        raise DataError(
            str(root), f"pictures lie right under {', '.join(sorted(labels))}", "a folder for each expression"
        )
    return frame


def _check_unlabelled(root: Path) -> None:
    """Refuse loose pictures beside a CSV: it may hold their labels, which would be lost."""
    beside = sorted(p.name for p in root.iterdir() if p.suffix.lower() == ".csv")
    if beside:
        raise DataError(
            str(root),
            f"has pictures in no class folder beside {beside[0]}",
            "pictures alone where nobody has labelled them",
            f"If {beside[0]} says what they show, prepare a CSV with path and label; else move it elsewhere.",
        )


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

    Pictures in no class folder at all have no label: their corpus has no expressions, for people to label.

    Args:
        root: The folder.
        vocabulary: The classes in order; by default the folder names, sorted. Other spellings of a
            class (``anger`` for ``angry``) are understood. Where it is given, pictures must lie in class folders.
        size: Side in pixels to which every picture is brought; by default that of the first.
        channels: 1 for grey, 3 for colour; by default as the first picture.
        name: Name of the corpus.
        terms: Its licence or terms.

    Raises:
        DataError: If the folder holds no pictures, or a class outside the vocabulary, or pictures both in
            folders and in none, or in none beside a CSV.
    """
    listing = _list(root)
    labelled = listing["label"].ne("").all()
    if vocabulary and not labelled:
        raise DataError(str(root), "has pictures in no class folder", f"folders called {', '.join(vocabulary)}")
    classes = tuple(vocabulary) if vocabulary else distinct(sorted(set(listing["label"]) - {""}))
    index = {canonical(c): i for i, c in enumerate(classes)}
    unknown = sorted(c for c in set(listing["label"]) - {""} if canonical(c) not in index)
    if unknown:
        raise DataError(str(root), f"folder {unknown[0]!r} is not a class", ", ".join(classes))
    codes = listing["label"].map(lambda c: index.get(canonical(c), -1)).to_numpy(np.int64)
    paths = list(listing["path"])
    side, planes = picture_shape(paths, size, channels)

    def chunks(bad: BadRows) -> Iterator[Chunk]:
        for start in range(0, len(paths), _CHUNK):
            part = slice(start, start + _CHUNK)
            images, ok = decode_files(paths[part], side, planes, bad)
            columns: dict[str, object] = {
                "sample_id": [str(p.relative_to(root)) for p in paths[part]],
                "split": listing["split"].to_numpy()[part],
            }
            columns |= {f"votes_{c}": (codes[part] == k).astype(np.uint8) for k, c in enumerate(classes)}
            yield Chunk(images[ok], pd.DataFrame(columns)[ok])

    detail = {} if labelled else {"pictures without a label": len(paths)}
    return Corpus(name, classes, (), terms, chunks, len(paths), detail)
