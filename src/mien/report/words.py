"""Numbers and findings in words, for people who read no tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml

from mien import wording
from mien.audit import DISPARITY, NOT_SHOWN, NOT_TESTABLE, AttributeResult, Audit, GapResult
from mien.audit.vocabulary import BELOW, metric_title
from mien.records import Estimate
from mien.wording import UNDEFINED, capital, has_interval

# What each measure means, in the order in which pages show them. Their titles come from the audit.
METRIC_ABOUT = {
    "accuracy": "share of faces whose predicted class is the annotated one",
    "balanced_accuracy": "mean recall over the classes; every class counts alike",
    "macro_f1": "mean F1 over the classes; every class counts alike",
    "weighted_f1": "F1 averaged by the number of faces of each class",
    "macro_precision": "mean precision over the classes",
    "weighted_precision": "precision averaged by the number of faces of each class",
    "recall": "share of the class's faces that are found",
    "precision": "share of the answers with this class that are right",
    "f1": "recall and precision of the class in one number",
    "top2": "annotated class among the two most probable",
    "tie_accuracy": "any of the classes with most votes counts as right",
    "kl": "from the annotators' distribution, in nats; lower is better",
    "nll": "of the annotated class, in nats; lower is better",
    "brier": "0 is perfect, 2 the worst; lower is better",
    "overconfidence": "confidence minus accuracy; above 0 the model is too sure",
    "ece": "mean distance between confidence and accuracy (ECE); lower is better",
    "coverage": "share of faces among the 80 % that the model is surest of",
    "risk": "share of these confident answers that are wrong; lower is better",
    "detection_failure": "share of faces that the tool did not find; lower is better",
    "equalized_odds_difference": "largest difference between groups in how often any class is found, or wrongly given",
    "equalized_odds_ratio": "the same as smallest over largest: 1 is equal, 0 as unequal as can be",
    "equal_odds_fairness": "recalls of all classes summed, worst over best group: 1 is equal",
    "min_max_accuracy": "accuracy of the worst over that of the best group: 1 is equal",
    "demographic_parity_difference": "largest difference in how often any class is answered, right or wrong",
    "demographic_parity_ratio": "the same as smallest over largest: 1 is equal",
    "statistical_parity": "how far two groups' answers are apart: 0 the same mix of classes, 1 none in common",
}
_MOST_LISTED = 3
STATUS_WORDS = {
    "finished": "Training finished.",
    "running": "Training was still running when this page was written; all numbers are preliminary.",
    "stopped": "Training was stopped before its end; the numbers are those of the weights kept until then.",
    "failed": "Training failed before its end; the numbers are those of the weights kept until then.",
}


def metric_words(name: str) -> tuple[str, str]:
    """Title and explanation of a metric."""
    return capital(metric_title(name)), METRIC_ABOUT.get(name, "")


def number(value: float | None) -> str:
    """``0.123``; ``undefined`` for NaN or None."""
    return wording.number(value, undefined=UNDEFINED)


def remark(estimate: Estimate) -> str:
    """What must stand beside a value: its note, or that it has no interval."""
    if estimate.note:
        return estimate.note
    return "" if estimate.value != estimate.value or has_interval(estimate) else "no interval"


def shared_notes(groups: Sequence[Mapping[str, Estimate]]) -> tuple[set[str], list[str]]:
    """Notes that would stand beside a metric in many groups: the notes, and each in a sentence of its own."""
    found: dict[tuple[str, str], int] = {}
    for estimates in groups:
        for name, estimate in estimates.items():
            if estimate.note and estimate.value == estimate.value:
                found[name, estimate.note] = found.get((name, estimate.note), 0) + 1
    many = [key for key, n in found.items() if n > 1]
    return {note for _, note in many}, [f"{metric_words(name)[0]}: {note}." for name, note in many]


def in_order(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Metrics in the order in which this module explains them; unknown ones last."""
    known = [name for name in METRIC_ABOUT if name in estimates]
    return {name: estimates[name] for name in [*known, *(n for n in estimates if n not in known)]}


def gap_share(gaps: Iterable[GapResult], kind: str) -> str:
    """How many gaps are more than chance: ``3 of 12 headline gaps are ...``."""
    judged = judged_gaps(gaps)
    found = sum(g.verdict == DISPARITY for g in judged)
    if not judged:
        return f"None of the {kind} gaps could be judged: too few faces."
    return f"{found} of {len(judged)} {kind} gaps {_are(found)} larger than chance alone would show."


def judged_gaps(gaps: Iterable[GapResult]) -> list[GapResult]:
    """The gaps that could be judged."""
    return [g for g in gaps if g.verdict in (DISPARITY, NOT_SHOWN)]


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def percent(value: float, digits: int = 1) -> str:
    """``84.3 %`` with a non-breaking space; ``undefined`` for NaN."""
    return "undefined" if value != value else f"{100 * value:.{digits}f}\u00a0%"


def percent_interval(estimate: Estimate) -> str:
    """``84.3 % (95 % interval 83.0 to 85.5 %)``."""
    if estimate.value != estimate.value or not has_interval(estimate):
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


def listed(names: Iterable[str], most: int = 8) -> str:
    """``a, b and c``; what is beyond ``most`` is counted."""
    names = list(names)
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def points(value: float) -> str:
    """A difference of shares: ``6.5 percentage points``."""
    text = f"{100 * abs(value):.1f}"
    return f"{text} percentage point{'' if text == '1.0' else 's'}"


def attribute_sentence(result: AttributeResult) -> str:
    """What was found for one attribute, by its headline gaps."""
    judged = judged_gaps(g for g in result.gaps if g.family == "headline")
    found = [g for g in judged if g.verdict == DISPARITY]
    if not judged:
        return "Too few faces: no gap could be judged."
    if not found:
        low = [g.name for g in result.groups if g.standing == BELOW]
        more = f" Yet {listed(low)} {_are(len(low))} served worse than expected." if low else ""
        return f"None of the {len(judged)} headline gaps is larger than chance alone would show.{more}"
    share = f"{len(found)} of the {len(judged)} headline gaps {_are(len(found))} larger than chance alone would show"
    lead = next((g for g in found if g.metric == "accuracy"), None)
    if lead and lead.worst_value and lead.best_value:
        ends = f"{percent(lead.worst_value.value)} of the faces, against {percent(lead.best_value.value)}"
        return f"Served worst: {lead.worst}. The model is right for {ends} for {lead.best}. In all, {share}."
    widest = sorted(found, key=lambda g: g.expected - g.value.value)[:_MOST_LISTED]
    named = ", ".join(f"{g.title} ({points(g.value.value)} lower for {g.worst} than for {g.best})" for g in widest)
    return f"{share}: {named}." if len(found) <= _MOST_LISTED else f"{share}, most of all {named}."


_SOURCE_WORDS = {
    "annotated": "people annotated them, who said what they saw or knew",
    "perceived": "someone or something judged them from the picture",
    "measured": "a column of numbers, cut into parts of equally many faces",
}


def provenance(result: AttributeResult) -> str:
    """How the groups of an attribute are known."""
    sure = "" if result.confidence != result.confidence else f", with a mean confidence of {result.confidence:.2f}"
    means = _SOURCE_WORDS.get(result.source, "")
    return f"Source of the groups: {result.source}{sure}{f' ({means})' if means else ''}."


def audit_facts(audit: Audit) -> str:
    """What was audited, in one line."""
    units = "" if audit.n_clusters == audit.n else f" in {audit.n_clusters:,} independent units"
    n_groups = sum(g.n > 0 for a in audit.attributes for g in a.groups)
    n_attributes = len(audit.attributes)
    of = f"{n_groups} groups of {n_attributes} attribute{'' if n_attributes == 1 else 's'}"
    return f"{audit.n:,} faces{units}, {of}, {len(audit.classes)} classes. Source: {audit.source or 'not stated'}."


def verdict_words(verdict: str) -> str:
    """A gap's verdict for people who read no p-values."""
    said = {DISPARITY: "more than chance", NOT_SHOWN: "could be chance", NOT_TESTABLE: "cannot be tested"}
    return said.get(verdict, "too few faces")
