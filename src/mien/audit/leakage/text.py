"""Leakage in words: the finding in a sentence, and the notes on how it was found."""

from __future__ import annotations

from collections.abc import Mapping

from mien.audit.leakage.permutations import GroupPermutations
from mien.audit.leakage.results import (
    EXPRESSION,
    FEATURES,
    FREQUENCIES,
    LEAKAGE,
    LINEAR,
    MLP,
    NO_LEAKAGE,
    PROBABILITIES,
    ProbeResult,
)
from mien.audit.leakage.sample import ProbeSettings, Sample
from mien.samples import PERCEIVED
from mien.stats.multiplicity import SIGNIFICANT
from mien.wording import capital, interval, number

_WORDS = {FEATURES: "the features", PROBABILITIES: "the model's probabilities", EXPRESSION: "the annotated expression"}
_GIVEN_EXPRESSION = (
    "p-values: groups are permuted among faces annotated with the same expression, the probe refitted each time. "
    "They ask whether the input tells more of the group than the annotated class does. That can be leakage, or degrees "
    "of an expression that its class leaves out. For the annotated expression itself groups are permuted freely."
)
_FREE = (
    "p-values: groups are permuted freely, and the probe is refitted each time. Without annotated expressions a group "
    "that merely shows some expressions more often counts as leakage."
)
_PROBE_WORDS = {LINEAR: "linear probe", MLP: "MLP probe", FREQUENCIES: "class frequencies"}


def finding(results: list[ProbeResult], label: str, chance: float) -> tuple[str, str]:
    """Verdict and sentence, by the best probe on the first input."""
    candidates = [r for r in results if r.input == results[0].input]
    shown = [r for r in candidates if r.p_adjusted <= SIGNIFICANT]
    lead = max(shown or candidates, key=lambda r: r.balanced_accuracy.value)
    what = _WORDS.get(lead.input, lead.input)
    beside = f"chance is {number(chance, '.2f')}"
    for alone in (r for r in results if r.input == EXPRESSION):
        beside += f", and from the annotated expression alone {number(alone.balanced_accuracy.value, '.2f')}"
    value = f"balanced accuracy {interval(lead.balanced_accuracy, '.2f')} ({_PROBE_WORDS[lead.probe]})"
    if shown:
        return LEAKAGE, f"{capital(label)} can be read from {what} with {value}; {beside}."
    beyond = " beyond the annotated expression" if lead.given_expression else ""
    return NO_LEAKAGE, (
        f"Nothing shows that {label} can be read from {what}{beyond}: {value}, where {number(lead.expected, '.2f')} "
        f"(up to {number(lead.expected_high, '.2f')}) is expected without leakage; {beside}."
    )


def notes_on(
    results: list[ProbeResult],
    sample: Sample,
    source: str,
    left_out: Mapping[str, str],
    mobility: GroupPermutations,
    settings: ProbeSettings,
) -> list[str]:
    """How the finding was made and what to mind."""
    n, n_units = len(sample.group), sample.n_units
    notes = [
        "Leakage says what the features hold, not that the model uses it. And that these probes find nothing does not "
        "show that nothing is there.",
        f"Fresh probes, fitted on {settings.n_folds - 1} of {settings.n_folds} folds and judged on the one left out; "
        "no unit stands in two folds. Linear: Fisher's discriminant with shrinkage. MLP: one hidden layer of 16 units, "
        "stopped early. Groups count alike, whatever their size.",
        f"Intervals aim at {settings.level:.0%} coverage over {n_units} independent units. Those of balanced accuracy "
        "are widened by as much as permutations vary more than independent faces would, since probes share their "
        "training faces: rather too wide where much leaks. Those of single groups are for the probes as fitted.",
        _GIVEN_EXPRESSION if sample.label is not None else _FREE,
        _resolution([r for r in results if r.input == results[0].input]),
    ]
    if n < sample.n_available:
        notes.append(f"{n} of {sample.n_available} faces were probed, drawn at random; small groups are kept whole.")
    notes += [f"Left out: {group} ({reason})." for group, reason in left_out.items()]
    notes += _mobility_notes(mobility)
    if source == PERCEIVED:
        notes.append("The groups are perceived: the probes read that guess, with its mistakes.")
    if n_units == n:
        notes.append(
            "Every face was taken as independent. If pictures or persons repeat, add a 'cluster' or 'identity' column: "
            "without it the probes may recognise them."
        )
    return notes


def _resolution(beside: list[ProbeResult]) -> str:
    """How small p-values can be."""
    smallest = ", ".join(f"{number(1 / (1 + r.n_perm))} ({_PROBE_WORDS[r.probe]})" for r in beside)
    adjusted = "Adjusted p-values count the probes on one input (Bonferroni). " if len(beside) > 1 else ""
    return f"{adjusted}The smallest p-value that the permutations can give: {smallest}."


def _mobility_notes(mobility: GroupPermutations) -> list[str]:
    notes = []
    if mobility.fixed > 0.01:
        notes.append(f"{mobility.fixed:.0%} of the faces have no counterpart in another group and are never exchanged.")
    if mobility.modelled > 0.01:
        notes.append(
            f"{mobility.modelled:.0%} of the faces belong to units (persons) whose set of annotated classes few others "
            "have: they are exchanged by a model of the group given those classes, and the p-value is as good as it."
        )
    return notes
