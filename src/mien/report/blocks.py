"""What pages are made of: sections of blocks. A page makes them, two templates show them.

A block is a :class:`Text`, :class:`Items`, :class:`Table`, :class:`Figures`, :class:`Faces`, :class:`Folded`,
:class:`Box` or another :class:`Section`. To add a section to a page, return one more ``Section``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from mien.records import Estimate
from mien.report import words
from mien.wording import ends, number, p_value, plural

LONG_TABLE = 10  # rows; longer tables open on a click
SMALL = "muted small"


@dataclass(frozen=True)
class Cell:
    """A value in a table.

    Attributes:
        text: The value; empty where undefined.
        range: Its interval.
        note: Anything to say about it.
        standing: How it compares with what was to be expected.
        found: Whether it is a finding that the eye should catch.
    """

    text: str
    range: str = ""
    note: str = ""
    standing: str = ""
    found: bool = False


Row = list[str | Cell]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        caption: What it holds; empty where its heading says that.
        header: Titles of the columns; empty for a table of names and values.
        rows: The cells of each row, its name among them.
        summary: What to click on to see it; empty for a table that is open.
        style: A class of the style sheet.
        names: The column of the rows' own names.
        right: Columns of plain numbers, which stand to the right.
        few: Rows of too few faces.
    """

    caption: str
    header: list[str]
    rows: list[Row]
    summary: str = ""
    style: str = ""
    names: int = 0
    right: Collection[int] = ()
    few: Collection[int] = ()


@dataclass(frozen=True)
class Drawing:
    """A figure with what to read from it.

    Attributes:
        svg: The figure.
        caption: What to read from it.
        wide: Whether it scrolls sideways on narrow screens, rather than shrink.
        narrow: Another figure for narrow screens.
    """

    svg: Markup
    caption: str = ""
    wide: bool = False
    narrow: Markup | None = None


@dataclass(frozen=True)
class Figures:
    """Figures beside each other; a single one has the whole width if it is ``wide`` or has a narrow form."""

    drawings: list[Drawing]


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Attributes:
        text: The paragraph.
        style: Classes of the style sheet.
        strong: What stands before it in bold letters.
    """

    text: str
    style: str = ""
    strong: str = ""


@dataclass(frozen=True)
class Items:
    """A list of sentences, or of words with what they mean.

    Attributes:
        items: The sentences; pairs of a word and its meaning.
        style: Classes of the style sheet.
    """

    items: Sequence[str | tuple[str, str]]
    style: str = ""


@dataclass(frozen=True)
class Code:
    """Text that keeps its lines."""

    text: str


@dataclass(frozen=True)
class Face:
    """A picture of a person.

    Attributes:
        uri: The picture as a PNG data URI.
        caption: What stands below it.
        alt: Its text alternative.
        wrong: Whether it is marked as a mistake.
    """

    uri: str
    caption: str
    alt: str
    wrong: bool = False


@dataclass(frozen=True)
class FaceRow:
    """Some faces of one kind.

    Attributes:
        name: What they are.
        count: How many of how many they are.
        faces: The pictures.
    """

    name: str
    count: str
    faces: list[Face]


@dataclass(frozen=True)
class Faces:
    """Rows of faces beside each other."""

    rows: list[FaceRow]


@dataclass(frozen=True)
class Folded:
    """Blocks that open on a click on ``summary``."""

    summary: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Box:
    """Blocks in a box: a ``verdict`` or a ``notice``.

    Attributes:
        style: Which of them.
        blocks: What it holds.
        title: Its heading.
    """

    style: str
    blocks: Sequence[Block]
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A heading with blocks below it; its level follows from how deep it lies.

    Attributes:
        title: The heading.
        anchor: Its id on the page; without one the contents name the sections in it instead.
        blocks: What stands below it.
        entry: Its name in the contents, where that is not the heading.
        back: Whether a link back to the contents ends it.
    """

    title: str
    anchor: str
    blocks: Sequence[Block]
    entry: str = ""
    back: bool = False


Block = Text | Items | Code | Table | Figures | Faces | Folded | Box | Section


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: Its heading.
        facts: Lines below the heading.
        sections: Everything else.
        warnings: What is wrong with the data; stands before anything else.
    """

    title: str
    facts: list[Text]
    sections: list[Section]
    warnings: Sequence[str] = ()

    @property
    def contents(self) -> list[tuple[str, str]]:
        """Anchor and name of each entry of the contents."""
        return _entries(self.sections)


def _entries(blocks: Sequence[Block]) -> list[tuple[str, str]]:
    found = []
    for s in blocks:
        if isinstance(s, Section):
            found += [(s.anchor, s.entry or s.title)] if s.anchor else _entries(s.blocks)
    return found


def answer(
    title: str,
    anchor: str,
    sentences: Sequence[str],
    figures: Sequence[Drawing] = (),
    tables: Sequence[Table] = (),
    notes: Sequence[str] = (),
) -> Section:
    """A section that answers a question: the finding, figures, tables, and what to mind.

    Args:
        title: The question.
        anchor: Its id on the page.
        sentences: The finding, a paragraph each.
        figures: Figures beside each other.
        tables: Tables below each other.
        notes: What to mind.
    """
    drawn = [Figures(list(figures))] if figures else []
    minded = [Items(notes, SMALL)] if notes else []
    return Section(title, anchor, [*map(Text, sentences), *drawn, *tables, *minded])


def cell(estimate: Estimate, form: str = ".3f", note: bool = True) -> Cell:
    """A value with its interval, both in one format; its note unless told otherwise."""
    said = estimate.note if note else ""
    if math.isnan(estimate.value):
        return Cell("", "", said)
    return Cell(number(estimate.value, form), ends(estimate, form), said)


def full_cell(estimate: Estimate | None, hidden: Collection[str] = ()) -> Cell:
    """A value with its interval, or that it has none; notes in ``hidden`` are said elsewhere."""
    if estimate is None:
        return Cell("")
    remark = words.remark(estimate)
    shown = math.isnan(estimate.value) or remark not in hidden
    return replace(cell(estimate), note=remark if shown else "")


def beyond(n: int, most: int) -> str:
    """What a caption says of gaps that a plot of ``most`` rows has no place for; empty where it shows them all."""
    if n <= most:
        return ""
    return f" {plural(n - most, 'gap')} more {'stands' if n == most + 1 else 'stand'} in the table only."


def p_cell(value: float) -> Cell:
    """A p-value; empty where it is undefined."""
    return Cell("" if math.isnan(value) else p_value(value))


def faces_cell(n: int, units: int = 0) -> Cell:
    """A number of faces, and of independent ones where that is another."""
    return Cell(f"{n:,}", f"{units:,} independent" if units and units != n else "")


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str | Cell]], summary: str = "") -> Table:
    """A table; a long one without a summary of its own opens on a click on its caption."""
    content = [list(row) for row in rows]
    opens = summary or (caption if len(content) > LONG_TABLE else "")
    return Table(caption=caption, header=list(header), rows=content, summary=opens)


def folded_table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str | Cell]]) -> Table:
    """A table that opens on a click on its caption."""
    return table(caption, header, rows, f"{caption}, as a table")


def facts_table(caption: str, rows: Sequence[Sequence[str | Cell]]) -> Table:
    """Names and values, without a header; the caption is for screen readers."""
    return Table(caption=caption, header=[], rows=[list(row) for row in rows], style="record")


def history_table(steps: Sequence[tuple[str, int | None, int | None, str]]) -> Table:
    """Steps that made a table of faces: name, faces before, faces after, details."""
    return Table(
        caption="Steps of the table of faces",
        header=["Step", "Faces before", "Faces after", "Details"],
        rows=[
            [name, *("–" if n is None else f"{n:,}" for n in (before, after)), said]
            for name, before, after, said in steps
        ],
        style="steps",
        right=(1, 2),
    )
