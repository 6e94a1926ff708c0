"""How a corpus's faces fall into classes and groups: shares, splits, and how even the mix is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mien.composition import AttributeComposition, Described, Distribution
from mien.composition.text import association_sentence
from mien.records import Estimate
from mien.report.figures import BLUE, GREEN, ORANGE, inline
from mien.report.question import Cell, Drawing, FurtherSection, Table, cell, table
from mien.report.store_plots import MAX_SEGMENTS, Bar, Series, share_plot, stacked_plot
from mien.report.words import capital


def class_section(described: Described, anchor: str) -> FurtherSection:
    """How the classes are mixed, overall and by split."""
    figures = _mix_figures(described, {}, "classes", anchor, [])
    tables = [_representation_table(described, "classes", "class")]
    tables += [_shares_table(described, "Share of each class", {})]
    split = described.with_split
    sentences = [] if split is None else [association_sentence(split, "classes", "splits")]
    return FurtherSection(
        kind="classes", title="Classes", anchor=anchor, sentences=sentences, figures=figures, tables=tables
    )


def mix_section(a: AttributeComposition, anchor: str) -> FurtherSection:
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
    return FurtherSection(
        kind="mix",
        title="How the groups are represented",
        anchor=anchor,
        sentences=[],
        figures=_mix_figures(a.described, drawn, "groups", anchor, bars),
        tables=tables,
        notes=notes,
    )


def _refused(corrected: Estimate) -> bool:
    """Whether a correction failed: its share then has a note in place of an interval."""
    return bool(corrected.note) and corrected.value == corrected.value and corrected.low != corrected.low


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
    rows: list[list[str | Cell]] = [
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
    rows: list[list[str | Cell]] = [
        [
            g,
            f"{described.overall.counts.get(g, 0):,}",
            cell(described.overall.shares[g]) if g in described.overall.shares else Cell("–"),
            *(cell(values[g]) if g in values else Cell("–") for values in more.values()),
            *(cell(d.shares[g]) if g in d.shares else Cell("–") for d in splits.values()),
        ]
        for g in dict.fromkeys([*described.groups, *(g for values in more.values() for g in values)])
    ]
    return table(caption, header, rows, f"{caption}, as a table")


def _by_class_table(a: AttributeComposition) -> Table:
    caption = f"Mix of groups of {a.label} within each class"
    rows: list[list[str | Cell]] = [
        [name, f"{d.n:,}", *(cell(d.shares[g]) for g in a.described.groups)] for name, d in a.by_class.items()
    ]
    return table(caption, ["Class", "Faces", *a.described.groups], rows, f"{caption}, as a table")
