"""Columns over the groups of an attribute: the largest gap, the group served worst, the ratio of worst to best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import resolve_attribute
from mien.audit.gaps import HEADLINE_METRICS
from mien.audit.seeds.noise import over_seeds
from mien.errors import DataError
from mien.metrics import max_min_gap, min_max_ratio
from mien.records import Estimate, Predictions
from mien.stats.extremes import Extreme, extreme_bounds
from mien.stats.replicates import UnitReplicates
from mien.stats.settings import Settings
from mien.studies.columns import Column

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
LEAST_FACES = 30  # of a group that takes part


def faces_of_groups(predictions: Predictions, attribute: str) -> dict[str, Bools]:
    """Group -> ``(n,)`` whether a face belongs to it, of the groups with faces enough to take part.

    Raises:
        DataError: If the faces have not the attribute, or fewer than two such groups.
    """
    found = resolve_attribute(predictions, attribute)
    faces = {name: found.codes == i for i, name in enumerate(found.groups)}
    enough = {name: of for name, of in faces.items() if of.sum() >= LEAST_FACES}
    if len(enough) < 2:
        told = f"{len(enough)} groups of {LEAST_FACES} faces or more"
        raise DataError(f"attribute {attribute!r}", told, "two or more, to compare")
    return enough


def over_groups(values: Array, over: Extreme) -> Array:
    """``(..., G)`` values of groups as one: the largest less the smallest, the smallest, or the ratio of these two."""
    if over == "worst":
        return np.asarray(values.min(-1))
    return max_min_gap(values) if over == "gap" else min_max_ratio(values)


def of_groups(groups: Sequence[Estimate], over: Extreme, level: float) -> Estimate:
    """A column from the values of a run's groups, between what their intervals leave at least and at most.

    Args:
        groups: One a group, whose intervals hold together: each at 1 - (1 - level) / G; NaN ends where there is none.
        over: The column.
        level: Coverage of the whole.
    """
    values, low, high = (np.array([getattr(each, end) for each in groups]) for end in ("value", "low", "high"))
    least, most = extreme_bounds(low, high, over)
    n, clusters = sum(each.n for each in groups), sum(each.clusters or 0 for each in groups)
    value = float(over_groups(values, over))
    return Estimate(value, least, most, level=level, method="simultaneous over groups", n=n, clusters=clusters)


def change_of(runs: Sequence[Predictions], less: Sequence[Predictions], column: Column, settings: Settings) -> Estimate:
    """The mean over seeds of one model's column less another's, seed by seed, on the same faces in the same order.

    Its variance over faces is a bootstrap's over independent units, the same draws for both models and all seeds, to
    which seeds add Student's, as on the page of a mitigation: noise that widens both gaps falls out of the difference.

    Args:
        runs: One a seed.
        less: Of the other model, as many.
        column: A column over groups.
        settings: Level, replicates, seed.
    """
    assert column.over is not None
    over, first, parts = column.over, runs[0], faces_of_groups(runs[0], column.attribute)
    g, k = len(parts), len(first.classes)
    group = np.full(len(first), g, dtype=np.int64)  # whose faces take no part
    for i, faces in enumerate(parts.values()):
        group[faces] = i
    drawn = UnitReplicates.draw(len(first), first.cluster, settings.n_boot, settings.stream(column.attribute, "study"))

    def told(run: Predictions) -> Array:
        tables = drawn.tables(group, run.labels, run.predicted, (g + 1, k))[:, :-1]
        return over_groups(HEADLINE_METRICS[column.metric](tables), over)

    change = np.stack([told(a) - told(b) for a, b in zip(runs, less, strict=True)])
    return over_seeds(change, settings.level, len(first), within=(-1.0, 1.0))
