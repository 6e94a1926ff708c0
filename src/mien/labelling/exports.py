"""Files of a labelling task: FERPlus's votes file, a manifest that 'mien prepare' reads, the raw log."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from mien.data.datasets.fer2013 import SIDE, USAGES
from mien.data.datasets.ferplus import FOLDERS
from mien.data.images import Store
from mien.errors import DataError, LabelError
from mien.labelling.accounts import stored_about
from mien.labelling.database import LabelDatabase
from mien.labelling.results import SUGGESTIONS_SHOWN, event_frame, label_notes, merge_labels, vocabulary
from mien.labels import FERPLUS_VOCABULARY, label_scheme
from mien.outputs import whole, writing
from mien.records import plain
from mien.samples import SampleTable
from mien.spellings import canonical
from mien.spreadsheets import write_csv

FERPLUS_VOTES = 10
IMAGES = "images"
_PRIVATE = 0o600
_MOST_VOTES = 255
_USAGE = {
    **{usage.lower(): usage for usage in USAGES},
    **dict.fromkeys(("train", "fer2013train"), "Training"),
    **dict.fromkeys(("validation", "valid", "val", "fer2013valid"), "PublicTest"),
    **dict.fromkeys(("test", "fer2013test"), "PrivateTest"),
}


@dataclass(frozen=True)
class Export:
    """A file that was written.

    Attributes:
        path: The file.
        n_rows: Its rows, without the header.
        notes: What a reader of the file must know, in sentences.
    """

    path: str
    n_rows: int
    notes: list[str]


def picture_folders(ferplus: Path | None, manifest: Path | None) -> list[Path]:
    """Where the pictures of a votes file and of a manifest go."""
    own = [Path(ferplus).parent / folder for folder in FOLDERS.values()] if ferplus is not None else []
    return [*own, Path(manifest).parent / IMAGES] if manifest is not None else own


def export_raw(database: LabelDatabase, path: Path, *, names: bool = False) -> Export:
    """The raw log as CSV: every label ever submitted; see :func:`mien.labelling.results.event_frame`.

    Nobody but its owner may read the file.
    """
    frame = event_frame(database, names=names)
    with _whole_private(Path(path)) as partial:
        write_csv(frame, partial)
    undone = int((frame["state"] == "undone").sum())
    notes = [f"{undone} of the labels were taken back; their state is 'undone'."] if undone else []
    notes += [SUGGESTIONS_SHOWN] if database.task.show_suggestion else []
    return Export(str(path), len(frame), notes)


def export_person(database: LabelDatabase, annotator: int, path: Path) -> None:
    """Everything stored about an annotator, as JSON that nobody but its owner may read."""
    content = json.dumps(plain(stored_about(database, annotator)), indent=2, allow_nan=False)
    with _whole_private(Path(path)) as partial:
        partial.write_text(content + "\n", encoding="utf-8")


def check_ferplus_pictures(store: Store) -> None:
    """Refuse a store whose pictures FERPlus's folders cannot hold.

    Raises:
        DataError: If they are not 48x48 grey.
    """
    if store.images.shape[1:] != (SIDE, SIDE, 1):
        found = "x".join(str(s) for s in store.images.shape[1:])
        raise DataError(
            f"--ferplus with --pictures: {store.path}",
            f"pictures of {found}",
            f"{SIDE}x{SIDE}x1, the only ones that FERPlus has",
            "Leave --pictures out; --manifest --pictures, in a command without --ferplus, writes them as they are.",
        )


def export_ferplus(
    store: Store, database: LabelDatabase, path: Path, *, ten_votes: bool = False, pictures: bool = False
) -> Export:
    """The labelled faces as FERPlus's ``fer2013new.csv``: Usage, Image name, ten columns of votes.

    A face has as many votes as people gave it: ten where one annotator gave ten, or ten gave one each;
    FERPlus's rules read any number, but drop single votes as outliers, which presumes about ten.

    Args:
        store: The faces.
        database: Their labels.
        path: The file.
        ten_votes: Bring every face to ten votes, largest remainders first.
        pictures: Write the pictures beside the file, in FERPlus's folders; ``mien prepare`` then reads
            the folder if the file is called ``fer2013new.csv``.

    Raises:
        LabelError: If the task has a class that FERPlus does not have.
        DataError: If no face has a label, a face has over 255 votes, or the pictures are not 48x48 grey.
    """
    database.check_store(store)
    if pictures:
        check_ferplus_pictures(store)
    foreign = [c for c in database.task.classes if canonical(c) not in FERPLUS_VOCABULARY]
    if foreign:
        expected = "classes of FERPlus only"
        raise LabelError(database.where, f"class {foreign[0]!r}", expected, "Export a manifest, which holds any class.")
    table = merge_labels(store.table, database)
    columns = [canonical(v) for v in table.vocabulary]
    counts = np.zeros((len(table), len(FERPLUS_VOCABULARY)), dtype=np.int64)
    for j, name in enumerate(FERPLUS_VOCABULARY):
        if name in columns:
            counts[:, j] = table.votes[:, columns.index(name)]
    counts, notes = _brought_to_ten(counts, ten_votes)
    if counts.max() > _MOST_VOTES:
        fix = "Pass ten_votes=True."
        raise DataError(database.where, f"a face has {counts.max()} votes", f"at most {_MOST_VOTES}", fix)
    usage, odd = _usages(table)
    if odd:
        notes.append(f"Faces of the splits {', '.join(s or '(none)' for s in odd)} are called Training.")
    names = _picture_names(table)
    frame = pd.DataFrame({"Usage": usage, "Image name": names})
    frame[["NF" if v == "nf" else v for v in FERPLUS_VOCABULARY]] = counts
    if pictures:
        _write_ferplus_pictures(store, table, Path(path).parent, usage, names)
    _write(frame, path)
    absent = [v for v in FERPLUS_VOCABULARY if v not in columns]
    if absent:
        notes.append(f"Nobody could vote for {', '.join(absent)}: those columns are 0.")
    notes.append(
        "'mien prepare' numbers FERPlus's faces anew: a face is known by its 'Image name'. A manifest keeps the ids."
    )
    notes += _spread(database)
    notes += [SUGGESTIONS_SHOWN] if database.task.show_suggestion else []
    return Export(str(path), len(frame), notes)


def export_manifest(
    store: Store,
    database: LabelDatabase,
    path: Path,
    *,
    pictures: bool = False,
) -> Export:
    """The labelled faces as a CSV manifest: path, label, votes, attributes with source and confidence.

    A label is the expression with most votes (the scheme ``majority`` of :mod:`mien.labels`), empty where two
    tie or none has a vote; votes for unknown and not-a-face stand in their columns only. ``mien prepare`` reads the
    votes, not the label.

    Intensity is left out: ``mien prepare`` would take its columns for attributes.

    Args:
        store: The faces.
        database: Their labels.
        path: The file.
        pictures: Write the pictures as PNG to ``images/`` beside the file. Without, the paths are the
            sample_ids: those of the pictures themselves where the store was made from a folder or a manifest.

    Raises:
        DataError: If no face has a label.
    """
    database.check_store(store)
    path = Path(path)
    table = merge_labels(store.table, database)
    frame = table.frame
    names = [f"{IMAGES}/{name}" for name in _picture_names(table)] if pictures else list(frame["sample_id"])
    words = vocabulary(database)
    scheme = label_scheme("majority", words)
    found = scheme.targets(table.votes, words)
    label = np.where(found.keep, np.array(scheme.classes, dtype=object)[found.probs.argmax(1)], "")
    out = pd.DataFrame({"path": names, "sample_id": frame["sample_id"], "split": frame["split"]})
    out["identity"], out["label"] = frame["identity"].fillna(""), label
    for word in words:
        out[f"votes_{word}"] = frame[f"votes_{word}"].astype(np.int64)
    for attribute in table.attributes:
        for column in (attribute, f"{attribute}_source", f"{attribute}_confidence"):
            if column in frame:
                out[column] = frame[column]
    if pictures:
        _write_pictures(store, table, [path.parent / name for name in names])
    _write(out, path)
    notes = ["'label' is the expression with most votes; unknown and nf are in their votes only."]
    if found.dropped:
        tied, silent = (found.dropped.get(reason, 0) for reason in ("tied votes", "no votes"))
        notes.append(f"{tied + silent} faces have no label: {tied} tied, {silent} without a vote for an expression.")
    if not pictures:
        notes.append(
            "No pictures were written: the paths are the store's ids, which are files only if it was made of files."
        )
    if database.task.intensity:
        notes.append("Intensity is left out: a labelled store has its means, the raw log each answer.")
    return Export(str(path), len(out), notes + _spread(database) + label_notes(table))


def _spread(database: LabelDatabase) -> list[str]:
    each = database.task.votes_per_face
    return [f"Each person gave {each} votes: how well people agree is in the database only."] if each > 1 else []


def _brought_to_ten(counts: NDArray[np.int64], ten_votes: bool) -> tuple[NDArray[np.int64], list[str]]:
    total = counts.sum(1)
    others = int((total != FERPLUS_VOTES).sum())
    if not others:
        return counts, []
    if not ten_votes:
        found = f"from {total.min()} to {total.max()}" if total.min() < total.max() else f"{total[0]}"
        return counts, [f"{others} faces have another number of votes than ten ({found})."]
    exact = counts * FERPLUS_VOTES / total[:, None]
    out = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - out), axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    out += rank < (FERPLUS_VOTES - out.sum(1))[:, None]
    return out, [f"The votes of {others} faces were brought to ten by largest remainders."]


def _usages(table: SampleTable) -> tuple[list[str], list[str]]:
    """FERPlus's name of each face's split, and the splits that it has no name for."""
    splits = table.frame["split"].astype(str)
    odd = sorted(s for s in splits.unique() if s.lower() not in _USAGE)
    return [_USAGE.get(s.lower(), USAGES[0]) for s in splits], odd


def _picture_names(table: SampleTable) -> list[str]:
    """File names of the pictures: after the ids where those can be file names, else numbered."""
    ids = table.frame["sample_id"].astype(str)
    stems = ids.str.replace(r"\.png$", "", regex=True)
    plain = stems.map(lambda s: re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}", s) is not None)
    if plain.all() and not stems.str.lower().duplicated().any():
        return [f"{s}.png" for s in stems]
    return [f"face{int(i):07d}.png" for i in table.frame["image"]]


def _write_pictures(store: Store, table: SampleTable, paths: list[Path]) -> None:
    for folder in {p.parent for p in paths}:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    for row, path in zip(table.frame["image"], paths, strict=True):
        image = store.images[int(row)]
        with whole(path) as partial:
            Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(partial, "PNG")


def _write_ferplus_pictures(store: Store, table: SampleTable, root: Path, usage: list[str], names: list[str]) -> None:
    _write_pictures(store, table, [root / FOLDERS[u] / n for u, n in zip(usage, names, strict=True)])


@contextmanager
def _whole_private(path: Path) -> Iterator[Path]:
    """A file of what single people did, written at once or not at all, which nobody else may read from the start."""
    with whole(path) as partial:
        if partial != path:  # else a device or a pipe, which is another's
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
            os.close(handle)
            partial.chmod(_PRIVATE)  # what a killed command left there
        yield partial


def _write(frame: pd.DataFrame, path: Path) -> None:
    """Write a CSV at once or not at all."""
    with whole(path) as partial:
        write_csv(frame, partial)
