"""From a corpus as people have it to a packed store, in one streaming pass."""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mien.data.cleaning import exact_hashes, find_duplicates, perceptual_hashes
from mien.data.corpus import BadRows, Corpus, OnBadRow
from mien.data.datasets import DATASETS
from mien.data.images import Store, StoreWriter
from mien.data.picture_files import subfolders
from mien.errors import DataError, UsageError
from mien.inference import Progress
from mien.inputs import check_regular
from mien.pictures.alignment import IN_WORDS, Aligner
from mien.samples import SampleTable, Step

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z")
_TABLES = (".parquet", ".feather", ".json", ".jsonl", ".xlsx", ".xls", ".ods", ".txt", ".dat")
_CERTAIN = 4  # of ``lacks``: it is that corpus and no other, though not all of it
_GENERAL = ("folder", "manifest")
_WRAPPERS = 3  # folders that archives put around a corpus, at most


def find_dataset(source: Path) -> str:
    """The dataset whose reader knows this layout.

    Raises:
        DataError: If none does; the message lists the layouts.
    """
    if not _is_there(source):
        raise DataError(str(source), "does not exist", "a file, a folder, or the name of an embedded dataset")
    scores = {name: int(_reader(name).detect(source)) for name in DATASETS}
    best = max(scores, key=lambda n: scores[n])
    # Any folder of pictures will do for the general readers: half a download of a corpus must not end there.
    partial = scores[best] == 1 and _near(source, without=_GENERAL)[0] >= _CERTAIN
    if scores[best] == 0 or partial:
        again = f"If it is anything else, pass --dataset {best}. " if partial else ""
        raise DataError(
            str(source),
            "is in no known layout",
            f"that of one of: {', '.join(DATASETS.names())}",
            f"{_nearest_layout(source)}{again}Name the dataset (--dataset) to see what is missing, or write a CSV "
            "manifest: path, and any label.",
        )
    return best


def _is_there(source: Path) -> bool:
    """Whether a path leads to anything.

    Raises:
        DataError: If that may not be known, as in a folder that may not be read.
    """
    try:
        source.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(str(source), f"cannot be opened ({reason})", "a corpus that you may read") from error
    return True


def _reader(name: str) -> Any:
    """The module of a dataset, which holds ``detect`` and, where a layout can be half there, ``lacks``."""
    return sys.modules[DATASETS.get(name).__module__]  # type: ignore[attr-defined]


def _nearest_layout(source: Path) -> str:
    """A sentence on what the nearest layout lacks; '' where none is near."""
    if source.is_file() and source.suffix.lower() in _ARCHIVES:
        return "It is an archive: unpack it, and give the folder. "
    if source.is_file() and source.suffix.lower() in _TABLES:
        return "It is nearest to a CSV manifest: save the table as CSV, with a column path. "
    near, what = _near(source)
    return f"It is nearest to {what}. " if near else ""


def _near(source: Path, without: Sequence[str] = ()) -> tuple[int, str]:
    """The nearest layout, but for some: how near it is, 0 to 4, and what is missing there."""
    readers = [_reader(name) for name in DATASETS if name not in without]
    found = [reader.lacks(source) for reader in readers if hasattr(reader, "lacks")]
    return max(found, key=lambda f: f[0], default=(0, ""))


def _unwrapped(path: Path, dataset: str | None) -> Path:
    """``path``, or the folder in it where it holds nothing but that one: archives often add a folder or two."""

    def known(at: Path) -> bool:
        readers = map(_reader, [dataset] if dataset else DATASETS)
        return any(reader.detect(at) for reader in readers if hasattr(reader, "detect"))

    at = path
    for _ in range(_WRAPPERS):
        if not at.is_dir() or known(at):
            break
        inner = subfolders(at)
        if len(inner) != 1:
            break
        at = inner[0]
    return at if at.is_dir() and known(at) else path


def open_corpus(
    source: Path | str, dataset: str | None = None, *, progress: Progress | None = None, **options: Any
) -> Corpus:
    """Open a corpus for reading.

    Args:
        source: File or folder; or ``synthetic``, which needs none.
        dataset: Name of the reader; found by the layout by default.
        progress: Called with rows done and rows to expect, by readers of long lists; these come before the faces.
        options: Options of the reader.

    Raises:
        DataError: If the layout is not known.
        ConfigError: On an option that the reader does not take.
    """
    if dataset is None and str(source) == "synthetic" and not _is_there(Path(source)):
        dataset = "synthetic"
    if dataset == "synthetic":
        options = DATASETS.check_options(dataset, options, "option")
        return DATASETS.get(dataset)(**options)  # type: ignore[no-any-return]
    if dataset is not None:
        DATASETS.get(dataset, "dataset")
    if _is_there(Path(source)) and not Path(source).is_dir():  # says so where it may not be read
        check_regular(source, "a corpus")
    path = _unwrapped(Path(source), dataset)
    name = dataset or find_dataset(path)
    options = DATASETS.check_options(name, options, "option")
    reader = DATASETS.get(name, "dataset")
    told = {"progress": progress} if "progress" in inspect.signature(reader).parameters else {}
    corpus: Corpus = reader(path, **options, **told)
    if path != Path(source):
        corpus.detail["read from the folder"] = str(path.relative_to(source))
    return corpus


def prepare(
    source: Path | str,
    out: Path | str,
    *,
    dataset: str | None = None,
    on_bad_row: OnBadRow = "error",
    align: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Store:
    """Read a corpus once and write its store: packed images, table, duplicate clusters, fingerprint.

    Args:
        source: File or folder of the corpus; or ``synthetic``.
        out: Folder of the new store.
        dataset: Name of the reader; found by the layout by default.
        on_bad_row: ``error`` writes nothing if any row is bad and names the rows; ``drop`` leaves
            them out and counts them in the history.
        align: Turn, scale and move faces so that their eyes stand level, by the landmarks that the corpus gives;
            those without stay as they are and are counted. The store says so, and the card of weights that learn it.
        force: Replace a store that is there.
        progress: Called with rows done and rows to expect: of a long list first, then of the faces.
        options: Options of the reader, e.g. ``size=64``.

    Returns:
        The store, opened.

    Raises:
        DataError: With file, line and what was expected, on anything that cannot be read.
        UsageError: If ``out`` exists, or cannot be written; before anything is read.
        OutputError: If the disk is full. Nothing is left behind.
    """
    if on_bad_row not in ("error", "drop"):
        raise UsageError("on_bad_row", repr(on_bad_row), "'error' or 'drop'")
    place = StoreWriter(Path(out), force)  # before anything is read: it says whether the place can be written
    corpus = open_corpus(source, dataset, progress=progress, **options)
    bad = BadRows(on_bad_row)
    with place as writer:
        aligner = Aligner() if align else None
        frame, hashes = _pack(corpus, writer, bad, progress, aligner)
        if frame is None:
            raise DataError(str(source), "holds no readable face", "at least one")
        duplicates = find_duplicates(writer.images(), *hashes)
        corpus.detail.update(aligner.facts() if aligner else {})
        corpus.detail.update(copies_of_two_classes(corpus.vocabulary, frame, hashes[0]))
        table = _table(corpus, frame, hashes, duplicates.cluster, bad)
        info = {
            "corpus": corpus.name,
            "terms": corpus.terms,
            "vocabulary": corpus.vocabulary,
            "attributes": corpus.attributes,
            "n_exact_copies": duplicates.n_exact,
            "n_near_copies": duplicates.n_near,
            "n_dropped": len(bad.errors),
            "dropped": [str(e) for e in bad.errors[:100]],
            "classes": class_counts(table),
            "detail": corpus.detail,
        } | ({"alignment": IN_WORDS} if align else {})
        info |= {"cut": cut} if (cut := {k: v for k, v in options.items() if k in CUTTING}) else {}
        return writer.commit(table, info)


#: Options of readers that change what lies in a picture of a given name, beside its size.
CUTTING = ("margin", "images")


def _pack(
    corpus: Corpus, writer: StoreWriter, bad: BadRows, progress: Progress | None, aligner: Aligner | None
) -> tuple[pd.DataFrame | None, Any]:
    """Write all images, aligned if asked; their rows (None without any), their exact and perceptual hashes."""
    frames, exact, perceptual = [], [], []
    for chunk in corpus.chunks(bad):
        if len(chunk.images) == 0:
            continue  # every row of it was bad
        images, frame = chunk.images, chunk.frame
        if aligner is not None:  # first: copies are told, and faces seen, as they lie in the store
            images, frame = aligner(images, frame)
        writer.append(images)
        frames.append(frame)
        exact.append(exact_hashes(images))
        perceptual.append(perceptual_hashes(images))
        if progress:
            progress(writer.n, corpus.n_rows)
    bad.finish()
    if not frames:
        return None, ()
    return pd.concat(frames, ignore_index=True), (np.concatenate(exact), np.concatenate(perceptual))


def class_counts(table: SampleTable) -> dict[str, int]:
    """Class -> faces of which it has the most votes; faces where two lead stand under ``no single class``."""
    votes = table.votes
    if not table.vocabulary:
        return {}
    leads = votes == votes.max(axis=1, keepdims=True, initial=0)
    clear = leads.sum(axis=1) == 1
    counts = np.bincount(votes[clear].argmax(axis=1), minlength=len(table.vocabulary))
    found = {name: int(n) for name, n in zip(table.vocabulary, counts, strict=True)}
    tied = int((~clear).sum())
    return found | ({"no single class": tied} if tied else {})


def copies_of_two_classes(vocabulary: Sequence[str], frame: pd.DataFrame, exact: Any) -> dict[str, Any]:
    """How many exact copies of one picture stand in several classes, with an example; empty where none does.

    Args:
        vocabulary: The classes.
        frame: ``sample_id`` and ``votes_<class>`` of each row.
        exact: ``(n,)`` hash of each picture.
    """
    votes = frame[[f"votes_{c}" for c in vocabulary]].to_numpy(np.float64)
    clear = (votes == votes.max(axis=1, keepdims=True, initial=0)).sum(axis=1) == 1
    rows = pd.DataFrame({"hash": exact, "code": votes.argmax(axis=1)} if len(vocabulary) else {"hash": [], "code": []})
    rows = rows[clear[: len(rows)]]
    torn = rows[rows.groupby("hash")["code"].transform("nunique") > 1]
    if torn.empty:
        return {}
    one = torn[torn["hash"] == torn["hash"].iloc[0]].drop_duplicates("code")
    said = [f"{frame['sample_id'].iloc[int(i)]} is {vocabulary[int(c)]}" for i, c in one["code"].iloc[:2].items()]
    return {"exact copies of one picture in different classes": f"{len(torn)} of {len(frame)} ({', '.join(said)})"}


def _table(corpus: Corpus, frame: pd.DataFrame, hashes: Any, cluster: Any, bad: BadRows) -> SampleTable:
    frame.insert(1, "image", np.arange(len(frame)))
    if "identity" not in frame:
        frame["identity"] = ""
    frame["cluster"], frame["hash"], frame["phash"] = cluster, hashes[0], hashes[1]
    reasons = Counter(f"{e.found}" for e in bad.errors)
    read = len(frame) + len(bad.errors)
    step = Step(
        "prepare",
        read,
        len(frame),
        {"on_bad_row": bad.policy},
        {**corpus.detail, "dropped": dict(reasons.most_common(20))},
    )
    return SampleTable(frame, corpus.name, corpus.vocabulary, corpus.attributes, (step,))
