"""The rows of a study: each over its seeds with an interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mien.metrics.learnt import nothing_learnt_by
from mien.stats.settings import Settings
from mien.studies.cells import Cell, Plan, brought_to
from mien.studies.columns import RUN
from mien.studies.estimates import Value, at, n_unlearnt, value_of
from mien.studies.folds import folds_of, mean_over_folds
from mien.studies.standing import done_of, evaluations_of, standing_of
from mien.wording import plural


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table.

    Attributes:
        name: Its cell in the study.
        label: What the table calls it.
        values: Metric, or evaluation.metric -> value; empty where no seed is done.
        seeds: Seeds that are done; folds of a mean.
        wanted: Seeds, or folds, that the study asks for.
        theirs: Metric -> the published value.
        folds: Whether it is a mean over folds.
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
    theirs: Mapping[str, float] = field(default_factory=dict)
    folds: bool = False


def rows_of(plan: Plan, settings: Settings = Settings()) -> list[Row]:
    """The table of a study, from what its done cells left; of a plan that is not whole the rows that it has."""
    rows = [_row(plan, name, settings) for name, cell in plan.study.rows().items() if cell.judged and plan.of(name)]
    means = [mean for mean in plan.study.means if any(plan.of(name) for name in plan.study.cells_of_mean(mean))]
    return rows + [_mean(plan, name, settings) for name in means]


def _row(plan: Plan, name: str, settings: Settings) -> Row:
    study, cell = plan.study, plan.study.rows()[name]
    cells = plan.of(name)
    states = dict(Counter[str](standing_of(each).state for each in cells))
    done = done_of(cells)
    row = Row(
        name=name,
        label=cell.label or name,
        values={m: value for m in study.metrics if (value := value_of(plan, done, m, settings)) is not None},
        seeds=len(done),
        wanted=plan.seeds,
        states=states,
        note=cell.note,
        theirs=cell.theirs,
    )
    if not done:
        return row
    said = filter(None, [row.note, *brought_to(done), _same_experiment(plan, name), _unlearnt(plan, done)])
    return _with_training(replace(row, note=" ".join([*said, *_learnt(done)])), done)


def _mean(plan: Plan, name: str, settings: Settings) -> Row:
    about = plan.study.means[name]
    done, wanted = folds_of(plan, name)
    found = {metric: mean_over_folds(done, [at(plan, metric)], settings) for metric in plan.study.metrics}
    states = Counter[str](standing_of(c).state for row in plan.study.cells_of_mean(name) for c in plan.of(row))
    row = Row(
        name=name,
        label=about.label or name,
        states=states,
        values={
            metric: Value(mean=mean, seeds=(), theirs=about.theirs.get(metric, float("nan")))
            for metric, mean in found.items()
            if mean is not None
        },
        seeds=len(done),
        wanted=wanted,
        note=" ".join(filter(None, [about.note, *brought_to([cell for fold in done for cell in fold])])),
        theirs=about.theirs,
        folds=True,
    )
    return _with_training(row, [cell for fold in done for cell in fold]) if done else row


def _with_training(row: Row, done: Sequence[Cell]) -> Row:
    records = [each.run.record for each in done]
    return replace(
        row,
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


def _unlearnt(plan: Plan, done: Sequence[Cell]) -> str:
    """How many seeds learnt next to nothing: they drag the mean and widen its interval; mostly empty."""
    column = next((c for m in plan.study.metrics if (c := at(plan, m)).evaluation != RUN), None)
    n = 0 if column is None else n_unlearnt(plan, done, column)
    return f"{nothing_learnt_by(n, plural(len(done), 'seed'))}." if n else ""


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
