"""A number of a row over its seeds, on whichever faces its column names, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist

import numpy as np

from mien.audit.attributes import resolve_attribute
from mien.audit.compare.shared_faces import shared_faces
from mien.audit.gaps import HEADLINE_METRICS
from mien.audit.leakage import ProbeSettings, leakage_probe, load_features
from mien.audit.leakage.results import FEATURES, LINEAR
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
from mien.metrics.learnt import nothing_of
from mien.records import Estimate, Predictions
from mien.stats.cells import Rows
from mien.stats.settings import Settings
from mien.studies.cells import Cell, Plan
from mien.studies.columns import BEST, LEAKAGE, MINUTES, RUN, Column, bounds_of, column_of
from mien.studies.disparities import of_groups
from mien.studies.features import features_file
from mien.studies.standing import evaluations_of, predictions_file

_PERMUTATIONS = 20  # of the groups, whose mean is what there is to read anyhow
_LESS = ("train_loss", "val_loss", MINUTES)  # of training, where less is better


@dataclass(frozen=True, kw_only=True)
class Value:
    """One number of a row over its seeds.

    Attributes:
        mean: Mean over seeds; with two or more the interval is for all faces and all seeds, with one for the faces
            alone.
        seeds: Each seed's value.
        sampling_error: Standard error that the sample of faces gives the mean; NaN where not known, and of figures of
            the training, behind which there is no sample of faces.
        seed_spread: Standard deviation of one seed's value about their mean; NaN with one seed.
        theirs: The published value; NaN where there is none.
    """

    mean: Estimate
    seeds: tuple[float, ...]
    sampling_error: float = float("nan")
    seed_spread: float = float("nan")
    theirs: float = float("nan")


def at(plan: Plan, column: str) -> Column:
    """What a column of the study holds."""
    return column_of(column, plan.study.evaluate)


def less_is_better(column: Column) -> bool:
    """Whether the smaller of two values is the better one."""
    return (
        column.over == "gap"
        or column.metric == LEAKAGE
        or column.metric in (_LESS if column.evaluation == RUN else LOWER_IS_BETTER)
        or (column.evaluation != RUN and METRICS.lower_is_better(column.metric))
    )


def n_unlearnt(plan: Plan, cells: Sequence[Cell], column: Column) -> int:
    """How many of some runs learnt next to nothing: told of the faces of the first evaluation, whatever the column is.

    A part of faces that are hard on purpose is no reason to say so. Minutes are told of any run.
    """
    if column.metric == MINUTES:
        return 0
    every = Column(name="accuracy", evaluation=plan.study.evaluate[0], metric="accuracy")
    return sum(nothing_of(predictions_of(cell, every).confusion()) for cell in cells)


def predictions_of(cell: Cell, column: Column) -> Predictions:
    """What a cell said on the faces of a column.

    Raises:
        DataError: If the faces have not the attribute of the column, or none of its groups.
    """
    path = predictions_file(cell, column.evaluation)
    found = _loaded(path, path.stat().st_mtime_ns)
    return found.select(column.faces(found)) if column.attribute else found


@lru_cache(maxsize=64)
def _loaded(path: Path, made: int) -> Predictions:
    """A table is asked for once for each of its metrics."""
    return Predictions.load(path)


def value_of(plan: Plan, done: Sequence[Cell], column: str, settings: Settings) -> Value | None:
    """One number of a row; None where no seed is done, or one was not judged so."""
    told = at(plan, column)
    found = estimates_of(done, told, settings)
    if not found:
        return None
    theirs = plan.study.rows()[done[0].row].theirs.get(column, float("nan"))
    values = tuple(e.value for e in found)
    if len(found) == 1:
        return Value(mean=found[0], seeds=values, theirs=theirs)
    if told.over:
        mean = _over_groups(done, told, settings)
        return Value(mean=mean, seeds=values, seed_spread=float(np.std(values, ddof=1)), theirs=theirs)
    spread = spread_over_seeds(done, None, told)
    if spread is None:
        mean, sampling, runs = from_records(told.metric, found, settings)
    else:
        mean = estimate_of(spread, found[0].n, found[0].clusters, settings, within=bounds_of(told.metric))
        sampling, runs = float(spread.sampling[0, 0]), float(spread.run_variance()[0])
    return Value(
        mean=mean,
        seeds=values,
        sampling_error=float("nan") if told.evaluation == RUN else float(np.sqrt(sampling)),
        seed_spread=float(np.sqrt(runs)),
        theirs=theirs,
    )


def estimates_of(cells: Sequence[Cell], column: Column, settings: Settings) -> list[Estimate]:
    """Each seed's; none where one of them was not judged so."""
    found = []
    for cell in cells:
        name = evaluations_of(cell).get(column.evaluation, column.evaluation)
        if column.evaluation == RUN:
            each = _of_training(cell, column.metric, settings)
        elif (judged := cell.run.record.estimates.get(name)) is None:
            return []
        elif column.metric == LEAKAGE:
            each = _leakage(cell, column, settings)
        elif column.over:
            each = _over_groups([cell], column, settings)
        elif column.attribute:
            each = _of_groups(predictions_file(cell, column.evaluation), column, settings).get(column.metric)
        else:
            content = judged["all"].get(column.metric)
            each = None if content is None else Estimate.from_json(content)
        if each is None:
            return []
        found.append(each)
    return found


def _of_training(cell: Cell, figure: str, settings: Settings) -> Estimate | None:
    """A figure of the epoch that was kept, the highest of all epochs, or the minutes of one; without an interval."""
    record, history = cell.run.record, cell.run.history
    if figure == MINUTES:
        value = float(history["seconds"].median()) / 60
    elif figure.startswith(BEST):
        column = figure.removeprefix(BEST)
        if column not in history or history[column].isna().any():  # a run, or its beginning, from before the column
            return None
        value = float(history[column].max())
    else:
        kept = history[history["epoch"] == record.best.get("epoch", history["epoch"].max())]
        if figure not in history or kept.empty:
            return None
        value = float(kept[figure].iloc[-1])
    return Estimate(value, level=settings.level)


def _leakage(cell: Cell, column: Column, settings: Settings) -> Estimate | None:
    """What a fresh linear probe reads of the groups from the features; None where no two of them have faces enough."""
    features, said = features_file(cell, column.evaluation), predictions_file(cell, column.evaluation)
    made = features.stat().st_mtime_ns, said.stat().st_mtime_ns
    return _probed(features, said, made, column.attribute, settings.level, settings.seed)


@lru_cache(maxsize=512)
def _probed(features: Path, said: Path, made: tuple[int, int], spec: str, level: float, seed: int) -> Estimate | None:
    """A table, its claims and its figures ask for the same probe; it is fitted once."""
    predictions = _loaded(said, made[1])
    attribute = resolve_attribute(predictions, spec)
    inputs = {FEATURES: load_features(features, predictions.sample_id)}
    asked = ProbeSettings(probes=(LINEAR,), n_perm=_PERMUTATIONS, max_n=3000, n_boot=200, level=level, seed=seed)
    found = leakage_probe(
        inputs,
        attribute,
        predictions.cluster,
        labels=predictions.labels,
        names=predictions.sample_id,
        settings=asked,
    )
    probe = next((p for p in found.probes if p.input == FEATURES), None)
    if probe is None:
        return None
    told, chance = probe.balanced_accuracy, probe.expected
    return replace(told, value=told.value - chance, low=told.low - chance, high=told.high - chance)


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


def same_faces(runs: Sequence[Predictions]) -> Sequence[Predictions] | None:
    """The runs with their faces in one order; None where they were judged on different ones."""
    try:
        found = shared_faces(runs, [f"run {i}" for i in range(len(runs))])
    except DataError:
        return None
    return None if any(found.n_left_out) else found.runs


def spread_over_seeds(cells: Sequence[Cell], less: Sequence[Cell] | None, column: Column) -> Spread | None:
    """A metric over seeds on the same faces, or its difference between two rows, seed by seed.

    Returns:
        None where the seeds were judged on different faces, or the metric is neither a function of confusion counts
        nor a mean over faces.
    """
    if column.evaluation == RUN or column.over or column.metric == LEAKAGE:
        return None
    metric = column.metric
    runs = [predictions_of(cell, column) for cell in cells]
    shared = same_faces([*runs, *(predictions_of(cell, column) for cell in less or ())])
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


def from_records(metric: str, found: Sequence[Estimate], settings: Settings) -> tuple[Estimate, float, float]:
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
