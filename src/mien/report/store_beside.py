"""Several corpora beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mien.composition import Association, Composition, Described
from mien.records import Estimate
from mien.report.figures import inline
from mien.report.question import Cell, Drawing, FurtherSection, Table, cell, table
from mien.report.store_cells import p_cell
from mien.report.store_plots import MAX_SEGMENTS, Bar, stacked_plot
from mien.report.words import capital
from mien.spellings import canonical

_WITH_CLASS = ["Normalised mutual information with class", "Cramér's V with class", "p"]
Shown = Sequence[tuple[str, Described, Association | None]]


def side_by_side(several: Sequence[Composition], anchor: str) -> list[FurtherSection]:
    """Classes, and attributes that two corpora or more have, beside each other; spellings of one class are equal."""
    first: dict[str, str] = {}
    for name in (name for c in several for name in c.classes):
        first.setdefault(canonical(name), name)
    classes = [(c.source, c.by_label, None) for c in several if c.by_label]
    same_class = {n: first[canonical(n)] for c in several for n in c.classes}
    sections = [_beside("Classes", "classes", classes, same_class, anchor)] if len(classes) > 1 else []
    names = list(dict.fromkeys(a.described.name for c in several for a in c.attributes))
    for i, name in enumerate(names, 1):
        found = [(c.source, a) for c in several for a in c.attributes if a.described.name == name]
        if len(found) > 1:
            rows = [(source, a.described, a.with_class) for source, a in found]
            same = {g: g for _, a in found for g in a.described.groups}
            sections.append(_beside(capital(found[0][1].label), "groups", rows, same, f"{anchor}-{i}"))
    return sections


def _beside(
    title: str,
    what: str,
    shown: Sequence[tuple[str, Described, Association | None]],
    names: Mapping[str, str],
    anchor: str,
) -> FurtherSection:
    """One attribute of several corpora; ``names`` brings their groups under one name each."""
    groups = list(dict.fromkeys(names.values()))
    shares = [{names[g]: e for g, e in d.overall.shares.items()} for _, d, _ in shown]
    figures = []
    if len(groups) <= MAX_SEGMENTS:
        bars = [
            Bar(name, d.overall.n, {g: _value(own.get(g)) for g in groups})
            for (name, d, _), own in zip(shown, shares, strict=True)
        ]
        figures = [
            Drawing(
                inline(stacked_plot(bars, groups, f"{title} by corpus"), f"{anchor}-mix"),
                f"How the faces of each corpus are shared out among the {what}, in per cent.",
            )
        ]
    caption = f"{title}: share of each in every corpus"
    rows: list[list[str | Cell]] = [[g, *(cell(own[g]) if g in own else Cell("–") for own in shares)] for g in groups]
    tables = [
        _measures_beside(title, shown),
        table(caption, ["", *(name for name, _, _ in shown)], rows, f"{caption}, as a table"),
    ]
    return FurtherSection(
        kind="beside", title=title, anchor=f"{anchor}-all", sentences=[], figures=figures, tables=tables
    )


def _measures_beside(title: str, shown: Sequence[tuple[str, Described, Association | None]]) -> Table:
    header = ["Corpus", "Faces", "Effective number", "Evenness"]
    if any(a for _, _, a in shown):
        header += _WITH_CLASS
    rows: list[list[str | Cell]] = [
        [
            name,
            f"{d.overall.n:,}",
            _noted(cell(d.representation.effective, ".2f"), f"of {d.representation.n_groups}"),
            cell(d.representation.evenness),
            *([cell(a.nmi.corrected, ".4f"), cell(a.cramers_v.corrected), p_cell(a.nmi.p)] if a else []),
        ]
        for name, d, a in shown
    ]
    rows = [row + [Cell("–")] * (len(header) - len(row)) for row in rows]
    return table(f"{title} of each corpus", header, rows)


def _noted(c: Cell, note: str) -> Cell:
    return Cell(c.text, c.range, c.note or note)


def _value(e: Estimate | None) -> float:
    return 0.0 if e is None or e.value != e.value else e.value
