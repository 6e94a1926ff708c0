"""A comparison judged and put in words."""

from __future__ import annotations

from dataclasses import replace

from mien.audit.compare.results import (
    BEST_GAINED,
    BEST_LOST,
    BOTH_ENDS,
    GAINED,
    GREW,
    LOST,
    SHRANK,
    WORST_GAINED,
    WORST_LOST,
    Change,
    Comparison,
    GapChange,
    GroupChange,
)
from mien.audit.vocabulary import TOO_FEW
from mien.audit.warned import said_first
from mien.stats.multiplicity import SIGNIFICANT, adjust_bh
from mien.stats.settings import Settings
from mien.wording import interval, listed, number, p_words

_MOST = 0.75  # an end that makes up this share of a gap's change is named as its cause
_VISIBLE = 5e-4  # smaller changes round to nothing


def judged(comparisons: list[Comparison]) -> list[Comparison]:
    """Adjust the p-values over all groups, and over all gaps; then say what follows."""
    nan = float("nan")
    groups = [g for c in comparisons for g in (c.overall, *(g for a in c.attributes for g in a.groups))]
    p_groups = iter(adjust_bh([nan if g.verdict == TOO_FEW else g.p for g in groups]).tolist())
    p_gaps = iter(adjust_bh([gap.p for c in comparisons for a in c.attributes for gap in a.gaps]).tolist())
    out = []
    for c in comparisons:
        overall = _judged_group(c.overall, next(p_groups))
        attributes = [
            replace(
                a,
                groups=[_judged_group(g, next(p_groups)) for g in a.groups],
                gaps=[_judged_gap(gap, next(p_gaps), a.label) for gap in a.gaps],
            )
            for a in c.attributes
        ]
        c = replace(c, overall=overall, attributes=attributes)
        out.append(replace(c, verdict=said_first(c.warnings, _verdict(c))))
    return out


def _judged_group(group: GroupChange, p: float) -> GroupChange:
    verdict, change = group.verdict, group.metrics["accuracy"].difference.value
    if p < SIGNIFICANT:
        verdict = GAINED if change > 0 else LOST
    return replace(group, p_adjusted=p, verdict=verdict)


def _judged_gap(gap: GapChange, p: float, label: str) -> GapChange:
    change = gap.gap.difference.value
    if gap.verdict == TOO_FEW:
        return replace(gap, sentence=f"The gap in {gap.title} of {label}: fewer than two groups with enough faces.")
    both = f"{number(gap.gap.a.value)} to {number(gap.gap.b.value)}"
    size = f"{interval(gap.gap.difference, '+.3f')} (adjusted {p_words(p)})"
    if not p < SIGNIFICANT:
        text = f"The gap in {gap.title} of {label} went from {both}: a change of {size} may be chance."
        return replace(gap, p_adjusted=p, sentence=text)
    cause, why = _cause(gap)
    verdict = SHRANK if change < 0 else GREW
    text = f"The gap in {gap.title} of {label} {verdict} from {both}, by {size}, {why}."
    return replace(gap, p_adjusted=p, verdict=verdict, cause=cause, sentence=text)


def _cause(gap: GapChange) -> tuple[str, str]:
    """Which end moved a gap that changed, and in words."""
    sign = 1.0 if gap.gap.difference.value > 0 else -1.0
    best = sign * (gap.best.b.value - gap.best.a.value)
    worst = -sign * (gap.worst.b.value - gap.worst.a.value)
    top, bottom = (
        _moved(gap.best, gap.best_a, gap.best_b, "highest"),
        _moved(gap.worst, gap.worst_a, gap.worst_b, "lowest"),
    )
    if max(best, worst) < _MOST * (best + worst):
        return BOTH_ENDS, f"because {top} and {bottom}"
    from_best = best > worst
    main, other, part = (top, bottom, worst) if from_best else (bottom, top, best)
    cause = (BEST_GAINED if sign > 0 else BEST_LOST) if from_best else (WORST_LOST if sign > 0 else WORST_GAINED)
    if part > _VISIBLE:
        return cause, f"mostly because {main}; {other}"
    ends = (gap.worst_a, gap.worst_b, "lowest") if from_best else (gap.best_a, gap.best_b, "highest")
    up = from_best == (sign < 0)
    who = ends[0] if ends[0] == ends[1] else f"the {ends[2]} value"
    verb = ("gained" if up else "lost") if ends[0] == ends[1] else ("rose" if up else "fell")
    return cause, f"because {main}, not because {who} {verb}: {other}"


def _moved(change: Change, a: str, b: str, which: str) -> str:
    """``male lost 0.030 (0.900 to 0.870)``."""
    delta, same = change.b.value - change.a.value, a == b
    values = f"{number(change.a.value)} to {number(change.b.value)}"
    if not same:
        values = f"{number(change.a.value)} for {a} to {number(change.b.value)} for {b}"
    who = a if same else f"the {which} value"
    if abs(delta) <= _VISIBLE:
        return f"{who} stayed ({values})"
    verb = ("gained" if delta > 0 else "lost") if same else ("rose by" if delta > 0 else "fell by")
    return f"{who} {verb} {number(abs(delta))} ({values})"


def _verdict(c: Comparison) -> str:
    accuracy, (a, b) = c.overall.metrics["accuracy"], c.names
    found = {GAINED: f"{b} is better", LOST: f"{b} is worse"}.get(c.overall.verdict, "no difference is shown")
    lines = [
        f"On the {c.n:,} shared faces {b} is right on {number(accuracy.b.value)}, {a} on {number(accuracy.a.value)}: "
        f"{found}, {interval(accuracy.difference, '+.3f')} (McNemar, adjusted {p_words(c.overall.p_adjusted)})."
    ]
    for verdict in (LOST, GAINED):
        groups = [(x.label, g) for x in c.attributes for g in x.groups if g.verdict == verdict]
        groups.sort(key=lambda pair: -abs(pair[1].metrics["accuracy"].difference.value))
        if groups:
            shown = [f"{t} = {g.name} ({number(g.metrics['accuracy'].difference.value, '+.3f')})" for t, g in groups]
            lines.append(f"Groups that {verdict} accuracy with {b}: {listed(shown, 3)}.")
    for x in c.attributes:
        changed = [gap for gap in x.gaps if gap.verdict in (SHRANK, GREW)]
        lines.append((changed or x.gaps)[0].sentence)
        if len(changed) > 1:
            lines.append(f"In all, {len(changed)} of {len(x.gaps)} gaps of {x.label} changed.")
    return " ".join(lines)


def method_notes(settings: Settings, clustered: bool, n_models: int) -> list[str]:
    """How the numbers were made and how far they can be trusted."""
    unit = "independent units (copies of a picture, or faces of a person, are one)" if clustered else "faces"
    notes = [
        f"Both models are compared on the same faces. Differences aim at {settings.level:.0%} coverage: accuracy, "
        "recall and top-2 by an adjusted Wald interval for pairs, KL by Student's, the others by "
        f"{settings.n_boot} replicates of a paired bootstrap over {unit}.",
        "The change of a gap has a normal interval lengthened by half the bias that the extremes may have; its "
        "p-value is the interval's. In simulations it covered 91 % to 100 %, least where a gap opens between equal "
        "groups.",
        f"McNemar's test is exact (mid-p){' and counts units, not faces' if clustered else ''}. p-values are adjusted "
        f"over all groups, and over all gaps{', of all models together' if n_models > 2 else ''} (Benjamini and "
        "Hochberg).",
        f"Groups below {settings.min_n} faces, or {settings.min_units} independent units, and classes below "
        f"{settings.min_class_n} units in a group, are shown "
        "but enter no gap. Undefined values are empty, never 0.",
        "Two single runs also differ by their seeds. Only several runs of each model, as in the audit of seeds, tell "
        "a better method from a lucky run.",
    ]
    if not clustered:
        notes.append("Every face was taken as independent: if pictures or persons repeat, intervals are too narrow.")
    return notes
