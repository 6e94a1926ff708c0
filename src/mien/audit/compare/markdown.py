"""A comparison of models as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from mien.audit.compare.results import AttributeChange, Change, Comparison, GroupChange
from mien.audit.markdown import document, table
from mien.audit.warned import warning_lines
from mien.wording import interval, p_value

_METRICS = ("accuracy", "macro_f1")


def comparison_text(comparisons: Sequence[Comparison]) -> str:
    """Comparisons with one first model, as Markdown that also reads well as plain text."""
    lines = ["# Comparison", "", *warning_lines(list(dict.fromkeys(w for c in comparisons for w in c.warnings)))]
    for c in comparisons:
        lines += [f"## {c.names[1]} against {c.names[0]}", "", c.finding, ""]
        left = ", ".join(f"{n} of {name}" for n, name in zip(c.n_left_out, c.names, strict=True) if n)
        shared = f"{c.n} shared faces in {c.n_clusters} independent units"
        lines += [f"{shared}; left out: {left}." if left else f"{shared}.", ""]
        lines += _groups(c, [c.overall], "all faces")
        for attribute in c.attributes:
            lines += [f"### {attribute.label}", "", *_groups(c, attribute.groups, "group"), *_gaps(c, attribute)]
    notes = comparisons[0].method_notes if comparisons else []
    return document([*lines, "## Method", "", *(f"- {note}" for note in notes), ""])


def _cells(change: Change) -> tuple[str, str, str]:
    return interval(change.a), interval(change.b), interval(change.difference)


def _groups(c: Comparison, groups: Sequence[GroupChange], title: str) -> list[str]:
    header = [title, "faces"]
    for metric in _METRICS:
        header += [f"{metric.replace('_', ' ')} of {name}" for name in c.names] + ["change"]
    header += [f"only {name} right" for name in c.names] + ["p", "adjusted p", ""]
    rows = []
    for g in groups:
        values = [cell for m in _METRICS for cell in _cells(g.metrics[m])]
        counts = [str(g.only_a), str(g.only_b), p_value(g.p), p_value(g.p_adjusted), g.verdict]
        rows.append((g.name or "all", str(g.n), *values, *counts))
    return table(header, rows)


def _gaps(c: Comparison, attribute: AttributeChange) -> list[str]:
    header = ("gap of", *c.names, "change", "adjusted p", "verdict")
    rows = [(g.title, *_cells(g.gap), p_value(g.p_adjusted), g.verdict) for g in attribute.gaps]
    rows.append(("equal-odds fairness F", *_cells(attribute.fairness), "\u2013", ""))
    return [*table(header, rows), *(f"- {g.sentence}" for g in attribute.gaps if g.cause), ""]
