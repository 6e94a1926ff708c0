"""Can the attribute be read from the model."""

from __future__ import annotations

import math

from mien.audit.leakage import LeakageResult
from mien.audit.leakage.results import EXPRESSION
from mien.report import audit_question_plots as plots
from mien.report.blocks import (
    Cell,
    Drawing,
    Row,
    Section,
    Table,
    answer,
    cell,
    folded_table,
    p_cell,
    table,
)
from mien.report.figures import inline
from mien.wording import capital


def leakage_section(result: LeakageResult, anchor: str) -> Section:
    """Can the attribute be read from the model."""
    title, sentences = "Can the attribute be read from the model?", [result.sentence]
    if not result.probes:
        left = [f"Left out: {group} ({reason})." for group, reason in result.left_out.items()]
        return answer(title, anchor, sentences, notes=[*(n for n in left if n not in result.notes), *result.notes])
    caption = (
        "Small test models try to tell the group of each face. Dashed: what guessing gives. Grey: what they reach when "
        "the groups are mixed at random, from the average to what 95 % of the tries stay below. The further right of "
        "it a mark lies, the better the group can be read."
    )
    if any(p.input == EXPRESSION for p in result.probes):
        caption += " Green is the yardstick: what the annotated expression alone gives away."
    figures = [Drawing(inline(plots.leakage_plot(result), f"{anchor}-probes"), caption)]
    return answer(title, anchor, sentences, figures, _tables(result), result.notes)


def _tables(result: LeakageResult) -> list[Table]:
    beyond = any(p.beyond_expression is not None for p in result.probes)
    titles = [plots.probe_title(p) for p in result.probes]
    header = ["Read from", "Balanced accuracy", *(["More than expression"] if beyond else [])]
    header += ["Without leakage", "p", "Adjusted p"]
    rows: list[Row] = []
    for title, p in zip(titles, result.probes, strict=True):
        more = Cell("–") if p.beyond_expression is None else cell(p.beyond_expression, "+.3f")
        null = (
            Cell(f"{p.expected:.3f}", f"95 % below {p.expected_high:.3f}") if not math.isnan(p.expected) else Cell("")
        )
        rows.append(
            [title, cell(p.balanced_accuracy), *([more] if beyond else []), null, p_cell(p.p), p_cell(p.p_adjusted)]
        )
    faces = f"{result.n:,} faces, {result.n_clusters:,} independent"
    tables = [table(f"How well {result.label} can be read ({faces}; guessing gives {result.chance:.3f})", header, rows)]
    recalls: list[Row] = [
        [group, f"{n:,}", *(cell(p.recall[group]) for p in result.probes)] for group, n in result.n_per_group.items()
    ]
    caption = "Share of each group's faces that is recognised as it"
    return [*tables, folded_table(caption, ["Group", "Faces", *map(capital, titles)], recalls)]
