"""Numbers and findings in words, for people who read no tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import yaml

from mien.audit import DISPARITY, NOT_SHOWN, AttributeResult, GapResult
from mien.records import Estimate

METRIC_WORDS = {
    "accuracy": ("Accuracy", "share of faces whose predicted class is the annotated one"),
    "balanced_accuracy": ("Balanced accuracy", "mean recall over the classes; every class counts alike"),
    "macro_f1": ("Macro F1", "mean F1 over the classes; every class counts alike"),
    "weighted_f1": ("Weighted F1", "F1 averaged by the number of faces of each class"),
    "macro_precision": ("Macro precision", "mean precision over the classes"),
    "weighted_precision": ("Weighted precision", "precision averaged by the number of faces of each class"),
    "top2": ("Top-2 accuracy", "annotated class among the two most probable"),
    "tie_accuracy": ("Accuracy with ties", "any of the classes with most votes counts as right"),
    "kl": ("KL divergence", "from the annotators' distribution, in nats; lower is better"),
    "nll": ("Negative log-likelihood", "of the annotated class, in nats; lower is better"),
    "brier": ("Brier score", "0 is perfect, 2 the worst; lower is better"),
    "overconfidence": ("Overconfidence", "confidence minus accuracy; above 0 the model is too sure"),
    "coverage": ("Confident answers", "share of faces among the 80 % that the model is surest of"),
    "risk": ("Errors when confident", "share of these confident answers that are wrong; lower is better"),
    "detection_failure": ("Faces not found", "share of faces that the tool did not find; lower is better"),
    "ece": ("Calibration error", "mean distance between confidence and accuracy (ECE); lower is better"),
}
_MOST_LISTED = 3
STATUS_WORDS = {
    "finished": "Training finished.",
    "running": "Training was still running when this page was written; all numbers are preliminary.",
    "stopped": "Training was stopped before its end; the numbers are those of the weights kept until then.",
    "failed": "Training failed before its end; the numbers are those of the weights kept until then.",
}


def metric_words(name: str) -> tuple[str, str]:
    """Title and explanation of a metric; an unknown one is its own title."""
    title = name.replace("_", " ")
    return METRIC_WORDS.get(name, (title[:1].upper() + title[1:], ""))


def number(value: float | None, digits: int = 3) -> str:
    """``0.123``; ``undefined`` for NaN or None."""
    return "undefined" if value is None or value != value else f"{value:.{digits}f}"


def p_value(value: float) -> str:
    """``0.012``, ``<0.001`` or ``undefined``."""
    return "<0.001" if value < 0.0005 else number(value)


def interval(estimate: Estimate) -> str:
    """``0.830 to 0.855``; empty where there is none."""
    if estimate.low != estimate.low or estimate.high != estimate.high:
        return ""
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


def remark(estimate: Estimate) -> str:
    """What must stand beside a value: its note, or that it has no interval."""
    if estimate.note:
        return estimate.note
    return "" if estimate.value != estimate.value or interval(estimate) else "no interval"


def short_remark(estimate: Estimate) -> str:
    """The remark without its reason, for tables that give the reason once."""
    return "no interval" if remark(estimate).startswith("no interval") else remark(estimate)


def missing_intervals(groups: Iterable[Mapping[str, Estimate]]) -> list[str]:
    """``Calibration error has no interval: biased upwards for few faces``, once for each such metric."""
    found = {}
    for estimates in groups:
        for name, estimate in estimates.items():
            if estimate.note.startswith("no interval:"):
                found[name] = f"{metric_words(name)[0]} has {estimate.note}."
    return list(found.values())


def in_order(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Metrics in the order in which this module explains them; unknown ones last."""
    known = [name for name in METRIC_WORDS if name in estimates]
    return {name: estimates[name] for name in [*known, *(n for n in estimates if n not in known)]}


def gap_share(found: int, judged: int) -> str:
    """How many of an audit's gaps are more than chance."""
    if not judged:
        return "No gap could be judged."
    return f"{found} of {judged} gaps judged {'is' if found == 1 else 'are'} larger than chance alone would show."


def percent(value: float, digits: int = 1) -> str:
    """``84.3 %`` with a non-breaking space; ``undefined`` for NaN."""
    return "undefined" if value != value else f"{100 * value:.{digits}f}\u00a0%"


def percent_interval(estimate: Estimate) -> str:
    """``84.3 % (95 % interval 83.0 to 85.5 %)``."""
    if estimate.value != estimate.value or not interval(estimate):
        return percent(estimate.value) + (f" ({remark(estimate)})" if remark(estimate) else "")
    ends = f"{100 * estimate.low:.1f} to {percent(estimate.high)}"
    return f"{percent(estimate.value)} ({100 * estimate.level:g}\u00a0% interval {ends})"


def duration(seconds: float) -> str:
    """``1 h 46 min``, ``12 min 5 s`` or ``7 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def moment(text: str) -> str:
    """An ISO 8601 time as ``22 November 2026, 01:25 UTC``; anything else as it is."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text or "unknown"
    zone = at.tzname() or ""
    return f"{at.day} {at:%B %Y, %H:%M} {zone}".strip()


def as_yaml(content: Any) -> str:
    """Plain content as YAML, in its own order."""
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=False))


def details(content: dict[str, Any]) -> str:
    """A dictionary in one line: ``pictures missing: 3589; dropped: none``."""
    parts = []
    for key, value in content.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items()) or "none"
        elif isinstance(value, list):
            value = ", ".join(map(str, value)) or "none"
        counted = isinstance(value, int) and not isinstance(value, bool)
        parts.append(f"{key}: {value:,}" if counted else f"{key}: {value}")
    return "; ".join(parts)


def attribute_sentence(result: AttributeResult) -> str:
    """What was found for one attribute."""
    judged = [g for g in result.gaps if g.verdict in (DISPARITY, NOT_SHOWN)]
    found = [g for g in judged if g.verdict == DISPARITY]
    if not judged:
        return "Too few faces: no gap could be judged."
    if not found:
        return f"None of the {len(judged)} gaps judged is larger than chance alone would show."
    are = "is" if len(found) == 1 else "are"
    share = f"{len(found)} of the {len(judged)} gaps judged {are} larger than chance alone would show"
    if len(found) <= _MOST_LISTED:
        return f"{share}: {_listed(found)}."
    widest = sorted(found, key=lambda g: g.expected - g.value.value)[:_MOST_LISTED]
    return f"{share}, most of all {_listed(widest)}. The table has the others."


def _listed(gaps: list[GapResult]) -> str:
    return ", ".join(f"{g.title} ({number(g.value.value)}, lowest for {g.worst})" for g in gaps)


def provenance(result: AttributeResult) -> str:
    """How the groups of an attribute are known."""
    sure = "" if result.confidence != result.confidence else f", with a mean confidence of {result.confidence:.2f}"
    return f"Source of the groups: {result.source}{sure}."
