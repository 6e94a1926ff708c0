"""Recall, precision and F1 of every class, with intervals."""

from __future__ import annotations

import numpy as np

from mien.audit.group_estimates import ClassEstimates, class_estimates
from mien.audit.overall import counts_of_all
from mien.audit.results import ClassResult
from mien.records import Predictions
from mien.stats.settings import Settings, random_stream


def class_results(pred: Predictions, *, n_boot: int = 1000, seed: int = 0, level: float = 0.95) -> list[ClassResult]:
    """Results of every class over all faces; intervals as in :func:`mien.audit.group_estimates.class_estimates`.

    Args:
        pred: The predictions.
        n_boot: Bootstrap replicates.
        seed: Seed of the bootstrap.
        level: Coverage aimed at.

    Returns:
        K results; the recall of a class that nobody is annotated with is undefined and says so.
    """
    settings = Settings(level, n_boot, 1, 1, 1, seed)
    counted, _ = counts_of_all(pred, n_boot, random_stream(seed, "", "classes"))
    found = class_estimates(counted, 0, settings)
    return [_one(pred, found, k) for k in range(len(pred.classes))]


def _one(pred: Predictions, found: ClassEstimates, k: int) -> ClassResult:
    confusion = pred.confusion()
    n = int(confusion[k].sum())
    wrong = np.where(np.arange(len(confusion)) == k, 0, confusion[k])
    most = int(wrong.argmax())
    return ClassResult(
        str(pred.classes[k]),
        n,
        int(confusion[:, k].sum()),
        found["recall"][k],
        found["precision"][k],
        found["f1"][k],
        str(pred.classes[most]) if wrong[most] else "",
        float(wrong[most] / n) if n else float("nan"),
    )
