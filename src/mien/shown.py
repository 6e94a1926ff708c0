"""Text of others on its way to a terminal or a page: what would steer it is shown and does nothing.

Names of groups, classes, files and annotators come from tables, stores and folders that somebody else
made. An escape sequence in one can clear the screen, set the window's title or write a line that looks
like Mien's own; a sign that turns the direction of writing makes ``gpj.exe`` of a name that ends in
``exe.jpg``. So all that is printed passes :func:`tell`, and all that a page or a Markdown file shows
:func:`visible`; nothing in this package prints in another way.
"""

from __future__ import annotations

import re
import sys

# Control characters; marks without width and those that turn the direction; separators of lines; tags; halves of
# a character (bytes of file names that are no UTF-8). The joiners U+200C and U+200D belong to Persian and to emoji.
_STEERS = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f\ud800-\udfff]"
)
_SHORT = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}


def visible(text: str, *, lines: bool = False) -> str:
    """Text whose control characters, directions and marks without width stand there as Python writes them.

    Args:
        text: Any text.
        lines: Keep line breaks (``\\n``) and tabs: for text of several lines.

    >>> print(visible("a\\x1b[31mb\\nc"))
    a\\x1b[31mb\\nc
    """
    return text if text.isprintable() else _STEERS.sub(lambda m: _escape(m[0], lines), text)


def _escape(sign: str, lines: bool) -> str:
    if sign in _SHORT:
        return sign if lines and sign != "\r" else _SHORT[sign]
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def tell(*lines: object, err: bool = False) -> None:
    """Print lines on stdout, each visibly; a line break within one is shown and breaks nothing.

    Args:
        lines: One line each.
        err: On stderr.
    """
    for line in lines:
        print(visible(str(line)), file=sys.stderr if err else sys.stdout)
