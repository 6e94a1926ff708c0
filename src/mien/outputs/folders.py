"""Folders of results, whole or not at all: written beside their place and moved there in one step.

A kill at any moment leaves the older folder or the new one, never a mix. What it leaves beside the place
(``.NAME.partial-PID``) is taken away, or brought to its end, by the next writer of that place.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from mien.errors import OutputError, UsageError
from mien.outputs.places import check_inputs, real_path, try_place
from mien.outputs.writing import begin_in, place_name, remove_folders, writing

# Lies in a folder that is being replaced: once the folders are exchanged, it tells the older from the unfinished.
_REPLACED = ".replaced"
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", _REPLACED})


@dataclass(frozen=True)
class Kind:
    """What a kind of result folder looks like, to tell one that Mien wrote from a user's.

    Attributes:
        what: Its name, for messages: ``an audit``.
        sign: The JSON file that every one of them holds.
        word: What stands in that file, in quotes: another program's may have the same name.
        names: Whatever else Mien may have written there.
    """

    what: str
    sign: str
    word: str
    names: Collection[str] = ()

    def in_the_way(self, folder: Path, *, force: bool, keep: bool) -> tuple[list[str], bool]:
        """What in a folder may not be replaced: its names, and whether it is an older result of Mien's.

        Where the sign is missing, nothing that lies there is Mien's.
        """
        if keep:
            return [], False
        if not self.signed(folder):
            return sorted(n for n in os.listdir(folder) if n not in _LITTER and not _is_partial(n)), False
        foreign = self.others(folder)
        return (foreign, False) if foreign or force else ([self.sign], True)

    def signed(self, folder: Path) -> bool:
        """Whether a folder is one of this kind."""
        sign = folder / self.sign
        try:
            return sign.is_file() and f'"{self.word}"'.encode() in sign.read_bytes()
        except OSError:
            return False

    def others(self, folder: Path) -> list[str]:
        """Names of what lies in a folder and is not called as Mien calls its files."""
        known = {self.sign, *self.names, *_LITTER}
        return sorted(name for name in os.listdir(folder) if name not in known and not _is_partial(name))


def check_place(
    path: Path | str,
    kind: Kind,
    option: str = "",
    inputs: Iterable[Path | str] = (),
    *,
    force: bool = False,
    keep: bool = False,
) -> Path:
    """Refuse a place for a folder of results, before any work is done.

    Only an absent or empty place is written; with ``force`` also one that holds nothing but an older
    result of the same kind.

    Args:
        path: The folder.
        kind: What will lie there.
        option: How the user named it, such as ``--out``; for the message.
        inputs: Files and folders that are read: none may be the folder, or lie in it.
        force: An older result of this kind may be replaced.
        keep: What else lies there stays, and is no reason to refuse: for places of Mien's own.

    Raises:
        UsageError: If the place holds anything else, is a file or an input, or cannot be written.
    """
    path = Path(path)
    where = place_name(option, path)
    check_inputs(where, path, inputs, inside=True)
    if os.path.lexists(path) and not os.path.isdir(path):
        found = "a file, not a folder" if os.path.exists(path) else "a link that leads nowhere"
        raise UsageError(where, f"cannot be written: {path} is {found}", "", "Write somewhere else.")
    if not os.path.isdir(path):
        try_place(where, path)  # as it is named: links to nothing on the way show themselves
    settle(path)
    if os.path.isdir(path):
        held, older = kind.in_the_way(path, force=force, keep=keep)
        if held and force:
            found = f"holds {_shown(held)}, which Mien did not write as {kind.what}"
            raise UsageError(where, found, "a new folder", "Nothing was touched.")
        if held:
            fix = f"Pass --force to replace {kind.what} that is there." if older else ""
            raise UsageError(where, f"is not empty: it holds {_shown(held)}", "a new or an empty folder", fix)
    target = _real(path)
    try_place(where, target if _stays(target) else staging(target))
    return path


class FolderWriter:
    """Writes a folder beside its place, and moves it there whole.

    Used as a context manager that gives the folder to write; leaving it without :meth:`commit` leaves
    everything as it was. A folder that cannot be moved, such as the place where a disk is mounted, stays: its
    entries are exchanged instead, and an exchange that was cut off is brought to its end by the next writer.

    Args:
        path: The place; it may be missing, with folders above it.
        kind: What will lie there.
        force: See :func:`check_place`.
        keep: See :func:`check_place`; what is kept lies in the new folder too.

    Raises:
        UsageError: See :func:`check_place`.
        OutputError: From any method, if the disk is full or the place changed meanwhile.
    """

    def __init__(self, path: Path | str, kind: Kind, *, force: bool = False, keep: bool = False) -> None:
        self.path = check_place(path, kind, force=force, keep=keep)
        self.kind, self.force, self.keep = kind, force, keep
        self.target = _real(self.path)
        self.partial = staging(self.target)
        self._made: list[Path] = []
        self._done = False

    def __enter__(self) -> Path:
        try:
            with writing(self.path):
                shutil.rmtree(self.partial, ignore_errors=True)
                self._made = begin_in(self.partial.parent, self.partial.mkdir)
        except BaseException as error:  # a signal too: what fails on the way in is never told to __exit__
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self.partial

    def commit(self) -> Path:
        """Move the folder to its place; returns it.

        Raises:
            OutputError: If somebody has put something there meanwhile; what was made then lies beside it.
        """
        with writing(self.path):
            if not self._free():
                saved = _unused(self.target)
                os.rename(self.partial, saved)
                raise OutputError(
                    str(self.path), "somebody put something there during the work", "", f"The result lies in {saved}."
                )
            if self.partial.parent == self.target:
                _exchange_entries(self.partial, self.target, self.kind.others(self.target))
            elif os.path.isdir(self.target) and os.listdir(self.target):
                _replace(self.partial, self.target, self.kind.others(self.target))
            else:
                os.rename(self.partial, self.target)  # onto an empty folder too
            self._done = True
        return self.path

    def _free(self) -> bool:
        """Whether the place is still as it may be written."""
        if not os.path.lexists(self.target):
            return True
        if not os.path.isdir(self.target):
            return False
        return not self.kind.in_the_way(self.target, force=self.force, keep=self.keep)[0]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._done:
            shutil.rmtree(self.partial, ignore_errors=True)
            remove_folders(self._made)


@contextmanager
def whole_folder(path: Path | str, kind: Kind, *, force: bool = False, keep: bool = False) -> Iterator[Path]:
    """Give a folder to write, which is moved to its place at the end; see :class:`FolderWriter`."""
    writer = FolderWriter(path, kind, force=force, keep=keep)
    with writer as partial:
        with writing(place_name("", writer.path)):
            yield partial
        writer.commit()


def replace_folder(new: Path, old: Path, kept: Iterable[str]) -> None:
    """Put a finished folder in the place of an older one, in one step.

    Args:
        new: The new folder, named as :func:`staging` names it.
        old: The older one.
        kept: Paths in the older one that are carried over, where the new one has none of that name.

    Raises:
        OutputError: If it cannot be done.
    """
    with writing(old):
        if new.parent == _real(old):
            _exchange_entries(new, new.parent, kept)
        else:
            _replace(new, _real(old), kept)


def staging(target: Path) -> Path:
    """Where a folder is written before it is moved to ``target``: beside it, or in it where it has to stay."""
    name = f".{target.name}.partial-{os.getpid()}"
    return target / name if _stays(target) else target.with_name(name)


def settle(path: Path | str) -> None:
    """Bring to its end, or take away, what killed writers have left beside a place."""
    with suppress(OSError):
        _settle(_real(Path(path)))


def _settle(target: Path) -> None:
    beside = f".{target.name}.partial-"
    for folder in (target.parent, target):
        with suppress(OSError):
            for name in os.listdir(folder):
                left = folder / name
                if not name.startswith(beside) or _alive(name.rsplit("-", 1)[1]):
                    continue
                if (left / _REPLACED).exists() and folder == target.parent:
                    _finish(left, target)
                elif (left / _REPLACED).exists():
                    _move_entries(left, target)
                else:
                    shutil.rmtree(left, ignore_errors=True)
    with suppress(OSError):
        (target / _REPLACED).unlink()


def _finish(old: Path, target: Path) -> None:
    """End a replacement that was cut off: ``old`` is the folder that was there before."""
    if not os.path.lexists(target):  # cut off between two moves, where folders cannot be exchanged
        (old / _REPLACED).unlink()
        os.rename(old, target)
        return
    kept = (old / _REPLACED).read_bytes().split(b"\0")
    for name in map(os.fsdecode, filter(None, kept)):
        if os.path.lexists(old / name) and not os.path.lexists(target / name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            os.rename(old / name, target / name)
    shutil.rmtree(old, ignore_errors=True)


def _replace(new: Path, target: Path, kept: Iterable[str]) -> None:
    """Exchange two folders, carry over what is to be kept, and remove the older one."""
    (target / _REPLACED).write_bytes(b"\0".join(map(os.fsencode, kept)))
    if _exchange(new, target):
        old = new
    else:
        old = target.with_name(f".{target.name}.partial-old-{os.getpid()}")
        os.rename(target, old)
        os.rename(new, target)
    _finish(old, target)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system or its disk cannot (all but Linux)."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of linux/fs.h
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _exchange_entries(new: Path, target: Path, kept: Iterable[str]) -> None:
    """Put the entries of a folder in the place of an older result's, one by one."""
    (new / _REPLACED).write_bytes(b"")  # from here on the next writer goes forward
    stay = {new.name, *(Path(path).parts[0] for path in kept)}
    for name in set(os.listdir(target)) - set(os.listdir(new)) - stay:
        _remove(target / name)
    _move_entries(new, target)


def _move_entries(new: Path, target: Path) -> None:
    for name in os.listdir(new):
        if name != _REPLACED:
            _remove(target / name)
            os.rename(new / name, target / name)
    shutil.rmtree(new)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _stays(target: Path) -> bool:
    """Whether a folder is there and cannot be moved: a mounted disk, or one in a folder that may not be written."""
    return os.path.isdir(target) and (os.path.ismount(target) or not os.access(target.parent, os.W_OK | os.X_OK))


def _real(path: Path) -> Path:
    """The folder behind links and dots; a link stays a link, and the folder that it names is replaced."""
    return real_path(path)


def _unused(target: Path) -> Path:
    number = 1
    while os.path.lexists(saved := target.with_name(f"{target.name}-{number}")):
        number += 1
    return saved


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _is_partial(name: str) -> bool:
    return name.startswith(".") and ".partial-" in name or name.startswith(".partial-")


def _alive(pid: str) -> bool:
    """Whether another process of this number runs (any answer but 'no such process' counts as yes).

    This one is beginning: what bears its number was left by an earlier one, as in a container, where numbers recur.
    """
    try:
        if int(pid) == os.getpid():
            return False
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except OSError:
        return True
    return True
