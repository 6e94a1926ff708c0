"""Any list of pictures: a CSV with a path, a label or votes if people gave any, and any attribute columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.data import manifest_rows
from mien.data.corpus import BadRows, Chunk, Corpus
from mien.data.csv_files import fault_of, header_of, notes_on, read_rows
from mien.data.datasets import DATASETS
from mien.data.folder_names import check_slips, given_classes
from mien.data.words import joined_classes, without_missing
from mien.errors import DataError
from mien.inputs import rows_at_once
from mien.missing import is_missing
from mien.pictures.decode import Changes, decode_files, picture_shape
from mien.prediction_tables.dialects import dialect_of
from mien.registry import nearest
from mien.samples import ANNOTATED, PERCEIVED
from mien.spellings import canonical, distinct

_CHUNK = 512
_OWN = ("path", "label", "split", "identity", "sample_id")
_TAKEN = ("image", "cluster", "hash", "phash", "fold", "id", "pred", "detected")
_ENDINGS = (".csv", ".tsv")
_LANDMARK = re.compile(r"landmark_\d_[xy]")
_LIKE_PATH = ("file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "picture", "name")
_LIKE_LABEL = ("label", "labels", "class", "expression", "emotion")


def detect(root: Path) -> int:
    """1 where ``root`` is a CSV with a column ``path``, else 0."""
    if root.suffix.lower() not in _ENDINGS or not root.is_file():
        return 0
    return int("path" in [c.lower() for c in header_of(root)])


def lacks(root: Path) -> tuple[int, str]:
    """How near a file is to a manifest (0 to 3), and what it lacks."""
    if root.suffix.lower() not in _ENDINGS or not root.is_file():
        return 0, ""
    names = header_of(root)
    if not names:
        return 1, f"a CSV manifest, but {root.name} {fault_of(root)}"
    meant = next((c for c in names if c.lower() in _LIKE_PATH), None)
    rename = f"; if {meant!r} names the pictures, call it 'path'" if meant else ""
    has = ", ".join(name[:60] for name in names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    what = f"a CSV manifest, but {root.name} has no column 'path' (it has {has}{rename})"
    return (3 if meant else 2), what


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

    Without votes and with no label at all, its corpus has no expressions, for people to label.
    Every other column is an attribute, empty where unknown (or one of the words that mean missing);
    ``<attribute>_source`` (``annotated`` or ``perceived``), ``<attribute>_confidence`` (0 to 1) and an annotator's
    ``<attribute>_prob_<group>`` (0 to 1) belong to it.
    ``landmark_<i>_x`` and ``landmark_<i>_y`` are numbers, in pixels of pictures that are stored at their own size:
    left eye, right eye, tip of the nose, left and right corner of the mouth as one sees them, from 0.
    Paths are relative to the CSV. Spellings of one group are joined under the commonest, and that is said.

    Args:
        root: The CSV.
        vocabulary: The classes in order; by default the ``votes_`` columns, else the sorted labels. Where it is
            given, pictures must have labels or votes.
        size: Side in pixels to which every picture is brought; by default that of most squares.
        channels: 1 for grey, 3 for colour; by default as most pictures.
        name: Name of the corpus; by default the CSV's.
        terms: Its licence or terms.

    Raises:
        DataError: If the CSV has no ``path``, a column whose name is taken, or no label but a column that looks
            like one.
    """
    vocabulary = given_classes(vocabulary)
    frame = _named(read_rows(root, "a CSV manifest"))
    kinds = _columns(root, frame, vocabulary)
    classes, extra = kinds.classes, kinds.extra
    points = [c for c in extra if _LANDMARK.fullmatch(c)]
    attributes = tuple(c for c in extra if _base(c) not in extra and c not in points)
    pointed: list[str] = []
    if dialect_of(root).decimal == ",":
        numbers = [c for c in extra if c in points or c.endswith("_confidence") or "_prob_" in c]
        numbers += [c for c in frame.columns if c.startswith("votes_")]
        before, frame = frame, manifest_rows.with_points(frame, numbers, extra)
        pointed = [c for c in extra if not before[c].equals(frame[c])]
    paths = manifest_rows.paths_of(root, frame["path"])
    frame, said = manifest_rows.tidied(frame, attributes)
    repeated = manifest_rows.faults(frame, paths, kinds.labels)
    side, planes = picture_shape(paths, size, channels)
    step = rows_at_once(side * side * planes, _CHUNK)
    detail: dict[str, Any] = {} if classes else {"pictures without a label": len(frame)}
    detail |= said
    if kinds.labels is not None and not vocabulary:
        detail |= joined_classes("labels", kinds.labels.dropna(), classes)
    if pointed:
        detail["columns read as numbers with decimal commas"] = ", ".join(pointed)
    if notes := notes_on(root):
        detail["how the file was read"] = list(notes)

    def chunks(bad: BadRows) -> Iterator[Chunk]:
        changes = Changes()
        for start in range(0, len(frame), step):
            part = frame.iloc[start : start + step]
            votes, errors = _votes(part, classes, kinds.voted)
            errors = _check_extra(part, extra) | errors
            errors |= {i - start: repeated[i] for i in range(start, start + len(part)) if i in repeated}
            lines = [f"{root.name} line {line}" for line in part.index]
            for i in sorted(errors):
                bad.add(DataError(lines[i], errors[i].found, errors[i].expected, errors[i].fix))
            good = np.array([i for i in range(len(part)) if i not in errors], dtype=np.int64)
            images, ok = decode_files(
                [paths[start + i] for i in good], side, planes, bad.add, [lines[i] for i in good], changes
            )
            if points and (changes.resized or changes.squeezed):
                found = f"has {points[0]} in pixels, but not all pictures are of {side}x{side}"
                raise DataError(root.name, found, "landmarks of pictures at the size at which they are stored")
            read = good[ok]
            yield Chunk(images[ok], _rows(part.iloc[read], votes[read], classes, extra))
        detail.update(changes.facts(side))

    return Corpus(
        name=name or root.stem,
        vocabulary=classes,
        attributes=attributes,
        terms=terms,
        chunks=chunks,
        n_rows=len(frame),
        detail=detail,
    )


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The manifest's own columns in small letters, however a spreadsheet wrote them."""
    small = {c: c.lower() for c in frame.columns if c.lower() in _OWN and c.lower() not in frame.columns}
    return frame.rename(columns=small)


@dataclass(frozen=True)
class _Columns:
    """What the columns of a manifest are.

    Attributes:
        classes: The classes, from votes, labels or the vocabulary that was asked for; empty without labels.
        voted: Whether votes give them.
        labels: Labels, NaN where missing; None without such a column.
        extra: Every other column: attributes and what belongs to them.
    """

    classes: tuple[str, ...]
    voted: bool
    labels: pd.Series[str] | None
    extra: list[str]


def _columns(root: Path, frame: pd.DataFrame, vocabulary: Sequence[str] | None) -> _Columns:
    if "path" not in frame or len(frame) == 0:
        found = f"{len(frame)} rows with the columns {', '.join(frame.columns)}"
        raise DataError(str(root), found, "rows with a 'path' column")
    voted = [c for c in frame.columns if c.startswith("votes_")]
    labels = without_missing(frame["label"]) if "label" in frame else None
    if not voted and (labels is None or bool(labels.isna().all())):
        _check_unlabelled(root, frame, vocabulary)
    classes = tuple(vocabulary) if vocabulary else _classes(labels, voted)
    if labels is not None and not voted and not vocabulary:
        check_slips(root.name, labels.dropna().unique(), "label")
    extra = [c for c in frame.columns if c not in _OWN and not c.startswith("votes_")]
    _check_columns(root, extra, classes, voted)
    return _Columns(classes, bool(voted), labels, extra)


def _check_columns(root: Path, extra: list[str], classes: tuple[str, ...], voted: list[str]) -> None:
    taken = [c for c in extra if c in _TAKEN or c.startswith(("prob_", "target_"))]
    if taken:
        raise DataError(
            f"{root.name} line 1", f"column {taken[0]!r}", "another name", "It has a meaning here: rename it."
        )
    if len(distinct(classes)) < len(classes):
        found = f"the classes {', '.join(classes)}"
        raise DataError(f"{root.name} line 1", found, "each expression once, under any spelling")
    missing = [f"votes_{c}" for c in classes if voted and f"votes_{c}" not in voted]
    if missing:
        raise DataError(f"{root.name} line 1", f"no column {missing[0]!r}", "votes for every class of the vocabulary")


def _check_unlabelled(root: Path, frame: pd.DataFrame, vocabulary: Sequence[str] | None) -> None:
    """Refuse a manifest without labels that was meant to have some: its store would silently lack them."""
    if vocabulary:
        raise DataError(str(root), "neither a 'label' nor 'votes_<class>'", "one of them, with a vocabulary")
    plain = {c: c.strip().lower() for c in frame.columns if c != "label"}
    meant = [c for c, name in plain.items() if name in _LIKE_LABEL or name.startswith("votes_")]
    if meant:
        raise DataError(
            f"{root.name} line 1",
            f"no label, but a column {meant[0]!r}",
            "'label' or 'votes_<class>', or neither where nobody has labelled the pictures",
            "Call it 'label' (or 'votes_<class>') if it holds expressions, else by another name.",
        )


def _classes(labels: pd.Series[str] | None, voted: list[str]) -> tuple[str, ...]:
    if voted:
        return tuple(c[6:] for c in voted)
    return () if labels is None else distinct(sorted(set(labels.dropna())))


def _base(column: str) -> str:
    """The attribute to which ``gender_source``, ``gender_confidence``, ``gender_prob_female`` would belong; else ''."""
    for suffix in ("_source", "_confidence"):
        if column.endswith(suffix):
            return column.removesuffix(suffix)
    return column.partition("_prob_")[0] if "_prob_" in column else ""


def _check_extra(part: pd.DataFrame, extra: list[str]) -> dict[int, DataError]:
    """Rows of a chunk with no path, or a source or confidence that is none: row -> error."""
    no_path = without_missing(part["path"]).isna()
    errors = {int(i): DataError("", "'path' is empty", "a picture") for i in np.flatnonzero(no_path)}
    for column in (c for c in extra if _base(c) in extra or _LANDMARK.fullmatch(c)):
        if _LANDMARK.fullmatch(column):
            wrong = pd.to_numeric(part[column], errors="coerce").isna() & without_missing(part[column]).notna()
            expected = "a number of pixels, or nothing"
        elif column.endswith("_source"):
            wrong = part[column].notna() & ~part[column].isin([ANNOTATED, PERCEIVED])
            expected = f"{ANNOTATED!r} or {PERCEIVED!r}"
        else:
            wrong = ~pd.to_numeric(part[column], errors="coerce").between(0, 1) & part[column].notna()
            expected = "a number from 0 to 1"
        for i in np.flatnonzero(wrong):
            errors[int(i)] = DataError("", f"{column!r} is {part[column].iloc[i]!r}", expected)
    return errors


def _votes(
    part: pd.DataFrame, classes: tuple[str, ...], voted: bool
) -> tuple[NDArray[np.float64], dict[int, DataError]]:
    """Votes of a chunk, ``(n, V)``, and row -> error where a label or the votes cannot be read."""
    errors: dict[int, DataError] = {}
    if not classes:
        return np.empty((len(part), 0)), errors
    if voted:
        numbers = part[[f"votes_{c}" for c in classes]].apply(pd.to_numeric, errors="coerce")
        votes = numbers.to_numpy(np.float64)
        good = np.isfinite(votes).all(1) & (votes >= 0).all(1)
        for i in np.flatnonzero(~good).tolist():
            row = part.iloc[i][[f"votes_{c}" for c in classes]].tolist()
            errors[i] = DataError("", f"votes {row}", "numbers of 0 or more")
        return votes, errors
    index = {canonical(c): i for i, c in enumerate(classes)}
    codes = part["label"].map(lambda c: index.get(canonical(c), -1)).to_numpy(np.int64)
    for i in np.flatnonzero(codes < 0).tolist():
        label = part["label"].iloc[i]
        none = is_missing(label) and bool(label.strip())
        fix = "This means that it has no label." if none else nearest(label, list(classes))
        errors[i] = DataError("", f"'label' is {label!r}", "a class", fix)
    return np.eye(len(classes))[codes], errors


def _rows(part: pd.DataFrame, votes: NDArray[np.float64], classes: tuple[str, ...], extra: list[str]) -> pd.DataFrame:
    columns: dict[str, object] = {
        "sample_id": part["sample_id" if "sample_id" in part else "path"].to_numpy(dtype=object),
        "split": part["split"].to_numpy() if "split" in part else "",
        "identity": part["identity"].to_numpy() if "identity" in part else "",
    }
    columns |= {f"votes_{c}": votes[:, k] for k, c in enumerate(classes)}
    for column in extra:
        of_attribute = _base(column) in extra and not column.endswith("_source")
        number = of_attribute or _LANDMARK.fullmatch(column)
        # What is no number has been refused above, unless it is a word that means missing.
        values = pd.to_numeric(part[column], errors="coerce").to_numpy(np.float64) if number else part[column]
        columns[column] = np.asarray(values)
    return pd.DataFrame(columns)
