"""Any list of pictures: a CSV with a path, a label or votes, and any attribute columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.data.corpus import BadRows, Chunk, Corpus
from mien.data.datasets import DATASETS
from mien.data.decode import decode_files, first_shape
from mien.errors import DataError
from mien.labels import canonical
from mien.registry import nearest

_CHUNK = 512
_OWN = ("path", "label", "split", "identity", "sample_id")


def detect(root: Path) -> int:
    """1 where ``root`` is a CSV with a column ``path``, else 0."""
    if root.suffix != ".csv" or not root.is_file():
        return 0
    with open(root, encoding="utf-8", errors="replace") as file:
        return int("path" in [c.strip().strip('"') for c in file.readline().split(",")])


@DATASETS.register("manifest")
def manifest(
    root: Path,
    *,
    vocabulary: Sequence[str] | None = None,
    size: int | None = None,
    channels: int | None = None,
    name: str = "",
    terms: str = "unknown",
) -> Corpus:
    """A CSV manifest: ``path`` and ``label`` or ``votes_<class>``; optionally split, identity, attributes.

    Every other column is an attribute; ``<attribute>_source`` (``annotated`` or ``perceived``) and
    ``<attribute>_confidence`` belong to it. Paths are relative to the CSV.

    Args:
        root: The CSV.
        vocabulary: The classes in order; by default the ``votes_`` columns, else the sorted labels.
        size: Side in pixels to which every picture is brought; by default that of the first.
        channels: 1 for grey, 3 for colour; by default as the first picture.
        name: Name of the corpus; by default the CSV's.
        terms: Its licence or terms.

    Raises:
        DataError: If the CSV has no ``path``, or neither labels nor votes.
    """
    try:
        frame = pd.read_csv(root, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise DataError(str(root), f"cannot be read ({error})", "a CSV manifest") from error
    if "path" not in frame or len(frame) == 0:
        found = f"{len(frame)} rows with the columns {', '.join(frame.columns)}"
        raise DataError(str(root), found, "rows with a 'path' column")
    voted = [c for c in frame.columns if c.startswith("votes_")]
    if not voted and "label" not in frame:
        raise DataError(str(root), "neither 'label' nor 'votes_<class>'", "one of them")
    classes = tuple(vocabulary) if vocabulary else _classes(frame, voted)
    extra = [c for c in frame.columns if c not in _OWN and not c.startswith("votes_")]
    attributes = tuple(c for c in extra if not c.endswith(("_source", "_confidence")))
    paths = [root.parent / p for p in frame["path"]]
    if size is None or channels is None:
        found_size, found_channels = first_shape(paths)
        size, channels = size or found_size, channels or found_channels
    side, planes = size, channels

    def chunks(bad: BadRows) -> Iterator[Chunk]:
        for start in range(0, len(frame), _CHUNK):
            part = frame.iloc[start : start + _CHUNK]
            votes, good = _votes(part, classes, bool(voted), root.name, start, bad)
            images, decoded = decode_files(paths[start : start + _CHUNK], side, planes, bad)
            ok = good & decoded
            yield Chunk(images[ok], _rows(part, votes, classes, extra)[ok])

    return Corpus(name or root.stem, classes, attributes, terms, chunks, len(frame))


def _classes(frame: pd.DataFrame, voted: list[str]) -> tuple[str, ...]:
    if voted:
        return tuple(c[6:] for c in voted)
    return tuple(sorted({c for c in frame["label"] if c}))


def _votes(
    part: pd.DataFrame, classes: tuple[str, ...], voted: bool, file: str, start: int, bad: BadRows
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Votes of a chunk, ``(n, V)``, and False where a row's label or votes cannot be read."""
    if voted:
        missing = [f"votes_{c}" for c in classes if f"votes_{c}" not in part]
        if missing:
            raise DataError(f"{file} line 1", f"no column {missing[0]!r}", "votes for every class of the vocabulary")
        numbers = part[[f"votes_{c}" for c in classes]].apply(pd.to_numeric, errors="coerce")
        votes = numbers.to_numpy(np.float64)
        good = np.isfinite(votes).all(1) & (votes >= 0).all(1)
        for i in np.flatnonzero(~good):
            row = part.iloc[i][[f"votes_{c}" for c in classes]].tolist()
            bad.add(DataError(f"{file} line {start + i + 2}", f"votes {row}", "numbers of 0 or more"))
        return np.nan_to_num(votes), good
    index = {canonical(c): i for i, c in enumerate(classes)}
    codes = part["label"].map(lambda c: index.get(canonical(c), -1)).to_numpy(np.int64)
    for i in np.flatnonzero(codes < 0):
        label = part["label"].iloc[i]
        bad.add(
            DataError(
                f"{file} line {start + i + 2}", f"'label' is {label!r}", "a class", nearest(label, list(classes))
            )
        )
    return np.eye(len(classes))[codes], codes >= 0


def _rows(part: pd.DataFrame, votes: NDArray[np.float64], classes: tuple[str, ...], extra: list[str]) -> pd.DataFrame:
    columns: dict[str, object] = {
        "sample_id": part["sample_id" if "sample_id" in part else "path"].to_numpy(),
        "split": part["split"].to_numpy() if "split" in part else "",
        "identity": part["identity"].to_numpy() if "identity" in part else "",
    }
    columns |= {f"votes_{c}": votes[:, k] for k, c in enumerate(classes)}
    for column in extra:
        values = part[column].replace("", np.nan)
        columns[column] = (
            pd.to_numeric(values, errors="coerce").to_numpy() if column.endswith("_confidence") else values.to_numpy()
        )
    return pd.DataFrame(columns)
