"""Numbers and tables in Markdown that also reads well as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from mien.records import Estimate


def interval(estimate: Estimate | None) -> str:
    """``0.712 [0.690, 0.733]``; a dash where undefined."""
    if estimate is None or estimate.value != estimate.value:
        return "–"
    text = f"{estimate.value:.3f}"
    return text if estimate.low != estimate.low else f"{text} [{estimate.low:.3f}, {estimate.high:.3f}]"


def number(value: float) -> str:
    """Three decimals; a dash where undefined."""
    return "–" if value != value else f"{value:.3f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, with an empty line after it."""
    cells = [[c.replace("|", "\\|") for c in row] for row in (header, *rows)]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return [lines[0], "|" + " --- |" * len(header), *lines[1:], ""]
