"""What a page shows of an audit: the overview, then every attribute topic by topic.

A topic is one small module that makes it and one template that shows it: add its function to
:data:`ATTRIBUTE_TOPICS` (asked once an attribute) or :data:`AUDIT_TOPICS` (asked once an audit).
Questions beyond the gaps share one template and stand in :mod:`mien.report.further_sections`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from markupsafe import Markup

from mien.audit import AttributeResult, Audit
from mien.report import words
from mien.report.calibration_section import calibration_section
from mien.report.figures import inline
from mien.report.further_sections import further_sections
from mien.report.gaps_section import gaps_section
from mien.report.groups_section import groups_section
from mien.report.overview_plot import overview_plot
from mien.report.power_section import power_section
from mien.report.recall_section import recall_section
from mien.report.untested_section import untested_section


class Topic(Protocol):
    """One topic of an attribute, or of an audit.

    Whatever else it holds is for its template, which finds it as ``topic``.
    """

    @property
    def title(self) -> str:
        """Its heading."""

    @property
    def template(self) -> str:
        """The file that shows it."""


ATTRIBUTE_TOPICS: tuple[Callable[[Audit, AttributeResult, str], Topic | None], ...] = (
    groups_section,
    gaps_section,
    recall_section,
    calibration_section,
)
LAST_TOPICS: tuple[Callable[[Audit, AttributeResult, str], Topic | None], ...] = (power_section,)
AUDIT_TOPICS: tuple[Callable[[Audit, str], Topic | None], ...] = (untested_section,)


@dataclass(frozen=True)
class AttributeSection:
    """One attribute of an audit.

    Attributes:
        result: The audit's numbers.
        anchor: Its id on the page.
        sentence: The finding.
        topics: Everything about it, in order.
    """

    result: AttributeResult
    anchor: str
    sentence: str
    topics: list[Topic]


@dataclass(frozen=True, kw_only=True)
class AuditSection:
    """An audit with its figures.

    Attributes:
        audit: The audit.
        anchor: Start of its ids on the page.
        finding: How many of its gaps are more than chance.
        overview: The gaps of all attributes in one figure.
        overview_narrow: The same for narrow screens.
        attributes: One entry an attribute.
        topics: Everything about the audit as a whole, in order.
        warning: Why the audit may not belong to the predictions; empty otherwise.
    """

    audit: Audit
    anchor: str
    finding: str
    overview: Markup
    overview_narrow: Markup
    attributes: list[AttributeSection]
    topics: list[Topic]
    warning: str = ""


def audit_section(audit: Audit, anchor: str) -> AuditSection:
    """Draw an audit's figures.

    Args:
        audit: The audit.
        anchor: Start of all ids, unique on the page.
    """
    topics = [make(audit, anchor) for make in AUDIT_TOPICS]
    return AuditSection(
        audit=audit,
        anchor=anchor,
        finding=words.gap_share((g for a in audit.attributes for g in a.gaps if g.family == "headline"), "headline"),
        overview=inline(overview_plot(audit), f"{anchor}-overview"),
        overview_narrow=inline(overview_plot(audit, narrow=True), f"{anchor}-narrow"),
        attributes=[_attribute(audit, a, f"{anchor}-a{i}") for i, a in enumerate(audit.attributes, 1)],
        topics=[t for t in topics if t],
    )


def _attribute(audit: Audit, result: AttributeResult, anchor: str) -> AttributeSection:
    first, last = ([make(audit, result, anchor) for make in topics] for topics in (ATTRIBUTE_TOPICS, LAST_TOPICS))
    topics = [*first, *further_sections(result, anchor), *last]
    return AttributeSection(result, anchor, words.attribute_sentence(result), [t for t in topics if t])
