"""What perceived groups rest on: the annotator's confidence; and attributes that are numbers."""

from __future__ import annotations

from mien.composition import AttributeComposition, Certainty, NumberColumn
from mien.report.figures import inline
from mien.report.question import LONG_TABLE, Cell, Drawing, FurtherSection, cell, table
from mien.report.store_plots import histogram
from mien.report.words import capital
from mien.samples import PERCEIVED


def certainty_section(a: AttributeComposition, sure: Certainty, anchor: str) -> FurtherSection:
    """How sure the annotator was, and what thresholds would leave out, by group and by class."""
    drawing = Drawing(
        inline(
            histogram(
                sure.edges, sure.counts, "confidence", f"Confidence in {a.label}", [b.threshold for b in sure.below]
            ),
            f"{anchor}-hist",
        ),
        "Faces by the annotator's confidence in the group that it names. Dashed: the thresholds of the table.",
    )
    header = ["Faces of", *(f"Below {b.threshold:g}" for b in sure.below)]

    def rows(kind: str) -> list[list[str | Cell]]:
        names = getattr(sure.below[0], kind)
        return [[name, *(cell(getattr(b, kind)[name]) for b in sure.below)] for name in names]

    everybody: list[str | Cell] = ["All faces", *(cell(b.overall) for b in sure.below)]
    tables = [
        table("Share of faces below a confidence, by group", header, [everybody, *rows("by_group")], _open(a)),
    ]
    if by_class := rows("by_class"):
        caption = "Share of faces below a confidence, by class"
        tables.append(table(caption, header, [everybody, *by_class], "The same by class"))
    sentence = (
        f"The mean confidence is {sure.mean.value:.2f}. A threshold leaves out the faces below it, and not evenly: "
        "where the shares differ between groups or classes, what remains is another mix."
    )
    return FurtherSection(
        kind="certainty",
        title="How sure the annotator was",
        anchor=anchor,
        sentences=[sentence],
        figures=[drawing],
        tables=tables,
    )


def _open(a: AttributeComposition) -> str:
    many = len(a.described.groups) + 1 > LONG_TABLE
    return "Share of faces below a confidence, by group" if many else ""


def number_section(n: NumberColumn, anchor: str) -> FurtherSection:
    """A column of numbers: its histogram, its mean, and its mean in each class."""
    unknown = f" {n.n_unknown:,} faces have none." if n.n_unknown else ""
    guess = (
        " They are an annotator's guesses from the pictures, never what is true of a person."
        if n.source == PERCEIVED
        else ""
    )
    sentence = (
        f"The mean is {n.mean.value:.2f} ({n.mean.low:.2f} to {n.mean.high:.2f}) over {n.n:,} faces.{unknown}{guess}"
    )
    rows: list[list[str | Cell]] = [[name, f"{e.n:,}", cell(e, ".2f")] for name, e in n.by_class.items()]
    caption = f"Mean {n.label} of each class"
    drawing = Drawing(
        inline(histogram(n.edges, n.counts, n.label, f"Distribution of {n.label}"), f"{anchor}-hist"),
        f"Faces by {n.label}.",
    )
    return FurtherSection(
        kind="number",
        title=capital(n.label),
        anchor=anchor,
        sentences=[sentence],
        figures=[drawing],
        tables=[table(caption, ["Class", "Faces", "Mean and interval"], rows)] if rows else [],
    )
