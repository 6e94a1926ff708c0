"""What this sample could have shown: the smallest gaps that it would not have missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mien.audit import AttributeResult, Audit, GapResult
from mien.report import words


@dataclass(frozen=True)
class PowerSection:
    """The power of the sample for one attribute.

    Attributes:
        label: The attribute.
        sentences: What it means.
        gaps: The headline gaps whose smallest detectable size is known.
    """

    title: ClassVar[str] = "What this sample could have shown"
    template: ClassVar[str] = "power.html.j2"
    label: str
    sentences: list[str]
    gaps: list[GapResult]


def power_section(audit: Audit, result: AttributeResult, anchor: str) -> PowerSection:
    """Say how large a gap had to be to be seen."""
    gaps = [g for g in result.gaps if g.family == "headline" and g.detectable == g.detectable]
    accuracy = next((g for g in gaps if g.metric == "accuracy"), None)
    if accuracy is None:
        return PowerSection(result.label, ["Too few faces: no gap of any size could have been shown."], gaps)
    return PowerSection(result.label, _sentences(result, accuracy), gaps)


def _sentences(result: AttributeResult, gap: GapResult) -> list[str]:
    taking_part = [g for g in result.groups if g.detectable == g.detectable]
    easiest = min(taking_part, key=lambda g: g.detectable, default=None)
    hardest = max(taking_part, key=lambda g: g.detectable, default=None)
    if easiest is None or hardest is None or f"{gap.detectable:.2f}" == f"{gap.detectable_high:.2f}":
        size = words.points(gap.detectable_high)
        first = f"This sample would have shown a gap of {size} in accuracy four times in five."
    else:
        first = (
            f"This sample would have shown a gap in accuracy four times in five if it were "
            f"{words.points(gap.detectable)} or more, with {easiest.name} served worse, and "
            f"{words.points(gap.detectable_high)} or more with {hardest.name}."
        )
    return [first, "Smaller gaps may be there and stay unseen. That many gaps were judged at once is allowed for."]
