"""The tables of docs/corpora.md, from what the readers declare: python benchmarks/corpora_page.py writes them anew.

Nothing in them is typed by hand: classes in order, attributes, published numbers of faces, landmarks and terms are
the constants of ``mien.data.datasets``, layouts the passage of each file's docstring that begins with Layout.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mien.data.datasets import DATASETS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "corpora.md"
BEGIN, END = "<!-- tables: python benchmarks/corpora_page.py -->", "<!-- end of tables -->"
_LAYOUT = re.compile(r"Layouts?: (.*?)(?:\n\n|$)", re.DOTALL)


def published() -> dict[str, Any]:
    """Reader -> its module, of the corpora that somebody published."""
    modules = {name: sys.modules[DATASETS.get(name).__module__] for name in DATASETS}
    return {name: module for name, module in modules.items() if hasattr(module, "SOURCE")}


def row(cells: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def counted(numbers: dict[str, int]) -> str:
    """Numbers of faces, a split."""
    return ", ".join(f"{split} {n:,}" for split, n in numbers.items())


def contents() -> Iterator[str]:
    """What is in each corpus."""
    yield row(["reader", "classes, in the order of the votes", "attributes", "landmarks", "faces published"])
    yield row(["---"] * 5)
    for name, module in published().items():
        attributes = getattr(module, "ATTRIBUTES", {})
        groups = "; ".join(f"{a} ({', '.join(g)})" for a, g in attributes.items())
        points = getattr(module, "LANDMARKS", "")
        numbers = counted(getattr(module, "PUBLISHED", {}))
        if hasattr(module, "SEQUENCES"):
            numbers = f"{module.SEQUENCES} sequences with an emotion"
        yield row([f"`{name}`", ", ".join(module.CLASSES) or "none", groups, points, numbers])
        if hasattr(module, "COMPOUND"):
            numbers = counted(module.PUBLISHED_COMPOUND)
            yield row([f"`{name}`, `compound=true`", ", ".join(module.COMPOUND), groups, points, numbers])


def layouts() -> Iterator[str]:
    """How each corpus is recognised, and where people get it."""
    yield row(["reader", "layout", "terms", "where"])
    yield row(["---"] * 4)
    for name, module in published().items():
        found = _LAYOUT.search(module.__doc__ or "")
        layout = " ".join(found[1].split()).replace("``", "`").replace("|", "\\|") if found else ""
        yield row([f"`{name}`", layout.rstrip("."), module.TERMS, f"<{module.SOURCE}>"])


def tables() -> str:
    """Both tables, between their marks."""
    return "\n".join([BEGIN, "", *contents(), "", *layouts(), "", END])


def renewed(page: str) -> str:
    """A page with its tables written anew.

    Raises:
        ValueError: If it has not both marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN if not begin else END}")
    return before + tables() + after


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
