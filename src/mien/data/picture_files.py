"""Which files of a folder are pictures: the one walk that every reader of folders takes.

Folders as people have them hold more than pictures: thumbnails of a file server, check points of a
notebook, remains of a Mac's archive. Taken for classes they spoil a corpus; left out without a word,
so do pictures whose ending nobody thought of. So everything below a folder is either a picture,
litter by its name, or counted as not read.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mien.errors import DataError
from mien.pictures.opening import FORMATS, dead_link, readable_formats

#: What systems and programs leave in folders; besides these, whatever begins with a dot.
_LITTER = frozenset(
    {"@eadir", "@synoresource", "__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
    | {"#recycle", "$recycle.bin", "lost+found", "system volume information"}
    | {".ipynb_checkpoints", ".ds_store", ".git"}  # hidden ones that are called by their name
)
_OPEN = "a folder that you may read"
_ENDINGS = frozenset(ending for endings in FORMATS.values() for ending in endings)
# The first bytes of the formats that are often saved without an ending.
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What lies below a folder.

    Attributes:
        root: The folder.
        pictures: Every picture, in the order of its path; links that lead nowhere but are named like pictures too.
        empty: Folders without any picture below them, relative to the root, outermost only.
        dead: Other links that lead nowhere, such as one for a whole class.
        litter: Kind of litter -> files left out (a folder of litter without files counts one).
        unread: Ending -> files that are no picture and no litter.
        others: These files, in the order of their paths.
        links: Links to folders that were followed.
        loops: Links not followed because they lead back to a folder above.
    """

    root: Path
    pictures: tuple[Path, ...]
    empty: tuple[str, ...]
    dead: tuple[Path, ...]
    litter: dict[str, int]
    unread: dict[str, int]
    others: tuple[Path, ...]
    links: int
    loops: int

    @property
    def facts(self) -> dict[str, Any]:
        """What was left out, for people to read; empty where nothing was."""
        found: dict[str, Any] = {
            "folders without a picture": list(self.empty),
            "files that are no pictures, not read": dict(self.unread),
            "litter of programs and systems, left out": dict(self.litter),
            "links to folders, followed": self.links,
            "links back to a folder above, not followed": self.loops,
        }
        return {what: n for what, n in found.items() if n}

    def bad_links(self) -> list[DataError]:
        """One error for each link that leads nowhere and is not named like a picture."""
        return [dead_link(p) for p in self.dead]


def list_pictures(root: Path, *, unreadable: bool = False) -> Listing:
    """Walk a folder: follow links, leave litter out, count what is not read.

    Args:
        root: The folder.
        unreadable: Whether pictures of formats that cannot be opened here, such as HEIC without its extra, are pictures
            too, for whoever tells why.

    Raises:
        DataError: If a folder cannot be opened.
    """
    walk = _Walk(unreadable)
    resolved = root.resolve()
    above = frozenset(filter(None, map(_identity, (resolved, *resolved.parents))))
    walk.folder(root, "", above)
    pictures = tuple(sorted(walk.pictures, key=lambda p: p.parts))
    ordered = sorted(walk.unread.items(), key=lambda item: (-item[1], item[0]))
    return Listing(
        root=root,
        pictures=pictures,
        empty=tuple(sorted(walk.empty)),
        dead=tuple(sorted(walk.dead)),
        litter=dict(sorted(walk.litter.items())),
        unread=dict(ordered),
        others=tuple(sorted(walk.others, key=lambda p: p.parts)),
        links=walk.links,
        loops=walk.loops,
    )


class _Walk:
    def __init__(self, unreadable: bool = False) -> None:
        self.unreadable = unreadable
        self.pictures: list[Path] = []
        self.empty: list[str] = []
        self.dead: list[Path] = []
        self.litter: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()
        self.others: list[Path] = []
        self.links = self.loops = 0

    def folder(self, path: Path, below: str, above: frozenset[tuple[int, int]]) -> bool:
        """Walk one folder; whether it holds any picture. ``above`` are the folders on the way to it and itself."""
        found, empty = False, []
        for entry in entries_of(path):
            kind = _litter(entry.name)
            if kind:
                self.litter[kind] += _count_files(entry)
            elif _is_folder(entry):
                name = f"{below}/{entry.name}".lstrip("/")
                here = _identity(Path(entry.path))
                if here in above:
                    self.loops += 1
                    continue
                self.links += entry.is_symlink()
                if self.folder(path / entry.name, name, above | ({here} if here else set())):
                    found = True
                else:
                    empty.append(name)
            else:
                found |= self.file(path / entry.name)
        if found or not below:
            self.empty += empty  # an empty folder within an empty one is not named again
        return found

    def file(self, path: Path) -> bool:
        gone = path.is_symlink() and not path.exists()
        if has_picture_ending(path, unreadable=self.unreadable) or (not gone and _by_content(path)):
            self.pictures.append(path)
            return True
        if gone and not path.suffix:
            self.dead.append(path)
            return False
        self.unread[path.suffix.lower() or "without an ending"] += 1
        self.others.append(path)
        return False


def holds_picture(root: Path, depth: int = 3) -> bool:
    """Whether a folder has a picture at most ``depth`` levels down, litter apart; stops at the first.

    Raises:
        DataError: If a folder on the way may not be read.
    """
    if not root.is_dir():
        return False
    entries = [e for e in entries_of(root) if not _litter(e.name)]
    folders: list[os.DirEntry[str]] = []
    for entry in entries:
        if _is_folder(entry):
            folders.append(entry)
        elif has_picture_ending(path := Path(entry.path)) or _by_content(path):
            return True
    return depth > 1 and any(holds_picture(Path(e.path), depth - 1) for e in folders)


def subfolders(root: Path) -> list[Path]:
    """The folders right under one, litter apart, links followed, in order of their names."""
    return [root / e.name for e in entries_of(root) if not _litter(e.name) and _is_folder(e)]


def picture_names(root: Path) -> list[str]:
    """The names of the pictures right in a folder, litter apart, in order."""
    names = (entry.name for entry in entries_of(root))
    return [name for name in names if has_picture_ending(Path(name)) and not _litter(name)]


def find_file(root: Path, name: str) -> Path | None:
    """The file of that name in a folder, in capitals or not; None if there is none."""
    if not root.is_dir():
        return None
    _refuse_closed(root)
    if (root / name).is_file():
        return root / name
    named = (root / e.name for e in entries_of(root) if e.name.lower() == name.lower())
    return next((path for path in named if path.is_file()), None)


def find_folder(root: Path, name: str) -> Path | None:
    """The folder of that name in a folder, in capitals or not; None if there is none."""
    if not root.is_dir():
        return None
    _refuse_closed(root)
    if (root / name).is_dir():
        return root / name
    return next((f for f in subfolders(root) if f.name.lower() == name.lower()), None)


def has_picture_ending(path: Path, *, unreadable: bool = False) -> bool:
    """Whether a file's name ends like a picture that can be opened here, or with ``unreadable`` of any known format."""
    return path.suffix.lower() in (_ENDINGS if unreadable else _readable_endings())


def is_picture_file(path: Path) -> bool:
    """Whether a file is named or begins like a picture, of whatever known format."""
    return has_picture_ending(path, unreadable=True) or _by_content(path)


@cache
def _readable_endings() -> frozenset[str]:
    return frozenset(ending for f in readable_formats() for ending in FORMATS[f])


def _by_content(path: Path) -> bool:
    """Whether a file whose ending says nothing begins like a picture.

    Endings that are a word say what a file is (``.bak``, ``.part``, ``.mp4``): such files are not opened.
    """
    ending = path.suffix[1:]
    if ending.isalnum() and not ending.isdigit():
        return False
    if not path.is_file():
        return False  # a pipe or a device would block
    try:
        with open(path, "rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return start.startswith(_MAGIC) or (start[:4] == b"RIFF" and start[8:] == b"WEBP") or start[4:12] == b"ftypavif"


def _litter(name: str) -> str:
    """Which litter a name is, '' for none."""
    plain = name.lower()
    if plain in _LITTER:
        return name.strip()
    if name.startswith("._"):
        return "._ files"
    return "hidden" if name.startswith(".") else ""


def entries_of(path: Path) -> list[os.DirEntry[str]]:
    """What lies right in a folder, in order of the names: the one way in which folders are listed.

    Raises:
        DataError: If it may not be listed, or nothing in it may be opened: an unreadable folder is no empty one.
    """
    _refuse_closed(path)
    try:
        with os.scandir(path) as found:
            return sorted(found, key=lambda e: e.name)
    except OSError as error:
        raise DataError(str(path), f"cannot be opened ({error.strerror})", _OPEN) from error


def _refuse_closed(path: Path) -> None:
    """Refuse a folder in which no file may be opened, though it may be listed."""
    if not os.access(path, os.X_OK):
        raise DataError(str(path), f"cannot be opened ({os.strerror(errno.EACCES)})", _OPEN)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a folder from others whatever way leads to it; None where the system does not say."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else None


def _count_files(entry: os.DirEntry[str]) -> int:
    """Files of one piece of litter, at least 1; links in it are not followed."""
    if entry.is_symlink() or not _is_folder(entry):
        return 1
    return max(1, sum(1 for _ in _files_below(Path(entry.path))))


def _files_below(path: Path) -> Iterator[str]:
    for _, _, names in os.walk(path):
        yield from names
