"""Numbers and tables in Markdown that also reads well as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from mien.records import Estimate, thousandths


def interval(estimate: Estimate | None) -> str:
    """``0.712 [0.690, 0.733]``; a dash where undefined."""
    if estimate is None or estimate.value != estimate.value:
        return "–"
    text = thousandths(estimate.value)
    ends = f"[{thousandths(estimate.low)}, {thousandths(estimate.high)}]"
    return text if estimate.low != estimate.low else f"{text} {ends}"


def number(value: float) -> str:
    """Three decimals; a dash where undefined."""
    return "–" if value != value else thousandths(value)


def p_value(value: float) -> str:
    """``0.012`` or ``<0.001``; a dash where undefined."""
    return "<0.001" if value < 0.0005 else number(value)


def p_words(value: float) -> str:
    """``p = 0.012`` or ``p < 0.001``, inside a sentence."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, with an empty line after it."""
    cells = [[c.replace("|", "\\|") for c in row] for row in (header, *rows)]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return [lines[0], "|" + " --- |" * len(header), *lines[1:], ""]
