"""Whether classes and groups go together, cell by cell, and which cells have too few faces."""

from __future__ import annotations

from mien.composition import NOT_SHOWN, Association, AttributeComposition, Composition, Measure
from mien.composition import Cell as CellResult
from mien.composition.text import thin_sentence
from mien.report.figures import inline
from mien.report.question import LONG_TABLE, Cell, Drawing, FurtherSection, Table, cell, table
from mien.report.store_plots import MAX_CELL_ROWS, cell_map
from mien.report.words import p_value

NMI_MEANS = (
    "0: a face's group says nothing about its class; 1: each tells the other. Mutual information over the joint entropy"
)
V_MEANS = "0: every group has the same mix of classes; 1: each tells the other"
Z_MEANS = "1: as many faces as can be; 0: as many as independence lets expect; −1: as few as can be"


def cells_section(a: AttributeComposition, found: Association, anchor: str) -> FurtherSection:
    """Whether classes and groups go together, with every cell."""
    tables = [association_table(found, f"Stereotypical bias: whether {a.label} and class go together")]
    if found.cells:
        tables.append(_cells_table(a.label, found))
    notes = [
        "Plain values lie above 0 even where nothing goes together; by chance: their mean when whole units (a picture "
        "with its copies, or a person) are dealt to the groups at random. The value is without it.",
    ]
    return FurtherSection(
        kind="cells",
        title="Which classes go with which groups",
        anchor=anchor,
        sentences=[],
        figures=[],
        tables=tables,
        notes=notes,
    )


def association_table(found: Association, caption: str) -> Table:
    """Both global measures, beside what chance adds to them."""
    rows = [
        [Cell("Normalised mutual information", note=NMI_MEANS), *_measure_cells(found.nmi, ".4f")],
        [Cell("Cramér's V", note=V_MEANS), *_measure_cells(found.cramers_v, ".3f")],
    ]
    return table(caption, ["Measure", "Value and interval", "Plain", "By chance", "p"], rows)


def _measure_cells(m: Measure, form: str) -> list[str | Cell]:
    plain = [Cell("") if v != v else Cell(format(v, form)) for v in (m.observed, m.expected)]
    return [cell(m.corrected, form), *plain, p_cell(m.p)]


def p_cell(value: float) -> Cell:
    """A p-value; empty where it is undefined."""
    return Cell("" if value != value else p_value(value))


def _cells_table(label: str, found: Association) -> Table:
    caption = f"Every class in every group of {label}"
    header = ["Class, group", "Faces", "Expected", "Share of the group", "Ducher's Z", "Adjusted p", "Finding"]
    rows: list[list[str | Cell]] = [
        [
            f"{c.class_name}, {c.group}",
            Cell(f"{c.n:,}", note=f"{c.n_clusters:,} independent" if c.n_clusters != c.n else ""),
            f"{c.expected:,.1f}",
            cell(c.share),
            cell(c.z, "+.2f"),
            Cell(p_value(c.p_adjusted)) if c.p_adjusted == c.p_adjusted else Cell("–"),
            c.verdict if c.verdict != NOT_SHOWN else Cell("–"),
        ]
        for c in sorted(found.cells, key=_prominence)
    ]
    return table(caption, header, rows, f"{caption}: sizes, expected sizes, Ducher's Z")


def _prominence(c: CellResult) -> tuple[bool, float]:
    return c.verdict == NOT_SHOWN, -abs(c.z.value) if c.z.value == c.z.value else 0.0


def cells_map(c: Composition, a: AttributeComposition, found: Association, anchor: str) -> Drawing | None:
    """The map of cells; None where the association is undefined."""
    if not found.cells:
        return None
    groups, counts = a.described.groups, a.described.overall.counts
    kept = set(sorted(groups, key=lambda g: -counts[g])[:MAX_CELL_ROWS])
    shown = [g for g in groups if g in kept]
    left = f" The {len(shown)} largest of {len(groups)} groups are drawn." if len(shown) < len(groups) else ""
    return Drawing(
        inline(cell_map(found, shown, c.classes, c.min_n, f"Class by {a.label}"), anchor),
        f"Faces of each class in each group. Coloured cells are shown to be larger (orange) or smaller (blue) than "
        f"independence lets expect, all cells of the map counted; Z is Ducher's: {Z_MEANS}. Hatched: fewer than "
        f"{c.min_n} independent faces.{left}",
    )


def thin_section(c: Composition, a: AttributeComposition, anchor: str) -> FurtherSection:
    """The cells of group, class and split with too few independent faces, the neediest first."""
    rows: list[list[str | Cell]] = [
        [
            ", ".join(filter(None, [t.class_name, t.group])),
            t.split or "no split",
            f"{t.n:,}",
            f"{t.n_clusters:,}",
            f"{t.need:,}",
        ]
        for t in a.thin
    ]
    header = ["Class, group" if a.with_class else "Group", "Split", "Faces", "Independent", f"Missing to {c.min_n}"]
    tables = []
    if rows:
        caption = f"Thin cells of {a.label}, the neediest first"
        tables.append(
            table(
                f"{caption}: the first {LONG_TABLE}" if len(rows) > LONG_TABLE else caption, header, rows[:LONG_TABLE]
            )
        )
    if len(rows) > LONG_TABLE:
        others = f"The other {len(rows) - LONG_TABLE} thin cells of {a.label}"
        tables.append(table(others, header, rows[LONG_TABLE:], others))
    return FurtherSection(
        kind="thin", title="Thin cells", anchor=anchor, sentences=[thin_sentence(a)], figures=[], tables=tables
    )
