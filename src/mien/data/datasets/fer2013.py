"""FER2013 (Goodfellow et al. 2013): the challenge's CSV, or the image folders made from it.

Research use; 48x48 grey. Layouts: ``fer2013.csv`` or ``icml_face_data.csv`` with the columns
``emotion,pixels,Usage`` (any order), also in a folder ``fer2013``, and ``train|test/<expression>/*.png``.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.data.corpus import BadRows, Chunk, Corpus
from mien.data.csv_files import csv_files_in, header_of
from mien.data.datasets import DATASETS, folder
from mien.data.folder_names import is_split
from mien.data.picture_files import entries_of, find_file, find_folder, has_picture_ending, subfolders
from mien.data.text_lists import estimate_rows
from mien.errors import DataError
from mien.labels import FER2013_CLASSES
from mien.pictures.decode import count_shapes
from mien.prediction_tables.dialects import dialect_of
from mien.prediction_tables.row_lengths import refuse_long_rows
from mien.spellings import folded

SIDE = 48
USAGES = ("Training", "PublicTest", "PrivateTest")
TERMS = "FER2013: research use (Goodfellow et al. 2013)"
CLASSES = FER2013_CLASSES
PUBLISHED = {"Training": 28709, "PublicTest": 3589, "PrivateTest": 3589}
SOURCE = "https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge/data"
_CHUNK = 1024
_CODE = re.compile(rb"([0-9])(\.0+)?")  # 0.0 is how pandas writes a column with a gap
_FROM_ONE = re.compile(rb"7(\.0+)?")


@dataclass(frozen=True)
class ChallengeRows:
    """Some rows of the challenge CSV.

    Attributes:
        row: ``(n,)`` row numbers from 0, the header not counted.
        emotion: ``(n,)`` 0 to 6, an index into FER2013_CLASSES.
        usage: ``(n,)`` Training, PublicTest or PrivateTest.
        images: ``(n, 48, 48)`` uint8.
        end: Rows of the file read so far, bad ones counted.
    """

    row: NDArray[np.int64]
    emotion: NDArray[np.int64]
    usage: list[str]
    images: NDArray[np.uint8]
    end: int


def detect(root: Path) -> int:
    """2 where ``root`` is FER2013's CSV or a folder with it, 2 for 48-pixel folders of just its expressions, else 0."""
    if challenge_csv(root) is not None:
        return 2
    classes = _class_folders(root)
    names = {folded(c.name) for c in classes}
    # Other corpora have these folders too: larger pictures must not be shrunk, or coloured ones greyed, in its name.
    return 2 if names == set(FER2013_CLASSES) and _mostly_48(classes) else 0


def _class_folders(root: Path) -> list[Path]:
    """The folders below splits."""
    if not root.is_dir():
        return []
    return [c for split in subfolders(root) if is_split(split.name) for c in subfolders(split)]


def lacks(root: Path) -> tuple[int, str]:
    """How near a place is to these layouts (0 to 3), and what it lacks."""
    best = (0, "")
    for path in [root] if root.is_file() else csv_files_in(root):
        names = {n.lower() for n in header_of(path)}
        missing = [c for c in ("emotion", "pixels", "Usage") if c.lower() not in names]
        if len(missing) < 3 and 3 - len(missing) > best[0]:
            best = (3 - len(missing), f"FER2013, but {path.name} has no column {' and no column '.join(missing)}")
    return best


def challenge_csv(root: Path) -> Path | None:
    """The challenge CSV that ``root`` is or holds, whatever it is called; None if there is none."""
    if not root.is_dir():
        return root if root.suffix.lower() == ".csv" and root.is_file() and _is_challenge(root) else None
    inner = find_folder(root, "fer2013")
    for base in (root, inner) if inner else (root,):
        known = [find_file(base, name) for name in ("fer2013.csv", "icml_face_data.csv")]
        for path in (*known, *csv_files_in(base)):
            if path is not None and _is_challenge(path):
                return path
    return None


def _is_challenge(path: Path) -> bool:
    return {"emotion", "pixels", "usage"} <= {n.lower() for n in header_of(path)}


def _mostly_48(classes: list[Path]) -> bool:
    """Whether most of the first pictures of each class are of FER2013's size and grey; True where there are none."""
    first = [p for c in classes for p in islice(filter(has_picture_ending, (c / e.name for e in entries_of(c))), 5)]
    shapes = count_shapes(first)
    return 2 * sum(n for shape, n in shapes.items() if tuple(shape) == (SIDE, SIDE, 1)) >= shapes.total()


def read_challenge(path: Path, bad: BadRows, classes: Sequence[str] = FER2013_CLASSES) -> Iterator[ChallengeRows]:
    """Stream the challenge CSV in chunks; bad rows go to ``bad`` with their line number.

    Args:
        path: The file.
        bad: Gets rows that cannot be read.
        classes: What the codes 0, 1, ... stand for, in corpora that took the challenge's form.
    """
    if not _is_challenge(path):
        raise DataError(f"{path} line 1", "not the header of FER2013", "emotion,pixels,Usage")
    dialect = dialect_of(path)
    refuse_long_rows(dialect)
    if dialect.encoding.startswith("utf-16"):
        raise DataError(str(path), "is written in UTF-16", "UTF-8", "Save it as CSV UTF-8, or take the original file.")
    names = [n.lower() for n in dialect.header]
    order = [names.index(n) for n in ("emotion", "pixels", "usage")]
    form = _Form(path.name, order, len(names), dialect.separator.encode(), len(classes))
    first, checked = 0, False
    lines: list[tuple[int, bytes]] = []
    for number, line in _data_lines(path, dialect.skip):
        if not checked and form.codes == len(FER2013_CLASSES) and _FROM_ONE.fullmatch(form.emotion(line)):
            _check_codes(path, form, dialect.skip)
            checked = True  # once: the seven is a slip
        lines.append((number, line))
        if len(lines) == _CHUNK:
            yield _parse(form, lines, first, bad)
            first += len(lines)
            lines = []
    if lines:
        yield _parse(form, lines, first, bad)


def _data_lines(path: Path, skip: int) -> Iterator[tuple[int, bytes]]:
    """The rows of a challenge CSV with their line numbers; an empty line is no row, so that votes stay in step."""
    with open(path, "rb") as file:
        filled = ((n, line) for n, line in enumerate(file, start=1) if n > skip and line.strip())
        next(filled, None)  # the header
        yield from filled


def _check_codes(path: Path, form: _Form, skip: int) -> None:
    """Refuse a file whose expressions count from 1: without the sevens, every face would get its neighbour's label.

    Raises:
        DataError: If there is no 0 beside the 7.
    """
    codes = Counter(form.emotion(line).split(b".")[0] for _, line in _data_lines(path, skip))
    if codes[b"0"] or not any(codes[b"%d" % k] for k in range(1, 7)):
        return
    raise DataError(
        path.name,
        f"'emotion' counts from 1: {codes[b'7']} rows have a 7 and none has a 0",
        f"numbers from 0 to 6: {', '.join(f'{k} {c}' for k, c in enumerate(FER2013_CLASSES))}",
        "Take 1 from each number if they stand for these in this order; leaving rows out (--on-bad-row drop) would "
        "shift every label.",
    )


@dataclass(frozen=True)
class _Form:
    """How the lines of a challenge CSV are written.

    Attributes:
        name: Of the file.
        order: Places of emotion, pixels and usage.
        width: Cells of a line.
        separator: Between them.
        codes: How many expressions it counts, from 0.
    """

    name: str
    order: list[int]
    width: int
    separator: bytes
    codes: int

    def emotion(self, line: bytes) -> bytes:
        """The code of a row's expression; of a broken row b''."""
        fields = line.split(self.separator, self.order[0] + 1)
        return fields[self.order[0]].strip().strip(b'"').strip() if len(fields) > self.order[0] else b""


def _parse(form: _Form, lines: list[tuple[int, bytes]], first: int, bad: BadRows) -> ChallengeRows:
    row: list[int] = []
    emotion: list[int] = []
    usage: list[str] = []
    images = np.empty((len(lines), SIDE * SIDE), dtype=np.uint8)
    with warnings.catch_warnings():
        # fromstring warns and stops at a non-number; the count below then differs, or this raises.
        warnings.simplefilter("error", DeprecationWarning)
        for i, (number, line) in enumerate(lines):
            where = f"{form.name} line {number}"
            fields = line.strip().split(form.separator)
            if len(fields) != form.width:
                bad.add(DataError(where, f"{len(fields)} fields", f"{form.width} as in the header"))
                continue
            e, p, u = (fields[j].strip().strip(b'"').strip() for j in form.order)
            error = _check_code(where, e, form.codes) or _check(where, p, u, images[len(row)])
            if error is not None:
                bad.add(error)
                continue
            row.append(first + i)
            emotion.append(int(e[:1]))
            usage.append(u.decode())
    n = len(row)
    return ChallengeRows(
        np.array(row, dtype=np.int64),
        np.array(emotion, dtype=np.int64),
        usage,
        images[:n].reshape(n, SIDE, SIDE),
        first + len(lines),
    )


def _check_code(where: str, emotion: bytes, codes: int) -> DataError | None:
    """What is wrong with the code of a row's expression; None where nothing is."""
    if _CODE.fullmatch(emotion) and int(emotion[:1]) < codes:
        return None
    return DataError(where, f"'emotion' is {emotion.decode('latin-1')!r}", f"a number from 0 to {codes - 1}")


def _check(where: str, pixels: bytes, usage: bytes, out: NDArray[np.uint8]) -> DataError | None:
    """Write the pixels of one row to ``out``, or say what is wrong with them or with its usage."""
    if usage.decode("latin-1") not in USAGES:
        return DataError(where, f"'Usage' is {usage.decode('latin-1')!r}", " or ".join(USAGES))
    try:
        values = np.fromstring(pixels.decode("latin-1"), dtype=np.int64, sep=" ")
    except (DeprecationWarning, ValueError):
        word = next((w for w in pixels.decode("latin-1").split() if not w.isdigit()), "")
        return DataError(where, f"'pixels' holds {word!r}", "numbers from 0 to 255")
    if values.size != SIDE * SIDE:
        return DataError(where, f"'pixels' has {values.size} values", f"{SIDE * SIDE} ({SIDE}x{SIDE})")
    if values.min() < 0 or values.max() > 255:
        wrong = int(values.min()) if values.min() < 0 else int(values.max())
        return DataError(where, f"'pixels' holds {wrong}", "numbers from 0 to 255")
    out[:] = values
    return None


def one_hot_votes(emotion: NDArray[np.int64], vocabulary: tuple[str, ...]) -> pd.DataFrame:
    """One vote for the labelled class: ``votes_<class>`` columns, uint8."""
    eye = np.eye(len(vocabulary), dtype=np.uint8)[emotion]
    return pd.DataFrame(eye, columns=[f"votes_{c}" for c in vocabulary])


@DATASETS.register("fer2013")
def fer2013(root: Path) -> Corpus:
    """FER2013 from the challenge's CSV or from its image folders; one vote a face.

    Raises:
        DataError: If ``root`` is in neither layout.
    """
    path = challenge_csv(root)
    if path is None:
        # Named by the user, a part of it will do, and a copy in colour of its grey faces.
        names = {folded(c.name) for c in _class_folders(root)}
        if not names or not names <= set(FER2013_CLASSES):
            nearest = lacks(root)[1]
            expected = "fer2013.csv, or folders train|test/<expression>/*.png"
            raise DataError(str(root), "is not FER2013", expected, f"It is nearest to {nearest}." if nearest else "")
        return folder.image_folder(root, vocabulary=FER2013_CLASSES, size=SIDE, channels=1, name="fer2013", terms=TERMS)

    def chunks(bad: BadRows) -> Iterator[Chunk]:
        for rows in read_challenge(path, bad):
            frame = one_hot_votes(rows.emotion, FER2013_CLASSES)
            frame.insert(0, "sample_id", [f"fer{r:07d}" for r in rows.row])
            frame.insert(1, "split", rows.usage)
            yield Chunk(rows.images, frame)

    return Corpus(
        name="fer2013",
        vocabulary=FER2013_CLASSES,
        attributes=(),
        terms=TERMS,
        chunks=chunks,
        n_rows=estimate_rows(path),
    )
