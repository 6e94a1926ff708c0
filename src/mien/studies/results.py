"""What a study found: each row over its seeds with an interval, and each published claim against it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Literal

import numpy as np
import pandas as pd

from mien.audit.compare.shared_faces import shared_faces
from mien.audit.gaps import HEADLINE_METRICS
from mien.audit.overall import summary_estimates
from mien.audit.scores import row_scores
from mien.audit.seeds.noise import (
    Spread,
    estimate_of,
    interval_over_seeds,
    spread_of_scores,
    spreads_of,
)
from mien.audit.vocabulary import LOWER_IS_BETTER
from mien.errors import DataError
from mien.metrics import METRICS
from mien.records import Estimate, Predictions
from mien.runs import PREDICTIONS
from mien.stats.cells import Rows
from mien.stats.settings import Settings
from mien.studies.cells import Cell, Plan, done_of, evaluations_of, standing_of
from mien.studies.columns import MINUTES, RUN, Column, bounds_of, column_of
from mien.studies.definition import ClaimConfig
from mien.studies.disparities import change_of, of_groups

Verdict = Literal["holds", "does not hold", "cannot be told", "not run"]
_LESS = ("train_loss", "val_loss", MINUTES)  # of training, where less is better


@dataclass(frozen=True, kw_only=True)
class Value:
    """One number of a row over its seeds.

    Attributes:
        mean: Mean over seeds; with two or more the interval is for all faces and all seeds, with one for the faces
            alone.
        seeds: Each seed's value.
        sampling_error: Standard error that the sample of faces gives the mean; NaN where not known.
        seed_spread: Standard deviation of one seed's value about their mean; NaN with one seed.
        theirs: The published value; NaN where there is none.
    """

    mean: Estimate
    seeds: tuple[float, ...]
    sampling_error: float = float("nan")
    seed_spread: float = float("nan")
    theirs: float = float("nan")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table.

    Attributes:
        name: Its cell in the study.
        label: What the table calls it.
        values: Metric, or evaluation.metric -> value; empty where no seed is done.
        seeds: Seeds that are done.
        wanted: Seeds that the study asks for.
        parameters: Of the network; 0 where no seed is done.
        minutes: Mean of a training.
        epochs: Mean of those trained.
        states: State -> seeds in it.
        note: What a reader must know.
    """

    name: str
    label: str
    values: dict[str, Value]
    seeds: int
    wanted: int
    parameters: int = 0
    minutes: float = float("nan")
    epochs: float = float("nan")
    states: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A published claim and what our records say of it.

    Attributes:
        claim: The claim.
        verdict: holds, does not hold, cannot be told or not run.
        ours: The difference that we found, or the value.
        seeds: Seeds behind it.
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


def rows_of(plan: Plan, settings: Settings = Settings()) -> list[Row]:
    """The table of a study, from what its done cells left."""
    return [_row(plan, name, settings) for name, cell in plan.study.rows().items() if cell.judged]


def _row(plan: Plan, name: str, settings: Settings) -> Row:
    study, cell = plan.study, plan.study.rows()[name]
    cells = plan.of(name)
    states = dict(Counter[str](standing_of(each).state for each in cells))
    done = done_of(cells)
    row = Row(
        name=name,
        label=cell.label or name,
        values={m: value for m in study.metrics if (value := _value(plan, done, m, settings)) is not None},
        seeds=len(done),
        wanted=len(cells),
        states=states,
        note=cell.note,
    )
    if not done:
        return row
    records = [each.run.record for each in done]
    same = _same_experiment(plan, name)
    note = " ".join([*filter(None, [row.note, same]), *_learnt(done)])
    return replace(
        row,
        note=note,
        parameters=int(records[0].model["parameters"]),
        minutes=float(np.mean([r.seconds / 60 for r in records])),
        epochs=float(np.mean([len(each.run.history) for each in done])),
    )


def _same_experiment(plan: Plan, name: str) -> str:
    """Which earlier row is the same experiment at this scale, in a sentence; mostly empty."""
    keys = [cell.key for cell in plan.of(name)]
    for other, cell in plan.study.rows().items():
        if other == name:
            break
        if cell.judged and [each.key for each in plan.of(other)] == keys:
            return f"The same experiment as {cell.label or other}."
    return ""


def _learnt(done: Sequence[Cell]) -> list[str]:
    """Where judged faces were learnt from, or chose the epoch: a sentence for each evaluation."""
    found = {}
    for cell in done:
        estimates = cell.run.record.estimates
        for called, name in evaluations_of(cell).items():
            n, copies, chosen = (estimates[name][k] for k in ("n", "n_copies", "n_validation"))
            if copies:
                found[called, 0] = f"Of {n:,} faces of {called}, {copies:,} were learnt or are copies of such."
            if 0 < chosen < n:
                found[called, 1] = f"Of {n:,} faces of {called}, {chosen:,} chose the epoch or are copies of such."
    return list(found.values())


def at(plan: Plan, column: str) -> Column:
    """What a column of the study holds."""
    return column_of(column, plan.study.evaluate)


def less_is_better(column: Column) -> bool:
    """Whether the smaller of two values is the better one."""
    return (
        column.over == "gap"
        or column.metric in (_LESS if column.evaluation == RUN else LOWER_IS_BETTER)
        or (column.evaluation != RUN and METRICS.lower_is_better(column.metric))
    )


def predictions_of(cell: Cell, column: Column) -> Predictions:
    """What a cell said on the faces of a column.

    Raises:
        DataError: If the faces have not the attribute of the column, or none of its groups.
    """
    name = evaluations_of(cell).get(column.evaluation, column.evaluation)
    path = cell.run.path / PREDICTIONS / f"{name}.parquet"
    found = _loaded(path, path.stat().st_mtime_ns)
    return found.select(column.faces(found)) if column.attribute else found


@lru_cache(maxsize=64)
def _loaded(path: Path, made: int) -> Predictions:
    """A table is asked for once for each of its metrics."""
    return Predictions.load(path)


def _value(plan: Plan, done: Sequence[Cell], column: str, settings: Settings) -> Value | None:
    """One number of a row; None where no seed is done, or one was not judged so."""
    told = at(plan, column)
    found = _estimates(done, told, settings)
    if not found:
        return None
    theirs = plan.study.rows()[done[0].row].theirs.get(column, float("nan"))
    values = tuple(e.value for e in found)
    if len(found) == 1:
        return Value(mean=found[0], seeds=values, theirs=theirs)
    if told.over:
        mean = _over_groups(done, told, settings)
        return Value(mean=mean, seeds=values, seed_spread=float(np.std(values, ddof=1)), theirs=theirs)
    spread = _spread(done, None, told)
    if spread is None:
        mean, sampling, runs = _from_records(told.metric, found, settings)
    else:
        mean = estimate_of(spread, found[0].n, found[0].clusters, settings, within=bounds_of(told.metric))
        sampling, runs = float(spread.sampling[0, 0]), float(spread.run_variance()[0])
    return Value(
        mean=mean,
        seeds=values,
        sampling_error=float(np.sqrt(sampling)),
        seed_spread=float(np.sqrt(runs)),
        theirs=theirs,
    )


def _estimates(cells: Sequence[Cell], column: Column, settings: Settings) -> list[Estimate]:
    """Each seed's; none where one of them was not judged so."""
    found = []
    for cell in cells:
        name = evaluations_of(cell).get(column.evaluation, column.evaluation)
        if column.evaluation == RUN:
            each = _of_training(cell, column.metric, settings)
        elif (judged := cell.run.record.estimates.get(name)) is None:
            return []
        elif column.over:
            each = _over_groups([cell], column, settings)
        elif column.attribute:
            each = _of_groups(cell.run.path / PREDICTIONS / f"{name}.parquet", column, settings).get(column.metric)
        else:
            content = judged["all"].get(column.metric)
            each = None if content is None else Estimate.from_json(content)
        if each is None:
            return []
        found.append(each)
    return found


def _of_training(cell: Cell, figure: str, settings: Settings) -> Estimate | None:
    """A figure of the epoch that was kept, or the minutes of an epoch; without an interval."""
    record, history = cell.run.record, cell.run.history
    if figure == MINUTES:
        value = float(history["seconds"].median()) / 60
    else:
        kept = history[history["epoch"] == record.best.get("epoch", history["epoch"].max())]
        if figure not in history or kept.empty:
            return None
        value = float(kept[figure].iloc[-1])
    return Estimate(value, level=settings.level)


def _of_groups(path: Path, column: Column, settings: Settings) -> dict[str, Estimate]:
    """Every metric of some groups of the faces."""
    return _of_groups_once(path, path.stat().st_mtime_ns, column.attribute, column.groups, settings.level, column)


@lru_cache(maxsize=512)
def _of_groups_once(
    path: Path, made: int, attribute: str, groups: tuple[str, ...], level: float, column: Column
) -> dict[str, Estimate]:
    predictions = _loaded(path, made)
    some = predictions.select(column.faces(predictions))
    return summary_estimates(some, settings=Settings(n_boot=1000, level=level))


def _over_groups(cells: Sequence[Cell], column: Column, settings: Settings) -> Estimate:
    """A column over groups, of the mean over cells: of few replicates, for a study has many cells."""
    return of_groups([predictions_of(cell, column) for cell in cells], column, replace(settings, n_boot=1000))


def _same_faces(runs: Sequence[Predictions]) -> Sequence[Predictions] | None:
    """The runs with their faces in one order; None where they were judged on different ones."""
    try:
        found = shared_faces(runs, [f"run {i}" for i in range(len(runs))])
    except DataError:
        return None
    return None if any(found.n_left_out) else found.runs


def _spread(cells: Sequence[Cell], less: Sequence[Cell] | None, column: Column) -> Spread | None:
    """A metric over seeds on the same faces, or its difference between two rows, seed by seed.

    Returns:
        None where the seeds were judged on different faces, or the metric is neither a function of confusion counts
        nor a mean over faces.
    """
    if column.evaluation == RUN or column.over:
        return None
    metric = column.metric
    runs = [predictions_of(cell, column) for cell in cells]
    shared = _same_faces([*runs, *(predictions_of(cell, column) for cell in less or ())])
    if shared is None:
        return None
    first, k = shared[0], len(runs)
    if metric in HEADLINE_METRICS:
        nobody = np.zeros(len(first), dtype=np.int64)
        rows = [Rows(nobody, first.labels, run.predicted, first.cluster, 1, len(first.classes)) for run in shared]
        return spreads_of(rows[:k], rows[k:] or None)[metric, 0]
    scores = [row_scores(run).get(metric) for run in shared]
    if any(each is None for each in scores):
        return None
    told = np.stack([np.asarray(each, dtype=np.float64) for each in scores])
    if not np.isfinite(told).all():
        return None
    return spread_of_scores(told[:k] - told[k:] if less else told, first.cluster)


def _from_records(metric: str, found: Sequence[Estimate], settings: Settings) -> tuple[Estimate, float, float]:
    """Of seeds on other faces, and of metrics that are no mean over faces: from the runs' own intervals.

    The faces' variance is the mean of the runs' own, which holds what flips between seeds too, and where faces differ
    their luck is taken for the seeds': the interval is wider than need be.
    """
    values = np.array([e.value for e in found])
    errors = np.array([(e.high - e.low) / (2 * NormalDist().inv_cdf(0.5 + e.level / 2)) for e in found])
    if all(e.method == "none" for e in found):  # of the training: no sample of faces is behind it
        errors = np.zeros(len(found))
    sampling, runs = float((errors**2).mean()), float(values.var(ddof=1))
    low, high = interval_over_seeds(float(values.mean()), sampling, runs, len(values), settings.level)
    least, most = bounds_of(metric)
    low, high = max(low, least), min(high, most)
    mean = Estimate(
        float(values.mean()),
        low,
        high,
        level=settings.level,
        method="student over seeds and faces, from each run's interval",
        n=found[0].n,
        clusters=found[0].clusters,
    )
    return mean, sampling, runs


def judge(plan: Plan, claim: ClaimConfig, settings: Settings = Settings()) -> Judged:
    """Hold a published claim against the records.

    A comparison is of seeds in pairs, on the same faces. It *holds* where the whole interval of the difference is
    on the claimed side of 0 (below it for metrics of which less is better), *does not hold* where it is on the other,
    and *cannot be told* otherwise; with one seed nothing can be told, for another seed might turn it. That two differ
    by no more than something (``within``), or one is worse by no more (``no_worse_by``), holds where the whole interval
    says so, and not where none of it does. That a cell reaches a value holds where the whole interval is beyond it.
    Where the published size of a difference lies outside of our interval, the reason says so, whatever the verdict.
    Nothing is told of rows that come to the same experiment, or that were judged by other classes or labels.
    """
    wanted = len(plan.of(claim.cells[0]))

    def judged(verdict: Verdict, why: str, ours: Estimate | None = None, seeds: int = 0) -> Judged:
        return Judged(claim=claim, verdict=verdict, ours=ours, seeds=seeds, wanted=wanted, scale=plan.called, why=why)

    def untold(why: str, ours: Estimate | None = None, seeds: int = 0) -> Judged:
        return judged("cannot be told", why, ours, seeds)

    done = [{cell.seed: cell for cell in done_of(plan.of(name))} for name in claim.cells]
    seeds = sorted(set.intersection(*(set(found) for found in done)))
    if not seeds:
        return judged("not run", "")
    sides = [[found[seed] for seed in seeds] for found in done]
    told = at(plan, claim.metric)
    lower = less_is_better(told)
    if claim.cell is not None:
        value = _value(plan, sides[0], claim.metric, settings)
        ours, against = None if value is None else value.mean, float(claim.value or 0)
    else:
        columns = (claim.metric, claim.than_metric or claim.metric)
        if columns[0] == columns[1]:
            if all(a.key == b.key for a, b in zip(*sides, strict=True)):
                return untold("both rows are one experiment at this scale", seeds=len(seeds))
            if other := _judged_otherwise([*sides[0], *sides[1]], told):
                return untold(other, seeds=len(seeds))
        ours, against = _difference(plan, (sides[0], sides[1]), columns, settings), 0.0
    if ours is None:
        return untold(f"no {claim.metric} was measured")
    if len(seeds) == 1:
        return untold("one seed", ours, 1)
    if math.isnan(ours.low) or math.isnan(ours.high):
        return untold("undefined", ours, len(seeds))
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
    reasons = ["the interval holds both"] if verdict == "cannot be told" else []
    if verdict == "cannot be told" and margin is not None and (half := (ours.high - ours.low) / 2) > margin:
        reasons = [f"too few seeds and faces: we know it to ±{half:.3f}, and {margin:g} is asked"]
    if len(seeds) < wanted:
        reasons.append(f"{len(seeds)} of {wanted} seeds")
    if claim.by is not None and margin is None and not lower and not ours.low <= claim.by <= ours.high:
        reasons.append(f"not by as much as theirs, {claim.by:g}" if claim.by > ours.high else "by more than theirs")
    if "in pairs" not in ours.method and claim.cell is None and claim.than_metric is None and told.evaluation != RUN:
        reasons += [] if told.over else ["not on the same faces"]
    return judged(verdict, "; ".join(reasons), ours, len(seeds))


def _judged_otherwise(cells: Sequence[Cell], column: Column) -> str:
    """How rows were judged otherwise than each other, so that no difference between them means anything; or empty."""
    if column.evaluation == RUN:
        return ""
    runs = [predictions_of(cell, column) for cell in cells]
    if len({run.classes for run in runs}) > 1:
        return "judged by other classes"
    labels = pd.concat([pd.Series(run.labels, index=run.sample_id) for run in runs])
    each = labels.groupby(level=0)
    return "judged by other labels" if bool((each.min() != each.max()).any()) else ""


def _difference(
    plan: Plan, sides: tuple[Sequence[Cell], Sequence[Cell]], columns: tuple[str, str], settings: Settings
) -> Estimate | None:
    """Mean over seeds of the first's value less the second's, seed by seed; on the same faces if of one column."""
    asked = [at(plan, column) for column in columns]
    found = [_estimates(cells, told, settings) for cells, told in zip(sides, asked, strict=True)]
    if not all(found):
        return None
    values = np.array([a.value - b.value for a, b in zip(*found, strict=True)])
    nan = float("nan")
    if len(values) == 1:
        return Estimate(float(values[0]), nan, nan, level=settings.level)
    first = found[0][0]
    if columns[0] == columns[1] and asked[0].over:
        shared = _same_faces([predictions_of(cell, asked[0]) for cell in (*sides[0], *sides[1])])
        if shared is not None:
            k = len(sides[0])
            return change_of(shared[:k], shared[k:], asked[0], replace(settings, n_boot=1000))
    elif columns[0] == columns[1]:
        spread = _spread(sides[0], sides[1], asked[0])
        if spread is not None:
            return estimate_of(spread, first.n, first.clusters, settings, "in pairs")
    # As if on other faces each: wider than need be.
    sampling = sum(_from_records(told.metric, each, settings)[1] for told, each in zip(asked, found, strict=True))
    low, high = interval_over_seeds(
        float(values.mean()), sampling, float(values.var(ddof=1)), len(values), settings.level
    )
    method = "student over seeds and faces, from each run's interval"
    return Estimate(
        float(values.mean()), low, high, level=settings.level, method=method, n=first.n, clusters=first.clusters
    )


#: What a run can be chosen by, of the epoch that it kept: name in the record, and whether more is better.
OBJECTIVES = {
    "accuracy": ("val_accuracy", True),
    "loss": ("val_loss", False),
    "worst_class": ("val_worst_class", True),
    "worst_group": ("val_worst_group", True),
}


def choose(cells: Sequence[Cell], rule: str) -> Cell | None:
    """The cell that a rule chooses by validation figures of the epoch that was kept; None where none is done.

    Args:
        cells: Candidates.
        rule: ``accuracy``, ``loss``, ``worst_class``, ``worst_group``, or ``distance``: the smallest Euclidean
            distance of (accuracy, worst group) from (1, 1). The earlier cell wins ties.

    Raises:
        KeyError: If a record has not what the rule reads: train.watch names the groups.
    """

    def merit(cell: Cell) -> float:
        best = cell.run.record.best
        if rule == "distance":
            return -float(np.hypot(1 - best["val_accuracy"], 1 - best["val_worst_group"]))
        column, more = OBJECTIVES[rule]
        return float(best[column]) if more else -float(best[column])

    return max(done_of(cells), key=merit, default=None)
