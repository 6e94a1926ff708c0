"""The sections of a corpus: its classes, the groups of its attributes, and columns of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mien.composition import (
    NOT_SHOWN,
    Association,
    AttributeComposition,
    Certainty,
    Composition,
    Described,
    Distribution,
    Measure,
    NumberColumn,
)
from mien.composition import Cell as CellResult
from mien.composition.text import association_sentence, thin_sentence
from mien.records import Estimate
from mien.report.blocks import LONG_TABLE, Cell, Drawing, Row, Section, Table, answer, cell, folded_table, p_cell, table
from mien.report.figures import BLUE, GREEN, ORANGE, inline
from mien.report.store_plots import (
    MAX_CELL_ROWS,
    MAX_SEGMENTS,
    Bar,
    Series,
    cell_map,
    histogram,
    share_plot,
    stacked_plot,
)
from mien.samples import PERCEIVED
from mien.wording import capital, p_value, spoken

NMI_MEANS = (
    "0: a face's group says nothing about its class; 1: each tells the other. Mutual information over the joint entropy"
)
V_MEANS = "0: every group has the same mix of classes; 1: each tells the other"
Z_MEANS = "1: as many faces as can be; 0: as many as independence lets expect; −1: as few as can be"


# Classes and groups


def class_section(described: Described, anchor: str) -> Section:
    """How the classes are mixed, overall and by split."""
    figures = _mix_figures(described, {}, "classes", anchor, [])
    tables = [_representation_table(described, "classes", "class")]
    tables += [_shares_table(described, "Share of each class", {})]
    split = described.with_split
    sentences = [] if split is None else [association_sentence(split, "classes", "splits")]
    return answer(title="Classes", anchor=anchor, sentences=sentences, figures=figures, tables=tables)


def mix_section(a: AttributeComposition, anchor: str) -> Section:
    """How the groups of an attribute are represented, overall, by split and by class."""
    drawn: dict[str, tuple[Mapping[str, Estimate], str, str]] = {}
    if a.probable:
        drawn["mean probability"] = (a.probable, ORANGE, "D")
    corrected = {} if a.corrected is None else {g: e for g, e in a.corrected.shares.items() if not _refused(e)}
    if corrected:
        drawn["corrected for the annotator's errors"] = (corrected, GREEN, "s")
    bars: list[Bar | None] = [_bar(name, d) for name, d in a.by_class.items()]
    tables = [
        _representation_table(a.described, "groups", "group"),
        _shares_table(a.described, f"Share of each group of {a.label}", {name: v[0] for name, v in drawn.items()}),
    ]
    if a.by_class:
        tables.append(_by_class_table(a))
    notes = []
    if a.probable:
        notes.append(
            "Mean probability: the annotator's probabilities averaged over all faces. Where they are calibrated, that "
            "estimates a group's share better than counting each face under its likeliest group, which favours large "
            "groups."
        )
    if a.corrected and corrected:
        notes.append(
            f"Corrected: the shares that, seen through the annotator's known errors, would look like the counted ones "
            f"({a.corrected.source}). It holds if the annotator errs here as it did where its errors were counted."
        )
    if a.described.with_split is not None:
        notes.append(association_sentence(a.described.with_split, "groups", "splits"))
    return answer(
        title="How the groups are represented",
        anchor=anchor,
        sentences=[],
        figures=_mix_figures(a.described, drawn, "groups", anchor, bars),
        tables=tables,
        notes=notes,
    )


def _refused(corrected: Estimate) -> bool:
    """Whether a correction failed: its share then has a note in place of an interval."""
    return bool(corrected.note) and not math.isnan(corrected.value) and math.isnan(corrected.low)


def _mix_figures(
    described: Described,
    more: Mapping[str, tuple[Mapping[str, Estimate], str, str]],
    what: str,
    anchor: str,
    bars: Sequence[Bar | None],
) -> list[Drawing]:
    """Shares with intervals, and stacked bars of the whole, the splits and what else is given."""
    if not described.overall.n:
        return []
    series = [Series("as counted", described.overall.shares, BLUE)]
    series += [Series(name, values, colour, marker) for name, (values, colour, marker) in more.items()]
    figures = [
        Drawing(
            inline(share_plot(described.overall.counts, series, f"Share of each of the {what}"), f"{anchor}-shares"),
            f"Share of each of the {what}, with {_level(described.overall)} intervals and numbers of faces. "
            "Dashed: if all were equally large.",
        )
    ]
    if len(described.groups) <= MAX_SEGMENTS:
        whole: list[Bar | None] = [_bar("all", described.overall)]
        splits = [_bar(name or "no split", d) for name, d in described.by_split.items()]
        if len(splits) == 1:
            splits = []
        stack = [*whole, *splits, *([None, *bars] if bars else [])]
        parts = " and ".join(filter(None, ["each split" if splits else "", "each class" if bars else ""]))
        figures.append(
            Drawing(
                inline(stacked_plot(stack, described.groups, f"Mix of the {what}"), f"{anchor}-mix"),
                f"How the faces {f'of {parts} ' if parts else ''}are shared out among the {what}, in per cent.",
            )
        )
    return figures


def _level(d: Distribution) -> str:
    level = next(iter(d.shares.values())).level
    return f"{100 * level:g}\u00a0%"


def _bar(name: str, d: Distribution) -> Bar:
    return Bar(name, d.n, {g: e.value for g, e in d.shares.items()})


def _representation_table(described: Described, what: str, one: str) -> Table:
    r = described.representation
    rows: list[Row] = [
        [
            Cell("Effective number", note=f"as diverse as this many equally large {what}, of {r.n_groups}"),
            cell(r.effective, ".2f"),
        ],
        [
            Cell("Evenness", note=f"1: all {what} equally large; 0: one {one} has all faces (Shannon)"),
            cell(r.evenness),
        ],
        [
            Cell(
                "Imbalance ratio",
                note=f"faces of {r.largest or 'the largest'} over those of {r.smallest or 'the smallest'}",
            ),
            cell(r.imbalance, ".1f" if r.imbalance.value >= 10 else ".2f"),
        ],
    ]
    return table(f"Representational bias: how even the mix of {what} is", ["Measure", "Value and interval"], rows)


def _shares_table(described: Described, caption: str, more: Mapping[str, Mapping[str, Estimate]]) -> Table:
    splits = described.by_split if len(described.by_split) > 1 else {}
    header = ["", "Faces", "Share", *(capital(name) for name in more), *(f"Share in {s or 'no split'}" for s in splits)]
    rows: list[Row] = [
        [
            g,
            f"{described.overall.counts.get(g, 0):,}",
            cell(described.overall.shares[g]) if g in described.overall.shares else Cell("–"),
            *(cell(values[g]) if g in values else Cell("–") for values in more.values()),
            *(cell(d.shares[g]) if g in d.shares else Cell("–") for d in splits.values()),
        ]
        for g in dict.fromkeys([*described.groups, *(g for values in more.values() for g in values)])
    ]
    return folded_table(caption, header, rows)


def _by_class_table(a: AttributeComposition) -> Table:
    caption = f"Mix of groups of {a.label} within each class"
    rows: list[Row] = [
        [name, f"{d.n:,}", *(cell(d.shares[g]) for g in a.described.groups)] for name, d in a.by_class.items()
    ]
    return folded_table(caption, ["Class", "Faces", *a.described.groups], rows)


# Cells of classes and groups


def cells_section(c: Composition, a: AttributeComposition, found: Association, anchor: str) -> Section:
    """Whether classes and groups go together, with every cell."""
    tables = [_association_table(found, f"Stereotypical bias: whether {a.label} and class go together")]
    if found.cells:
        tables.append(_cells_table(a.label, found))
    notes = [
        "Plain values lie above 0 even where nothing goes together; by chance: their mean when whole units (a picture "
        "with its copies, or a person) are dealt to the groups at random. The value is without it.",
    ]
    return answer(
        title="Which classes go with which groups",
        anchor=anchor,
        sentences=[],
        figures=[_cells_map(c, a, found, f"{anchor}-map")] if found.cells else [],
        tables=tables,
        notes=notes,
    )


def _association_table(found: Association, caption: str) -> Table:
    """Both global measures, beside what chance adds to them."""
    rows = [
        [Cell("Normalised mutual information", note=NMI_MEANS), *_measure_cells(found.nmi, ".4f")],
        [Cell("Cramér's V", note=V_MEANS), *_measure_cells(found.cramers_v, ".3f")],
    ]
    return table(caption, ["Measure", "Value and interval", "Plain", "By chance", "p"], rows)


def _measure_cells(m: Measure, form: str) -> Row:
    plain = [Cell("") if math.isnan(v) else Cell(format(v, form)) for v in (m.observed, m.expected)]
    return [cell(m.corrected, form), *plain, p_cell(m.p)]


def _cells_table(label: str, found: Association) -> Table:
    caption = f"Every class in every group of {label}"
    header = ["Class, group", "Faces", "Expected", "Share of the group", "Ducher's Z", "Adjusted p", "Finding"]
    rows: list[Row] = [
        [
            f"{c.class_name}, {c.group}",
            Cell(f"{c.n:,}", note=f"{c.n_clusters:,} independent" if c.n_clusters != c.n else ""),
            f"{c.expected:,.1f}",
            cell(c.share),
            cell(c.z, "+.2f"),
            Cell("–") if math.isnan(c.p_adjusted) else p_value(c.p_adjusted),
            c.verdict if c.verdict != NOT_SHOWN else Cell("–"),
        ]
        for c in sorted(found.cells, key=_prominence)
    ]
    return table(caption, header, rows, f"{caption}: sizes, expected sizes, Ducher's Z")


def _prominence(c: CellResult) -> tuple[bool, float]:
    return c.verdict == NOT_SHOWN, -abs(c.z.value) if not math.isnan(c.z.value) else 0.0


def _cells_map(c: Composition, a: AttributeComposition, found: Association, anchor: str) -> Drawing:
    groups, counts = a.described.groups, a.described.overall.counts
    kept = set(sorted(groups, key=lambda g: -counts[g])[:MAX_CELL_ROWS])
    shown = [g for g in groups if g in kept]
    left = f" The {len(shown)} largest of {len(groups)} groups are drawn." if len(shown) < len(groups) else ""
    return Drawing(
        inline(cell_map(found, shown, c.classes, c.min_n, f"Class by {a.label}"), anchor),
        f"Faces of each class in each group. Coloured cells are shown to be larger (orange) or smaller (blue) than "
        f"independence lets expect, all cells of the map counted; Z is Ducher's: {Z_MEANS}. Hatched: fewer than "
        f"{c.min_n} independent faces.{left}",
        wide=True,
    )


def thin_section(c: Composition, a: AttributeComposition, anchor: str) -> Section:
    """The cells of group, class and split with too few independent faces, the neediest first."""
    rows: list[Row] = [
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
    return answer(title="Thin cells", anchor=anchor, sentences=[thin_sentence(a)], tables=tables)


# What perceived groups rest on, and numbers


def certainty_section(a: AttributeComposition, sure: Certainty, anchor: str) -> Section:
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

    def rows(kind: str) -> list[Row]:
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
    return answer(
        title="How sure the annotator was",
        anchor=anchor,
        sentences=[sentence],
        figures=[drawing],
        tables=tables,
    )


def _open(a: AttributeComposition) -> str:
    many = len(a.described.groups) + 1 > LONG_TABLE
    return "Share of faces below a confidence, by group" if many else ""


def number_section(n: NumberColumn, anchor: str) -> Section:
    """A column of numbers: its histogram, its mean, and its mean in each class."""
    unknown = f" {n.n_unknown:,} faces have none." if n.n_unknown else ""
    guess = (
        " They are an annotator's guesses from the pictures, never what is true of a person."
        if n.source == PERCEIVED
        else ""
    )
    sentence = f"The mean is {spoken(n.mean, '.2f')} over {n.n:,} faces.{unknown}{guess}"
    rows: list[Row] = [[name, f"{e.n:,}", cell(e, ".2f")] for name, e in n.by_class.items()]
    caption = f"Mean {n.label} of each class"
    drawing = Drawing(
        inline(histogram(n.edges, n.counts, n.label, f"Distribution of {n.label}"), f"{anchor}-hist"),
        f"Faces by {n.label}.",
    )
    return answer(
        title=capital(n.label),
        anchor=anchor,
        sentences=[sentence],
        figures=[drawing],
        tables=[table(caption, ["Class", "Faces", "Mean and interval"], rows)] if rows else [],
    )
