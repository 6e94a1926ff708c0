"""Faces by the million: one annotator on every core of a cluster, by Ray Data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.annotators.base import Annotator, Perceived
from mien.annotators.holdout import Holdout
from mien.annotators.loading import load_annotator
from mien.annotators.mien import MienAnnotator, view_of
from mien.clusters import connected, quiet, ray_of_extra, shared_out
from mien.data.images import Store
from mien.demographics import Head
from mien.errors import UsageError
from mien.inference import Progress
from mien.pictures.pixels import Images

_BLOCK = 512  # faces that a worker is handed at a time, and that are done again if it dies
_EACH = 4  # blocks a core at least, so that all of them end at about the same time
_START, _YEARS, _LOST = "start", "years", "undetected"


class RayAnnotator:
    """An annotator whose faces are shared out among the cores of a cluster.

    What it says is what the annotator says on one machine; only sums in another order may differ in their last digits.
    A worker that dies is replaced, and its faces are looked at again.

    Args:
        annotator: The annotator, which is asked for everything but the faces.
        by: Its name, by which workers load it.
        options: Its options.
        store: Folder of the faces, which all machines can read.
        address: Of a cluster (``auto``, ``ray://...``), or ``local`` for one on this machine.
        workers: At most; by default one a core.

    Raises:
        MissingExtra: Without Ray.
    """

    def __init__(
        self,
        annotator: Annotator,
        by: str,
        options: Mapping[str, Any],
        store: Path | str,
        *,
        address: str = "local",
        workers: int | None = None,
    ) -> None:
        self._ray = ray_of_extra()
        # Workers stand elsewhere: only whole paths mean the same to them.
        self.options = {k: str(Path(v).absolute()) if _is_path(v) else v for k, v in options.items()}
        self.annotator, self.by = annotator, by
        self.name, self.version, self.heads = annotator.name, annotator.version, annotator.heads
        self.source, self.terms = annotator.source, annotator.terms
        self.store, self.address, self.workers = Path(store).absolute(), address, workers

    def holdout(self, images: Images) -> Holdout | None:
        """Faces on which its errors are known, seen as these pictures are."""
        return self.annotator.holdout(images)

    def annotate(self, images: Images, progress: Progress | None = None) -> Perceived:
        """Perceive the faces of the store.

        Args:
            images: All pictures of the store, as workers read them.
            progress: Called with faces done and in all.

        Raises:
            UsageError: If they are others.
        """
        n = len(images)
        if n != len(Store.open(self.store).packed):
            raise UsageError("faces", f"{n} pictures", f"all that {self.store} holds", "Workers read them there.")
        if not n:
            return self.annotator.annotate(images, progress)
        options = self.options
        if isinstance(self.annotator, MienAnnotator):
            # A part of a corpus in colour may be grey by chance: what pictures are like is asked of all of them.
            options = {**options, "view": self.annotator.view or view_of(images)}
        said = _Collected(self.heads, n)
        ray = self._ray
        with connected(ray, self.address) as found:
            quiet(ray)
            cores = self.workers or found
            each = max(1, min(_BLOCK, -(-n // (_EACH * cores))))
            blocks = [pa.table({_START: [start], "stop": [min(start + each, n)]}) for start in range(0, n, each)]
            given = (self.by, options, self.store)
            told = shared_out(ray, blocks, _Looker, given, batch=1, workers=cores)
            for block in told.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                said.add(block)
                if progress is not None:
                    progress(said.done, n)
        return said.perceived()


class _Looker:
    """A worker: one annotator, one core."""

    def __init__(self, by: str, options: Mapping[str, Any], store: Path) -> None:
        self.annotator = load_annotator(by, options)
        self.images = Store.open(store).images

    def __call__(self, asked: pa.Table) -> pa.Table:
        tables = [self.rows(start, stop) for start, stop in zip(*asked.to_pydict().values(), strict=True)]
        return pa.concat_tables(tables)

    def rows(self, start: int, stop: int) -> pa.Table:
        """One row a face: its place, and everything that is perceived in it."""
        said = self.annotator.annotate(self.images[start:stop])
        columns: dict[str, Any] = {_START: np.arange(start, stop)}
        for name, probs in said.probs.items():
            columns |= {_column(name, k): probs[:, k] for k in range(probs.shape[1])}
        if said.years is not None:
            columns[_YEARS] = said.years
        if said.undetected is not None:
            columns[_LOST] = said.undetected
        return pa.table(columns)


class _Collected:
    """What workers have said so far, by the place of each face."""

    def __init__(self, heads: tuple[Head, ...], n: int) -> None:
        self.probs = {head.name: np.full((n, len(head.groups)), np.nan, np.float32) for head in heads}
        self.years: NDArray[np.float32] | None = None
        self.lost: NDArray[np.bool_] | None = None
        self.seen = np.zeros(n, dtype=np.int64)
        self.done = 0  # faces that are known

    def add(self, block: pa.Table) -> None:
        rows = block[_START].to_numpy()
        self.seen[rows] += 1
        self.done += len(rows)
        for name, probs in self.probs.items():
            for k in range(probs.shape[1]):
                probs[rows, k] = block[_column(name, k)].to_numpy()
        if _YEARS in block.column_names:
            self.years = np.full(len(self.seen), np.nan, np.float32) if self.years is None else self.years
            self.years[rows] = block[_YEARS].to_numpy()
        if _LOST in block.column_names:
            self.lost = np.zeros(len(self.seen), dtype=np.bool_) if self.lost is None else self.lost
            self.lost[rows] = block[_LOST].to_numpy()

    def perceived(self) -> Perceived:
        if (self.seen != 1).any():  # Ray Data promises each block once; a silent hole would be a wrong audit
            lost = int((self.seen == 0).sum())
            raise RuntimeError(f"the cluster lost {lost} faces and gave {int((self.seen > 1).sum())} twice")
        return Perceived(self.probs, self.years, self.lost)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and Path(value).exists()


def _column(head: str, group: int) -> str:
    return f"{head}/{group}"
