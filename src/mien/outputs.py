"""Places where results go: refused before the work if they cannot be written, and never left half-written.

Whoever waited an hour for an audit must not learn at its end that the folder was a file. So every verb
asks :func:`check_file` or :func:`check_folder` first, and these try: they make what would be made, write
a block, and take it away again. Rights, full disks, names that are too long and links to nothing all
show themselves so, whatever the system. What goes wrong nevertheless while results are written is one
sentence: :func:`writing`, :func:`whole`, :func:`whole_folder`.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mien.errors import OutputError, UsageError

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
#: Errors that only writing can bring: seen anywhere in the work, they mean a result and not an input.
ONLY_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_TRIAL = b"\0" * 4096  # one block: a full disk may still have room for a name


def check_file(path: Path | str, option: str = "", inputs: Iterable[Path | str] = ()) -> Path:
    """Refuse a file that cannot be written, before any work is done.

    Folders on the way may be missing: whoever writes makes them.

    Args:
        path: The file.
        option: How the user named it, such as ``--out``; for the message.
        inputs: Files and folders that are read: the file must be none of them.

    Raises:
        UsageError: If it is a folder or an input, or nothing can be written there.
    """
    path = Path(path)
    where = _where(option, path)
    if os.path.isdir(path):
        raise UsageError(where, "is a folder", "the name of a file")
    _refuse_inputs(where, path, inputs)
    if not _special(path):
        target = _target(path)
        _try(where, target.parent, target.name)
    return path


def check_folder(
    path: Path | str,
    option: str = "",
    inputs: Iterable[Path | str] = (),
    files: Iterable[str] = (),
    *,
    beside: bool = False,
) -> Path:
    """Refuse a folder in which nothing can be written, before any work is done.

    Args:
        path: The folder; it may be missing, with those above it.
        option: How the user named it, such as ``--out``; for the message.
        inputs: Files and folders that are read: neither the folder nor its files may be one of them.
        files: Names of what will be written into it.
        beside: It will be written beside its place, under a longer name, and moved there.

    Raises:
        UsageError: If it is a file or an input, or nothing can be written there.
    """
    path = Path(path)
    where = _where(option, path)
    _refuse_inputs(where, path, inputs)
    for name in files:
        if os.path.isdir(path / name):
            raise UsageError(where, f"holds a folder {name}, which is the name of a result", "another folder")
        _refuse_inputs(_where(option, path / name), path / name, inputs)
    _try(where, _beside(path) if beside else path, "results")
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
                raise UsageError(_where(name, path), f"is the place of {other} too", "a place of its own for each")


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
        found, fix = _reason(error)
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
    with writing(_where("", path)):
        if _special(path):
            yield path
            return
        target = _target(path)
        made = _make(target.parent)
        partial = target.with_name(target.name + ".partial")
        try:
            yield partial
            os.replace(partial, target)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            _remove(made)
            raise


@contextmanager
def whole_folder(path: Path | str) -> Iterator[Path]:
    """Write several files into a folder, all or none: give a folder to write, whose files are moved at the end.

    Files of other names that the folder holds stay as they are.

    Raises:
        OutputError: If they cannot be written; then nothing is left behind, and older files stay.
    """
    path = Path(path)
    with writing(_where("", path)):
        made = _make(path)
        partial = path / f".partial-{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir()
            yield partial
            for file in sorted(partial.iterdir()):
                os.replace(file, path / file.name)
            partial.rmdir()
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            _remove(made)
            raise


def write_text(path: Path | str, text: str) -> None:
    """Write text as UTF-8, whole or not at all.

    Raises:
        OutputError: If it cannot be written.
    """
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _where(option: str, path: Path) -> str:
    text = str(path)
    return f"{option} {text if len(text) <= 200 else text[:60] + '...' + text[-60:]}".strip()


def _refuse_inputs(where: str, path: Path, inputs: Iterable[Path | str]) -> None:
    for given in map(Path, inputs):
        if _same(path, given):
            raise UsageError(where, "is an input, which would be overwritten", "another name")


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # one of them is not there yet
        return os.path.realpath(one) == os.path.realpath(other)


def _special(path: Path) -> bool:
    """Whether a name stands for a device or a pipe, in whose place no file may be put."""
    if Path(os.path.abspath(path)).parts[1:2] in (("dev",), ("proc",)):
        return os.path.exists(path)  # /dev/stdout may lead to a plain file, which the shell holds open
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def _target(path: Path) -> Path:
    """The file behind links, so that a link stays one; a link into a folder that is missing is that folder's fault."""
    if not os.path.islink(path):
        return path
    target = Path(os.path.realpath(path))
    return target if os.path.isdir(target.parent) else path / target.name


def _try(where: str, folder: Path, name: str) -> None:
    """Write a block as the results will be written, and take it away again."""
    trial = folder / f".{name}.trial-{os.getpid()}"
    made: list[Path] = []
    try:
        made = _make(folder)
        with open(trial, "xb") as file:
            file.write(_TRIAL)
    except (OSError, ValueError) as error:
        found, fix = _reason(error)
        raise UsageError(where, f"cannot be written: {found}", "", fix) from error
    finally:
        with suppress(OSError, ValueError):  # most often nothing was written
            trial.unlink()
        _remove(made)


def _beside(path: Path) -> Path:
    path = path if path.name not in ("", "..") else Path(os.path.realpath(path))
    return path.parent / f".{path.name}.partial-trial-{os.getpid()}"


def _make(folder: Path) -> list[Path]:
    """Make a folder and those above it; returns those that are new, the innermost first."""
    missing = []
    at = folder
    while not os.path.lexists(at) and at != at.parent:
        missing.append(at)
        at = at.parent
    if not os.path.isdir(at):
        nowhere = os.path.islink(at) and not os.path.exists(at)
        kind = "a link that leads nowhere" if nowhere else "a file, not a folder"
        raise NotADirectoryError(errno.ENOTDIR, f"{at} is {kind}", str(at))
    made: list[Path] = []
    try:
        for new in reversed(missing):
            new.mkdir(exist_ok=True)
            made.insert(0, new)
    except OSError:
        _remove(made)
        raise
    return made


def _remove(made: Iterable[Path]) -> None:
    """Remove folders that were made, unless somebody has put something there."""
    for folder in made:
        try:
            folder.rmdir()
        except OSError:
            return


def _reason(error: OSError | ValueError) -> tuple[str, str]:
    """Why, in words, and what to do."""
    number = getattr(error, "errno", None)
    if number in _REASONS:
        return _REASONS[number]
    fix = "Write somewhere else."
    if number == errno.ENOTDIR and isinstance(error, OSError):
        return str(error.strerror), fix
    return str(getattr(error, "strerror", None) or error), fix
