"""The accuracy gap between perceived groups in words: by each method, what was not possible, and what may be quoted."""

from __future__ import annotations

import math

from mien.audit.inferred.results import CORRECTED, THRESHOLDED, WEIGHTED, InferredGap, InferredResult
from mien.wording import interval, number

METHODS = {
    THRESHOLDED: "as perceived",
    WEIGHTED: "weighted by confidence",
    CORRECTED: "corrected for the annotator's mistakes",
}
MANY_UNKNOWN = 0.05  # from this share of the faces on, those without a group are spoken of


def pair(gap: InferredGap) -> str:
    """``White below Indian``; empty where the gap has no two groups."""
    return f"{gap.worst} below {gap.best}" if gap.worst != gap.best else ""


def not_possible(result: InferredResult) -> dict[str, str]:
    """Method -> why it gives no accuracy gap, in a few words or by the error that says so."""
    why = {m.name: "too few faces" for m in result.methods if math.isnan(m.gap("accuracy").value.value)}
    made = {m.name for m in result.methods}
    if WEIGHTED not in made:
        crossed = " in the groups crossed" if "*" in result.name else ""
        why[WEIGHTED] = f"the annotator's confidence{crossed} is not in the table"
    if CORRECTED not in made:
        why[CORRECTED] = (
            f"the annotator's confusion matrix is known but cannot be used. {result.refused}"
            if result.refused
            else "no confusion matrix of the annotator was given"
        )
    return {name: why[name] for name in METHODS if name in why}


def left_out(result: InferredResult) -> list[str]:
    """Which groups a method leaves out of its gap although as perceived they take part."""
    seen = {g.name: g for g in result.method(THRESHOLDED).groups if g.in_gaps}
    return [
        f"{name}: {group.n:,.0f} faces {METHODS[method.name]}, {seen[name].n:,.0f} as perceived. That is too few: it "
        "takes no part in that gap."
        for method in result.methods
        for group in method.groups
        if (name := group.name) in seen and not group.in_gaps
    ]


def quotable(result: InferredResult) -> str:
    """Which figure may be quoted as what, in two sentences; empty where there is no gap to quote."""
    gaps = {m.name: m.gap("accuracy") for m in result.methods}
    known = {name: gap for name, gap in gaps.items() if not math.isnan(gap.value.value)}
    if THRESHOLDED not in known:
        return ""
    seen, weighted, solved = known[THRESHOLDED], known.get(WEIGHTED), known.get(CORRECTED)
    every = result.n + result.n_unknown
    among = (
        f" among the {result.n:,} of {every:,} faces with a group" if result.n_unknown > MANY_UNKNOWN * every else ""
    )
    never = []
    if solved is not None and not result.doubts:
        say = (
            f"corrected for the annotator's known mistakes, the accuracy gap by {result.label}{among} is "
            f"{interval(solved.value)}, {pair(solved)} (if the annotator errs here as where its mistakes were counted)"
        )
        never.append(f'{number(seen.value.value)} without "as perceived"')
    else:
        say = (
            f"between faces perceived as {seen.worst} and as {seen.best} the accuracy gap{among} is "
            f"{number(seen.value.value)}, not corrected for the annotator's mistakes"
        )
        if solved is not None:
            never.append(f"{number(solved.value.value)} (corrected; its matrix is in doubt here)")
    if weighted is not None:
        never.append(f"{number(weighted.value.value)} (weighted)")
    never += ['"disparity" unless the verdict does', f"that the groups are the persons' own {_plain(result.label)}"]
    return f"You may say: {say}. You may not say: {'; '.join(never)}."


def _plain(label: str) -> str:
    return label.replace("perceived ", "")
