"""The mean of one experiment over several folds, with an interval that knows that folds share training faces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mien.audit.seeds.noise import interval_over_seeds
from mien.records import Estimate
from mien.stats.settings import Settings
from mien.studies.cells import Cell, Plan
from mien.studies.columns import BEST, MINUTES, RUN, Column, bounds_of
from mien.studies.estimates import estimates_of, predictions_of
from mien.studies.standing import done_of


def folds_of(plan: Plan, mean: str) -> tuple[list[list[Cell]], int]:
    """The cells of each fold of a mean whose seeds are all done, and how many folds there are."""
    rows = [plan.of(name) for name in plan.study.cells_of_mean(mean)]
    return [done for cells in rows if cells and len(done := done_of(cells)) == len(cells)], len(rows)


def mean_over_folds(folds: Sequence[Sequence[Cell]], columns: Sequence[Column], settings: Settings) -> Estimate | None:
    """A figure's mean over folds, or that of its difference from a second one.

    Args:
        folds: Each fold's cells, one a seed; a fold counts as the mean of its seeds.
        columns: The figure; a second one is taken from it, fold by fold.
        settings: Coverage.

    Returns:
        None where there is no fold, one was not judged so, or the figure is over groups: the mean of noisy gaps is no
        gap. Without an interval for one fold, and where what folds differ by says nothing of it: see :func:`_share`.
    """
    if not folds or any(column.over for column in columns):
        return None
    found = [[estimates_of(cells, column, settings) for cells in folds] for column in columns]
    if not all(each for told in found for each in told):
        return None
    each = [np.array([np.mean([e.value for e in estimates]) for estimates in told]) for told in found]
    values = each[0] - each[1] if len(each) > 1 else each[0]
    shares = [_share(folds, column, told) for column, told in zip(columns, found, strict=True)]
    low, high = interval_over_folds(values, float(np.max(shares)), settings.level)  # NaN where one of them is
    if len(columns) == 1:
        least, most = bounds_of(columns[0].metric)
        low, high = np.clip((low, high), least, most).tolist()
    return Estimate(
        float(values.mean()),
        low,
        high,
        level=settings.level,
        method="student over folds, corrected for shared training faces",
        n=sum(estimates[0].n for estimates in found[0]),
    )


def _share(folds: Sequence[Sequence[Cell]], column: Column, found: Sequence[Sequence[Estimate]]) -> float:
    """Faces judged over faces learnt from, by which the interval of a mean over folds is widened.

    NaN, for no interval, of figures of the training faces, which folds have in common, and where folds were judged on
    the same faces, whose luck they have in common.
    """
    data = [cells[0].run.record.data for cells in folds]
    learnt = np.array([told["training_faces"] for told in data], dtype=np.float64)
    if column.evaluation != RUN:
        alike = _alike([frozenset(predictions_of(cells[0], column).sample_id) for cells in folds])
        return float("nan") if alike else float((np.array([told[0].n for told in found]) / learnt).mean())
    if column.metric == MINUTES:
        return 0.0
    validated = np.array([told["validation_faces"] for told in data], dtype=np.float64)
    return float((validated / learnt).mean()) if column.metric.removeprefix(BEST).startswith("val_") else float("nan")


def _alike(faces: Sequence[frozenset[str]]) -> bool:
    """Whether two folds have most of their faces in common: other parts of a corpus, drawn at random too, have few."""
    return any(2 * len(a & b) > min(len(a), len(b)) for a, b in combinations(faces, 2))


def interval_over_folds(values: NDArray[np.float64], share: float, level: float) -> tuple[float, float]:
    """An interval for what an experiment reaches on average over all samples of its training faces.

    Folds are learnt from mostly the same faces, so that their mean varies more from one sample to the next than folds
    of one sample differ. Nadeau and Bengio 2003 (equation 8) take the correlation of two folds for the share of judged
    among all faces of a fold: the variance of the mean is S^2 (1/k + judged/learnt), with k - 1 degrees of freedom.

    Args:
        values: ``(k,)`` one a fold.
        share: Faces judged over faces learnt from.
        level: Coverage aimed at.

    Returns:
        Low and high; NaN for fewer than two folds, and where the share is NaN.
    """
    k = len(values)
    if k < 2:
        return float("nan"), float("nan")
    return interval_over_seeds(float(values.mean()), 0.0, float(values.var(ddof=1)) * (1 + k * share), k, level)
