"""The audit of predictions for disparities between groups; never needs torch."""

from mien.audit.attributes import candidate_attributes
from mien.audit.audit import audit
from mien.audit.classes import ClassResult, class_results
from mien.audit.intervals import adjust_bh, wilson
from mien.audit.overall import summary_estimates
from mien.audit.results import (
    DISPARITY,
    NOT_SHOWN,
    TOO_FEW,
    AttributeResult,
    Audit,
    GapResult,
    GroupResult,
)
from mien.audit.text import render_text

__all__ = [
    "DISPARITY",
    "NOT_SHOWN",
    "TOO_FEW",
    "AttributeResult",
    "Audit",
    "ClassResult",
    "GapResult",
    "GroupResult",
    "adjust_bh",
    "audit",
    "candidate_attributes",
    "class_results",
    "render_text",
    "summary_estimates",
    "wilson",
]
