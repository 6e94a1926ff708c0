"""From a corpus as people have it to a packed store, in one streaming pass."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mien.data.cleaning import exact_hashes, find_duplicates, perceptual_hashes
from mien.data.corpus import BadRows, Corpus, OnBadRow
from mien.data.datasets import DATASETS
from mien.data.images import Store, StoreWriter
from mien.errors import DataError, UsageError
from mien.samples import SampleTable, Step

Progress = Callable[[int, int | None], None]


def find_dataset(source: Path) -> str:
    """The dataset whose reader knows this layout.

    Raises:
        DataError: If none does; the message lists the layouts.
    """
    if not source.exists():
        raise DataError(str(source), "does not exist", "a file, a folder, or the name of an embedded dataset")
    scores = {n: int(sys.modules[DATASETS.get(n).__module__].detect(source)) for n in DATASETS}  # type: ignore[attr-defined]
    best = max(scores, key=lambda n: scores[n])
    if scores[best] == 0:
        raise DataError(
            str(source),
            "is in no known layout",
            f"that of one of: {', '.join(DATASETS.names())}",
            "Name the dataset (--dataset) to see what is missing, or write a CSV manifest: path, and any label.",
        )
    return best


def open_corpus(source: Path | str, dataset: str | None = None, **options: Any) -> Corpus:
    """Open a corpus for reading.

    Args:
        source: File or folder; or ``synthetic``, which needs none.
        dataset: Name of the reader; found by the layout by default.
        options: Options of the reader.

    Raises:
        DataError: If the layout is not known.
        ConfigError: On an option that the reader does not take.
    """
    if dataset is None and str(source) == "synthetic" and not Path(source).exists():
        dataset = "synthetic"
    if dataset == "synthetic":
        DATASETS.check_options(dataset, options, "option", skip=("root",))
        return DATASETS.get(dataset)(**options)  # type: ignore[no-any-return]
    path = Path(source)
    name = dataset or find_dataset(path)
    DATASETS.check_options(name, options, "option", skip=("root",))
    return DATASETS.get(name, "dataset")(path, **options)  # type: ignore[no-any-return]


def prepare(
    source: Path | str,
    out: Path | str,
    *,
    dataset: str | None = None,
    on_bad_row: OnBadRow = "error",
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
        force: Replace a store that is there.
        progress: Called with rows done and rows to expect.
        options: Options of the reader, e.g. ``size=64``.

    Returns:
        The store, opened.

    Raises:
        DataError: With file, line and what was expected, on anything that cannot be read.
        UsageError: If ``out`` exists.
    """
    if on_bad_row not in ("error", "drop"):
        raise UsageError("on_bad_row", repr(on_bad_row), "'error' or 'drop'")
    corpus = open_corpus(source, dataset, **options)
    bad = BadRows(on_bad_row)
    frames, exact, perceptual = [], [], []
    with StoreWriter(Path(out), force) as writer:
        for chunk in corpus.chunks(bad):
            if len(chunk.images) == 0:
                continue  # every row of it was bad
            writer.append(chunk.images)
            frames.append(chunk.frame)
            exact.append(exact_hashes(chunk.images))
            perceptual.append(perceptual_hashes(chunk.images))
            if progress:
                progress(writer.n, corpus.n_rows)
        bad.finish()
        if writer.n == 0 or writer.shape is None:
            raise DataError(str(source), "holds no readable face", "at least one")
        images = writer.images()
        hashes = np.concatenate(exact), np.concatenate(perceptual)
        duplicates = find_duplicates(images, *hashes)
        del images
        table = _table(corpus, pd.concat(frames, ignore_index=True), hashes, duplicates.cluster, bad)
        info = {
            "corpus": corpus.name,
            "terms": corpus.terms,
            "vocabulary": corpus.vocabulary,
            "attributes": corpus.attributes,
            "n_exact_copies": duplicates.n_exact,
            "n_near_copies": duplicates.n_near,
            "n_dropped": len(bad.errors),
            "dropped": [str(e) for e in bad.errors[:100]],
            "detail": corpus.detail,
        }
        return writer.commit(table, info)


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
