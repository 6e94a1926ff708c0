"""Any folder of pictures: ``<class>/*.png`` or ``<split>/<class>/*.png``; ``*.png`` where nobody has labelled them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mien.data.corpus import BadRows, Chunk, Corpus
from mien.data.datasets import DATASETS
from mien.data.folder_names import check_above, check_classes, check_parts, given_classes, is_split
from mien.data.label_tables import check_tables, table_of_labels
from mien.data.picture_files import entries_of, holds_picture, list_pictures
from mien.data.words import join_spellings, joined_classes, joined_groups
from mien.errors import ConfigError, DataError
from mien.inputs import rows_at_once
from mien.pictures.decode import Changes, decode_files, picture_shape
from mien.pictures.opening import plain_name
from mien.spellings import canonical, distinct

_CHUNK = 512
_LAYOUTS = "<class>/picture or <split>/<class>/picture; pictures alone where nobody has labelled them"
_SPLIT = "split"
_TAKEN = ("", "sample_id", "image", "cluster", "hash", "phash", "fold", "label", "pred", "detected", "path")


def detect(root: Path) -> int:
    """1 where ``root`` is a folder with pictures in it or one or two folders down, else 0."""
    return int(root.is_dir() and holds_picture(root))


def lacks(root: Path) -> tuple[int, str]:
    """How near a folder is to this layout (0 to 3), and what it lacks."""
    if not root.is_dir():
        return 0, ""
    listing = list_pictures(root)
    if listing.pictures:
        depth = len(listing.pictures[0].relative_to(root).parts) - 1
        return 3, f"a folder of pictures, but they lie {depth} folders deep, where {_LAYOUTS} is expected"
    unread = ", ".join(f"{ending} {n}" for ending, n in list(listing.unread.items())[:5])
    there = f"files found: {unread}" if unread else f"empty folders: {', '.join(listing.empty[:5])}"
    return (1, f"a folder of pictures, but none is there ({there})") if unread or listing.empty else (0, "")


def _arrange(root: Path, pictures: Sequence[Path]) -> pd.DataFrame:
    """All pictures with split and class ('' without one)."""
    rows: list[tuple[Path, str, str]] = []
    depths: dict[int, Path] = {}
    plain_folder = cache(plain_name)  # few folders hold many pictures
    for path in pictures:
        below = path.relative_to(root)
        folders = [plain_folder(part) for part in below.parts[:-1]]
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
        _check_unlabelled(root, pictures)
        return frame
    labels = set(frame["label"])
    if all(is_split(label) for label in labels):
        found = f"pictures lie right under {', '.join(sorted(labels))}"
        fix = "If these are FERPlus's, put fer2013new.csv beside the folders." if _is_ferplus(labels) else ""
        raise DataError(str(root), found, "a folder for each expression", fix)
    return frame


def _is_ferplus(labels: set[str]) -> bool:
    return all(label.lower().startswith("fer2013") for label in labels)


def _check_unlabelled(root: Path, pictures: Sequence[Path]) -> None:
    """Refuse loose pictures beside a CSV, or a JSON of labels: these would be lost."""
    beside = [e.name for e in entries_of(root) if e.name.lower().endswith((".csv", ".tsv"))]
    beside += [table] if not beside and (table := table_of_labels(root, pictures)) else []
    if beside:
        raise DataError(
            str(root),
            f"has pictures in no class folder beside {beside[0]}",
            "pictures alone where nobody has labelled them",
            f"If {beside[0]} says what they show, prepare a CSV with path and label; else move it elsewhere.",
        )


def _check_folders(root: Path, listing: pd.DataFrame, told: bool, above: str | None) -> None:
    """Refuse folders that are no classes (unless these were ``told``), and folders above them that are no splits."""
    labelled = listing["label"].ne("").all()
    nested = listing["split"].ne("").any()
    if above is not None and (above in _TAKEN or above.startswith(("votes_", "prob_", "target_"))):
        raise ConfigError("option.above", repr(above), "'split', 'identity', or the name of an attribute")
    if above is not None and not nested:
        raise DataError(str(root), f"has no folders above the classes for {above!r}", "<folder>/<class>/picture")
    if labelled and not told:
        check_tables(root, list(listing["path"]), list(listing["label"]))
    if above is None:
        check_above(root, filter(None, listing["split"]), listing["label"])
    if labelled and not told:
        check_classes(root, listing["label"])
    if labelled and nested and not told and above in (None, _SPLIT):
        check_parts(root, list(listing["split"]), list(listing["label"]))


def _with_above(listing: pd.DataFrame, above: str | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The folders above the classes in the column that they are, and the attributes."""
    if above in (None, _SPLIT):
        return listing, ()
    moved = listing.rename(columns={"split": above}).assign(split="")
    return moved, () if above == "identity" else (str(above),)


@DATASETS.register("folder")
def image_folder(
    root: Path,
    *,
    vocabulary: Sequence[str] | None = None,
    size: int | None = None,
    channels: int | None = None,
    name: str = "folder",
    terms: str = "unknown",
    above: str | None = None,
) -> Corpus:
    """A folder of pictures sorted by expression, with or without splits above; one vote a face.

    Pictures in no class folder at all have no label: their corpus has no expressions, for people to label.
    Folders that do not look like classes (one folder ``images``, one a person), and tables beside them that
    say what the pictures show, are asked about.

    Args:
        root: The folder.
        vocabulary: The classes in order; by default the folder names, sorted. Other spellings of a
            class (``anger`` for ``angry``) are understood. Where it is given, pictures must lie in class folders,
            and their names are taken at their word.
        size: Side in pixels to which every picture is brought; by default that of most squares.
        channels: 1 for grey, 3 for colour; by default as most pictures.
        name: Name of the corpus.
        terms: Its licence or terms.
        above: What the folders above the classes are: ``split``, ``identity``, or the name of an attribute. By
            default splits, where they are called so.

    What was left out (litter, files that are no pictures) or changed (size, colour) is counted in the history.

    Raises:
        DataError: If the folder holds no pictures, or a class outside the vocabulary, or pictures both in
            folders and in none, or in none beside a CSV, or folders that do not look like classes and splits.
    """
    found = list_pictures(root)
    listing = _arrange(root, found.pictures)
    labelled = listing["label"].ne("").all()
    vocabulary = given_classes(vocabulary)
    if vocabulary and not labelled:
        raise DataError(str(root), "has pictures in no class folder", f"folders called {', '.join(vocabulary)}")
    _check_folders(root, listing, bool(vocabulary), above)
    listing, attributes = _with_above(listing, above)
    classes = tuple(vocabulary) if vocabulary else distinct(sorted(set(listing["label"]) - {""}))
    index = {canonical(c): i for i, c in enumerate(classes)}
    unknown = sorted(c for c in set(listing["label"]) - {""} if canonical(c) not in index)
    if unknown:
        raise DataError(str(root), f"folder {unknown[0]!r} is not a class", ", ".join(classes))
    codes = listing["label"].map(lambda c: index.get(canonical(c), -1)).to_numpy(np.int64)
    paths = list(listing["path"])
    side, planes = picture_shape(paths, size, channels)
    step = rows_at_once(side * side * planes, _CHUNK)
    detail: dict[str, Any] = {} if labelled else {"pictures without a label": len(paths)}
    if not labelled and (table := table_of_labels(root.resolve().parent, paths)):
        detail["labels in a table above, not read"] = table
    if classes and not vocabulary and all(c.isdecimal() for c in classes):
        # AffectNet's 0 is neutral, FER2013's angry, RAF-DB's 1 surprise: a number says nothing beside other corpora.
        told = f"{', '.join(classes)}: which expression each is, no folder says; rename them to have names"
        detail["classes are numbers"] = told
    detail |= joined_groups("split", listing["split"])
    listing["split"] = join_spellings(listing["split"])
    detail |= found.facts | joined_classes("folders", listing["label"], classes)

    def chunks(bad: BadRows) -> Iterator[Chunk]:
        changes = Changes()
        for error in found.bad_links():
            bad.add(error)
        for start in range(0, len(paths), step):
            part = slice(start, start + step)
            images, ok = decode_files(paths[part], side, planes, bad.add, changes=changes)
            columns: dict[str, object] = {
                "sample_id": [plain_name(p.relative_to(root)) for p in paths[part]],
                **{c: listing[c].to_numpy()[part] for c in listing.columns if c not in ("path", "label")},
            }
            columns |= {f"votes_{c}": (codes[part] == k).astype(np.uint8) for k, c in enumerate(classes)}
            yield Chunk(images[ok], pd.DataFrame(columns)[ok])
        detail.update(changes.facts(side))

    return Corpus(
        name=name,
        vocabulary=classes,
        attributes=attributes,
        terms=terms,
        chunks=chunks,
        n_rows=len(paths) + len(found.dead),
        detail=detail,
    )
