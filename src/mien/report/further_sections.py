"""What a page shows of an attribute beyond its gaps: one section for each question that was asked."""

from __future__ import annotations

from mien.audit import AttributeResult
from mien.report.confounders_section import confounders_section
from mien.report.disagreement_section import disagreement_section
from mien.report.inferred_section import inferred_section
from mien.report.leakage_section import leakage_section
from mien.report.question import FurtherSection


def further_sections(result: AttributeResult, anchor: str) -> list[FurtherSection]:
    """Draw what was asked of an attribute beyond its gaps.

    Args:
        result: The attribute.
        anchor: Start of all ids, unique on the page.

    Returns:
        One section for each question that was asked; empty if none was.
    """
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
