"""Corpora whose label files name the pictures: from a listing of all faces to a Corpus.

The readers of such corpora differ in how their files are written and in nothing else; what follows is the same
for all: pictures that are absent, rows that come twice, one size, landmarks in the pixels that are stored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.data.corpus import BadRows, Chunk, Corpus
from mien.errors import DataError
from mien.inputs import rows_at_once
from mien.pictures.decode import Changes, Region, decode_files, picture_shape
from mien.pictures.landmarks import COLUMNS, rescaled
from mien.samples import ANNOTATED

_CHUNK = 512
ALL = "all"  # of the numbers of faces that were published: a corpus without splits, or without a number for each
# Of the 68 points of Multi-PIE: each eye is six points, the nose ends at one, the mouth begins and ends at one.
_FIVE_OF_68 = (range(36, 42), range(42, 48), (30,), (48,), (54,))


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The faces that label files name, before a picture is opened.

    Attributes:
        frame: ``n`` rows as in :class:`~mien.data.corpus.Chunk`; landmarks in pixels of the whole picture.
        pictures: ``n`` files, or regions of them.
        lines: ``n`` places in the label files, for messages; '' where the picture's own path says enough.
        unread: Rows that could not be read.
    """

    frame: pd.DataFrame
    pictures: Sequence[Path | Region]
    lines: Sequence[str]
    unread: Sequence[DataError] = ()

    def __len__(self) -> int:
        return len(self.pictures)

    def where(self, keep: NDArray[np.bool_], unread: Sequence[DataError] = ()) -> Listed:
        """The rows where ``keep`` is True, and further rows that could not be read."""
        rows = np.flatnonzero(keep).tolist()
        return Listed(
            frame=self.frame.iloc[rows].reset_index(drop=True),
            pictures=[self.pictures[i] for i in rows],
            lines=[self.lines[i] for i in rows],
            unread=(*self.unread, *unread),
        )


@dataclass(frozen=True, kw_only=True)
class About:
    """What a corpus is, whatever its files.

    Attributes:
        name: Its name.
        vocabulary: Its classes in its own order.
        terms: Licence or terms of use, one line.
        attributes: Attribute columns.
        published: Split (or :data:`ALL`) -> faces that the published corpus has; empty where that is not known.
        detail: Facts for the history.
    """

    name: str
    vocabulary: tuple[str, ...]
    terms: str
    attributes: tuple[str, ...] = ()
    published: Mapping[str, int] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """The size and colour that somebody asked for.

    Attributes:
        size: Side in pixels; None for that of most pictures.
        channels: 1 or 3; None as most pictures.
    """

    size: int | None
    channels: int | None


def listed_corpus(listed: Listed, about: About, shape: Shape, root: Path) -> Corpus:
    """The corpus of a listing.

    A split without a single picture is left out and named in the history, as many copies lack one; a single
    picture that is missing is a bad row.

    Args:
        listed: Its faces.
        about: What the corpus is.
        shape: Size and colour. Regions of pictures have no size of their own, so they need one.
        root: Where it lies, for messages.

    Raises:
        DataError: If no face is listed, or none of the pictures is there.
    """
    detail = dict(about.detail) | _against(about.published, listed.frame)
    missing = {a: int(listed.frame[a].isna().sum()) for a in about.attributes}
    if any(missing.values()):
        detail["rows without a value"] = {a: n for a, n in missing.items() if n}
    listed, absent = _without_absent_splits(_once(listed), root)
    detail |= absent
    files = [p.path if isinstance(p, Region) else p for p in listed.pictures]
    side, planes = picture_shape(files, shape.size, shape.channels)
    step = rows_at_once(side * side * planes, _CHUNK)

    def chunks(bad: BadRows) -> Iterator[Chunk]:
        changes = Changes()
        for error in listed.unread:
            bad.add(error)
        for start in range(0, len(listed), step):
            part = slice(start, start + step)
            rows = Listed(
                frame=listed.frame.iloc[part].reset_index(drop=True),
                pictures=listed.pictures[part],
                lines=listed.lines[part],
            )
            yield read_chunk(rows, (side, planes), bad, changes)
        detail.update(changes.facts(side))

    return Corpus(
        name=about.name,
        vocabulary=about.vocabulary,
        attributes=about.attributes,
        terms=about.terms,
        chunks=chunks,
        n_rows=len(listed) + len(listed.unread),
        detail=detail,
    )


def read_chunk(rows: Listed, shape: tuple[int, int], bad: BadRows, changes: Changes) -> Chunk:
    """Decode some faces of a listing; landmarks move to the pixels of the stored face.

    Args:
        rows: The faces.
        shape: Side and channels.
        bad: Gets pictures that cannot be read.
        changes: Counts what was changed.
    """
    side, planes = shape
    images, ok = decode_files(rows.pictures, side, planes, bad.add, _lines(rows), changes)
    return Chunk(images[ok], _moved(rows.frame, rows.pictures, side)[ok])


def _lines(rows: Listed) -> Sequence[str] | None:
    return rows.lines if any(rows.lines) else None


def _moved(frame: pd.DataFrame, pictures: Sequence[Path | Region], side: int) -> pd.DataFrame:
    """Rows with their landmarks, if they have any, in the pixels of faces that were cut out and brought to a size."""
    cuts = [(p.left, p.top, p.side) if isinstance(p, Region) else (0, 0, side) for p in pictures]
    left, top, length = np.array(cuts, dtype=np.float64).reshape(-1, 3).T
    return rescaled(frame, (side / length, side / length), (left, top))


def five_of_68(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The five landmarks, ``(n, 5, 2)``, from ``(n, 68, 2)`` points in the order of Multi-PIE."""
    return np.stack([points[:, list(which)].mean(axis=1) for which in _FIVE_OF_68], axis=1)


def with_landmarks(frame: pd.DataFrame, points: NDArray[np.float64]) -> pd.DataFrame:
    """The table with ``landmark_<i>_x`` and ``_y``.

    Args:
        frame: ``n`` rows.
        points: ``(n, 5, 2)`` x and y in pixels of the picture, NaN where unknown.
    """
    return frame.assign(**dict(zip(COLUMNS, points.reshape(-1, len(COLUMNS)).T, strict=True)))


def votes_of(codes: Sequence[int] | NDArray[np.int64], vocabulary: Sequence[str]) -> pd.DataFrame:
    """One vote for the labelled class, ``votes_<class>`` as uint8; no vote at all where the code is -1."""
    picked = np.asarray(codes, dtype=np.int64)[:, None] == np.arange(len(vocabulary))
    return pd.DataFrame(picked.astype(np.uint8), columns=[f"votes_{c}" for c in vocabulary])


def annotated(frame: pd.DataFrame, groups: Mapping[str, Sequence[str | None]]) -> pd.DataFrame:
    """The table with attributes that its corpus annotated; None where it says nothing.

    Args:
        frame: ``n`` rows.
        groups: Attribute -> ``n`` groups.
    """
    columns: dict[str, Any] = {}
    for name, values in groups.items():
        columns |= {name: pd.Series(list(values), dtype=object, index=frame.index), f"{name}_source": ANNOTATED}
    return frame.assign(**columns)


def _once(listed: Listed) -> Listed:
    """Without rows that use an id again: they are the later ones' fault."""
    ids = listed.frame["sample_id"]
    again = ids.duplicated().to_numpy()
    if not again.any():
        return listed
    first = {name: i for i, name in reversed(list(enumerate(ids)))}
    errors = [
        DataError(listed.lines[i] or str(ids[i]), f"{ids[i]!r} comes again", f"once: {listed.lines[first[ids[i]]]}")
        for i in np.flatnonzero(again).tolist()
    ]
    return listed.where(~again, errors)


def _without_absent_splits(listed: Listed, root: Path) -> tuple[Listed, dict[str, Any]]:
    """Without splits of which no picture is there.

    Raises:
        DataError: If no split has one.
    """
    splits = listed.frame["split"].to_numpy()
    absent = []
    for split in pd.unique(splits):
        rows = np.flatnonzero(splits == split).tolist()
        files = (p.path if isinstance(p, Region) else p for p in (listed.pictures[i] for i in rows))
        if not any(map(is_there, files)):
            absent.append(split)
    if len(listed) == 0 or len(absent) == len(set(splits)):
        raise _nothing(listed, root)
    gone = np.isin(splits, absent)
    said = {f"rows without pictures, split {s} absent": int((splits == s).sum()) for s in absent}
    return (listed.where(~gone) if absent else listed), said


def is_there(path: Path) -> bool:
    """Whether a path that a label file names is a file; one that the system cannot name is none."""
    return os.path.isfile(path)  # Path.is_file raises where a name is too long


def _nothing(listed: Listed, root: Path) -> DataError:
    if len(listed) == 0:
        if listed.unread:
            return listed.unread[0]
        return DataError(str(root), "its label files name no face", "at least one")
    first = listed.pictures[0]
    path = first.path if isinstance(first, Region) else first
    expected = f"pictures such as {path}"
    return DataError(str(root), f"labels of {len(listed)} faces, and none of their pictures", expected, "Unpack them.")


def _against(published: Mapping[str, int], frame: pd.DataFrame) -> dict[str, Any]:
    """Where the label files name more or fewer faces than the published corpus has, a split."""
    listed = {**frame["split"].value_counts().to_dict(), ALL: len(frame)}
    said = {s: f"{listed.get(s, 0)} of {n}" for s, n in published.items() if listed.get(s, 0) != n}
    return {"faces listed of those published": said} if said else {}
