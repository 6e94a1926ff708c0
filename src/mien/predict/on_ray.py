"""Pictures by the million: the same rows on every core of a cluster, by Ray Data, into a folder of Parquet files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mien.clusters import connected, quiet, ray_of_extra, shared_out
from mien.errors import DataError, OutputError, UsageError
from mien.inputs import check_regular
from mien.pictures.opening import quietly
from mien.predict.predictor import Predictor
from mien.predict.rows import NO_FACE, as_text
from mien.predict.writers import arrow_schema

_BLOCK = 256  # at most, of a file's pictures: what is done again if a worker dies, and what a killed command loses
_PARTIAL = ".partial"
_EACH = 4  # blocks a core at least, so that all of them end at about the same time


@dataclass(frozen=True)
class Written:
    """What became of the pictures.

    Attributes:
        pictures: Looked at.
        before: That an earlier command had written.
        faces: Found.
        unread: Pictures that could not be read.
        files: Of the folder.
    """

    pictures: int
    before: int
    faces: int
    unread: int
    files: int


class _Looker:
    """A worker: one model, one thread, one core. It writes a file a block, whole, and tells how many pictures it has.

    The file is named after its pictures: a block that is done again, for its worker died after it was written, takes
    its own place.
    """

    def __init__(self, load: dict[str, Any], out: Path) -> None:
        self.predictor = Predictor.load(**load, threads=1)
        predictor = self.predictor
        self.schema = arrow_schema(predictor.model.classes, predictor.model.numbers, predictor.heads)
        self.out = out

    def __call__(self, table: pa.Table) -> pa.Table:
        paths = table["path"].to_pylist()
        with quietly():
            told = self.predictor.stream(map(os.fsdecode, paths), workers=1)
            rows = [row.as_flat() for rows in told for row in rows]
        named = sha256(b"\0".join(paths)).hexdigest()[:24]
        partial = self.out / f".{named}{_PARTIAL}"  # hidden: who reads the folder as a table does not see it
        pq.write_table(pa.Table.from_pylist(rows, schema=self.schema), partial)
        os.replace(partial, self.out / f"{named}.parquet")
        return pa.table({"pictures": [len(paths)]})


def predict_on_ray(
    pictures: Iterable[str],
    out: Path,
    load: dict[str, Any],
    *,
    address: str = "local",
    workers: int | None = None,
    resume: bool = False,
    note: Callable[[str], object] = lambda said: None,
) -> Written:
    """The rows of pictures that all machines of a cluster can read, in no order; each picture once.

    A worker that dies is replaced and its pictures are looked at again, three times at most; a file of rows is written
    whole or not at all.

    Args:
        pictures: Paths.
        out: A folder: new, empty, or with ``resume`` what an earlier command left of the same model.
        load: Of :meth:`mien.predict.Predictor.load`, but for its threads.
        address: Of a cluster (``auto``, ``ray://...``), or ``local`` for one on this machine.
        workers: At most; by default one a core.
        resume: Look only at pictures that stand in no file of the folder.
        note: Called with what is to be known of the model before its rows are used, one by one.

    Raises:
        UsageError: If the folder holds something and ``resume`` is not given.
        DataError: If it holds rows of another model.
        OutputError: If Ray gave up, or lost pictures.
        MissingExtra: Without Ray.
    """
    ray = ray_of_extra()
    out = Path(out).absolute()
    model = Predictor.load(**load)  # what is wrong with it is told here, and not by a worker
    for said in model.notes:
        note(said)
    columns = set(arrow_schema(model.model.classes, model.model.numbers, model.heads).names)
    seen = _done(out, as_text(model.model.name), model.sha256, columns) if resume else set()
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("--out", f"{out} holds something", "a new or empty folder", "Go on with it by --resume.")
    names = [name for name in dict.fromkeys(pictures) if as_text(name) not in seen]
    if names:
        with connected(ray, address) as found:
            quiet(ray)
            cores = workers or found
            n = max(_EACH * cores, -(-len(names) // _BLOCK))
            # As bytes: names of files need be no text.
            paths = pa.array([os.fsencode(name) for name in names], pa.binary())
            blocks = [pa.table({"path": paths.take(list(range(i, len(names), n)))}) for i in range(min(n, len(names)))]
            out.mkdir(parents=True, exist_ok=True)
            told = shared_out(ray, blocks, _Looker, (load, out), batch=None, workers=cores)
            try:
                parts = [part["pictures"] for part in told.iter_batches(batch_size=None, batch_format="pyarrow")]
            except ray.exceptions.RayError as error:
                gone = _done(out, as_text(model.model.name), model.sha256, columns)
                first = next((name for name in names if as_text(name) not in gone), "")
                said = f"Ray gave up ({type(error).__name__}) with pictures left, the first of them {first}"
                fix = "Look at it and those after it alone: one may kill whoever looks at it. Go on by --resume."
                raise OutputError(str(out), said, "rows of all pictures", fix) from error
            if (looked_at := sum(sum(part.to_pylist()) for part in parts)) != len(names):
                lost = f"rows of {looked_at:,} pictures were written, of {len(names):,}"
                raise OutputError(str(out), lost, "all of them", "Go on with it by --resume.")
    for left in out.glob(f".*{_PARTIAL}"):  # of a command that was killed
        left.unlink(missing_ok=True)
    files = sorted(out.glob("*.parquet"))
    faces, unread = _counted(files)
    return Written(len(names), len(seen), faces, unread, len(files))


def _done(out: Path, name: str, sha256: str, columns: set[str]) -> set[str]:
    """The pictures that stand in a folder's files already."""
    found: set[str] = set()
    for path in sorted(out.glob("*.parquet")) if out.is_dir() else []:
        check_regular(path, "a file of rows")
        try:
            names = pq.read_schema(path).names
            table = pq.read_table(path, columns=["image", "model", "model_sha256"])
        except (OSError, pa.ArrowException) as error:
            raise DataError(str(path), f"cannot be read ({error})", "a file of rows", "Remove it.") from None
        models = set(zip(table["model"].to_pylist(), table["model_sha256"].to_pylist(), strict=True))
        if models - {(name, sha256)}:
            raise DataError(str(path), f"is of the model {sorted(models)[0][0]}", f"{name}", "Begin another folder.")
        if other := set(names) ^ columns:
            said = f"has other columns than this command's, such as {sorted(other)[0]!r}"
            due = "those of the options, and of the version of Mien, that it was begun with"
            raise DataError(str(path), said, due, "Begin another folder.")
        found |= set(table["image"].to_pylist())
    return found


def _counted(files: Iterable[Path]) -> tuple[int, int]:
    faces = unread = 0
    for path in files:
        table = pq.read_table(path, columns=["face", "reason"])
        for face, reason in zip(table["face"].to_pylist(), table["reason"].to_pylist(), strict=True):
            faces += face is not None
            unread += face is None and reason != NO_FACE
    return faces, unread
