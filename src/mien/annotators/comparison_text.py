"""A comparison of two annotators as Markdown."""

from __future__ import annotations

from mien.annotators.comparison import AnnotatorComparison, AttributeComparison
from mien.audit.markdown import document, table
from mien.wording import interval


def comparison_text(comparison: AnnotatorComparison) -> str:
    """A comparison as Markdown that also reads well as plain text."""
    c = comparison
    lines = [f"# What {c.a} and {c.b} perceive", ""]
    lines += [f"{c.n} shared faces in {c.clusters} independent units, intervals of {c.level:.0%}.", ""]
    left = [f"{n} only in the table of {name}" for n, name in ((c.n_only_a, c.a), (c.n_only_b, c.b)) if n]
    lines += [f"Left out: {', '.join(left)}.", ""] if left else []
    for attribute in c.attributes:
        lines += _attribute_text(c, attribute)
    if c.numbers:
        header = ("number", "faces", f"mean by {c.a}", f"mean by {c.b}", "difference", "correlation")
        rows = [
            (v.name, str(v.difference.n), *map(interval, (v.mean_a, v.mean_b, v.difference, v.correlation)))
            for v in c.numbers
        ]
        lines += ["## Perceived numbers", "", *table(header, rows)]
    return document(
        [
            *lines,
            "## How to read this",
            "",
            "- Agreement is not accuracy: two annotators can share a mistake, the more so if they learnt from the same "
            "faces. Neither says what a person is; both say what a face looks like to them.",
            "- Agreement by chance is what two annotators with these shares would reach if they never looked at the "
            "same face; kappa is the share of the rest.",
            "",
        ]
    )


def _attribute_text(c: AnnotatorComparison, attribute: AttributeComparison) -> list[str]:
    a = attribute
    lines = [f"## Perceived {a.name}", ""]
    lines += [f"Agreement {interval(a.agreement)}, Cohen's kappa {interval(a.kappa)}, {a.agreement.n} faces.", ""]
    unknown = ((a.n_only_a, f"only by {c.a}"), (a.n_only_b, f"only by {c.b}"), (a.n_neither, "by neither"))
    if any(n for n, _ in unknown):
        lines += [f"Faces given a group {', '.join(f'{words}: {n}' for n, words in unknown)}.", ""]
    shares = zip(a.groups, a.shares_a, a.shares_b, a.differences, strict=True)
    header = ("group", f"share by {c.a}", f"share by {c.b}", "difference")
    lines += table(header, [(group, *map(interval, estimates)) for group, *estimates in shares])
    rows = [(group, *(str(k) for k in counts)) for group, counts in zip(a.groups, a.counts, strict=True)]
    lines += table((f"{c.a} (rows), {c.b} (columns)", *a.groups), rows)
    for title, parts in (
        (f"confidence of {c.a}", a.by_confidence_a),
        (f"confidence of {c.b}", a.by_confidence_b),
        ("annotated class", a.by_class),
    ):
        if parts:
            cells = [(p.name, str(p.agreement.n), interval(p.agreement), p.agreement.note) for p in parts]
            lines += table((title, "faces", "agreement", "note"), cells)
    for name, parts in ((c.a, a.by_confidence_a), (c.b, a.by_confidence_b)):
        if not parts:
            lines += [f"{name} gives no confidence for this attribute.", ""]
    return lines
