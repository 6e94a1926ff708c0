"""What a study found: each row over its seeds with an interval, and each published claim against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mien.audit.compare.shared_faces import shared_faces
from mien.audit.gaps import HEADLINE_METRICS
from mien.audit.seeds.noise import difference_over_seeds, interval_over_seeds, seed_value, spreads_of
from mien.records import Estimate, Predictions
from mien.runs import PREDICTIONS
from mien.stats.cells import Rows
from mien.stats.settings import Settings
from mien.studies.cells import Cell, Plan, evaluations_of, standing_of
from mien.studies.definition import ClaimConfig, Scale

Verdict = Literal["holds", "does not hold", "cannot be told"]
BEYOND_ONE = ("kl", "nll", "brier", "overconfidence")  # metrics that are no shares
_Z95 = 1.959963984540054


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
    states: dict[str, int] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A published claim and what our records say of it.

    Attributes:
        claim: The claim.
        verdict: holds, does not hold or cannot be told.
        ours: The difference that we found, or the value.
        seeds: Seeds behind it.
        scale: At which it was found.
        why: Why it cannot be told; empty otherwise.
    """

    claim: ClaimConfig
    verdict: Verdict
    ours: Estimate | None
    seeds: int
    scale: Scale
    why: str = ""


def rows_of(plan: Plan, settings: Settings = Settings()) -> list[Row]:
    """The table of a study, from what its done cells left."""
    return [_row(plan, name, settings) for name, cell in plan.study.rows().items() if cell.judged]


def _row(plan: Plan, name: str, settings: Settings) -> Row:
    study, cell = plan.study, plan.study.rows()[name]
    cells = plan.of(name)
    states: dict[str, int] = {}
    for each in cells:
        state = standing_of(each).state
        states[state] = states.get(state, 0) + 1
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
    note = " ".join([*filter(None, [row.note]), *_learnt(done)])
    return Row(
        **{
            **row.__dict__,
            "note": note,
            "parameters": int(records[0].model["parameters"]),
            "minutes": float(np.mean([r.seconds / 60 for r in records])),
            "epochs": float(np.mean([len(each.run.history) for each in done])),
        }
    )


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


def done_of(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that are done."""
    return [cell for cell in cells if standing_of(cell).state == "done"]


def at(plan: Plan, metric: str) -> tuple[str, str]:
    """The evaluation (of the study, or by its name in the runs) and the metric of a column.

    A column that names none is of the study's first evaluation.
    """
    evaluation, _, name = metric.rpartition(".")
    return evaluation or plan.study.evaluate[0], name


def predictions_of(cell: Cell, evaluation: str) -> Predictions:
    """What a cell said on an evaluation of the study."""
    name = evaluations_of(cell).get(evaluation, evaluation)
    return Predictions.load(cell.run.path / PREDICTIONS / f"{name}.parquet")


def _value(plan: Plan, done: Sequence[Cell], column: str, settings: Settings) -> Value | None:
    evaluation, metric = at(plan, column)
    row = plan.study.rows()[done[0].row] if done else None
    found = []
    for cell in done:
        record, names = cell.run.record, evaluations_of(cell)
        content = record.estimates.get(names.get(evaluation, evaluation), {}).get("all", {}).get(metric)
        if content is None:
            return None
        found.append(Estimate.from_json(content))
    if not found or row is None:
        return None
    theirs = row.theirs.get(column, float("nan"))
    values = tuple(e.value for e in found)
    if len(found) == 1:
        return Value(mean=found[0], seeds=values, theirs=theirs)
    if metric in HEADLINE_METRICS:
        rows = _rows([predictions_of(cell, evaluation) for cell in done])
        spread = spreads_of(rows)[metric, 0]
        value = seed_value(spread, 0, len(rows[0]), int(rows[0].units_per_group()[0]), "", settings)
        return Value(
            mean=value.mean,
            seeds=values,
            sampling_error=value.sampling_error,
            seed_spread=value.run_spread,
            theirs=theirs,
        )
    return _from_records(metric, found, theirs, settings)


def _from_records(metric: str, found: Sequence[Estimate], theirs: float, settings: Settings) -> Value:
    """Of metrics that are no function of confusion counts: the runs' own intervals and Student's over the seeds.

    The faces' variance is the mean of the runs' own, which holds what flips between seeds too: the interval is a
    little wider than need be.
    """
    values = np.array([e.value for e in found])
    errors = np.array([(e.high - e.low) / (2 * _Z95) for e in found])
    sampling, runs = float((errors**2).mean()), float(values.var(ddof=1))
    low, high = interval_over_seeds(float(values.mean()), sampling, runs, len(values), settings.level)
    if metric not in BEYOND_ONE:
        low, high = max(low, 0.0), min(high, 1.0)
    mean = Estimate(
        float(values.mean()),
        low,
        high,
        level=settings.level,
        method="student over seeds and faces",
        n=found[0].n,
        clusters=found[0].clusters,
    )
    return Value(
        mean=mean,
        seeds=tuple(values.tolist()),
        sampling_error=float(np.sqrt(sampling)),
        seed_spread=float(np.sqrt(runs)),
        theirs=theirs,
    )


def _rows(runs: Sequence[Predictions]) -> list[Rows]:
    """Confusion cells of runs on the same faces, matched by their ids."""
    names = [f"seed {i}" for i in range(len(runs))]
    shared = shared_faces(runs, names).runs
    first = shared[0]
    nobody = np.zeros(len(first), dtype=np.int64)
    return [Rows(nobody, first.labels, run.predicted, first.cluster, 1, len(first.classes)) for run in shared]


def judge(plan: Plan, claim: ClaimConfig, settings: Settings = Settings()) -> Judged:
    """Hold a published claim against the records.

    A comparison is of seeds in pairs, on the same faces. It *holds* where the whole interval of the difference is
    above 0, *does not hold* where it is below, and *cannot be told* otherwise; with one seed nothing can be told, for
    another seed might turn it. That two differ by no more than something holds where the whole interval does, and not
    where none of it does. That a cell reaches a value holds where the whole interval is above it.
    """

    def untold(why: str, ours: Estimate | None = None, seeds: int = 0) -> Judged:
        return Judged(claim=claim, verdict="cannot be told", ours=ours, seeds=seeds, scale=plan.scale, why=why)

    names = [name for name in (claim.better, claim.than, claim.cell) if name is not None]
    done = [{cell.seed: cell for cell in done_of(plan.of(name))} for name in names]
    seeds = sorted(set.intersection(*(set(found) for found in done)))
    if not seeds:
        return untold("not run")
    sides = [[found[seed] for seed in seeds] for found in done]
    if claim.cell is not None:
        value = _value(plan, sides[0], claim.metric, settings)
        if value is None:
            return untold(f"no {claim.metric} was measured")
        ours, against = value.mean, float(claim.value or 0)
    else:
        difference = _difference(plan, sides[0], sides[1], (claim.metric, claim.than_metric or claim.metric), settings)
        if difference is None:
            return untold(f"no {claim.metric} was measured")
        ours, against = difference, 0.0
    if len(seeds) == 1:
        return untold("one seed", ours, 1)
    if claim.within is not None:
        holds, fails = max(-ours.low, ours.high) <= claim.within, max(ours.low, -ours.high) > claim.within
    else:
        holds, fails = ours.low > against, ours.high < against
    verdict: Verdict = "holds" if holds else "does not hold" if fails else "cannot be told"
    why = "the interval holds both" if verdict == "cannot be told" else ""
    return Judged(claim=claim, verdict=verdict, ours=ours, seeds=len(seeds), scale=plan.scale, why=why)


def _difference(
    plan: Plan, better: Sequence[Cell], than: Sequence[Cell], columns: tuple[str, str], settings: Settings
) -> Estimate | None:
    """Mean over seeds of the first's value less the second's, seed by seed; on the same faces if of one column."""
    one, two = (_value(plan, c, column, settings) for c, column in zip((better, than), columns, strict=True))
    if one is None or two is None:
        return None
    evaluation, metric = at(plan, columns[0])
    values = np.array(one.seeds) - np.array(two.seeds)
    nan = float("nan")
    if len(values) == 1:
        return Estimate(float(values[0]), nan, nan, level=settings.level, note="one seed")
    if metric in HEADLINE_METRICS and columns[0] == columns[1]:
        rows = _rows([predictions_of(cell, evaluation) for cell in (*better, *than)])
        return difference_over_seeds(rows[: len(better)], rows[len(better) :], metric, settings)
    # As if on other faces each: wider than need be.
    sampling, runs = one.sampling_error**2 + two.sampling_error**2, float(values.var(ddof=1))
    low, high = interval_over_seeds(float(values.mean()), sampling, runs, len(values), settings.level)
    return Estimate(
        float(values.mean()),
        low,
        high,
        level=settings.level,
        method="student over seeds and faces",
        n=one.mean.n,
        clusters=one.mean.clusters,
    )


#: Rules that choose among cells, from validation records alone. Each maps a cell's figures to what is largest at best.
RULES = {
    "accuracy": "val_accuracy",
    "loss": "val_loss",
    "worst_class": "val_worst_class",
    "worst_group": "val_worst_group",
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
        value = float(best[RULES[rule]])
        return -value if rule == "loss" else value

    return max(done_of(cells), key=merit, default=None)
