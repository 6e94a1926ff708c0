"""Class by class: how many faces of each class are found in each group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from mien.audit import AttributeResult, Audit
from mien.report.audit_plots import group_class_heatmap
from mien.report.figures import inline


@dataclass(frozen=True)
class RecallSection:
    """Recall of every class in every group of one attribute.

    Attributes:
        result: The attribute.
        classes: The K classes.
        heat: Heat map.
    """

    title: ClassVar[str] = "Class by class"
    template: ClassVar[str] = "recall.html.j2"
    result: AttributeResult
    classes: list[str]
    heat: Markup


def recall_section(audit: Audit, result: AttributeResult, anchor: str) -> RecallSection:
    """Draw the heat map."""
    heat = inline(group_class_heatmap(result, audit.classes), f"{anchor}-heat")
    return RecallSection(result, audit.classes, heat)
