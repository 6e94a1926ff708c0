"""Tables of metrics over all faces, and of results class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mien.audit import ClassResult
from mien.records import Estimate
from mien.report import words
from mien.report.blocks import Cell, Row, Table, faces_cell, full_cell
from mien.wording import capital, ends


def estimates_table(
    estimates: Mapping[str, Estimate], caption: str, without: Mapping[str, Estimate] | None = None
) -> Table:
    """Every metric with its interval.

    Args:
        estimates: Metric -> estimate.
        caption: What the table holds.
        without: The same without copies of training faces, where that is known.
    """
    rows: list[Row] = []
    for name, e in words.in_order(estimates).items():
        title, about = words.metric_words(name)
        level = f", {e.level:.0%}" if ends(e) and e.level != 0.95 else ""
        method = "–" if e.method == "none" else capital(e.method)
        alone = [full_cell(without.get(name))] if without else []
        rows.append([Cell(title, note=about), full_cell(e), *alone, faces_cell(e.n, e.clusters), method + level])
    more = ["Without copies of training faces"] if without else []
    header = ["Metric", "Value and interval", *more, "Faces", "Interval by"]
    return Table(caption=caption, header=header, rows=rows, right=(2 + len(more),))


def class_table(classes: Sequence[ClassResult]) -> Table:
    """Recall, precision and F1 of each class, and what it is taken for."""
    return Table(
        caption="Results class by class, with intervals",
        header=["Class", "Annotated", "Predicted", "Recall", "Precision", "F1", "Most often mistaken for"],
        rows=[
            [
                c.name,
                f"{c.n:,}",
                f"{c.n_predicted:,}",
                *map(full_cell, (c.recall, c.precision, c.f1)),
                f"{c.mistaken_for}, {words.percent(c.mistaken_share)}" if c.mistaken_for else "–",
            ]
            for c in classes
        ],
        right=(1, 2),
    )
