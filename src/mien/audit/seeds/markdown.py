"""An audit over several seeds as Markdown."""

from __future__ import annotations

from mien.audit.markdown import document, table
from mien.audit.seeds.results import SeedAttribute, SeedAudit
from mien.audit.warned import warning_lines
from mien.wording import interval, number, p_value


def seed_text(audit: SeedAudit) -> str:
    """The whole audit as Markdown that also reads well as plain text."""
    lines = ["# Audit over seeds", "", *warning_lines(audit.warnings), audit.finding, ""]
    lines += [f"{len(audit.names)} runs on {audit.n} shared faces in {audit.n_clusters} independent units.", ""]
    for attribute in audit.attributes:
        lines += [f"## {attribute.label}", "", *_groups(audit, attribute), *_gaps(attribute)]
    return document([*lines, "## Method", "", *(f"- {note}" for note in audit.method_notes), ""])


def _groups(audit: SeedAudit, attribute: SeedAttribute) -> list[str]:
    header = ("group", "faces", "mean accuracy", *audit.names, "error from faces", "spread from seeds", "")
    rows = []
    for g in attribute.groups:
        value = g.metrics["accuracy"]
        runs = [number(v) for v in value.runs]
        rows.append(
            (
                g.name,
                str(g.n),
                interval(value.mean),
                *runs,
                number(value.sampling_error),
                number(value.seed_spread),
                g.verdict,
            )
        )
    return table(header, rows)


def _gaps(attribute: SeedAttribute) -> list[str]:
    header = ("gap of", "of the means", "one run's, on average", "equal groups' seeds alone", "adjusted p", "verdict")
    rows = [
        (g.title, interval(g.value), interval(g.run_gap), number(g.seed_gap), p_value(g.p_adjusted), g.verdict)
        for g in attribute.gaps
    ]
    sentences = [f"- {g.sentence}" for g in attribute.gaps if g.metric == "accuracy" and g.sentence]
    return [*table(header, rows), *sentences, ""]
