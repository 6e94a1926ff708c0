"""The mean of one experiment over several folds, with an interval that knows that folds share training faces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from mien.records import Estimate
from mien.stats.settings import Settings
from mien.studies.cells import Cell, Plan, done_of
from mien.studies.columns import Column, bounds_of
from mien.studies.estimates import estimates_of


def folds_of(plan: Plan, mean: str) -> tuple[list[list[Cell]], int]:
    """The done cells of each fold of a mean that has one, and how many folds there are."""
    of = plan.study.cells_of_mean(mean)
    return [done for name in of if (done := done_of(plan.of(name)))], len(of)


def mean_over_folds(folds: Sequence[Sequence[Cell]], columns: Sequence[Column], settings: Settings) -> Estimate | None:
    """A figure's mean over folds, or that of its difference from a second one.

    Args:
        folds: Each fold's cells, one a seed; a fold counts as the mean of its seeds.
        columns: The figure; a second one is taken from it, fold by fold.
        settings: Coverage.

    Returns:
        None where there is no fold, or one was not judged so. Without an interval for one fold.
    """
    if not folds:
        return None
    found = [[estimates_of(cells, column, settings) for cells in folds] for column in columns]
    if not all(each for told in found for each in told):
        return None
    each = [np.array([np.mean([e.value for e in estimates]) for estimates in told]) for told in found]
    values = each[0] - each[1] if len(each) > 1 else each[0]
    learnt = np.array([cells[0].run.record.data["training_faces"] for cells in folds], dtype=np.float64)
    judged = np.array([[estimates[0].n for estimates in told] for told in found], dtype=np.float64)
    low, high = interval_over_folds(values, float((judged / learnt).mean(1).max()), settings.level)
    if len(columns) == 1:
        least, most = bounds_of(columns[0].metric)
        low, high = max(low, least), min(high, most)
    return Estimate(
        float(values.mean()),
        low,
        high,
        level=settings.level,
        method="student over folds, corrected for shared training faces",
        n=int(judged[0].sum()),
    )


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
        Low and high; NaN for fewer than two folds.
    """
    k = len(values)
    if k < 2:
        return float("nan"), float("nan")
    half = float(stdtrit(k - 1, 0.5 + level / 2)) * float(np.sqrt(values.var(ddof=1) * (1 / k + share)))
    return float(values.mean()) - half, float(values.mean()) + half
