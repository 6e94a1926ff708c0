"""Recall, precision and F1 of every class, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.audit.intervals import percentile, share_estimate
from mien.audit.overall import bootstrap_confusion
from mien.metrics import per_class_f1, per_class_precision, per_class_recall
from mien.records import Estimate, Predictions


@dataclass(frozen=True)
class ClassResult:
    """How a model does on one class.

    Attributes:
        name: The class.
        n: Faces annotated with it.
        n_predicted: Faces predicted as it.
        recall: Share of its faces that are predicted as such.
        precision: Share of its predictions that are right.
        f1: Harmonic mean of the two.
        mistaken_for: The class that its faces are most often mistaken for; empty if never.
        mistaken_share: The share of its faces that are; NaN if none.
    """

    name: str
    n: int
    n_predicted: int
    recall: Estimate
    precision: Estimate
    f1: Estimate
    mistaken_for: str
    mistaken_share: float


def class_results(pred: Predictions, *, n_boot: int = 1000, seed: int = 0, level: float = 0.95) -> list[ClassResult]:
    """Results of every class.

    Recall and precision have Wilson intervals where faces are independent; these with dependent
    faces, and F1 always, have percentiles of a bootstrap over independent units.

    Args:
        pred: The predictions.
        n_boot: Bootstrap replicates.
        seed: Seed of the bootstrap.
        level: Coverage aimed at.

    Returns:
        K results; the recall of a class that nobody is annotated with is undefined and says so.
    """
    k = len(pred.classes)
    drawn = bootstrap_confusion(pred, n_boot, np.random.default_rng(seed))
    replicates = (per_class_recall(drawn), per_class_precision(drawn), per_class_f1(drawn))
    confusion = pred.confusion()
    return [_one(pred, confusion, c, [r[:, c] for r in replicates], seed, level) for c in range(k)]


def _one(
    pred: Predictions,
    confusion: NDArray[np.int64],
    c: int,
    replicates: list[NDArray[np.float64]],
    seed: int,
    level: float,
) -> ClassResult:
    n, n_predicted, hits = int(confusion[c].sum()), int(confusion[:, c].sum()), float(confusion[c, c])
    units, units_predicted = _units(pred, pred.labels == c), _units(pred, pred.predicted == c)
    f1 = float(per_class_f1(confusion)[c])
    nobody, never = "" if n else "nobody annotated with it", "" if n_predicted else "never predicted"
    wrong = np.where(np.arange(len(confusion)) == c, 0, confusion[c])
    most = int(wrong.argmax())
    return ClassResult(
        str(pred.classes[c]),
        n,
        n_predicted,
        share_estimate(hits, n, units, replicates[0], level=level, seed=seed, note=nobody),
        share_estimate(hits, n_predicted, units_predicted, replicates[1], level=level, seed=seed, note=never),
        percentile(f1, replicates[2], level=level, n=n, clusters=units, seed=seed, note=nobody),
        str(pred.classes[most]) if wrong[most] else "",
        float(wrong[most] / n) if n else float("nan"),
    )


def _units(pred: Predictions, mask: NDArray[np.bool_]) -> int:
    return int(mask.sum()) if pred.cluster is None else len(np.unique(pred.cluster[mask]))
