"""Can the attribute be read from the model."""

from __future__ import annotations

from dataclasses import replace

from mien.audit.leakage import LeakageResult
from mien.audit.leakage.results import EXPRESSION
from mien.report import further_plots as plots
from mien.report.figures import inline
from mien.report.question import Cell, Drawing, FurtherSection, Table, cell, table
from mien.report.words import capital, p_value


def leakage_section(result: LeakageResult, anchor: str) -> FurtherSection:
    """Can the attribute be read from the model."""
    section = FurtherSection(
        kind="leakage",
        title="Can the attribute be read from the model?",
        anchor=anchor,
        sentences=[result.sentence],
        notes=list(result.notes),
    )
    if not result.probes:
        left = [f"Left out: {group} ({reason})." for group, reason in result.left_out.items()]
        return replace(section, notes=[*(n for n in left if n not in result.notes), *result.notes])
    caption = (
        "Small test models try to tell the group of each face. Dashed: what guessing gives. Grey: what they reach when "
        "the groups are mixed at random, from the average to what 95 % of the tries stay below. The further right of "
        "it a mark lies, the better the group can be read."
    )
    if any(p.input == EXPRESSION for p in result.probes):
        caption += " Green is the yardstick: what the annotated expression alone gives away."
    return replace(
        section,
        figures=[Drawing(inline(plots.leakage_plot(result), f"{anchor}-probes"), caption)],
        tables=_tables(result),
    )


def _tables(result: LeakageResult) -> list[Table]:
    beyond = any(p.beyond_expression is not None for p in result.probes)
    titles = [plots.probe_title(p) for p in result.probes]
    header = ["Read from", "Balanced accuracy", *(["More than expression"] if beyond else [])]
    header += ["Without leakage", "p", "Adjusted p"]
    rows: list[list[str | Cell]] = []
    for title, p in zip(titles, result.probes, strict=True):
        more = Cell("–") if p.beyond_expression is None else cell(p.beyond_expression, "+.3f")
        null = Cell(f"{p.expected:.3f}", f"95 % below {p.expected_high:.3f}") if p.expected == p.expected else Cell("")
        ps = [Cell(p_value(v)) if v == v else Cell("") for v in (p.p, p.p_adjusted)]
        rows.append([title, cell(p.balanced_accuracy), *([more] if beyond else []), null, *ps])
    faces = f"{result.n:,} faces, {result.n_clusters:,} independent"
    tables = [table(f"How well {result.label} can be read ({faces}; guessing gives {result.chance:.3f})", header, rows)]
    recalls: list[list[str | Cell]] = [
        [group, f"{n:,}", *(cell(p.recall[group]) for p in result.probes)] for group, n in result.n_per_group.items()
    ]
    caption = "Share of each group's faces that is recognised as it"
    return [*tables, table(caption, ["Group", "Faces", *map(capital, titles)], recalls, f"{caption}, as a table")]
