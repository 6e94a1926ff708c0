"""Files whole or not at all, and whatever prevents writing in one sentence."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mien.errors import OutputError

# Why a place cannot be written, and what to do.
_FREE = "Free some space, or write somewhere else."
_REASONS = {
    errno.ENOSPC: ("the disk is full", _FREE),
    errno.EDQUOT: ("your share of the disk is used up", _FREE),
    errno.EFBIG: ("a file may not grow so large there", "Write somewhere else, or raise the limit (ulimit -f)."),
    errno.EROFS: ("nothing can be written on that disk", "Write somewhere else."),
    errno.EACCES: ("writing there is not permitted", "Write somewhere else, or ask for the right."),
    errno.EPERM: ("writing there is not permitted", "Write somewhere else, or ask for the right."),
    errno.ENAMETOOLONG: ("the name is too long", "Use a shorter one."),
    errno.ELOOP: ("its links lead round in a circle", "Write somewhere else."),
    errno.ENOENT: ("no folder can be made there", "Write somewhere else."),
    errno.EIO: ("the disk reports an error", "Write somewhere else, and see to that disk."),
}
# How often a place is begun anew that others take away.
_TRIES = 50
#: Errors that only writing can bring: seen anywhere in the work, they mean a result and not an input.
ONLY_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


@contextmanager
def writing(where: Path | str, *, mixed: bool = False) -> Iterator[None]:
    """Turn whatever prevents writing into one sentence.

    Args:
        where: What is written.
        mixed: Files are read inside as well: only what writing alone can bring (a full disk) is turned.

    Raises:
        OutputError: In place of an OSError.
    """
    try:
        yield
    except OutputError as error:
        if mixed:
            raise  # it names the very file
        raise OutputError(str(where), error.found, "", error.fix) from error
    except OSError as error:
        if mixed and error.errno not in ONLY_WRITING:
            raise
        found, fix = reason_of(error)
        raise OutputError(str(where), f"could not be written: {found}", "", fix) from error


@contextmanager
def whole(path: Path | str) -> Iterator[Path]:
    """Write a file whole or not at all: give the path to write, which takes its place at the end.

    A link stays a link: the file that it names is replaced. Devices and pipes (``/dev/stdout``) are
    written as they are. Folders on the way are made.

    Raises:
        OutputError: If it cannot be written; then nothing is left behind, and an older file stays.
    """
    path = Path(path)
    with writing(place_name("", path)):
        if is_special(path):
            yield path
            return
        target = target_of(path)
        partial = target.with_name(target.name + ".partial")
        made = begin_in(target.parent, partial.touch)
        try:
            yield partial
            os.replace(partial, target)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            remove_folders(made)
            raise


def write_text(path: Path | str, text: str) -> None:
    """Write text as UTF-8, whole or not at all.

    Raises:
        OutputError: If it cannot be written.
    """
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def place_name(option: str, path: Path) -> str:
    """What a place is called in a message: the option that named it, and the path, cut if it is very long."""
    text = str(path)
    return f"{option} {text if len(text) <= 200 else text[:60] + '...' + text[-60:]}".strip()


def is_special(path: Path) -> bool:
    """Whether a name stands for a device or a pipe, in whose place no file may be put."""
    if Path(os.path.abspath(path)).parts[1:2] in (("dev",), ("proc",)):
        return os.path.exists(path)  # /dev/stdout may lead to a plain file, which the shell holds open
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def target_of(path: Path) -> Path:
    """The file behind links, so that a link stays one; a link into a folder that is missing is that folder's fault."""
    if not os.path.islink(path):
        return path
    target = Path(os.path.realpath(path))
    return target if os.path.isdir(target.parent) else path / target.name


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; returns those that are new, the innermost first."""
    missing = []
    at = folder
    while not os.path.lexists(at) and at != at.parent:
        missing.append(at)
        at = at.parent
    if not os.path.isdir(at):
        if not os.path.lexists(at):  # another has just taken it away
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(at))
        nowhere = os.path.islink(at) and not os.path.exists(at)
        kind = "a link that leads nowhere" if nowhere else "a file, not a folder"
        raise NotADirectoryError(errno.ENOTDIR, f"{at} is {kind}", str(at))
    made: list[Path] = []
    try:
        for new in reversed(missing):
            made.insert(0, new)  # before it is there: a signal may come as soon as it is
            with suppress(FileExistsError):  # another was quicker, and may take it away again
                new.mkdir()
    except BaseException:
        with suppress(OSError, IndexError):
            made.pop(0).rmdir()  # most often it could not be made, which says nothing of those around it
        remove_folders(made)
        raise
    return made


def begin_in(folder: Path, begin: Callable[[], object]) -> list[Path]:
    """Make a folder and put the first thing there; returns the folders that are new, the innermost first.

    Whoever tries the same place at the same time takes its folders away again while they are empty, even between the
    two: then both are done anew.

    Raises:
        OSError: If one of them fails for another reason; then no new folder is left.
    """
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):
            return _begun(folder, begin)
        time.sleep(0.001)
    return _begun(folder, begin)


def _begun(folder: Path, begin: Callable[[], object]) -> list[Path]:
    made = _make_folders(folder)
    try:
        begin()
    except BaseException:
        remove_folders(made)
        raise
    return made


def remove_folders(made: Iterable[Path]) -> None:
    """Remove folders that were made, unless somebody has put something there."""
    for folder in made:
        try:
            folder.rmdir()
        except OSError:
            return


def reason_of(error: OSError | ValueError) -> tuple[str, str]:
    """Why, in words, and what to do."""
    number = getattr(error, "errno", None)
    if number in _REASONS:
        return _REASONS[number]
    if isinstance(error, UnicodeEncodeError):
        return "the name is no UTF-8", "Use another name."
    fix = "Write somewhere else."
    if number == errno.ENOTDIR and isinstance(error, OSError):
        return str(error.strerror), fix
    return str(getattr(error, "strerror", None) or error), fix
