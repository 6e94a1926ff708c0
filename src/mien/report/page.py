"""A page as one file that loads nothing else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mien import __version__
from mien.audit.warned import headline
from mien.errors import UsageError
from mien.outputs import check_file, write_text
from mien.report.blocks import Box, Page, Section, Text
from mien.shown import visible


def check_out(out: Path | str, name: str = "") -> Path:
    """Refuse a place that cannot be written, before any work is done.

    Args:
        out: The file; or a folder, where ``name`` says what the file in it is called.
        name: Name of the file in a folder.

    Returns:
        The file.

    Raises:
        UsageError: If it is a folder without a name for the file, or its folder does not exist.
    """
    out = Path(out)
    out = out / name if name and out.is_dir() else out
    if out.is_dir() or not out.parent.is_dir():
        found = "is a folder" if out.is_dir() else f"the folder {out.parent} does not exist"
        raise UsageError(str(out), found, "a file in a folder that exists")
    return check_file(out)


def write_page(out: Path, page: Page) -> Path:
    """Render to ``out``, at once or not at all.

    Args:
        out: The file, as :func:`check_out` gives it.
        page: What to show.
    """
    write_text(out, render(page))
    return out


def render(page: Page) -> str:
    """The page as HTML."""
    return _environment().get_template("page.html.j2").render(version=__version__, page=page)


def notice(faces: bool = False, terms: str = "") -> Section:
    """What results are not for; ends every page about a model.

    Args:
        faces: Whether the page holds pictures of people.
        terms: Terms of the data; empty where they are not known.
    """
    texts = [
        "Expressions are what annotators perceive in a picture. They are not what a person feels, and this model "
        "cannot know that.",
        "It is not for inferring emotions of people at workplaces or in education institutions: the EU AI Act "
        "prohibits that (Regulation (EU) 2024/1689, Art. 5(1)(f); it excepts medical and safety reasons). People must "
        "be informed where an emotion recognition system is used on them (Art. 50(3)).",
        *([PICTURES] if faces else []),
        *([f"Terms of the data: {terms}"] if terms else []),
    ]
    return notice_section(texts)


PICTURES = "This file holds pictures of people. Share it only as the terms of the data allow."


def notice_section(texts: list[str]) -> Section:
    """The last section of a page: what it is not for."""
    return Section("What this is not for", "notice", [Box("notice", [Text(t) for t in texts])], entry="Notice")


def _shown(value: Any) -> Any:
    """What a template shows: signs that would turn the direction of writing are written out; markup is Mien's own."""
    return visible(value, lines=True) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def _environment() -> Environment:
    """The templates, with the filters that they use."""
    environment = Environment(
        loader=PackageLoader("mien.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"headline": headline, "kind": lambda block: type(block).__name__}
    return environment
