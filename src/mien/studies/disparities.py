"""Columns over the groups of an attribute: the largest gap, the group served worst, the ratio of worst to best."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import resolve_attribute
from mien.audit.gaps import HEADLINE_METRICS
from mien.metrics import mean_recalls, per_class_recall
from mien.records import Estimate, Predictions
from mien.stats.extremes import Bounds, Rates, change_of_extreme, extreme, share_variance
from mien.stats.replicates import UnitReplicates
from mien.stats.settings import Settings
from mien.studies.columns import Column

Array = NDArray[np.float64]
LEAST_FACES = 30  # of a group that takes part
_FEW = f"fewer than two groups of {LEAST_FACES} faces or more"


def of_groups(runs: Sequence[Predictions], column: Column, settings: Settings) -> Estimate:
    """A column over groups, of the mean values of the groups over the runs.

    Groups of 30 faces or more take part. ``balanced_accuracy`` counts only classes that all of them have, as F of Xu et
    al. (2020): a group without a hard class is not served better.

    Args:
        runs: One a seed; on the same faces or on others.
        column: A column over groups.
        settings: Level, replicates, seed.

    Raises:
        DataError: If the faces have not the attribute.
    """
    rates = _rates(runs, column, settings, _part(runs[0], column))
    assert column.over is not None
    return _told(extreme(rates, column.over, settings.level, settings.stream(column.name, "runs")), runs, settings)


def change_of(runs: Sequence[Predictions], less: Sequence[Predictions], column: Column, settings: Settings) -> Estimate:
    """One model's column less another's, on the same faces in the same order.

    Args:
        runs: One a seed.
        less: Of the other model.
        column: A column over groups.
        settings: Level, replicates, seed.

    Raises:
        DataError: If the faces have not the attribute.
    """
    part = _part(runs[0], column)
    one, other = (_rates(side, column, settings, part) for side in (runs, less))
    assert column.over is not None
    rng = settings.stream(column.name, "runs")
    return _told(change_of_extreme(one, other, column.over, settings.level, rng), runs, settings)


def _told(found: Bounds, runs: Sequence[Predictions], settings: Settings) -> Estimate:
    n = len(runs[0])
    if np.isnan(found.value):
        return Estimate(float("nan"), level=settings.level, n=n, note=_FEW)
    clusters = n if runs[0].cluster is None else len(np.unique(runs[0].cluster))
    method = "simultaneous over groups, seeds and faces"
    return Estimate(found.value, found.low, found.high, level=settings.level, method=method, n=n, clusters=clusters)


def _part(first: Predictions, column: Column) -> tuple[str, ...]:
    """The groups with faces enough."""
    found = resolve_attribute(first, column.attribute)
    sizes = np.bincount(found.codes[found.codes >= 0], minlength=len(found.groups))
    return tuple(name for name, n in zip(found.groups, sizes, strict=True) if n >= LEAST_FACES)


def _rates(runs: Sequence[Predictions], column: Column, settings: Settings, part: tuple[str, ...]) -> Rates:
    """The column's metric in each group, run by run; runs on the same faces share their replicates."""
    g, k = len(part), len(runs[0].classes)
    values, least = [], np.zeros((1, g))
    drawn: tuple[list[str], UnitReplicates] | None = None
    for i, run in enumerate(runs):
        found = resolve_attribute(run, column.attribute)
        place = {found.groups.index(name): i for i, name in enumerate(part) if name in found.groups}
        group = np.array([place.get(int(code), g) for code in found.codes], dtype=np.int64)
        faces = list(map(str, run.sample_id))
        if drawn is None or drawn[0] != faces:
            stream = "study" if drawn is None else f"study {i}"  # other faces have luck of their own
            rng = settings.stream(column.attribute, stream)
            drawn = faces, UnitReplicates.draw(len(run), run.cluster, settings.n_boot, rng)
        tables = drawn[1].tables(group, run.labels, run.predicted, (g + 1, k))[:, :-1]
        told = _metric(column, tables[0])(tables)
        units = np.array([len(np.unique(drawn[1].unit[group == j])) for j in range(g)])
        least = np.maximum(least, share_variance(told[0], units)[None])
        values.append(told[:, None])
    return Rates(np.stack(values), least)


def _metric(column: Column, observed: Array) -> Callable[[Array], Array]:
    if column.metric != "balanced_accuracy":
        return HEADLINE_METRICS[column.metric]
    support = (observed.sum(-1) > 0).all(0)
    return lambda tables: mean_recalls(np.swapaxes(per_class_recall(tables), -1, -2), support)
