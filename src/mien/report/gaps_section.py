"""The gaps of an attribute: the headline ones, and every further measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mien.audit import AttributeResult, Audit, GapResult
from mien.report import words


@dataclass(frozen=True)
class GapsSection:
    """The gaps of one attribute.

    Attributes:
        label: The attribute.
        headline: Accuracy, balanced accuracy, F1 and recalls.
        further: Every other measure.
        further_sentence: How many of those are more than chance.
    """

    title: ClassVar[str] = "Gaps between groups"
    template: ClassVar[str] = "gaps.html.j2"
    label: str
    headline: list[GapResult]
    further: list[GapResult]
    further_sentence: str


def gaps_section(audit: Audit, result: AttributeResult, anchor: str) -> GapsSection:
    """Sort the gaps into two tables."""
    headline = [g for g in result.gaps if g.family == "headline"]
    further = [g for g in result.gaps if g.family != "headline"]
    # Measures of the whole first, those of single classes below.
    further.sort(key=lambda g: bool(g.class_name))
    return GapsSection(result.label, headline, further, words.gap_share(further, "further"))
