"""FERPlus (Barsoum et al. 2016, MIT): ten votes a face for the pictures of FER2013.

Layouts: ``fer2013new.csv`` beside the challenge's ``fer2013.csv`` (the votes' lines follow its rows),
or beside the folders ``FER2013Train``, ``FER2013Valid``, ``FER2013Test`` of PNG files; or these folders
alone, each with the ``label.csv`` of FER+'s own copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.data.corpus import BadRows, Chunk, Corpus
from mien.data.csv_files import read_rows
from mien.data.datasets import DATASETS
from mien.data.datasets.fer2013 import SIDE, USAGES, challenge_csv, read_challenge
from mien.data.datasets.fer2013 import TERMS as PICTURE_TERMS
from mien.data.listed import ALL
from mien.data.picture_files import find_file, find_folder
from mien.data.row_for_row import LabelAgreement, check_order, not_row_for_row
from mien.data.text_lists import estimate_rows
from mien.errors import DataError
from mien.labels import FERPLUS_VOCABULARY
from mien.pictures.decode import decode_files

VOTES_FILE, LABELS_FILE = "fer2013new.csv", "label.csv"
FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
CLASSES = FERPLUS_VOCABULARY
PUBLISHED = {ALL: 35887}
TERMS = f"FERPlus votes: MIT (Barsoum et al. 2016); pictures: {PICTURE_TERMS}"
SOURCE = "https://github.com/microsoft/FERPlus"
_VOTE_COLUMNS = [f"votes_{v}" for v in FERPLUS_VOCABULARY]
_CHUNK = 1024
_UNCHECKED = "whether the votes stand row for row beside the pictures could not be checked"


@dataclass(frozen=True)
class _Layout:
    """Where the parts of FERPlus lie: each is None or empty where it is absent.

    Attributes:
        votes: ``fer2013new.csv``.
        csv: The challenge's CSV of pixels.
        folders: Split -> its folder of pictures.
        labels: Split -> the ``label.csv`` in it.
    """

    votes: Path | None
    csv: Path | None
    folders: dict[str, Path]
    labels: dict[str, Path]

    @property
    def complete(self) -> bool:
        return bool(self.labels) or (self.votes is not None and (self.csv is not None or bool(self.folders)))


def _find(root: Path) -> _Layout:
    """Look for the parts right in ``root``; the folders also in ``data`` or ``images``, as FER+'s own copy has them."""
    if not root.is_dir():
        return _Layout(None, None, {}, {})
    bases = [root, *filter(None, (find_folder(root, name) for name in ("data", "images")))]
    folders: dict[str, Path] = {}
    for split, name in FOLDERS.items():
        found = next(filter(None, (find_folder(base, name) for base in bases)), None)
        if found is not None:
            folders[split] = found
    labels = {s: path for s, f in folders.items() if (path := find_file(f, LABELS_FILE)) is not None}
    return _Layout(find_file(root, VOTES_FILE), challenge_csv(root), folders, labels)


def detect(root: Path) -> int:
    """3 where ``root`` holds votes and pictures in one of the layouts, else 0."""
    return 3 * int(_find(root).complete)


def lacks(root: Path) -> tuple[int, str]:
    """How near a folder is to these layouts (0 to 3), and what it lacks."""
    found = _find(root)
    if found.votes is not None:
        parts = f"fer2013.csv nor {', '.join(FOLDERS.values())}"
        return 3, f"FERPlus, but beside {found.votes.name} there is neither {parts}"
    if found.folders:
        names = ", ".join(f.name for f in found.folders.values())
        return 3, f"FERPlus, but beside {names} there is no {VOTES_FILE} (and no {LABELS_FILE} in them)"
    return 0, ""


def read_votes(path: Path) -> pd.DataFrame:
    """Read ``fer2013new.csv``: ``Usage``, ``image_name`` (empty where nobody saw a face), ``votes_*``.

    Returns:
        One row a line, with the column ``line``.

    Raises:
        DataError: If the header or a value is not that of FERPlus.
    """
    frame = read_rows(path, "the votes file of FERPlus")
    expected = ["Usage", "Image name", *FERPLUS_VOCABULARY]
    if [n.lower() for n in frame.columns] != [n.lower() for n in expected]:
        raise DataError(f"{path.name} line 1", f"columns {','.join(frame.columns)}", ",".join(expected))
    frame.columns = pd.Index(["usage", "image_name", *_VOTE_COLUMNS])
    frame["usage"], frame["image_name"] = frame["usage"].str.strip(), frame["image_name"].str.strip()
    return _counted(path, frame)


def _read_labels(path: Path, split: str) -> pd.DataFrame:
    """Read a ``label.csv`` of FER+'s own copy: picture, box and ten votes a line, no header; as :func:`read_votes`."""
    frame = read_rows(path, "FER+'s label.csv", ("image_name", "box", *_VOTE_COLUMNS))
    frame.insert(0, "usage", split)
    return _counted(path, frame.drop(columns="box"))


def _counted(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Votes as counts, and each row's line as a column; a folder's file is called after its folder."""
    name = path.name if path.name.lower() != LABELS_FILE else f"{path.parent.name}/{path.name}"
    frame["line"] = frame.index
    frame = frame.reset_index(drop=True)
    for column in _VOTE_COLUMNS:
        values = pd.to_numeric(frame[column], errors="coerce")
        wrong = ~values.between(0, 255) | (values % 1 != 0)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"{name} line {frame['line'][row]}",
                f"{column[6:]!r} is {str(frame[column].iloc[row])!r}",
                "a count of votes, a whole number from 0 to 255",
            )
        frame[column] = values.astype(np.uint8)
    return frame


@DATASETS.register("ferplus")
def ferplus(root: Path) -> Corpus:
    """FERPlus: ten votes over eight expressions, unknown and not-a-face, on FER2013's pictures.

    A whole split whose pictures are absent (many copies lack PrivateTest) is left out and named in
    the history. Beside the challenge's CSV the votes belong to its rows by their place alone: lines that were
    sorted or taken out are refused, as the numbers in the picture names and the splits show; where the names
    have no numbers the history says that nobody could check it.

    Raises:
        DataError: If ``root`` is in no layout, or the rows of votes and pictures do not belong together.
    """
    found = _find(root)
    if not found.complete:
        expected = f"{VOTES_FILE} beside fer2013.csv or beside {', '.join(FOLDERS.values())}"
        nearest = lacks(root)[1]
        raise DataError(str(root), "is not FERPlus", expected, f"It is nearest to {nearest}." if nearest else "")
    detail: dict[str, Any] = {}
    if found.votes is None:
        votes = pd.concat([_read_labels(path, split) for split, path in found.labels.items()], ignore_index=True)
        sources = {split: f"{path.parent.name}/{path.name}" for split, path in found.labels.items()}
    else:
        votes, sources = read_votes(found.votes), dict.fromkeys(FOLDERS, found.votes.name)
    if found.votes is not None and found.csv is not None:
        if not check_order(votes, found.votes.name):
            detail[_UNCHECKED] = "the picture names do not number the rows"
        path, name = found.csv, found.votes.name
        n_rows = estimate_rows(path)

        def chunks(bad: BadRows) -> Iterator[Chunk]:
            return _from_csv(path, name, votes, detail, bad)
    else:
        n_rows = int((votes["image_name"] != "").sum())
        ids = _row_ids(votes) if found.votes is not None else _picture_ids(votes, found.folders)

        def chunks(bad: BadRows) -> Iterator[Chunk]:
            return _from_folders(found.folders, sources, votes.assign(sample_id=ids), detail, bad)

    return Corpus(
        name="ferplus",
        vocabulary=FERPLUS_VOCABULARY,
        attributes=(),
        terms=TERMS,
        chunks=chunks,
        n_rows=n_rows,
        detail=detail,
    )


def _from_csv(path: Path, name: str, votes: pd.DataFrame, detail: dict[str, Any], bad: BadRows) -> Iterator[Chunk]:
    """Join row by row; the two files must name the same split on each line.

    Raises:
        DataError: If they do not, or one has rows that the other lacks: then some faces would get another face's
            votes, and which ones nothing tells. No policy for bad rows can mend that.
    """
    usage = votes["usage"].to_numpy()
    ids = _row_ids(votes)
    agreement = LabelAgreement()
    seen = 0
    for rows in read_challenge(path, bad):
        seen = rows.end
        keep = []
        for i, row in enumerate(rows.row):
            if row >= len(votes):
                if rows.usage[i] in set(usage):
                    raise not_row_for_row(name, f"has {len(votes)} rows", f"one for row {row + 1} of {path.name} too")
                bad.add(DataError(name, f"has no votes for the split {rows.usage[i]}", f"some for row {row + 1} too"))
            elif usage[row] not in USAGES:
                bad.add(_unknown_usage(f"{name} line {votes['line'][row]}", usage[row]))
            elif rows.usage[i] != usage[row]:
                where = f"{name} line {votes['line'][row]}"
                raise not_row_for_row(where, f"'Usage' is {usage[row]!r}", f"{rows.usage[i]!r} as in {path.name}")
            else:
                keep.append(i)
        kept = rows.row[keep]
        agreement.add(rows.emotion[keep], votes[_VOTE_COLUMNS].to_numpy()[kept])
        yield Chunk(rows.images[keep], _frame(votes.iloc[kept].assign(sample_id=ids[kept])))
    absent = set(usage[seen:]) - set(usage[:seen])
    short = [r for r in range(seen, len(votes)) if usage[r] not in absent]
    if short:
        line = votes["line"][short[0]]
        raise not_row_for_row(path.name, f"ends after {seen} rows", f"a row for {name} line {line}")
    for split in sorted(absent):
        detail[f"rows without pictures, split {split} absent"] = int((usage[seen:] == split).sum())
    if agreement.check(name, path.name) and _UNCHECKED in detail:
        detail[_UNCHECKED] += "; the labels of FER2013 fit the votes as a whole"


def _from_folders(
    folders: dict[str, Path], sources: dict[str, str], votes: pd.DataFrame, detail: dict[str, Any], bad: BadRows
) -> Iterator[Chunk]:
    unknown = ~votes["usage"].isin(USAGES)
    for r in np.flatnonzero(unknown):
        bad.add(_unknown_usage(f"{sources['Training']} line {votes['line'][r]}", votes["usage"].iloc[r]))
    unnamed = (votes["image_name"] == "") & ~unknown
    if unnamed.any() or set(sources.values()) == {VOTES_FILE}:
        detail["rows without a picture: nobody saw a face"] = int(unnamed.sum())
    wanted = votes[~unnamed & ~unknown]
    for split in FOLDERS:
        if split not in folders and (wanted["usage"] == split).any():
            detail[f"rows without pictures, split {split} absent"] = int((wanted["usage"] == split).sum())
            wanted = wanted[wanted["usage"] != split]
    for start in range(0, len(wanted), _CHUNK):
        part = wanted.iloc[start : start + _CHUNK]
        paths = [folders[u] / n for u, n in zip(part["usage"], part["image_name"], strict=True)]
        lines = [f"{sources[u]} line {line}" for u, line in zip(part["usage"], part["line"], strict=True)]
        images, ok = decode_files(paths, SIDE, 1, bad.add, lines=lines)
        yield Chunk(images[ok], _frame(part).iloc[np.flatnonzero(ok)])


def _unknown_usage(where: str, usage: str) -> DataError:
    return DataError(where, f"'Usage' is {usage!r}", " or ".join(USAGES))


def _row_ids(votes: pd.DataFrame) -> NDArray[np.object_]:
    """Ids by row number, the same in either layout with ``fer2013new.csv``.

    FERPlus's own picture names are no ids: the published file gives a few names to two rows (copies
    of one picture), and their numbers are not those of the rows. They stand in ``image_name``.
    """
    return np.array([f"fer{row:07d}" for row in range(len(votes))], dtype=object)


def _picture_ids(votes: pd.DataFrame, folders: dict[str, Path]) -> NDArray[np.object_]:
    """Ids by folder and picture where no row number is known; a name that comes again gets its number."""
    again = votes.groupby(["usage", "image_name"]).cumcount()
    names = [f"{folders[u].name}/{n}" for u, n in zip(votes["usage"], votes["image_name"], strict=True)]
    return np.array([f"{n}#{k + 1}" if k else n for n, k in zip(names, again, strict=True)], dtype=object)


def _frame(votes: pd.DataFrame) -> pd.DataFrame:
    """Rows of the votes file, with their ids, as samples."""
    frame = votes[["sample_id", *_VOTE_COLUMNS]].reset_index(drop=True)
    frame["image_name"] = votes["image_name"].to_numpy()
    frame.insert(1, "split", votes["usage"].to_numpy())
    return frame
