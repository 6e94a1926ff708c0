"""Registered metrics that an audit is asked for by name, and what each of them needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mien.audit.gaps import HEADLINE_METRICS
from mien.audit.scores import Scores
from mien.errors import DataError, UsageError
from mien.metrics import METRICS
from mien.metrics.catalogue import apply_metric, reads_counts
from mien.metrics.counts import CountMetric
from mien.records import Predictions

# What every audit has by group, under these names; a metric registered as one of them is not taken for it.
_USUAL = (*HEADLINE_METRICS, "top2", "tie_accuracy", "kl", "overconfidence", "coverage", "risk", "ece")
_TAKEN = ("recall", "precision", "f1", "selection_rate", "false_positive_rate", "confidence", "detection_failure")


@dataclass(frozen=True)
class AskedMetrics:
    """What an audit compares beyond the usual.

    Attributes:
        counts: Functions of confusion counts: they go through bootstrap, groups and gaps as accuracy does.
        faces: Means over faces: they go through the scores as top-2 does.
        values: Of each of the latter, ``(n,)`` values; NaN where a face does not count.
    """

    counts: tuple[CountMetric, ...] = ()
    faces: tuple[str, ...] = ()
    values: Scores = field(default_factory=dict)


def asked_metrics(names: Sequence[str], pred: Predictions, scores: Scores) -> AskedMetrics:
    """Sort the metrics that are asked for by what they read and give.

    Args:
        names: Names in ``METRICS``; those of every audit may be among them and are not doubled.
        pred: The predictions.
        scores: Scores that are at hand.

    Raises:
        ConfigError: If there is no such metric; with the nearest name.
        DataError: If the predictions lack what one reads.
        UsageError: If one has no value by group, or the name of something else in the audit.
    """
    counts, faces, values = [], [], {}
    for name in dict.fromkeys(names):
        METRICS.get(name, "metrics")
        if name in _TAKEN:
            raise UsageError(f"metric {name!r}", "the audit has a measure of this name", "another name")
        if name in _USUAL:
            continue
        if reads_counts(name):
            counts.append(CountMetric(name, len(pred.classes)))
            continue
        values[name] = scores[name] if name in scores else _of_faces(name, pred)
        faces.append(name)
    return AskedMetrics(tuple(counts), tuple(faces), values)


def _of_faces(name: str, pred: Predictions) -> NDArray[np.float32]:
    found = apply_metric(name, pred)
    if found is None:
        raise DataError(f"metric {name!r}", "reads what these predictions do not have", "probabilities or votes")
    if found.shape != (len(pred),):
        shape = "one number" if not found.ndim else f"an array of shape {found.shape}"
        fix = "Register it as a function of the confusion counts, or of one value a face."
        raise UsageError(f"metric {name!r}", f"gives {shape} of all faces together", "something of each group", fix)
    infinite = np.flatnonzero(np.isinf(found))
    if len(infinite):
        face = str(pred.sample_id[infinite[0]])
        what = f"gives an infinite value for the face {face!r} ({len(infinite)} such faces)"
        raise UsageError(f"metric {name!r}", what, "numbers; NaN for a face that does not count")
    return found.astype(np.float32)
