"""An audit in words: the verdict, the notes on method, and a plain page of tables."""

from __future__ import annotations

from collections.abc import Sequence

from mien.audit.results import DISPARITY, NOT_SHOWN, AttributeResult, Audit, GapResult, metric_title
from mien.records import Estimate

_LEAD_ORDER = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "recall")
_PERCEIVED = (
    "The groups are perceived, not stated by the persons: mistakes of that guess are not in the intervals, "
    "and they usually make a gap look smaller than it is."
)


def attribute_notes(source: str, fixed: float, pooled: float) -> list[str]:
    """What to mind for one attribute.

    Args:
        source: ``annotated``, ``perceived`` or ``not stated``.
        fixed: Share of rows that no permutation can move.
        pooled: Share of rows permuted approximately.
    """
    notes = []
    if source == "perceived":
        notes.append(_PERCEIVED)
    elif source == "not stated":
        notes.append("The predictions do not say whether the groups are annotated or perceived.")
    if fixed > 0.01:
        notes.append(
            f"{fixed:.0%} of the faces have no counterpart annotated alike in another group: they cannot be exchanged, "
            "and the permutation test says nothing about them."
        )
    if pooled > 0.01:
        notes.append(
            f"{pooled:.0%} of the faces belong to units (persons) whose set of annotated classes no other group has: "
            "these are exchanged across sets and brought back to the group's class mix, which is approximate."
        )
    return notes


def method_notes(
    results: Sequence[AttributeResult],
    clustered: bool,
    level: float,
    n_boot: int,
    n_perm: int,
    min_n: int,
    min_class_n: int,
) -> list[str]:
    """How the numbers were made and how far they can be trusted."""
    families = [[g for r in results for g in r.gaps if g.family == f and g.p == g.p] for f in ("headline", "further")]
    unit = "independent units (copies of a picture, or faces of a person, are one)" if clustered else "faces"
    notes = [
        f"Intervals aim at {level:.0%} coverage. Shares (accuracy, recall, precision, top-2): Wilson's interval; dependent "
        "faces count for fewer. Means over classes (balanced accuracy, F1): normal on the logit scale with the deviation "
        f"of {n_boot} bootstrap replicates over {unit}, and at least as wide as the classes' own intervals imply. Other "
        "means: Student's. docs/audit.md shows how often each covers the truth.",
        f"Expected gap and p-value: {n_perm} permutations of the groups among faces annotated with the same class "
        "(scores of single faces: normal draws with the mean and covariance of such permutations). "
        "Each group keeps its mix of classes, so what that mix alone does to a gap is part of what is expected.",
        "A largest-minus-smallest gap is positive even where no disparity exists: judge it by the expected gap and "
        "the p-value. Its interval comes from simultaneous bootstrap intervals of all pairs of groups. It holds near "
        "zero too, and is wide with many or small groups; a disparity can be shown although it reaches down to 0.",
        f"p-values are adjusted (Benjamini and Hochberg) over the {len(families[0])} headline gaps of this audit "
        f"(accuracy, balanced accuracy, macro and weighted F1, recalls), and apart from them over the "
        f"{len(families[1])} further ones; a disparity is an adjusted p below 0.05. 'No disparity shown' is not proof "
        "of equality: few faces hide large gaps. The smallest gap that this sample could have shown stands beside.",
        f"Groups below {min_n} faces, and classes below {min_class_n} faces in a group, are shown but enter no gap. "
        "Undefined values are empty, never 0.",
        "Macro values average over the classes that a group has; groups that lack a class are compared over different "
        "classes (each group's note says so). Equal-odds fairness leaves out every class that is too rare in some group.",
    ]
    if not clustered:
        notes.append(
            "Every face was taken as independent. If pictures or persons repeat, add a 'cluster' or 'identity' column: "
            "without it intervals are too narrow."
        )
    most = max(len(f) for f in families)
    if most and most / (1 + n_perm) >= 0.05:
        notes.append(
            f"With {n_perm} permutations and {most} gaps of one family, one gap alone cannot reach an adjusted p below "
            f"0.05: use n_perm={20 * most} or more."
        )
    return notes


def verdict_sentences(results: Sequence[AttributeResult], min_n: int) -> str:
    """The finding in a sentence or two."""
    gaps = [(result, gap) for result in results for gap in result.gaps if gap.family == "headline"]
    judged = [(r, g) for r, g in gaps if g.verdict in (DISPARITY, NOT_SHOWN)]
    if not judged:
        return f"Nothing can be said: no attribute has two groups of {min_n} faces or more."
    found = [(r, g) for r, g in judged if g.verdict == DISPARITY]
    if not found:
        labels = ", ".join(dict.fromkeys(r.label for r, _ in judged))
        p = min(g.p_adjusted for _, g in judged)
        hidden = [
            g.detectable_high for _, g in judged if g.metric == "accuracy" and g.detectable_high == g.detectable_high
        ]
        text = f"No gap larger than chance alone would show was found for {labels} (smallest adjusted p = {p:.3f})."
        if hidden:
            text += (
                f" This is not proof of equality: accuracy gaps below {max(hidden):.3f} could have stayed hidden here."
            )
        return text
    result, lead = min(found, key=lambda rg: (_LEAD_ORDER.index(rg[1].metric), -_excess(rg[1])))
    text = _lead_sentence(result, lead)
    if len(found) > 1:
        text += f" In all, {len(found)} of {len(judged)} headline gaps are larger than chance alone would show."
    return text


def _excess(gap: GapResult) -> float:
    return gap.value.value - gap.expected


def _lead_sentence(result: AttributeResult, gap: GapResult) -> str:
    return (
        f"Worst served: {result.label} = {gap.worst}, {gap.title} {_interval(gap.worst_value)} against "
        f"{_interval(gap.best_value)} for {gap.best}. The gap of {_interval(gap.value)} is larger than the "
        f"{gap.expected:.3f} (up to {gap.expected_high:.3f}) that chance alone would show "
        f"(p = {gap.p:.3f}, adjusted {gap.p_adjusted:.3f})."
    )


def _interval(estimate: Estimate | None) -> str:
    """``0.712 [0.690, 0.733]``; a dash where undefined."""
    if estimate is None or estimate.value != estimate.value:
        return "–"
    text = f"{estimate.value:.3f}"
    return text if estimate.low != estimate.low else f"{text} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[c.replace("|", "\\|") for c in row] for row in (header, *rows)]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return [lines[0], "|" + " --- |" * len(header), *lines[1:], ""]


def _attribute_lines(result: AttributeResult) -> list[str]:
    lines = [f"## {result.label}", ""]
    unknown = f"; {result.n_unknown} of unknown group left out" if result.n_unknown else ""
    lines += [f"{result.n} faces{unknown}. Source of the groups: {result.source}.", ""]
    metrics = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
    lines += _table(
        ("group", "faces", *(metric_title(m) for m in metrics), ""),
        [(g.name, str(g.n), *(_interval(g.metrics[m]) for m in metrics), g.verdict) for g in result.groups],
    )
    lines += _table(
        ("gap of", "gap", "expected by chance", "up to", "p", "adjusted p", "worst", "best", "verdict"),
        [
            (
                g.title,
                _interval(g.value),
                *(_number(v) for v in (g.expected, g.expected_high, g.p, g.p_adjusted)),
                g.worst or "–",
                g.best or "–",
                g.verdict,
            )
            for g in result.gaps
        ],
    )
    notes = [*result.notes, *(f"{g.name}: {g.note}." for g in result.groups if g.note and g.n)]
    return lines + ([*(f"- {note}" for note in notes), ""] if notes else [])


def render_text(audit: Audit) -> str:
    """The whole audit as Markdown that also reads well as plain text."""
    lines = ["# Audit", "", audit.verdict, ""]
    units = "" if audit.n_clusters == audit.n else f" in {audit.n_clusters} independent units"
    where = f" Source: {audit.source}." if audit.source else ""
    lines += [f"{audit.n} faces{units}, {len(audit.classes)} classes.{where}", ""]
    defined = [(metric_title(name), _interval(e)) for name, e in audit.overall.items() if e.value == e.value]
    lines += _table(("overall", "value"), defined)
    for result in audit.attributes:
        lines += _attribute_lines(result)
    lines += ["## Method", "", *(f"- {note}" for note in audit.method_notes), ""]
    return "\n".join(lines)
