"""The audit of several seeds judged and put in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mien.audit.seeds.results import (
    CANNOT_TELL,
    REAL,
    WITHIN,
    SeedAttribute,
    SeedGap,
)
from mien.audit.vocabulary import TOO_FEW
from mien.records import Predictions
from mien.stats.multiplicity import SIGNIFICANT, adjust_bh
from mien.stats.settings import Settings
from mien.wording import interval, number, p_words


def judged(attributes: list[SeedAttribute], k: int) -> list[SeedAttribute]:
    """Adjust the p-values over all gaps, and say for each gap what follows."""
    adjusted = iter(adjust_bh([gap.p for a in attributes for gap in a.gaps]).tolist())
    return [replace(a, gaps=[_judged_gap(gap, next(adjusted), k, a.label) for gap in a.gaps]) for a in attributes]


def _judged_gap(gap: SeedGap, p: float, k: int, label: str) -> SeedGap:
    if gap.verdict == TOO_FEW:
        return replace(gap, sentence=f"The gap in {gap.title} of {label}: fewer than two groups with enough faces.")
    value, last = gap.value, gap.worst_by_run.count(gap.worst)
    often = f"all {k}" if last == k else f"{last} of {k}"
    text = f"The gap in {gap.title} of {label}, {interval(value)} between means over {k} seeds, "
    if p < SIGNIFICANT:
        verdict = REAL
        text += f"is real beyond seed noise: equal groups would show {number(gap.expected)} (adjusted {p_words(p)})."
    elif value.high <= gap.seed_gap_high:
        verdict = WITHIN
        noise = number(gap.seed_gap_high)
        text += f"is within seed noise: the seed alone gives equal groups gaps up to {noise} in one run."
    else:
        verdict = CANNOT_TELL.format(k)
        text += f"cannot be told from noise with {k} seeds (adjusted {p_words(p)}): {_limit(gap, k)}."
    return replace(gap, p_adjusted=p, verdict=verdict, sentence=f"{text} {gap.worst} came last in {often} runs.")


def _limit(gap: SeedGap, k: int) -> str:
    if gap.seeds_needed > k:
        return f"with about {gap.seeds_needed} seeds their noise would be below that of the faces"
    return "the faces are the limit, not the seeds, and more runs would hardly help"


def lead(attribute: SeedAttribute) -> str:
    """The first gap that is real, else that in accuracy, in words."""
    real = [gap for gap in attribute.gaps if gap.verdict == REAL]
    more = f" In all, {len(real)} of {len(attribute.gaps)} gaps of {attribute.label} are." if len(real) > 1 else ""
    return (real or attribute.gaps)[0].sentence + more


def twins(runs: Sequence[Predictions], names: Sequence[str]) -> list[str]:
    """Runs that are the same run make the seed noise look smaller than it is."""
    return [
        f"{names[i]} and {names[j]} predict the same for every face: if they are one run given twice, the seed noise "
        "is larger than it looks here."
        for j in range(len(runs))
        for i in range(j)
        if np.array_equal(runs[i].predicted, runs[j].predicted)
    ]


def method_notes(settings: Settings, k: int) -> list[str]:
    """How the numbers were made and how far they can be trusted."""
    return [
        f"All {k} runs are compared on the same faces. Intervals aim at {settings.level:.0%} coverage of what the "
        "training procedure does: the mean over all seeds and all faces. They hold for new seeds of the same data; "
        "a new training set would add noise that no seed shows.",
        "Noise of the faces is shared by all runs and does not shrink with more of them; noise of the seeds does. "
        "With few runs their variance is pooled over groups and paid for by Student's t.",
        "A gap is real beyond seed noise if equal groups would show it in fewer than 5 % of cases (p adjusted over "
        "all gaps, Benjamini and Hochberg), and within seed noise if its upper end is below what one run's seed "
        "gives equal groups. Else nothing is known. A difference in class mix counts as a gap here: the audit of a "
        "run says what that alone would do.",
        f"Groups below {settings.min_n} faces, or {settings.min_units} independent units, and classes below "
        f"{settings.min_class_n} units in a group, are shown "
        "but enter no gap. Undefined values are empty, never 0.",
    ]
