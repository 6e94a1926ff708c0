"""An audit in words: the verdict, the notes on method, and a plain page of tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mien.audit.attributes import candidate_attributes
from mien.audit.gaps import FURTHER, HEADLINE
from mien.audit.inferred import InferredResult
from mien.audit.inferred.quotes import METHODS, left_out, not_possible, pair, quotable
from mien.audit.inferred.results import THRESHOLDED
from mien.audit.markdown import document, table
from mien.audit.results import AttributeResult, Audit
from mien.audit.vocabulary import metric_title
from mien.audit.warned import warning_lines
from mien.records import Predictions
from mien.samples import PERCEIVED
from mien.stats.permutation import SPANNING
from mien.stats.settings import Settings
from mien.wording import capital, interval, listed, number, p_value

_MOST_NAMED = 10
_PERCEIVED = (
    "The groups are perceived, not stated by the persons. The intervals and p-values of the tables know nothing of "
    "that guess's mistakes, which can make a gap look smaller or larger than it is."
)


def attribute_notes(source: str, fixed: float, why: str, apart: Sequence[str]) -> list[str]:
    """What to mind for one attribute.

    Args:
        source: ``annotated``, ``perceived`` or ``not stated``.
        fixed: Share of rows that no permutation can move.
        why: Why units were weighted at random and not exchanged; empty where they were exchanged.
        apart: Groups that share no annotated class with another group.
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
    if why:
        reason = (
            "Many independent units (pictures with their copies, persons) have faces in several groups, and exchanging "
            "single faces would take them apart."
            if why == SPANNING
            else "Too few independent units (pictures with their copies, persons) have a counterpart of the same size "
            "and annotation in another group to be exchanged with."
        )
        notes.append(
            f"{reason} So the units stay where they are, and what each adds "
            "beyond expectation is weighted at random: expected gaps and p-values are approximate, and rest on the "
            "number of units, not of faces."
        )
    if apart:
        notes.append(
            f"No face of {listed(apart, _MOST_NAMED)} is annotated as a face of another group is: whether such a group "
            "is served as the others cannot be tested."
        )
    return notes


def method_notes(
    results: Sequence[AttributeResult], clustered: bool, settings: Settings, power: bool = True
) -> list[str]:
    """How the numbers were made and how far they can be trusted.

    Args:
        results: The audited attributes.
        clustered: Whether the table says which faces belong together.
        settings: The audit's settings.
        power: Whether it was worked out how large a gap the verdict would have named.
    """
    level, n_boot, n_perm = settings.level, settings.n_boot, settings.n_perm
    min_n, min_class_n = settings.min_n, settings.min_class_n
    families = [
        [g for r in results for g in r.gaps if g.family == f and not math.isnan(g.p)] for f in (HEADLINE, FURTHER)
    ]
    n_groups = sum(not math.isnan(g.p) for r in results for g in r.groups)
    unit = "independent units (copies of a picture, or faces of a person, are one)" if clustered else "faces"
    notes = [
        f"Intervals aim at {level:.0%} coverage. Shares (accuracy, recall, precision, top-2): Wilson's interval; "
        "dependent faces count for fewer. Means over classes (balanced accuracy, F1): normal on the logit scale with "
        f"the deviation of {n_boot} bootstrap replicates over {unit}, and at least as wide as the classes' own "
        "intervals imply. Other means: Student's, corrected for skewness. docs/audit.md shows how often each holds "
        "the truth.",
        f"Expected gap and p-value: {n_perm} permutations of the groups among faces annotated with the same class "
        "(means of scores such as KL, and shares of dependent faces: normal draws with the mean and covariance of such "
        "permutations, whose small p-values are only about right for skewed scores of small groups). "
        "Each group keeps its mix of classes, so what that mix alone does to a gap is part of what is expected.",
        "A largest-minus-smallest gap is positive even where no disparity exists: judge it by the expected gap and "
        "the p-value. Its interval comes from simultaneous intervals of all pairs of groups, each side as far as the "
        "groups' own limits reach. It holds near zero too, and is wide with many or small groups; a disparity can be "
        "shown although it reaches down to 0.",
        f"p-values are adjusted (Benjamini and Hochberg) over the {len(families[0])} headline gaps of this audit "
        f"(accuracy, balanced accuracy, macro and weighted F1, recalls) and its {n_groups} groups together, and apart "
        f"from them over the {len(families[1])} further gaps; a disparity is an adjusted p below 0.05. 'No disparity "
        "shown' is not proof of equality: few faces hide large gaps."
        + (" The smallest gap that the verdict would have named stands beside." if power else ""),
        "Beside each group stands the accuracy to expect if it were served as all faces annotated alike, and the "
        "p-value of its departure from that. Among groups of very different sizes this sees what the largest gap "
        "hides.",
        f"Groups below {min_n} faces or {settings.min_units} independent units are shown but enter no "
        f"gap; classes below {min_class_n} units in a group enter no gap of that class, but macro values still average "
        "over them. Where no picture or person repeats, units are faces. "
        "Undefined values are empty, never 0.",
        "Macro values average over the classes that a group has; groups that lack a class are compared over different "
        "classes (each group's note says so). Equal-odds fairness leaves out every class that is too rare in some "
        "group.",
    ]
    if not clustered:
        notes.append(
            "Every face was taken as independent. If pictures or persons repeat, add a 'cluster' or 'identity' column: "
            "without it intervals are too narrow."
        )
    most = max(len(families[0]) + n_groups, len(families[1]))
    if most and most / (1 + n_perm) >= 0.05:
        notes.append(
            f"With {n_perm} permutations and {most} tests adjusted together, one alone cannot reach an adjusted p "
            f"below 0.05: use n_perm={20 * most} or more."
        )
    return notes


def not_tested(
    predictions: Predictions, results: Sequence[AttributeResult], clustered: bool, leakage: bool
) -> list[str]:
    """What an audit of these predictions says nothing about."""
    audited = {part.rpartition(":")[0] or part for r in results for part in r.name.split("*")}
    others = [c for c in candidate_attributes(predictions) if c not in audited]
    out = []
    if others:
        out.append(f"Columns that could be audited and were not asked for: {', '.join(others)}.")
    out.append("Attributes that are not in the table: an audit sees only the columns that it is given.")
    if predictions.probs is None:
        out.append("Calibration, abstention, top-2 and KL: the table has no probabilities.")
    if predictions.votes is None:
        out.append("Whether annotators disagreed: the table has no votes.")
    if not clustered:
        out.append("Whether faces are copies of a picture or of one person: the table has no cluster or identity.")
    if predictions.undetected is None:
        out.append("Faces that the tool did not find: the table has no column 'detected'.")
    if all(r.confounders is None for r in results):
        out.append(
            "Whether pictures alike are served alike: no column of numbers (such as brightness) was held common."
        )
    if not leakage:
        out.append("Whether the attributes can be read from the model's features: the leakage probe was not asked for.")
    out += _uncorrected(predictions, results)
    small = [
        f"{r.label}: {listed(names, _MOST_NAMED)}"
        for r in results
        if (names := [g.name for g in r.groups if g.verdict])
    ]
    if small:
        out.append(f"Groups with too few faces, which enter no gap ({'; '.join(small)}).")
    out.append("Other faces, cameras and uses than these; and why a gap is there.")
    return out


def _uncorrected(predictions: Predictions, results: Sequence[AttributeResult]) -> list[str]:
    """Perceived attributes whose annotator's mistakes are not corrected for, and why."""
    out = []
    unsure = [r for r in results if r.source == PERCEIVED and (r.inferred is None or not r.inferred.annotator)]
    refused = [r.label for r in unsure if r.name in predictions.annotator_errors]
    unknown = [r for r in unsure if r.name not in predictions.annotator_errors]
    crossed = [r.label for r in unknown if "*" in r.name and predictions.annotator_errors]
    missing = [r.label for r in unknown if r.label not in crossed]
    if refused:
        out.append(
            f"The annotator's mistakes about {', '.join(refused)}: its confusion matrix came with the predictions, but "
            "cannot be used (see the method)."
        )
    if crossed:
        out.append(f"The annotator's mistakes about {', '.join(crossed)}: they were not counted crossed.")
    if missing:
        out.append(f"The annotator's mistakes about {', '.join(missing)}: no confusion matrix of theirs was given.")
    return out


def _gap_rows(result: AttributeResult, family: str) -> list[tuple[str, ...]]:
    return [
        (
            g.title + (f" ({g.note})" if g.note else ""),
            interval(g.value),
            *(number(v) for v in (g.expected, g.expected_high)),
            *(p_value(p) for p in (g.p, g.p_adjusted)),
            g.worst or "–",
            g.best or "–",
            g.verdict,
        )
        for g in result.gaps
        if g.family == family
    ]


def _attribute_lines(result: AttributeResult) -> list[str]:
    lines = [f"## {result.label}", ""]
    unknown = f"; {result.n_unknown} of unknown group left out" if result.n_unknown else ""
    lines += [f"{result.n} faces{unknown}. Source of the groups: {result.source}.", ""]
    metrics = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
    pooled = any(g.pooled for g in result.groups)
    lines += table(
        (
            "group",
            "faces",
            *(metric_title(m) for m in metrics),
            *(["accuracy, pooled"] if pooled else []),
            "expected accuracy",
            "adjusted p",
            "",
        ),
        [
            (
                g.name,
                str(g.n),
                *(interval(g.metrics[m]) for m in metrics),
                *([interval(g.pooled)] if pooled else []),
                number(g.expected),
                p_value(g.p_adjusted),
                g.verdict or g.standing,
            )
            for g in result.groups
        ],
    )
    header = ("gap of", "gap", "expected by chance", "up to", "p", "adjusted p", "worst", "best", "verdict")
    lines += table(header, _gap_rows(result, HEADLINE))
    lines += [_power(result), ""] if _power(result) else []
    lines += _inferred_lines(result, result.inferred) if result.inferred else []
    further = _gap_rows(result, FURTHER)
    lines += ["Further measures (adjusted apart):", "", *table(header, further)] if further else []
    notes = [*_findings(result), *result.notes, *(f"{g.name}: {g.note}." for g in result.groups if g.note and g.n)]
    return lines + ([*(f"- {note}" for note in notes), ""] if notes else [])


def _power(result: AttributeResult) -> str:
    """What the sample could have shown, in a sentence; empty where it is not known."""
    gap = next((g for g in result.gaps if g.metric == "accuracy" and not g.class_name), None)
    if gap is None or math.isnan(gap.detectable):
        return ""
    ends = number(gap.detectable)
    if gap.detectable_high - gap.detectable > 0.0005:
        ends += f" to {number(gap.detectable_high)}, by the group"
    return f"The verdict would have named an accuracy gap of {ends}, four times in five (all adjustments included)."


def _inferred_lines(result: AttributeResult, inferred: InferredResult) -> list[str]:
    """The accuracy gap by each method, with its pair of groups, what was not possible, and what may be quoted."""
    why = not_possible(inferred)
    gaps = {m.name: m.gap("accuracy") for m in inferred.methods}
    rows = []
    for name, words in METHODS.items():
        if name in why:
            rows.append((words, "–", "not possible"))
        else:
            # As perceived it is the gap of the table above, to the last digit of its interval.
            value = result.gap("accuracy").value if name == THRESHOLDED else gaps[name].value
            rows.append((words, interval(value), pair(gaps[name])))
    absent = [f"{capital(METHODS[name])}: {reason.rstrip('.')}." for name, reason in why.items()]
    said = [inferred.annotator_note, *absent, *left_out(inferred), *inferred.doubts, quotable(inferred)]
    return [
        "What if the groups are guessed wrongly?",
        "",
        *table(("accuracy gap", "value", "between"), rows),
        *(f"- {line}" for line in said if line),
        "",
    ]


def _findings(result: AttributeResult) -> list[str]:
    """The sentences of the further questions."""
    out: list[str] = []
    if result.disagreement:
        out += result.disagreement.sentences
    if result.confounders:
        out.append(result.confounders.sentence)
    if result.inferred:
        out += [c.sentence for c in result.inferred.erasure if c.metric == "accuracy"]
    if result.leakage:
        out.append(result.leakage.sentence)
    return [s for s in out if s]


def render_text(audit: Audit) -> str:
    """The whole audit as Markdown that also reads well as plain text."""
    lines = ["# Audit", "", *warning_lines(audit.warnings), audit.finding, ""]
    units = "" if audit.n_clusters == audit.n else f" in {audit.n_clusters} independent units"
    where = f" Source: {audit.source}." if audit.source else ""
    lines += [f"{audit.n} faces{units}, {len(audit.classes)} classes.{where}", ""]
    defined = [(metric_title(name), interval(e)) for name, e in audit.overall.items() if not math.isnan(e.value)]
    lines += table(("overall", "value"), defined)
    for result in audit.attributes:
        lines += _attribute_lines(result)
    lines += ["## Not tested", "", *(f"- {note}" for note in audit.not_tested), ""]
    lines += ["## Method", "", *(f"- {note}" for note in audit.method_notes), ""]
    return document(lines)
