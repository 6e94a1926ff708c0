"""A question that a page answers: the finding in sentences, figures, tables, and what to mind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from mien.records import Estimate

LONG_TABLE = 10  # rows; longer tables open on a click


@dataclass(frozen=True)
class Cell:
    """A value in a table.

    Attributes:
        text: The value; empty where undefined.
        range: Its interval.
        note: Anything to say about it.
    """

    text: str
    range: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a section.

    Attributes:
        caption: What it holds.
        header: Titles of the columns, the first of the rows' own names.
        rows: For each row its name and the other cells.
        summary: What to click on to see it; empty for a table that is open.
    """

    caption: str
    header: list[str]
    rows: list[list[str | Cell]]
    summary: str = ""


@dataclass(frozen=True)
class Drawing:
    """A figure with what to read from it."""

    svg: Markup
    caption: str


@dataclass(frozen=True, kw_only=True)
class FurtherSection:
    """One question about one attribute.

    Attributes:
        kind: What it is about: ``disagreement``, ``confounders``, ``inferred``, ``leakage``, ``comparison``, ...
        title: The question.
        anchor: Its id on the page.
        sentences: The finding, the first of them most important.
        figures: Drawn figures.
        tables: Tables.
        notes: What to mind.
        template: The file that shows it, as ``topic``.
    """

    kind: str
    title: str
    anchor: str
    sentences: list[str]
    figures: list[Drawing] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    template: str = "further.html.j2"


def cell(estimate: Estimate, form: str = ".3f", note: bool = True) -> Cell:
    """A value with its interval, both in one format; its note unless told otherwise."""
    said = estimate.note if note else ""
    if estimate.value != estimate.value:
        return Cell("", "", said)
    known = estimate.low == estimate.low and estimate.high == estimate.high
    ends = f"{format(estimate.low, form)} to {format(estimate.high, form)}" if known else ""
    return Cell(format(estimate.value, form), ends, said)


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str | Cell]], summary: str = "") -> Table:
    """A table; a long one without a summary of its own opens on a click on its caption."""
    content = [list(row) for row in rows]
    return Table(caption, list(header), content, summary or (caption if len(content) > LONG_TABLE else ""))
