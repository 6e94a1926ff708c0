"""The page of a comparison: models on the same faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mien.audit.compare import AttributeChange, Change, Comparison, GapChange, GroupChange
from mien.audit.compare.results import GAINED, GREW, LOST, SHRANK
from mien.audit.seeds import SeedAudit
from mien.audit.vocabulary import TOO_FEW
from mien.report import compare_plots as plots
from mien.report.blocks import (
    Box,
    Cell,
    Drawing,
    Items,
    Page,
    Row,
    Section,
    Table,
    Text,
    answer,
    beyond,
    cell,
    folded_table,
    p_cell,
    table,
)
from mien.report.compare_plots import BETTER, MAX_ROWS, WORSE, ChangeRow
from mien.report.figures import inline
from mien.report.page import check_out, notice, write_page
from mien.report.words import listed, metric_words
from mien.wording import capital

COMPARISON_PAGE = "comparison.html"
_P_MEANS = "Adjusted p: how often equally good models would differ so much by chance, all comparisons counted."


def render_comparison(comparison: Comparison | Sequence[Comparison], out: Path) -> Path:
    """Write the page of a comparison: one file that loads nothing else.

    Args:
        comparison: The comparison; or several with one first model, as
            :func:`mien.audit.compare_many` gives them.
        out: The file, or a folder that then holds ``comparison.html``.

    Returns:
        The file written.

    Raises:
        UsageError: If the folder does not exist.
    """
    out = check_out(out, COMPARISON_PAGE)
    several = [comparison] if isinstance(comparison, Comparison) else list(comparison)
    first = several[0]
    facts = [faces_shared(first.n, first.n_clusters, first.classes), *_models(several)]
    sections = [s for i, c in enumerate(several, 1) for s in _sections(c, f"c{i}", len(several) > 1)]
    verdicts = [Box("verdict", [Text(first.finding, "lead")])]
    if len(several) > 1:
        verdicts = [Box("verdict", [Text(c.finding)], _title(c)) for c in several]
    page = Page(
        f"{listed([c.names[1] for c in several])} against {first.names[0]}",
        [Text(" ".join(facts), "muted")],
        [
            Section("In short", "short", verdicts),
            *sections,
            Section("Method", "method", [Items([*first.method_notes, _P_MEANS, made_by(first)])]),
            notice(),
        ],
        list(dict.fromkeys(w for c in several for w in c.warnings)),
    )
    return write_page(out, page)


def faces_shared(n: int, n_clusters: int, classes: Sequence[str]) -> str:
    """How many faces all models have."""
    units = f" in {n_clusters:,} independent units" if n_clusters != n else ""
    return f"{n:,} shared faces{units}, {len(classes)} classes."


def _models(several: Sequence[Comparison]) -> list[str]:
    """Each model with its source, and how many of its faces are not shared."""
    first = several[0]
    models = [(first.names[0], first.sources[0], first.n_left_out[0])]
    models += [(c.names[1], c.sources[1], c.n_left_out[1]) for c in several]
    return [
        f"{name}: {source or 'source not stated'}" + (f", {left:,} faces left out, since not shared." if left else ".")
        for name, source, left in models
    ]


def made_by(result: Comparison | SeedAudit) -> str:
    """How the intervals were made."""
    return f"{result.n_boot:,} replicates with seed {result.seed}, by Mien {result.version}."


# A comparison


def _title(c: Comparison) -> str:
    return f"{c.names[1]} against {c.names[0]}"


def _sections(c: Comparison, anchor: str, titled: bool) -> list[Section]:
    """One section an attribute, then all faces; under one heading where there are several comparisons."""
    sections = [_attribute_section(c, a, f"{anchor}-a{i}") for i, a in enumerate(c.attributes, 1)]
    sections.append(_overall_section(c, f"{anchor}-all"))
    return [Section(_title(c), anchor, sections)] if titled else sections


def _overall_section(c: Comparison, anchor: str) -> Section:
    rows: list[Row] = [
        [Cell(metric_words(m)[0], note=metric_words(m)[1]), *_cells(change)] for m, change in c.overall.metrics.items()
    ]
    rows += [[f"Recall of {name}", *_cells(change)] for name, change in c.overall.recall.items()]
    caption = "Every metric of both models over all shared faces"
    return answer(
        title="All faces together",
        anchor=anchor,
        sentences=[_right_alone(c)],
        tables=[folded_table(caption, ["Metric", *c.names, "Change"], rows)],
    )


def _right_alone(c: Comparison) -> str:
    a, b = c.names
    return f"Only {a} is right on {c.overall.only_a:,} faces, only {b} on {c.overall.only_b:,}."


def _cells(change: Change) -> list[Cell]:
    return [cell(change.a), cell(change.b), cell(change.difference, "+.3f")]


def _attribute_section(c: Comparison, attribute: AttributeChange, anchor: str) -> Section:
    unknown = f"{attribute.n_unknown:,} shared faces are of unknown group and left out."
    few = [g.name for g in attribute.groups if g.verdict == TOO_FEW]
    return answer(
        title=f"By {attribute.label}",
        anchor=anchor,
        sentences=[g.sentence for g in attribute.gaps[:1]] + _more_changes(attribute.gaps[1:]),
        figures=_comparison_figures(c, attribute, anchor),
        tables=[_groups_table(c, attribute), _gaps_table(c, attribute), _changes_table(attribute)],
        notes=[
            *([unknown] if attribute.n_unknown else []),
            *([f"Too few faces to be judged: {listed(few)}."] if few else []),
        ],
    )


def _more_changes(gaps: Sequence[GapChange]) -> list[str]:
    """The other gaps that changed: the first of them in full, the rest by name."""
    changed = [g for g in gaps if g.verdict in (SHRANK, GREW)]
    named = [f"{g.title} ({g.verdict}, {g.gap.difference.value:+.3f})" for g in changed[1:]]
    return [g.sentence for g in changed[:1]] + ([f"Changed as well: the gaps in {listed(named)}."] if named else [])


def _comparison_figures(c: Comparison, attribute: AttributeChange, anchor: str) -> list[Drawing]:
    groups = [g for g in attribute.groups if g.n]
    kept = sorted(groups, key=lambda g: -g.n)[: MAX_ROWS - 1]
    rows = [_group_row(c.overall), *(_group_row(g) for g in groups if g in kept)]
    hidden = len(groups) - len(kept)
    note = f" The {hidden} smallest groups stand in the table only." if hidden else ""
    gaps = [_gap_row(g) for g in attribute.gaps[:MAX_ROWS]]
    further = beyond(len(attribute.gaps), MAX_ROWS)
    a, b = c.names
    key = f"Hollow: {a}. Filled: {b}."
    marks = "A hollow mark may be chance."
    return [
        Drawing(
            inline(plots.both_plot(rows, c.names, "accuracy"), f"{anchor}-both"), f"Accuracy by group. {key}{note}"
        ),
        Drawing(
            inline(plots.difference_plot(rows, "change in accuracy"), f"{anchor}-change"),
            f"The same as differences, with intervals: right of 0, {b} is right more often. Diamond: gained; square: "
            f"lost. {marks}",
        ),
        Drawing(
            inline(plots.both_plot(gaps, c.names, "gap between groups"), f"{anchor}-gaps"),
            f"Gaps between the groups with the lowest and the highest value. {key}{further}",
        ),
        Drawing(
            inline(plots.difference_plot(gaps, "change of the gap"), f"{anchor}-gap-change"),
            f"The same as differences, with intervals: left of 0, the gap is smaller with {b}. Diamond: shrank; "
            f"square: grew. {marks}",
        ),
    ]


def _group_row(group: GroupChange) -> ChangeRow:
    verdict = {GAINED: BETTER, LOST: WORSE}.get(group.verdict, "")
    few = group.verdict == TOO_FEW
    return ChangeRow(group.name or "all faces", group.metrics["accuracy"], verdict, few)


def _gap_row(gap: GapChange) -> ChangeRow:
    verdict = {SHRANK: BETTER, GREW: WORSE}.get(gap.verdict, "")
    return ChangeRow(gap.title, gap.gap, verdict, gap.verdict == TOO_FEW)


def _groups_table(c: Comparison, attribute: AttributeChange) -> Table:
    a, b = c.names
    header = ["Group", "Faces", *(f"Accuracy, {name}" for name in c.names), "Change", "Adjusted p", "Finding"]
    header += [f"Only {a} right", f"Only {b} right"]
    rows: list[Row] = [
        [
            Cell(g.name, note=g.note),
            f"{g.n:,}",
            *_cells(g.metrics["accuracy"]),
            p_cell(g.p_adjusted),
            _finding(g.verdict),
            f"{g.only_a:,}",
            f"{g.only_b:,}",
        ]
        for g in attribute.groups
    ]
    return table(f"Groups of {attribute.label}; p by McNemar's test, adjusted over all groups", header, rows)


def _finding(verdict: str) -> str:
    return (f"{verdict} faces" if verdict == TOO_FEW else verdict).replace(" ", "\u00a0")


def _changes_table(attribute: AttributeChange) -> Table:
    metrics = list(dict.fromkeys(m for g in attribute.groups for m in g.metrics))
    rows: list[Row] = [
        [g.name, *(cell(g.metrics[m].difference, "+.3f") if m in g.metrics else Cell("") for m in metrics)]
        for g in attribute.groups
    ]
    caption = f"Change of every metric by {attribute.label}"
    return table(caption, ["Group", *(metric_words(m)[0] for m in metrics)], rows, f"{caption}, as a table")


def _gaps_table(c: Comparison, attribute: AttributeChange) -> Table:
    header = ["Gap of", *c.names, "Change", "Adjusted p", "Finding"]
    header += [*(f"Lowest value, {name}" for name in c.names), "Change of the lowest"]
    rows: list[Row] = [
        [
            capital(g.title),
            *_cells(g.gap),
            p_cell(g.p_adjusted),
            Cell(_finding(g.verdict), note=g.cause),
            replace(cell(g.worst.a), note=g.worst_a),
            replace(cell(g.worst.b), note=g.worst_b),
            cell(g.worst.difference, "+.3f"),
        ]
        for g in attribute.gaps
    ]
    blank = [Cell("–")] * 5
    about = "recalls of all classes summed, worst over best group: 1 is equal"
    rows.append([Cell("Equal-odds fairness F", note=about), *_cells(attribute.fairness), *blank])
    caption = f"Gaps between groups of {attribute.label}, and the group served worst"
    return folded_table(caption, header, rows)
