"""Places where results go, tried before the work.

Whoever waited an hour for an audit must not learn at its end that the folder was a file. So every verb
asks :func:`check_file` or :func:`check_folder` first, and these try: they make what would be made, write
a block, and take it away again. Rights, full disks, names that are too long and links to nothing all
show themselves so, whatever the system.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mien.errors import UsageError
from mien.outputs.writing import begin_in, is_special, place_name, reason_of, remove_folders, target_of

_LOOKED_AT = 1 << 16
_TRIAL = b"\0" * 4096  # one block: a full disk may still have room for a name


def check_file(
    path: Path | str, option: str = "", inputs: Iterable[Path | str] = (), *, force: bool = True, sign: bytes = b""
) -> Path:
    """Refuse a file that cannot be written, before any work is done.

    Folders on the way may be missing: whoever writes makes them.

    Args:
        path: The file.
        option: How the user named it, such as ``--out``; for the message.
        inputs: Files and folders that are read: the file must be none of them.
        force: A file that is there may be replaced; otherwise only an empty one may.
        sign: What a file that may be replaced holds near its begin or end; nothing: any file may.

    Raises:
        UsageError: If it is a folder, a pipe or an input, is there and may not be replaced, or nothing can be
            written there.
    """
    path = Path(path)
    where = place_name(option, path)
    if os.path.isdir(path):
        raise UsageError(where, "is a folder", "the name of a file")
    check_inputs(where, path, inputs)
    if is_special(path):
        if Path(os.path.abspath(path)).parts[1:2] not in (("dev",), ("proc",)):
            raise UsageError(where, "is a pipe or a device, and no file", "the name of a file, or /dev/stdout")
        return path
    if not force and os.path.exists(path) and os.path.getsize(path):
        raise UsageError(where, "exists already", "a new file", "Pass --force to replace it.")
    if sign and not _holds(path, sign):
        raise UsageError(where, "is a file that Mien did not write", "a new file, or one of Mien's to replace")
    target = target_of(path)
    try_place(where, target.parent, target.name)
    return path


def _holds(path: Path, sign: bytes) -> bool:
    """Whether a file is absent, empty, or has the sign near its begin or end."""
    try:
        with open(path, "rb") as file:
            start = file.read(_LOOKED_AT)
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOOKED_AT))
            return not start or sign in start or sign in file.read(_LOOKED_AT)
    except PermissionError:
        return False
    except OSError:  # absent, or a place that is refused for itself
        return True


def check_folder(path: Path | str, option: str = "", inputs: Iterable[Path | str] = ()) -> Path:
    """Refuse a folder in which nothing can be written, before any work is done.

    Args:
        path: The folder; it may be missing, with those above it.
        option: How the user named it, such as ``--out``; for the message.
        inputs: Files and folders that are read: it may be none of them.

    Raises:
        UsageError: If it is a file or an input, or nothing can be written there.
    """
    path = Path(path)
    where = place_name(option, path)
    check_inputs(where, path, inputs)
    try_place(where, path)
    return path


def check_distinct(*named: tuple[str, Path]) -> None:
    """Refuse one place for two results: the second would replace the first.

    Args:
        named: What each is called and where it goes.

    Raises:
        UsageError: If two are the same.
    """
    for i, (name, path) in enumerate(named):
        for other, place in named[:i]:
            if _same(path, place):
                raise UsageError(place_name(name, path), f"is the place of {other} too", "a place of its own for each")


def check_inputs(where: str, path: Path, inputs: Iterable[Path | str], *, inside: bool = False) -> None:
    """Refuse an output that is an input, or (``inside``) a folder to replace in which an input lies.

    Raises:
        UsageError: If it is.
    """
    real = real_path(path)
    for given in map(Path, inputs):
        if _same(path, given):
            raise UsageError(where, "is an input, which would be overwritten", "another name")
        if inside and os.path.isdir(path) and real in real_path(Path(given)).parents:
            raise UsageError(where, f"holds {given}, which is an input", "another folder")


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # one of them is not there yet
        return real_path(one) == real_path(other)


def real_path(path: Path) -> Path:
    """A path without links and dots; a name that no system would take stays as it is."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return Path(os.path.abspath(path))


def try_place(where: str, folder: Path, name: str = "results") -> None:
    """Write a block as results will be written into a folder, and take it away again.

    Raises:
        UsageError: If that fails.
    """
    trial = folder / f".{name}.trial-{os.getpid()}"
    made: list[Path] = []

    def put() -> None:
        try:
            with open(trial, "xb") as file:
                file.write(_TRIAL)
        finally:
            with suppress(OSError):  # where it could not be opened
                trial.unlink()

    try:
        str(trial).encode()  # Parquet and JSON take no other names
        made = begin_in(folder, put)
    except (OSError, ValueError) as error:
        found, fix = reason_of(error)
        raise UsageError(where, f"cannot be written: {found}", "", fix) from error
    finally:
        remove_folders(made)
