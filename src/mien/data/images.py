"""The packed store: every face of a corpus as uint8 in one memory-mapped file, beside its table."""

from __future__ import annotations

import hashlib
import math
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError
from mien.inputs import check_regular, rows_at_once
from mien.outputs import FolderWriter, Kind, writing
from mien.own_files import (
    SUMS,
    as_kind,
    check_file_sum,
    check_sum,
    checksums_of,
    is_sha256,
    read_json,
    say_unchecked,
    sha256_of,
    with_checksums,
)
from mien.records import plain, write_json
from mien.samples import SampleTable
from mien.values import shown

FORMAT = 1
IMAGES, TABLE, INFO = "images.u8", "samples.parquet", "store.json"
STORE_FOLDER = Kind("a store", INFO, "fingerprint", (IMAGES, TABLE, "store.html"))
_DESCRIPTION = "the description of a store"
_AGAIN = "Prepare the corpus again."
_RESTORE = "Restore the file, or prepare the corpus again."
_UNSEEN = "changes of its pictures, its image column and its attributes would not be noticed"


@dataclass(frozen=True)
class Store:
    """A prepared corpus on disk.

    Attributes:
        path: Its folder.
        table: Its faces; ``table.frame['image']`` are rows of :attr:`images`.
        packed: :attr:`images` before anybody has looked whether they are what was written.
        info: What ``store.json`` says: corpus, terms, fingerprint, shape.
    """

    path: Path
    table: SampleTable
    packed: NDArray[np.uint8]
    info: dict[str, Any]

    @property
    def images(self) -> NDArray[np.uint8]:
        """``(N, H, W, C)`` uint8, memory-mapped read-only; held to their checksum before the first look.

        Whoever uses pictures cannot forget to check them so, and whoever needs the table only does not
        wait for gigabytes to be read. A process reads them once, however often it opens the store.

        Raises:
            DataError: If they are not what was written.
        """
        due = self.info.get(SUMS, {}).get(IMAGES)
        if due is not None:
            _check_images_once(self.path / IMAGES, due)
        return self.packed

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all image bytes, ids and votes: two stores with the same faces agree.

        Attributes, splits and persons may differ: a store and its copy with perceived attributes hold the
        same faces. What each file of a store must hold, its checksums say.
        """
        return str(self.info["fingerprint"])

    @property
    def description(self) -> dict[str, Any]:
        """What :attr:`info` says of the corpus, without what follows from the faces."""
        own = ("format", "n", "shape", "fingerprint", "classes", SUMS)
        return {k: v for k, v in self.info.items() if k not in own}

    @classmethod
    def open(cls, path: Path | str) -> Store:
        """Open a store that ``mien prepare`` wrote.

        Description and table are held to their checksums at once, the pictures when they are looked at. A store
        of an older version has none, and says so once.

        Raises:
            DataError: If there is none, its parts do not fit each other, or are not what was written.
        """
        path = Path(path)
        if not (path / INFO).is_file():
            raise DataError(str(path), "is not a store", f"a folder with {INFO}", "Make one with 'mien prepare'.")
        info = _checked_info(path)
        shape = tuple(info["shape"])
        check_regular(path / IMAGES, "the packed pictures")
        size = (path / IMAGES).stat().st_size if (path / IMAGES).is_file() else -1
        if size != math.prod(shape):
            raise DataError(
                str(path / IMAGES), f"{size} bytes", f"{math.prod(shape)} bytes for {shape}", "Prepare it again."
            )
        images: NDArray[np.uint8] = (
            np.memmap(path / IMAGES, np.uint8, "r", shape=shape) if size else np.zeros(shape, np.uint8)
        )
        if SUMS in info:
            check_file_sum(path / TABLE, info[SUMS][TABLE], fix=_RESTORE)
        else:
            say_unchecked(path, _UNSEEN, "Prepare the corpus again to have them.")
        table = SampleTable.load(path / TABLE, rows=shape[0])
        rows = table.frame["image"].to_numpy(np.int64)
        if len(np.unique(rows)) < len(rows) or (len(rows) and not 0 <= rows.min() <= rows.max() < shape[0]):
            raise DataError(str(path / TABLE), "its column 'image' does not name each image once", "", _RESTORE)
        return cls(path, table, images, info)

    def verify(self, chunk: int = 4096) -> None:
        """Read every picture anew and compare all with the fingerprint.

        Args:
            chunk: Most images at once; fewer of large ones.

        Raises:
            DataError: If an image, an id or a vote is not what was written.
        """
        before = _state(self.path / IMAGES)
        whole = (*before, *_state(self.path / TABLE), self.fingerprint)
        if whole in _CHECKED:  # a process that trains many networks on one store reads it whole once
            return
        digest = hashlib.sha256()
        step = _at_once(self.packed, chunk)
        for start in range(0, len(self.packed), step):
            digest.update(np.ascontiguousarray(self.packed[start : start + step]).data)
        due = self.info.get(SUMS, {}).get(IMAGES)
        if due is not None:
            check_sum(self.path / IMAGES, digest.hexdigest(), due, fix=_RESTORE)
            _CHECKED.add((*before, due))
        _hash_table(digest, self.table, with_rows=due is not None)
        if digest.hexdigest() != self.fingerprint:
            raise DataError(
                str(self.path), f"fingerprint {digest.hexdigest()[:12]}", self.fingerprint[:12], "Prepare it again."
            )
        _CHECKED.add(whole)


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
        self._folder = FolderWriter(self.out, STORE_FOLDER, force=force)
        self.partial = self._folder.partial
        self.shape: tuple[int, ...] | None = None
        self.n = 0
        self._hash = hashlib.sha256()

    def __enter__(self) -> StoreWriter:
        self._folder.__enter__()
        try:
            with writing(self.out):
                self._file = open(self.partial / IMAGES, "wb")
        except BaseException as error:  # a signal too: what fails on the way in is never told to __exit__
            self._folder.__exit__(type(error), error, error.__traceback__)
            raise
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
            chunk: Most images at once; fewer of large ones.
        """
        images = store.images
        step = _at_once(images, chunk)
        for start in range(0, len(images) if rows is None else len(rows), step):
            part = slice(start, start + step)
            self.append(images[part] if rows is None else images[rows[part]])

    def images(self) -> NDArray[np.uint8]:
        """``(n, H, W, C)``, all images written so far, memory-mapped read-only; at least one must be."""
        with writing(self.out):
            self._file.flush()
        return np.memmap(self.partial / IMAGES, np.uint8, "r", shape=(self.n, *(self.shape or ())))

    def commit(self, table: SampleTable, info: dict[str, Any]) -> Store:
        """Write table and info, and move the whole to its place."""
        sums = {IMAGES: self._hash.hexdigest()}
        _hash_table(self._hash, table, with_rows=True)
        shape = [self.n, *(self.shape or (0, 0, 1))]
        content = {"format": FORMAT, **info, "n": self.n, "shape": shape, "fingerprint": self._hash.hexdigest()}
        with writing(self.out):
            self._file.close()
            table.save(self.partial / TABLE)
            sums[TABLE] = sha256_of(self.partial / TABLE)
            write_json(self.partial / INFO, with_checksums(plain(content), INFO, sums))
        return Store.open(self._folder.commit())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # on a full disk, closing fails as writing did
            self._file.close()
        self._folder.__exit__(kind, error, trace)


@dataclass(frozen=True, kw_only=True)
class _Described:
    """What readers rely on in ``store.json``."""

    format: int
    shape: tuple[int, int, int, int]
    fingerprint: str
    n: int
    corpus: str = ""
    terms: str = ""
    vocabulary: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    classes: dict[str, int] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)
    n_exact_copies: int = 0
    n_near_copies: int = 0
    n_dropped: int = 0


def _checked_info(path: Path) -> dict[str, Any]:
    """What ``store.json`` says, once its values are what they should be and what was written."""
    where = path / INFO
    info = read_json(where, _DESCRIPTION, fix=_AGAIN)
    if "format" in info and info["format"] != FORMAT:
        raise DataError(str(where), f"format {shown(info['format'])}", f"format {FORMAT}", _AGAIN)
    found = as_kind(_Described, info, str(where), fix=_AGAIN)
    n, height, width, channels = found.shape
    if min(found.shape) < 0 or (n and (not height or not width)) or channels not in (1, 3) or max(found.shape) > 2**40:
        raise DataError(f"{where}: shape", shown(list(found.shape)), "[faces, height, width, 1 or 3]", _AGAIN)
    if found.n != n:
        raise DataError(f"{where}: n", str(found.n), f"{n}, as the shape says", _AGAIN)
    if not is_sha256(found.fingerprint):
        raise DataError(f"{where}: fingerprint", shown(found.fingerprint), "64 hexadecimal digits", _AGAIN)
    checksums_of(info, where, (IMAGES, TABLE), fix=_RESTORE)
    return info


# What was read and found right in this process: (path, inode, size, times, checksum).
_CHECKED: set[tuple[Any, ...]] = set()


def _at_once(images: NDArray[np.uint8], most: int) -> int:
    return rows_at_once(images.nbytes // max(1, len(images)), most)


def _state(path: Path) -> tuple[Any, ...]:
    """What changes with a file's content, as far as the system tells."""
    found = os.stat(path)
    return os.path.realpath(path), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _check_images_once(path: Path, due: str) -> None:
    try:
        state = (*_state(path), due)
    except OSError as error:
        raise DataError(str(path), f"cannot be read ({error.strerror})", "the store's pictures", _RESTORE) from error
    if state not in _CHECKED:
        check_file_sum(path, due, fix=_RESTORE)
        _CHECKED.add(state)


def _hash_table(digest: hashlib._Hash, table: SampleTable, with_rows: bool) -> None:
    """Add ids and votes, and which image is whose where that is not the order of the rows."""
    digest.update("\n".join(table.frame["sample_id"]).encode())
    digest.update(np.ascontiguousarray(table.votes).data)
    rows = table.frame["image"].to_numpy(np.int64)
    # Stores of older versions, whose rows are in order, keep their fingerprint so, and runs on them theirs.
    if with_rows and (rows != np.arange(len(rows))).any():
        digest.update(np.ascontiguousarray(rows).data)
