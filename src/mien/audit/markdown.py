"""Lines and tables in Markdown that also reads well as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mien.shown import visible

_HTML = re.compile(r"<(?=[A-Za-z/!?])")
_DEFINES = re.compile(r"[\s\d.)>*+-]*\[")  # a line that may say where a link of another line leads


def plain(line: str) -> str:
    """A line in which a name is no HTML, no link, no picture, no code and no second line.

    Entities do it, for they hold whatever stands before them; a backslash would not. Of what Mien writes itself
    nothing changes: ``p <0.001`` and ``[0.1, 0.2]`` stay.

    >>> plain("<b> of [x](http://a.org), p <0.001 [0.1, 0.2]")
    '&lt;b> of [x]&#40;http://a.org), p <0.001 [0.1, 0.2]'
    """
    line = _HTML.sub("&lt;", visible(line)).replace("`", "&#96;").replace("~~~", "&#126;~~")
    line = line.replace("](", "]&#40;").replace("][", "]&#91;")
    return line.replace("]:", "]&#58;") if _DEFINES.match(line) else line


def document(lines: Iterable[str]) -> str:
    """Lines of Markdown as one text, each :func:`plain`."""
    return "\n".join(map(plain, lines))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, with an empty line after it; cells are :func:`plain`, and none ends at a bar of its own."""
    # Readers differ in whether a bar after a backslash ends the cell, and in how many of them it takes.
    cells = [[plain(c).replace("\\|", "&#92;|").replace("|", "\\|") for c in row] for row in (header, *rows)]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return [lines[0], "|" + " --- |" * len(header), *lines[1:], ""]
