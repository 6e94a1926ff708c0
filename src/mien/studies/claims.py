"""Each published claim against what a study found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from mien.audit.seeds.noise import estimate_of, interval_over_seeds
from mien.metrics.learnt import nothing_learnt_by
from mien.records import Estimate
from mien.stats.settings import Settings
from mien.studies.cells import Cell, Plan, brought_to
from mien.studies.columns import RUN, Column
from mien.studies.definition import ClaimConfig
from mien.studies.disparities import change_of
from mien.studies.estimates import (
    at,
    estimates_of,
    from_records,
    less_is_better,
    n_unlearnt,
    predictions_of,
    same_faces,
    spread_over_seeds,
    value_of,
)
from mien.studies.folds import folds_of, mean_over_folds
from mien.studies.standing import done_of
from mien.wording import listed

Verdict = Literal["holds", "does not hold", "cannot be told", "not run"]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A published claim and what our records say of it.

    Attributes:
        claim: The claim.
        verdict: holds, does not hold, cannot be told or not run.
        ours: The difference that we found, or the value.
        seeds: Seeds behind it; 0 of a mean over folds, whose number the reason tells.
        wanted: Seeds that the study asks for.
        scale: At which it was found.
        why: Why it cannot be told, and what else is to be known of it.
    """

    claim: ClaimConfig
    verdict: Verdict
    ours: Estimate | None
    seeds: int
    wanted: int
    scale: str
    why: str = ""


def judge(plan: Plan, claim: ClaimConfig, settings: Settings = Settings()) -> Judged:
    """Hold a published claim against the records.

    A comparison is of seeds in pairs, on the same faces. It *holds* where the whole interval of the difference is
    on the claimed side of 0 (below it for metrics of which less is better), *does not hold* where it is on the other,
    and *cannot be told* otherwise; with one seed nothing can be told, for another seed might turn it. That two differ
    by no more than something (``within``), or one is worse by no more (``no_worse_by``), holds where the whole interval
    says so, and not where none of it does. That a cell reaches a value holds where the whole interval is beyond it;
    that it does not is told of the study as it is written alone: a shorter training that falls short tells nothing of
    a longer one.
    Where the published size of a difference in a metric of which more is better lies outside of our interval, the
    reason says so, whatever the verdict.
    Nothing is told of rows that come to the same experiment, that were judged by other classes or labels, or of which
    a seed learnt next to nothing: that is a training which failed, and no finding. Of a mean
    over folds see :mod:`mien.studies.folds`.
    """
    if claim.cells[0] in plan.study.means:
        return _judged_mean(plan, claim, settings)
    wanted = plan.seeds

    def judged(verdict: Verdict, why: str, ours: Estimate | None = None, seeds: int = 0) -> Judged:
        return Judged(claim=claim, verdict=verdict, ours=ours, seeds=seeds, wanted=wanted, scale=plan.called, why=why)

    def untold(why: str, ours: Estimate | None = None, seeds: int = 0) -> Judged:
        return judged("cannot be told", why, ours, seeds)

    done = [{cell.seed: cell for cell in done_of(plan.of(name))} for name in claim.cells]
    seeds = sorted(set.intersection(*(set(found) for found in done)))
    if not seeds:
        absent = [name for name, found in zip(claim.cells, done, strict=True) if not found]
        return judged("not run", f"no run of {listed(list(dict.fromkeys(absent)))}" if absent else "no seed of both")
    sides = [[found[seed] for seed in seeds] for found in done]
    told = at(plan, claim.metric)
    lower = less_is_better(told)
    if claim.cell is not None:
        value = value_of(plan, sides[0], claim.metric, settings)
        ours, against = None if value is None else value.mean, float(claim.value or 0)
    else:
        names = (claim.metric, claim.than_metric or claim.metric)
        if names[0] == names[1]:
            if all(a.key == b.key for a, b in zip(*sides, strict=True)):
                return untold("both rows are one experiment at this scale", seeds=len(seeds))
            if other := _judged_otherwise([*sides[0], *sides[1]], told):
                return untold(other, seeds=len(seeds))
        ours, against = _difference(plan, (sides[0], sides[1]), names, settings), 0.0
    if ours is None:
        return untold(f"no {claim.metric} was measured")
    if len(seeds) == 1:
        return untold("one seed", ours, 1)
    if math.isnan(ours.low) or math.isnan(ours.high):
        return untold("undefined", ours, len(seeds))
    columns = (told, at(plan, claim.than_metric or claim.metric))
    if lost := [
        nothing_learnt_by(n, f"{len(seeds)} seeds of {name}")
        for name, side, column in zip(claim.cells, sides, columns, strict=False)
        if (n := n_unlearnt(plan, side, column))
    ]:
        return untold("; ".join(dict.fromkeys(lost)), ours, len(seeds))
    verdict, reasons = _told(plan, claim, ours, against, lower)
    reasons += _brought(claim.cells, sides)
    if len(seeds) < wanted:
        reasons.append(f"{len(seeds)} of {wanted} seeds")
    compared = claim.cell is None and claim.than_metric is None and told.evaluation != RUN
    if compared and "in pairs" not in ours.method and _of_other_faces([*sides[0], *sides[1]], told):
        reasons.append("not on the same faces")
    return judged(verdict, "; ".join(reasons), ours, len(seeds))


def _told(plan: Plan, claim: ClaimConfig, ours: Estimate, against: float, lower: bool) -> tuple[Verdict, list[str]]:
    """The verdict that an interval gives, and what else is to be known of it."""
    margin = claim.within or claim.no_worse_by
    if claim.within is not None:
        holds, fails = max(-ours.low, ours.high) <= claim.within, max(ours.low, -ours.high) > claim.within
    elif claim.no_worse_by is not None:
        worse = (ours.low, ours.high) if lower else (-ours.high, -ours.low)
        holds, fails = worse[1] <= claim.no_worse_by, worse[0] > claim.no_worse_by
    elif lower:
        holds, fails = ours.high < against, ours.low > against
    else:
        holds, fails = ours.low > against, ours.high < against
    verdict: Verdict = "holds" if holds else "does not hold" if fails else "cannot be told"
    reasons = []
    if verdict == "cannot be told" and margin is not None and (half := (ours.high - ours.low) / 2) > margin:
        reasons = [f"too few seeds and faces: we know it to ±{half:.3f}"]
    elif verdict == "cannot be told":
        border = against if margin is None else -margin if claim.no_worse_by is not None and not lower else margin
        reasons = [f"the interval includes {'±' if claim.within is not None else ''}{border:g}"]
    elif verdict == "does not hold" and claim.cell is not None and not plan.as_published:
        verdict, reasons = "cannot be told", ["not reached, but theirs was trained otherwise"]
    elif not plan.as_published and claim.where:
        reasons = ["told at another scale than theirs"]
    if margin is not None:
        reasons.append(f"{'at most' if claim.within is not None else 'worse by at most'} {margin:g}: a margin of ours")
    if claim.by is not None and margin is None and not lower and not ours.low <= claim.by <= ours.high:
        reasons.append(f"not by as much as theirs, {claim.by:g}" if claim.by > ours.high else "by more than theirs")
    return verdict, reasons


def _judged_mean(plan: Plan, claim: ClaimConfig, settings: Settings) -> Judged:
    """A claim about a mean over folds: that it reaches a value, or that one figure of it is above another."""
    done, wanted = folds_of(plan, claim.cells[0])
    columns = [at(plan, column) for column in (claim.metric, claim.than_metric) if column is not None]
    ours = mean_over_folds(done, columns, settings)
    verdict: Verdict = "cannot be told"
    if not done:
        verdict, reasons = "not run", [f"no run of its {wanted} folds"]
    elif ours is None:
        reasons = [f"no {claim.metric} was measured"]
    elif math.isnan(ours.low) or math.isnan(ours.high):
        reasons = ["one fold" if len(done) == 1 else "undefined"]
    elif n := max(n_unlearnt(plan, [cell for fold in done for cell in fold], column) for column in columns):
        reasons = [nothing_learnt_by(n, f"{sum(map(len, done))} runs")]
    else:
        verdict, reasons = _told(plan, claim, ours, float(claim.value or 0), less_is_better(columns[0]))
        reasons += [f"{len(done)} of {wanted} folds", *_brought(claim.cells[:1], [[c for fold in done for c in fold]])]
    why = "; ".join(reasons)
    return Judged(claim=claim, verdict=verdict, ours=ours, seeds=0, wanted=0, scale=plan.called, why=why)


def _brought(names: Sequence[str], sides: Sequence[Sequence[Cell]]) -> list[str]:
    """Which rows go back to a file of the caller's, once each."""
    told = dict(zip(names, sides, strict=False))
    return [f"{name}: {said[0].lower()}{said[1:-1]}" for name, side in told.items() for said in brought_to(side)]


def _judged_otherwise(cells: Sequence[Cell], column: Column) -> str:
    """How rows were judged otherwise than each other, so that no difference between them means anything; or empty."""
    if column.evaluation == RUN:
        return ""
    if column.annotated:  # faces chosen by their labels could never be seen to have others
        column = replace(column, attribute="", groups=(), annotated=False)
    runs = [predictions_of(cell, column) for cell in cells]
    if len({run.classes for run in runs}) > 1:
        return "judged by other classes"
    labels = pd.concat([pd.Series(run.labels, index=run.sample_id) for run in runs])
    each = labels.groupby(level=0)
    return "judged by other labels" if bool((each.min() != each.max()).any()) else ""


def _of_other_faces(cells: Sequence[Cell], column: Column) -> bool:
    """Whether runs were not judged on the very same faces."""
    return same_faces([predictions_of(cell, column) for cell in cells]) is None


def _difference(
    plan: Plan, sides: tuple[Sequence[Cell], Sequence[Cell]], columns: tuple[str, str], settings: Settings
) -> Estimate | None:
    """Mean over seeds of the first's value less the second's, seed by seed; on the same faces if of one column."""
    asked = [at(plan, column) for column in columns]
    found = [estimates_of(cells, told, settings) for cells, told in zip(sides, asked, strict=True)]
    if not all(found):
        return None
    values = np.array([a.value - b.value for a, b in zip(*found, strict=True)])
    nan = float("nan")
    if len(values) == 1:
        return Estimate(float(values[0]), nan, nan, level=settings.level)
    first = found[0][0]
    if columns[0] == columns[1] and asked[0].over:
        shared = same_faces([predictions_of(cell, asked[0]) for cell in (*sides[0], *sides[1])])
        if shared is not None:
            k = len(sides[0])
            return change_of(shared[:k], shared[k:], asked[0], replace(settings, n_boot=1000))
    elif columns[0] == columns[1]:
        spread = spread_over_seeds(sides[0], sides[1], asked[0])
        if spread is not None:
            return estimate_of(spread, first.n, first.clusters, settings, "in pairs")
    # As if on other faces each: wider than need be.
    sampling = sum(from_records(told.metric, each, settings)[1] for told, each in zip(asked, found, strict=True))
    low, high = interval_over_seeds(
        float(values.mean()), sampling, float(values.var(ddof=1)), len(values), settings.level
    )
    method = "student over seeds and faces, from each run's interval"
    return Estimate(
        float(values.mean()), low, high, level=settings.level, method=method, n=first.n, clusters=first.clusters
    )
