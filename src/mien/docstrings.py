"""Docstrings in Google style, read back: what a component and its options do."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

_SECTION = re.compile(r"(Args|Arguments|Returns|Raises|Attributes|Yields|Example|Examples):$")
_ENTRY = re.compile(r"(\*{0,2}\w+)(?: \([^)]*\))?: ?(.*)$")


def _doc(function: Callable[..., Any]) -> str:
    """A docstring without marks that only make pages: ``:class:`X``` is X."""
    return re.sub(r":\w+:`~?([\w.]+)`", r"\1", inspect.getdoc(function) or "").replace("``", "`")


def first_line(function: Callable[..., Any]) -> str:
    """The first line of a docstring; empty without one."""
    return _doc(function).split("\n", 1)[0]


def prose(function: Callable[..., Any]) -> str:
    """A docstring without its sections of arguments and the like: what it is, and where it comes from."""
    lines: list[str] = []
    inside = False  # a section reaches as far as its indented lines
    for line in _doc(function).split("\n"):
        inside = bool(_SECTION.match(line)) or (inside and (not line or line.startswith(" ")))
        if not inside and (line or lines[-1:] != [""]):
            lines.append(line)
    return "\n".join(lines).strip()


def arguments(function: Callable[..., Any]) -> dict[str, str]:
    """What a docstring says of each argument, in one line each.

    A class may say it in its own docstring, in that of its ``__init__``, or in that of the class whose ``__init__``
    it inherits: one of a family, such as a size of a network.
    """
    inner = _entries(_doc(function.__init__)) if inspect.isclass(function) else {}
    inherited: dict[str, str] = {}
    for base in reversed(inspect.getmro(function)[1:]) if inspect.isclass(function) else ():
        if base.__init__ is function.__init__ and base is not object:  # type: ignore[misc]
            inherited |= _entries(_doc(base))
    return inner | inherited | _entries(_doc(function))


def _entries(doc: str) -> dict[str, str]:
    found: dict[str, str] = {}
    inside, name = False, ""
    for line in doc.split("\n"):
        if not line.startswith(" "):
            inside = line in ("Args:", "Arguments:") or (inside and not line)
            continue
        entry = _ENTRY.match(line.strip())
        if inside and entry and len(line) - len(line.lstrip()) == 4:
            name = entry[1].lstrip("*")
            found[name] = entry[2]
        elif inside and name:
            found[name] = f"{found[name]} {line.strip()}"
    return found
