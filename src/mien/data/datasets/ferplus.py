"""FERPlus (Barsoum et al. 2016, MIT): ten votes a face for the pictures of FER2013.

Layouts: ``fer2013new.csv`` beside the challenge's ``fer2013.csv`` (the votes' lines follow its rows),
or beside the folders ``FER2013Train``, ``FER2013Valid``, ``FER2013Test`` of PNG files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mien.data.corpus import BadRows, Chunk, Corpus
from mien.data.datasets import DATASETS
from mien.data.datasets.fer2013 import SIDE, TERMS, USAGES, challenge_csv, estimate_rows, read_challenge
from mien.data.decode import decode_files
from mien.errors import DataError
from mien.labels import FERPLUS_VOCABULARY

VOTES_FILE = "fer2013new.csv"
FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
_VOTE_COLUMNS = [f"votes_{v}" for v in FERPLUS_VOCABULARY]
_CHUNK = 1024


def detect(root: Path) -> int:
    """3 where ``root`` holds the votes file and pictures in either layout, else 0."""
    has_votes = root.is_dir() and (root / VOTES_FILE).is_file()
    return 3 if has_votes and (challenge_csv(root) or any((root / f).is_dir() for f in FOLDERS.values())) else 0


def read_votes(path: Path) -> pd.DataFrame:
    """Read ``fer2013new.csv``: ``Usage``, ``image_name`` (empty where nobody saw a face), ``votes_*``.

    Raises:
        DataError: If the header or a value is not that of FERPlus.
    """
    try:
        frame = pd.read_csv(path, dtype={"Image name": str}, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise DataError(str(path), f"cannot be read ({error})", "the votes file of FERPlus") from error
    expected = ["Usage", "Image name", *FERPLUS_VOCABULARY]
    names = [c.strip() if c.strip() in ("Usage", "Image name") else c.strip().lower() for c in frame.columns]
    if names != expected:
        raise DataError(f"{path.name} line 1", f"columns {','.join(frame.columns)}", ",".join(expected))
    frame.columns = pd.Index(["usage", "image_name", *_VOTE_COLUMNS])
    for column in _VOTE_COLUMNS:
        values = pd.to_numeric(frame[column], errors="coerce")
        wrong = ~values.between(0, 255) | (values % 1 != 0)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"{path.name} line {row + 2}",
                f"{column[6:]!r} is {str(frame[column].iloc[row])!r}",
                "a count of votes, a whole number from 0 to 255",
            )
        frame[column] = values.astype(np.uint8)
    return frame


@DATASETS.register("ferplus")
def ferplus(root: Path) -> Corpus:
    """FERPlus: ten votes over eight expressions, unknown and not-a-face, on FER2013's pictures.

    A whole split whose pictures are absent (many copies lack PrivateTest) is left out and named in
    the history; anything else that does not fit is a bad row.

    Raises:
        DataError: If ``root`` is in neither layout.
    """
    if not detect(root):
        raise DataError(
            str(root), "is not FERPlus", f"{VOTES_FILE} beside fer2013.csv or beside {', '.join(FOLDERS.values())}"
        )
    votes = read_votes(root / VOTES_FILE)
    csv = challenge_csv(root)
    detail: dict[str, Any] = {}
    if csv is not None:

        def chunks(bad: BadRows) -> Iterator[Chunk]:
            return _from_csv(csv, votes, detail, bad)

        n_rows = estimate_rows(csv)
    else:

        def chunks(bad: BadRows) -> Iterator[Chunk]:
            return _from_folders(root, votes, detail, bad)

        n_rows = int((votes["image_name"] != "").sum())
    terms = f"FERPlus votes: MIT (Barsoum et al. 2016); pictures: {TERMS}"
    return Corpus("ferplus", FERPLUS_VOCABULARY, (), terms, chunks, n_rows, detail)


def _from_csv(path: Path, votes: pd.DataFrame, detail: dict[str, Any], bad: BadRows) -> Iterator[Chunk]:
    """Join row by row; the two files must name the same split on each line."""
    usage = votes["usage"].to_numpy()
    seen = 0
    for rows in read_challenge(path, bad):
        seen = rows.end
        keep = []
        for i, row in enumerate(rows.row):
            if row >= len(votes):
                bad.add(DataError(f"{VOTES_FILE}", f"has {len(votes)} rows", f"one for {path.name} line {row + 2} too"))
            elif rows.usage[i] != usage[row]:
                bad.add(
                    DataError(
                        f"{VOTES_FILE} line {row + 2}",
                        f"'Usage' is {usage[row]!r}",
                        f"{rows.usage[i]!r} as in {path.name}: the two files are not row for row",
                    )
                )
            else:
                keep.append(i)
        kept = rows.row[keep]
        yield Chunk(rows.images[keep], _frame(votes.iloc[kept]))
    rest = usage[seen:]
    absent = set(rest) - set(usage[:seen])
    for split in sorted(absent):
        detail[f"rows without pictures, split {split} absent"] = int((rest == split).sum())
    short = [r for r in range(seen, len(votes)) if usage[r] not in absent]
    for r in short:
        bad.add(DataError(f"{path.name}", f"ends after {seen} rows", f"a row for {VOTES_FILE} line {r + 2}"))


def _from_folders(root: Path, votes: pd.DataFrame, detail: dict[str, Any], bad: BadRows) -> Iterator[Chunk]:
    unknown = ~votes["usage"].isin(USAGES)
    for r in np.flatnonzero(unknown):
        bad.add(DataError(f"{VOTES_FILE} line {r + 2}", f"'Usage' is {votes['usage'].iloc[r]!r}", " or ".join(USAGES)))
    unnamed = (votes["image_name"] == "") & ~unknown
    detail["rows without a picture: nobody saw a face"] = int(unnamed.sum())
    wanted = votes[~unnamed & ~unknown]
    for split, name in FOLDERS.items():
        if not (root / name).is_dir() and (wanted["usage"] == split).any():
            detail[f"rows without pictures, split {split} absent"] = int((wanted["usage"] == split).sum())
            wanted = wanted[wanted["usage"] != split]
    for start in range(0, len(wanted), _CHUNK):
        part = wanted.iloc[start : start + _CHUNK]
        paths = [root / FOLDERS[u] / n for u, n in zip(part["usage"], part["image_name"], strict=True)]
        lines = [f"{VOTES_FILE} line {r + 2}" for r in part.index]
        images, ok = decode_files(paths, SIDE, 1, bad, resize=False, lines=lines)
        yield Chunk(images[ok], _frame(part).iloc[np.flatnonzero(ok)])


def _frame(votes: pd.DataFrame) -> pd.DataFrame:
    """Rows of the votes file as samples, named after their row number in either layout.

    FERPlus's own picture names are no ids: the published file gives a few names to two rows (copies
    of one picture). They stand in ``image_name``.
    """
    frame = votes[_VOTE_COLUMNS].reset_index(drop=True)
    frame.insert(0, "sample_id", [f"fer{row:07d}" for row in votes.index])
    frame["image_name"] = votes["image_name"].to_numpy()
    frame.insert(1, "split", votes["usage"].to_numpy())
    return frame
