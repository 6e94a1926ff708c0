"""Files that are read: regular ones of a bearable size, told before they are opened.

Opening a pipe waits for somebody who writes into it, a device may never end, and a file of many
gigabytes under the name of a small one fills the memory before anything in it is looked at. None of
these is what anybody means by the name of a table, a picture or a configuration.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mien.errors import DataError, MienError

AT_ONCE = 1 << 25  # bytes of decoded pictures that are worked on at once
SMALL = 1 << 28  # bytes; cards, records and configurations have a few thousand
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISDIR, "a folder"),
)


def check_regular(
    path: Path | str, expected: str = "a file", *, most: int | None = None, error: type[MienError] = DataError
) -> None:
    """Refuse what is no regular file, or is too large. A path that is not there is for its reader to tell.

    Links are followed: a link to a file is that file, and so is ``/dev/stdin`` where the shell feeds it from one.

    Args:
        path: The file.
        expected: What should stand there, for the message.
        most: Most bytes that it may have; any number by default.
        error: What to raise.

    Raises:
        MienError: Of the given kind.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the name
        reason = getattr(fault, "strerror", None) or fault
        raise error(str(path), f"cannot be read ({reason})", expected) from fault
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for test, name in _KINDS if test(found.st_mode)), "no file")
        fix = "" if kind == "a folder" else "Write its content into a file, and give that."
        raise error(str(path), f"is {kind}", expected, fix)
    if most is not None and found.st_size > most:
        raise error(str(path), f"has {found.st_size:,} bytes", f"{expected} of at most {most:,} bytes")


def read_small(
    path: Path | str, expected: str = "a file", *, most: int = SMALL, error: type[MienError] = DataError
) -> bytes:
    """The bytes of a file that is held in memory whole.

    Args:
        path: The file.
        expected: What should stand there, for the message.
        most: Most bytes that it may have.
        error: What to raise.

    Raises:
        MienError: Of the given kind, if it is missing, no regular file, too large, or cannot be read.
    """
    check_regular(path, expected, most=most, error=error)
    try:
        with open(path, "rb") as file:
            content = file.read(most + 1)  # files of /proc say that they have no bytes
    except (OSError, ValueError) as fault:
        reason = getattr(fault, "strerror", None) or fault
        raise error(str(path), f"cannot be read ({reason})", expected) from fault
    if len(content) > most:
        raise error(str(path), f"has more than {most:,} bytes", f"{expected} of at most {most:,} bytes")
    return content


def rows_at_once(bytes_of_one: int, most: int) -> int:
    """How many rows to hold at once: ``most`` of small ones, fewer where they are large, at least one.

    >>> rows_at_once(48 * 48, 512), rows_at_once(3000 * 3000 * 3, 512)
    (512, 1)
    """
    return max(1, min(most, AT_ONCE // max(1, bytes_of_one)))
