"""The page of an audit; its sections stand on the page of a run as well.

To add a topic of an attribute, add its function to :data:`TOPICS`: it returns a list of sections, empty where it has
nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mien.audit import AttributeResult, Audit
from mien.report import audit_sections as parts
from mien.report import words
from mien.report.audit_calibration import calibration_section
from mien.report.audit_confounders import confounders_section
from mien.report.audit_disagreement import disagreement_section
from mien.report.audit_inferred import inferred_section
from mien.report.audit_leakage import leakage_section
from mien.report.blocks import Box, Items, Page, Section, Text
from mien.report.metric_tables import class_table, estimates_table
from mien.report.page import check_out, notice, write_page

AUDIT_PAGE = "audit.html"


def questions(audit: Audit, result: AttributeResult, anchor: str) -> list[Section]:
    """One section for each question beyond the gaps that was asked of an attribute; empty if none was."""
    found = []
    if result.disagreement is not None:
        found.append(disagreement_section(result.disagreement, f"{anchor}-disagreement"))
    if result.confounders is not None:
        found.append(confounders_section(result.confounders, f"{anchor}-confounders"))
    if result.inferred is not None:
        found.append(inferred_section(result.inferred, f"{anchor}-inferred"))
    if result.leakage is not None:
        found.append(leakage_section(result.leakage, f"{anchor}-leakage"))
    return found


Topic = Callable[[Audit, AttributeResult, str], Sequence[Section]]
TOPICS: tuple[Topic, ...] = (
    parts.groups_section,
    parts.gaps_section,
    parts.recall_section,
    calibration_section,
    questions,
    parts.power_section,
)


def render_audit(audit: Audit, out: Path) -> Path:
    """Write the page of an audit alone, for whoever holds only a table of predictions.

    Args:
        audit: The audit.
        out: The file, or a folder that then holds ``audit.html``.

    Returns:
        The file written.

    Raises:
        UsageError: If the folder does not exist.
    """
    out = check_out(out, AUDIT_PAGE)
    every = estimates_table(audit.overall, "Every metric over all faces, with its interval")
    sections = [
        Section("In short", "short", [Box("verdict", [Text(audit.finding, "lead")]), *parts.overview(audit, "audit")]),
        Section("Attribute by attribute", "", attribute_sections(audit, "audit")),
        Section("All faces together", "figures", [every, *([class_table(audit.per_class)] if audit.per_class else [])]),
        parts.untested_section(audit, "audit-t1"),
        Section("Method", "method", [Items(parts.method_notes(audit))]),
        notice(),
    ]
    title = "Audit of " + (Path(audit.source).name or "predictions")
    return write_page(out, Page(title, [Text(words.audit_facts(audit), "muted")], sections, audit.warnings))


def attribute_sections(audit: Audit, anchor: str) -> list[Section]:
    """One section an attribute, with its topics.

    Args:
        audit: The audit.
        anchor: Start of all ids, unique on the page.
    """
    return [_attribute(audit, a, f"{anchor}-a{i}") for i, a in enumerate(audit.attributes, 1)]


def _attribute(audit: Audit, result: AttributeResult, anchor: str) -> Section:
    unknown = f"; {result.n_unknown:,} of unknown group are left out" if result.n_unknown else ""
    source = f"{words.provenance(result)} {result.n:,} faces of known group{unknown}. {' '.join(result.notes)}"
    topics = [s for make in TOPICS for s in make(audit, result, anchor)]
    first = [Text(words.attribute_sentence(result), "finding"), Text(source)]
    return Section(f"By {result.label}", anchor, [*first, *topics], back=True)
