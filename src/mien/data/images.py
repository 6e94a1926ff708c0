"""The packed store: every face of a corpus as uint8 in one memory-mapped file, beside its table."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, UsageError
from mien.outputs import check_folder, writing
from mien.records import write_json
from mien.samples import SampleTable

FORMAT = 1
IMAGES, TABLE, INFO = "images.u8", "samples.parquet", "store.json"


@dataclass(frozen=True)
class Store:
    """A prepared corpus on disk.

    Attributes:
        path: Its folder.
        table: Its faces; ``table.frame['image']`` are rows of :attr:`images`.
        images: ``(N, H, W, C)`` uint8, memory-mapped read-only.
        info: What ``store.json`` says: corpus, terms, fingerprint, shape.
    """

    path: Path
    table: SampleTable
    images: NDArray[np.uint8]
    info: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all image bytes, ids and votes: two stores with the same faces agree."""
        return str(self.info["fingerprint"])

    @property
    def description(self) -> dict[str, Any]:
        """What :attr:`info` says of the corpus, without what follows from the faces."""
        return {k: v for k, v in self.info.items() if k not in ("format", "n", "shape", "fingerprint", "classes")}

    @classmethod
    def open(cls, path: Path | str) -> Store:
        """Open a store that ``mien prepare`` wrote.

        Raises:
            DataError: If there is none, or its parts do not fit each other.
        """
        path = Path(path)
        if not (path / INFO).is_file():
            raise DataError(str(path), "is not a store", f"a folder with {INFO}", "Make one with 'mien prepare'.")
        info = _read_info(path)
        if info is None or info["format"] != FORMAT:
            found = f"format {info['format']!r}" if info else "is not the description of a store"
            raise DataError(str(path / INFO), found, f"format {FORMAT}", "Prepare the corpus again.")
        shape = tuple(info["shape"])
        size = (path / IMAGES).stat().st_size if (path / IMAGES).is_file() else -1
        if size != int(np.prod(shape)):
            raise DataError(
                str(path / IMAGES), f"{size} bytes", f"{int(np.prod(shape))} bytes for {shape}", "Prepare it again."
            )
        images: NDArray[np.uint8] = (
            np.memmap(path / IMAGES, np.uint8, "r", shape=shape) if size else np.zeros(shape, np.uint8)
        )
        table = SampleTable.load(path / TABLE)
        if len(table) != shape[0]:
            raise DataError(str(path / TABLE), f"{len(table)} rows", f"{shape[0]}, one an image", "Prepare it again.")
        return cls(path, table, images, info)

    def verify(self, chunk: int = 4096) -> None:
        """Read everything and compare it with the fingerprint (:meth:`open` looks at sizes only).

        Raises:
            DataError: If an image, an id or a vote is not what was written.
        """
        digest = hashlib.sha256()
        for start in range(0, len(self.images), chunk):
            digest.update(np.ascontiguousarray(self.images[start : start + chunk]).data)
        _hash_table(digest, self.table)
        if digest.hexdigest() != self.fingerprint:
            raise DataError(
                str(self.path), f"fingerprint {digest.hexdigest()[:12]}", self.fingerprint[:12], "Prepare it again."
            )


class StoreWriter:
    """Writes a store beside its final place and moves it there when it is whole.

    Used as a context manager: leaving it without :meth:`commit` removes everything written. A
    process that was killed leaves a folder ``.NAME.partial-PID`` that the next writer removes.

    Args:
        out: The store's folder.
        force: Replace a store that is there.

    Raises:
        UsageError: If ``out`` exists and ``force`` is not given, or is not a store, or cannot be written.
        OutputError: From any method, if the disk is full or the place changed meanwhile; nothing is left behind.
    """

    def __init__(self, out: Path, force: bool = False) -> None:
        self.out = Path(out)
        if not os.path.exists(self.out):  # unlike Path.exists, no error for a name that is too long
            # A replacement that was killed between its two moves: the old store is the good one.
            for old in sorted(self.out.parent.glob(f".{glob.escape(self.out.name)}.partial-old-*"))[:1]:
                os.replace(old, self.out)
        if os.path.exists(self.out):
            is_store = _read_info(self.out) is not None
            if not is_store and any(self.out.iterdir() if self.out.is_dir() else [1]):
                raise UsageError(str(self.out), "exists and is not a store", "a new folder or a store to replace")
            if is_store and not force:
                raise UsageError(str(self.out), "exists already", "a new folder", "Pass --force to replace it.")
        check_folder(self.out.parent if os.path.exists(self.out) else self.out)
        self.partial = self.out.with_name(f".{self.out.name}.partial-{os.getpid()}")
        self.shape: tuple[int, ...] | None = None
        self.n = 0
        self._hash = hashlib.sha256()

    def __enter__(self) -> StoreWriter:
        with writing(self.out):
            self._made = [p for p in self.out.absolute().parents if not p.exists()]
            self.out.parent.mkdir(parents=True, exist_ok=True)
            for stale in self.out.parent.glob(f".{glob.escape(self.out.name)}.partial-*"):
                if not _alive(stale.name.rsplit("-", 1)[1]):
                    shutil.rmtree(stale, ignore_errors=True)
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir()
            self._file = open(self.partial / IMAGES, "wb")
        return self

    def append(self, images: NDArray[np.uint8]) -> None:
        """Add ``(n, H, W)`` or ``(n, H, W, C)`` images.

        Raises:
            DataError: If their shape differs from the first ones'.
        """
        if images.ndim == 3:
            images = images[..., None]
        if self.shape is None:
            self.shape = images.shape[1:]
        if images.shape[1:] != self.shape:
            raise DataError(str(self.out), f"image of shape {images.shape[1:]}", str(self.shape))
        data = np.ascontiguousarray(images, dtype=np.uint8)
        self._hash.update(data.data)
        with writing(self.out):
            self._file.write(data.data)
        self.n += len(images)

    def copy(self, store: Store, rows: NDArray[np.int64] | None = None, chunk: int = 4096) -> None:
        """Add images of another store.

        Args:
            store: The store.
            rows: Which of its images, in order; all by default.
            chunk: Most images at once.
        """
        for start in range(0, len(store.images) if rows is None else len(rows), chunk):
            part = slice(start, start + chunk)
            self.append(store.images[part] if rows is None else store.images[rows[part]])

    def images(self) -> NDArray[np.uint8]:
        """``(n, H, W, C)``, all images written so far, memory-mapped read-only; at least one must be."""
        with writing(self.out):
            self._file.flush()
        return np.memmap(self.partial / IMAGES, np.uint8, "r", shape=(self.n, *(self.shape or ())))

    def commit(self, table: SampleTable, info: dict[str, Any]) -> Store:
        """Write table and info, and move the whole to its place."""
        _hash_table(self._hash, table)
        shape = [self.n, *(self.shape or (0, 0, 1))]
        content = {"format": FORMAT, **info, "n": self.n, "shape": shape, "fingerprint": self._hash.hexdigest()}
        with writing(self.out):
            self._file.close()
            table.save(self.partial / TABLE)
            write_json(self.partial / INFO, content)
            if self.out.exists():
                old = self.out.with_name(f".{self.out.name}.partial-old-{os.getpid()}")
                os.replace(self.out, old)
                os.replace(self.partial, self.out)
                shutil.rmtree(old)
            else:
                os.replace(self.partial, self.out)
        return Store.open(self.out)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # on a full disk, closing fails as writing did
            self._file.close()
        shutil.rmtree(self.partial, ignore_errors=True)
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:  # it holds the store, or something of somebody else
                break


def _read_info(path: Path) -> dict[str, Any] | None:
    """What ``store.json`` says; None where there is none or it is another program's."""
    try:
        info = json.loads((path / INFO).read_text())
    except (OSError, ValueError):
        return None
    return info if isinstance(info, dict) and {"format", "shape", "fingerprint"} <= set(info) else None


def _hash_table(digest: hashlib._Hash, table: SampleTable) -> None:
    digest.update("\n".join(table.frame["sample_id"]).encode())
    digest.update(np.ascontiguousarray(table.votes).data)


def _alive(pid: str) -> bool:
    """Whether a process of this number runs (any answer but 'no such process' counts as yes)."""
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:
        return True
    return True
