"""Recall, precision and F1 of every class, with intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mien.audit.group_estimates import ClassEstimates, class_estimates
from mien.audit.overall import counts_of_all
from mien.audit.results import ClassResult
from mien.records import Predictions
from mien.stats.settings import Settings


def class_results(pred: Predictions, *, settings: Settings = Settings(n_boot=1000)) -> list[ClassResult]:
    """Results of every class over all faces; intervals as in :func:`mien.audit.group_estimates.class_estimates`.

    Args:
        pred: The predictions.
        settings: Coverage, replicates, seed.

    Returns:
        K results; the recall of a class that nobody is annotated with is undefined and says so.
    """
    settings = replace(settings, min_n=1, min_class_n=1)  # all faces are one group, however few
    counted, _ = counts_of_all(pred, settings.n_boot, settings.stream("", "classes"))
    found = class_estimates(counted, 0, settings)
    return [_one(pred, found, k) for k in range(len(pred.classes))]


def _one(pred: Predictions, found: ClassEstimates, k: int) -> ClassResult:
    confusion = pred.confusion()
    n = int(confusion[k].sum())
    wrong = np.where(np.arange(len(confusion)) == k, 0, confusion[k])
    most = int(wrong.argmax())
    return ClassResult(
        name=str(pred.classes[k]),
        n=n,
        n_predicted=int(confusion[:, k].sum()),
        recall=found["recall"][k],
        precision=found["precision"][k],
        f1=found["f1"][k],
        mistaken_for=str(pred.classes[most]) if wrong[most] else "",
        mistaken_share=float(wrong[most] / n) if n else float("nan"),
    )
